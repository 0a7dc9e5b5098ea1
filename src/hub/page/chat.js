// The chat page. It owns one connection to one room and what is seen of it, and it never puts
// anything that came over the wire into the page as markup: text goes in as text.

import { Throng } from './throng.js';

const ENTRIES_MAX = 500;
const OUTBOX_MAX = 100;
const PEOPLE_SHOWN_MAX = 200;
const GROUP_MS = 5 * 60_000;

const $ = (id) => document.getElementById(id);

function make(tag, className, ...children) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  element.append(...children);
  return element;
}

// Storage may be switched off; the page then only forgets.
function remember(storage, key, value) {
  try {
    if (value === null) window[storage].removeItem(key);
    else window[storage].setItem(key, JSON.stringify(value));
  } catch { /* nothing is kept */ }
}

function recall(storage, key) {
  try {
    return JSON.parse(window[storage].getItem(key));
  } catch {
    return null;
  }
}

// The same name has the same colour on every screen.
function hue(name) {
  let hash = 2166136261;
  for (const byte of new TextEncoder().encode(name)) {
    hash = Math.imul(hash ^ byte, 16777619) >>> 0;
  }
  return hash % 360;
}

function avatar(name) {
  const letters = [...name.replace(/[^\p{L}\p{N}]/gu, '')];
  const disc = make('span', 'avatar', (letters[0] ?? '?').toLocaleUpperCase());
  disc.style.setProperty('--hue', hue(name));
  disc.setAttribute('aria-hidden', 'true');
  return disc;
}

const clock = new Intl.DateTimeFormat(undefined, { timeStyle: 'short' });
const moment = new Intl.DateTimeFormat(undefined, { dateStyle: 'full', timeStyle: 'medium' });
const day = new Intl.DateTimeFormat(undefined, { dateStyle: 'full' });

function dateOf(timestamp) {
  const date = new Date(timestamp);
  return Number.isNaN(date.getTime()) ? new Date() : date;
}

function count(number, one, many) {
  return `${number.toLocaleString()} ${number === 1 ? one : many}`;
}

// The page's connection to one room. `state` is 'idle' without one, else what Throng says, in the
// page's words.
class Link {
  static HEARTBEAT_MS = 20_000;
  static STATES = { connecting: 'connecting', open: 'online', waiting: 'waiting',
    closed: 'offline' };

  constructor({ changed, received }) {
    this.changed = changed;
    this.received = received;
    this.state = 'idle';
  }

  get name() { return this.client?.name ?? ''; }
  get code() { return this.client?.code; }
  get reason() { return this.client?.reason; }
  get retryAt() { return this.client?.retryAt; }
  get isOpen() { return this.client?.isOpen ?? false; }

  open(room, name) {
    this.close();
    this.room = room;
    this.everOnline = false;
    const token = recall('sessionStorage', 'throng.token') ?? undefined;
    const client = new Throng('ws', { room, name, token, heartbeatMs: Link.HEARTBEAT_MS });
    this.client = client;
    for (const type of ['joined', 'message', 'join', 'leave', 'system', 'error']) {
      client.on(type, (detail) => client === this.client && this.received(type, detail));
    }
    client.on('state', ({ state }) => client === this.client && this.#enter(state));
    this.#enter(client.state);
  }

  close() {
    const { client } = this;
    this.client = null;
    client?.close();
    this.#enter();
  }

  retry() { this.client?.retry(); }

  publish(content) { return this.client.publish(this.room, content); }

  presence() { return this.client.presence(this.room); }

  #enter(state) {
    this.state = Link.STATES[state] ?? 'idle';
    if (this.state === 'online') this.everOnline = true;
    clearInterval(this.count);
    if (this.state === 'waiting') this.count = setInterval(() => this.changed(), 1000);
    this.changed();
  }
}

// What has been said, newest last, at most ENTRIES_MAX entries of it.
class Transcript {
  constructor() {
    this.scroller = $('scroller');
    this.log = $('log');
    this.following = true;
    this.unseen = 0;
    this.owed = 0;
    this.entries = [];
    this.scroller.addEventListener('scroll', () => this.#scrolled(), { passive: true });
    $('unseen').addEventListener('click', () => {
      this.follow();
      $('draft').focus();
    });
    const resized = new ResizeObserver(() => this.settle());
    for (const element of [this.scroller, this.log, $('outbox')]) resized.observe(element);
  }

  clear() {
    this.log.replaceChildren();
    this.entries = [];
    this.last = null;
    this.today = null;
    $('empty').hidden = false;
    this.follow();
  }

  text({ sender, content, timestamp }, own) {
    const date = dateOf(timestamp);
    this.#day(date);
    const bubble = make('p', 'bubble', content);
    bubble.title = moment.format(date);
    if (this.continues(sender, date)) {
      this.last.stack.append(bubble);
      this.last.date = date;
    } else {
      this.last = this.#group(sender, date, own);
      this.last.stack.append(bubble);
      this.log.append(this.last.group);
    }
    $('empty').hidden = true;
    this.#added(bubble);
    if (!this.following && !own) this.#setUnseen(this.unseen + 1);
  }

  // True if a message of this sender would stand in the last group.
  continues(sender, date = new Date()) {
    return this.last?.sender === sender && date - this.last.date < GROUP_MS
      && day.format(date) === day.format(this.last.date);
  }

  quiet(...parts) {
    const line = make('p', 'quiet', ...parts);
    this.last = null;
    this.log.append(line);
    this.#added(line);
  }

  // Comings and goings that follow each other share a line: the last three, and how many before.
  event(sender, what) {
    const open = this.entries.at(-1);
    const events = open && open === this.events?.line ? this.events.list : [];
    events.push([sender, what]);
    const earlier = events.length - 3;
    const parts = earlier > 0 ? [`${count(earlier, 'other', 'others')} came or went`] : [];
    for (const [name, verb] of events.slice(-3)) {
      if (parts.length > 0) parts.push(' · ');
      parts.push(make('bdi', '', name), ` ${verb}`);
    }
    if (events.length > 1) {
      this.events.line.replaceChildren(...parts);
    } else {
      this.quiet(...parts);
      this.events = { line: this.entries.at(-1), list: events };
    }
    this.settle();
  }

  follow() {
    this.following = true;
    this.#setUnseen(0);
    this.settle();
  }

  settle() {
    if (this.following) this.scroller.scrollTop = this.scroller.scrollHeight;
  }

  #group(sender, date, own) {
    const time = make('time', '', clock.format(date));
    time.dateTime = date.toISOString();
    const name = make('bdi', own ? 'spoken' : 'name', own ? 'You' : sender);
    name.style.setProperty('--hue', hue(sender));
    const stack = make('div', 'stack', make('p', 'byline', name, time));
    const group = make('div', own ? 'group own' : 'group', avatar(sender), stack);
    return { group, stack, sender, date };
  }

  #day(date) {
    const today = day.format(date);
    if (today === this.today) return;
    this.today = today;
    this.quiet(today);
    this.entries.at(-1).classList.add('day');
  }

  #added(entry) {
    this.entries.push(entry);
    if (this.entries.length > 4) $('empty').hidden = true;
    while (this.entries.length > ENTRIES_MAX) this.#forget(this.entries.shift());
    this.settle();
  }

  // Takes the oldest entry away, and its group with its last bubble; what is being read stays put.
  // Scroll positions are whole pixels and heights are not: what is left over is owed.
  #forget(entry) {
    const before = this.log.getBoundingClientRect().height;
    const stack = entry.closest('.stack');
    entry.remove();
    if (stack && !stack.querySelector('.bubble')) stack.parentElement.remove();
    if (this.following) return;
    const owed = before - this.log.getBoundingClientRect().height + this.owed;
    this.scroller.scrollTop -= Math.round(owed);
    this.owed = owed - Math.round(owed);
  }

  #scrolled() {
    const { scrollHeight, scrollTop, clientHeight } = this.scroller;
    this.following = scrollHeight - scrollTop - clientHeight < 40;
    if (this.following) this.#setUnseen(0);
  }

  #setUnseen(unseen) {
    this.unseen = unseen;
    $('unseen').hidden = unseen === 0;
    $('unseen-text').textContent = count(unseen, 'new message', 'new messages');
  }
}

// One's own messages until the server has delivered them.
//
//   waiting ──► sending ──► (delivered: gone)
//                 │ connection lost: unsure    │ refused by the server: failed
//   unsure, failed ──► waiting ("Send again") or gone
class Outbox {
  static NOTES = {
    waiting: 'Waiting for the connection',
    sending: '',
    unsure: 'The connection broke: this may not have arrived.',
    unanswered: 'The server did not answer: this may not have arrived.',
  };

  constructor(link, transcript) {
    this.link = link;
    this.transcript = transcript;
    this.list = $('outbox');
    this.items = [];
    this.id = 0;
  }

  restore(room) {
    this.room = room;
    this.list.replaceChildren();
    const kept = recall('sessionStorage', `throng.outbox.${room}`);
    this.items = (Array.isArray(kept) ? kept : []).map(({ content, state }) => (
      { content: String(content), state: state === 'waiting' ? 'waiting' : 'unsure' }));
    this.items.forEach((item) => this.#show(item));
    this.#changed();
  }

  add(content) {
    if (this.items.length >= OUTBOX_MAX) return false;
    const item = { content, state: 'waiting' };
    this.items.push(item);
    this.#send(item);
    this.#changed();
    return true;
  }

  flush() {
    for (const item of this.items) if (item.state === 'waiting') this.#send(item);
    this.#changed();
  }

  // The delivery of one's own message comes before its `ok`, and names no id. What was missed while
  // away may show that one of which that was unsure has arrived.
  delivered(content) {
    const item = ['sending', 'unsure'].map((state) => (
      this.items.find((each) => each.state === state && each.content === content))).find(Boolean);
    if (item) this.#remove(item);
  }

  interrupted(code) {
    const sending = this.items.filter((item) => item.state === 'sending');
    if (sending.length === 0) return;
    for (const item of sending) this.#set(item, 'unsure');
    if (code === 1009) {
      const largest = sending.reduce((a, b) => (b.content.length > a.content.length ? b : a));
      this.#set(largest, 'failed', ERRORS.too_big);
    }
    this.#changed();
  }

  // What waits stays here, where it can be edited, and not in the client's own queue.
  #send(item) {
    if (!this.link.isOpen) {
      this.#set(item, 'waiting');
      return;
    }
    const id = ++this.id;
    item.id = id;
    this.#set(item, 'sending');
    const awaited = () => item.id === id && item.state === 'sending' && this.items.includes(item);
    this.link.publish(item.content).then(
      () => awaited() && this.#remove(item),
      (error) => {
        if (!awaited()) return;
        if (error.code === 'timeout') this.#set(item, 'unsure', Outbox.NOTES.unanswered);
        else this.#set(item, 'failed', errorWords(error));
        this.#changed();
      },
    );
  }

  #set(item, state, words = Outbox.NOTES[state]) {
    item.state = state;
    item.words = words;
    this.#show(item);
  }

  #show(item) {
    const note = make('p', 'note', item.words ?? Outbox.NOTES[item.state]);
    const actions = make('span', '');
    if (item.state === 'unsure' || item.state === 'failed') {
      actions.append(this.#button('Send again', () => this.#send(item)));
    }
    actions.append(
      this.#button('Edit', () => {
        $('draft').value = [item.content, $('draft').value].filter(Boolean).join('\n');
        $('draft').dispatchEvent(new Event('input', { bubbles: true }));
        this.#remove(item);
      }),
      this.#button('Discard', () => this.#remove(item)),
    );
    note.append(actions);
    const element = make('div', 'pending', make('p', 'bubble', item.content));
    if (item.state !== 'sending') element.append(note);
    element.dataset.state = item.state;
    if (item.element) item.element.replaceWith(element);
    else this.list.append(element);
    item.element = element;
  }

  #button(label, act) {
    const button = make('button', '', label);
    button.type = 'button';
    button.addEventListener('click', () => {
      act();
      this.#changed();
      $('draft').focus();
    });
    return button;
  }

  #remove(item) {
    this.items.splice(this.items.indexOf(item), 1);
    item.element.remove();
    this.#changed();
  }

  #changed() {
    const kept = this.items.map(({ content, state }) => ({ content, state }));
    remember('sessionStorage', `throng.outbox.${this.room}`, kept.length ? kept : null);
    this.list.classList.toggle('continues', this.transcript.continues(this.link.name));
    if (this.items.length > 0) $('empty').hidden = true;
    this.transcript.settle();
  }
}

// Who is in the room. Two members may have one name; each counts.
class People {
  constructor() {
    this.set([]);
  }

  set(names) {
    this.names = new Map();
    for (const name of names) this.#change(String(name), 1);
    this.#paint();
  }

  join(name) {
    this.#change(name, 1);
    this.#paint();
  }

  // False if nobody of that name was known: the list has lost step with the room.
  leave(name) {
    const known = this.names.has(name);
    if (known) this.#change(name, -1);
    this.#paint();
    return known;
  }

  #change(name, by) {
    const members = (this.names.get(name) ?? 0) + by;
    if (members > 0) this.names.set(name, members);
    else this.names.delete(name);
  }

  // A crowd that comes at once is painted once.
  #paint() {
    this.timer ??= setTimeout(() => {
      this.timer = null;
      const total = [...this.names.values()].reduce((sum, members) => sum + members, 0);
      $('people-count').textContent = total.toLocaleString();
      $('people-count-short').textContent = total.toLocaleString();
      const own = (name) => name === this.own;
      const names = [...this.names.keys()].sort((a, b) => own(b) - own(a) || a.localeCompare(b));
      const rows = names.slice(0, PEOPLE_SHOWN_MAX).map((name) => this.#row(name));
      const hidden = names.length - rows.length;
      if (hidden > 0) rows.push(make('li', 'more', `and ${count(hidden, 'other', 'others')}`));
      $('people').replaceChildren(...rows);
    }, 40);
  }

  #row(name) {
    const who = make('bdi', 'who', name);
    who.title = name;
    const members = this.names.get(name);
    const tags = [name === this.own ? 'you' : '', members > 1 ? `×${members}` : ''];
    const row = make('li', '', avatar(name), who);
    if (tags.some(Boolean)) row.append(make('span', 'tag', tags.filter(Boolean).join(' ')));
    return row;
  }
}

const transcript = new Transcript();
const people = new People();
const link = new Link({ changed: showLink, received: receive });
const outbox = new Outbox(link, transcript);
let unread = 0;

// What the server's codes mean, where it does not say so itself.
const ERRORS = {
  too_long: 'This message is too long for this server.',
  too_big: 'This message is too big for this server.',
  rate_limited: 'That was too fast. Wait a moment, then send it again.',
  forbidden: 'You may not do that in this room.',
  degraded: 'Only those on this part of the server have got it. Others may have missed it.',
  store_unavailable: 'The server cannot keep messages of this room right now. Try again later.',
};

function errorWords({ code, message }) {
  return message && message !== code ? message : ERRORS[code] ?? 'The server refused that.';
}

function receive(type, message) {
  if (type === 'error') {
    notice(errorWords(message));
    return;
  }
  if (message.room !== undefined && message.room !== link.room) return;
  const sender = String(message.sender ?? '');
  const content = String(message.content ?? '');
  if (type === 'joined') joined(message);
  else if (type !== 'message') system(type, content, sender);
  else if (message.type === 'direct') transcript.quiet(`${sender}, to you alone: ${content}`);
  else said({ ...message, sender, content });
}

function joined({ members, again, recovered }) {
  people.own = link.name;
  people.set(Array.isArray(members) ? members : [link.name]);
  remember('sessionStorage', 'throng.session', { room: link.room, name: link.name });
  if (again && !recovered) {
    transcript.quiet('Back again. What was said meanwhile is not shown here.');
  }
  notice('');
}

function said(message) {
  const own = message.sender === link.name;
  if (own) outbox.delivered(message.content);
  transcript.text(message, own);
  outbox.list.classList.toggle('continues', transcript.continues(link.name));
  if (document.hidden && !own) unread += 1;
  showTitle();
}

let resyncedAt = 0;

function system(type, content, sender) {
  if (type === 'join') {
    people.join(sender);
    transcript.event(sender, 'joined');
  } else if (type === 'leave') {
    if (!people.leave(sender)) resync();
    transcript.event(sender, 'left');
  } else {
    transcript.quiet(content);
  }
}

function resync() {
  if (Date.now() - resyncedAt < 10_000) return;
  resyncedAt = Date.now();
  link.presence().then(({ members }) => Array.isArray(members) && people.set(members), () => {});
}

// What the page says about itself.

const LOST = {
  1001: 'The server went away.',
  1009: 'The server hung up: a message was too big.',
  1013: 'The server is too busy right now.',
};

let spokenState = '';

function showLink() {
  const { state, code, everOnline } = link;
  const { host } = location;
  const seconds = Math.ceil((link.retryAt - Date.now()) / 1000);
  const soon = seconds > 0 ? ` in ${seconds} s` : '';
  $('badge').dataset.state = state;
  $('badge').textContent = {
    idle: '', connecting: 'Connecting', online: 'Online', waiting: `Reconnecting${soon}`,
    offline: 'Offline',
  }[state];
  const why = state === 'offline' ? endWords()
    : LOST[code] ?? (everOnline ? 'The connection was lost.'
      : `${host} does not answer, or does not let you into this room.`);
  const lost = state === 'waiting' || state === 'offline' || (state === 'connecting' && code);
  if (lost) $('banner-text').textContent = why;
  $('banner').hidden = !lost;
  $('reconnect').disabled = state === 'connecting';
  $('chat').classList.toggle('stale', state !== 'online');
  if (state === spokenState) return;
  spokenState = state;
  $('badge-spoken').textContent = { online: 'Online', waiting: why, offline: why }[state] ?? '';
  if (state === 'online') outbox.flush();
  if (state === 'waiting' || state === 'offline') outbox.interrupted(code);
}

// What the server's codes mean to a person who was not let in, or may not stay.
const REFUSED = {
  missing_token: 'This server lets nobody in without a token. Ask for a link that has one.',
  expired_token: 'Your time here is over: your token has expired. Ask for a new link.',
  revoked_token: 'Your token was withdrawn. Ask for a new link.',
  token_not_yet_valid: 'Your token is not valid yet. Try again later.',
  rate_limited: 'You have as many connections as you may. Close one, then try again.',
  forbidden_origin: 'This server does not take pages from this address.',
  forbidden_host: 'This server does not go by this address.',
  insecure: 'Your token would cross the network in the clear. Open this page by https.',
};
const REFUSED_OTHERWISE = 'This server does not accept your token. Ask for a new link.';

function endWords() {
  const { code, reason } = link;
  if (code === 1008 && (Object.hasOwn(REFUSED, reason) || /^[a-z]+(_[a-z]+)+$/.test(reason))) {
    return REFUSED[reason] ?? REFUSED_OTHERWISE;
  }
  if (reason) return `The server closed the connection: ${reason}`;
  return code === 1008 ? 'The server closed the connection: its rules do not allow this.'
    : 'The server ended the connection.';
}

function notice(words) {
  $('notice-text').textContent = words;
  $('notice').hidden = words === '';
  transcript.settle();
}

function showTitle() {
  const mark = unread > 0 ? `(${unread > 99 ? '99+' : unread}) ` : '';
  document.title = link.state === 'idle' ? 'throng' : `${mark}#${link.room} · throng`;
}

// Coming in and going out.

// Where there is no mouse, focus brings up a keyboard that hides half the page.
const hovers = () => matchMedia('(hover: hover)').matches;

function enter(room, name) {
  $('join').hidden = true;
  $('chat').hidden = false;
  $('room-name').textContent = `#${room}`;
  $('share-room').textContent = `#${room}`;
  unread = 0;
  people.own = name;
  people.set([]);
  transcript.clear();
  link.open(room, name);
  outbox.restore(room);
  $('draft').placeholder = `Message #${room}`;
  $('draft').value = recall('sessionStorage', `throng.draft.${room}`) ?? '';
  drafted();
  showTitle();
  if (hovers()) $('draft').focus();
}

function showJoin() {
  link.close();
  showDrawer(false);
  $('chat').hidden = true;
  $('join').hidden = false;
  const query = new URLSearchParams(location.search);
  $('name').value = query.get('name') ?? recall('localStorage', 'throng.name') ?? '';
  $('room').value = query.get('room') ?? recall('localStorage', 'throng.room') ?? '';
  showTitle();
  if (hovers()) $($('name').value ? 'room' : 'name').focus();
}

// A token in the address stands behind the `#`, where no server sees it. It is kept for this tab,
// and taken out of the address.
function takeToken() {
  const token = new URLSearchParams(location.hash.slice(1)).get('token');
  if (token === null) return false;
  remember('sessionStorage', 'throng.token', token || null);
  history.replaceState(history.state, '', location.pathname + location.search);
  return true;
}

// A new link that is opened in place of an old one changes no more than this.
window.addEventListener('hashchange', () => takeToken() && location.reload());

// A name in the address joins at once and is then taken out of it: people pass addresses on.
function start() {
  takeToken();
  const query = new URLSearchParams(location.search);
  const asked = query.get('room');
  const session = recall('sessionStorage', 'throng.session');
  if (asked && query.has('name')) {
    const name = query.get('name').trim();
    history.replaceState({ name }, '', roomAddress(asked));
    enter(asked, name);
  } else if (session && (asked ?? session.room) === session.room) {
    history.replaceState({ name: session.name }, '', roomAddress(session.room));
    enter(session.room, session.name);
  } else {
    showJoin();
  }
}

function roomAddress(room) {
  const url = new URL(location.pathname, location.origin);
  url.searchParams.set('room', room);
  return url.href;
}

$('host').textContent = location.host;

$('join-form').addEventListener('submit', (event) => {
  event.preventDefault();
  const name = $('name').value.trim();
  const room = $('room').value.trim().replace(/^#+\s*/, '') || 'lobby';
  remember('localStorage', 'throng.name', name);
  remember('localStorage', 'throng.room', room);
  history.pushState({ name }, '', roomAddress(room));
  enter(room, name);
});

$('leave').addEventListener('click', () => {
  remember('sessionStorage', 'throng.session', null);
  history.pushState(null, '', location.pathname);
  showJoin();
});

window.addEventListener('popstate', ({ state }) => {
  const room = new URLSearchParams(location.search).get('room');
  if (state && room) enter(room, state.name);
  else showJoin();
});

// Writing.

function drafted() {
  const draft = $('draft');
  draft.style.height = 'auto';
  draft.style.height = `${draft.scrollHeight}px`;
  draft.style.overflowY = draft.scrollHeight > draft.clientHeight ? 'auto' : 'hidden';
  $('send').disabled = draft.value.trim() === '';
  remember('sessionStorage', `throng.draft.${link.room}`, draft.value || null);
}

$('draft').addEventListener('input', drafted);

$('draft').addEventListener('keydown', (event) => {
  // 229 is what Safari says while an input method is composing.
  if (event.key !== 'Enter' || event.shiftKey || event.isComposing || event.keyCode === 229) return;
  event.preventDefault();
  $('composer').requestSubmit();
});

$('composer').addEventListener('submit', (event) => {
  event.preventDefault();
  const content = $('draft').value.replace(/^\s*\n|\s+$/g, '');
  if (content === '') return;
  if (!outbox.add(content)) {
    notice(`${OUTBOX_MAX} messages are waiting already. Yours stays here until some are sent.`);
    return;
  }
  $('draft').value = '';
  drafted();
  notice('');
  transcript.follow();
  $('draft').focus();
});

$('notice-close').addEventListener('click', () => {
  notice('');
  $('draft').focus();
});

// The list of people is a drawer on a narrow screen.

function showDrawer(open) {
  $('bar').inert = open;
  $('talk').inert = open;
  $('people-panel').classList.toggle('open', open);
  $('people-toggle').setAttribute('aria-expanded', String(open));
  $('shade').hidden = !open;
}

$('people-toggle').addEventListener('click', () => {
  showDrawer(true);
  $('people-close').focus();
});

function closeDrawer() {
  if ($('shade').hidden) return;
  showDrawer(false);
  $('people-toggle').focus();
}

$('people-close').addEventListener('click', closeDrawer);
$('shade').addEventListener('click', closeDrawer);
matchMedia('(max-width: 46rem)').addEventListener('change', () => showDrawer(false));
document.addEventListener('keydown', ({ key }) => {
  if (key === 'Escape') closeDrawer();
});

// Sharing. The clipboard is there on secure pages only; the link can always be copied by hand.

$('share').addEventListener('click', () => {
  $('share-link').value = roomAddress(link.room);
  $('share-copy').textContent = 'Copy the link';
  $('share-dialog').showModal();
  $('share-link').select();
});

$('share-copy').addEventListener('click', async () => {
  $('share-link').select();
  try {
    await navigator.clipboard.writeText($('share-link').value);
    $('share-copy').textContent = 'Copied';
  } catch {
    $('share-copy').textContent = document.execCommand('copy') ? 'Copied' : 'Copy it by hand';
  }
});

$('reconnect').addEventListener('click', () => {
  link.retry();
  $('draft').focus();
});

document.addEventListener('visibilitychange', () => {
  if (document.hidden) return;
  unread = 0;
  showTitle();
});

start();
