// The dashboard's page: the form for the key, the numbers, the lists. What it shows comes from the
// feed once a second.

import { Charts } from './admin-charts.js';
import { Feed, access } from './admin-feed.js';
import { Inspector } from './admin-inspector.js';
import { DENIALS, LEVELS, LIMITS, bytes, count, duration, events, make, plural, time, whole }
  from './admin-words.js';

const $ = (id) => document.getElementById(id);
const KEY = 'throng.admin.key'; // in the session's storage: this tab only
const narrow = matchMedia('(max-width: 46rem)');
const rowsMax = () => (narrow.matches ? 5 : 8);

// ---- the numbers in large ----

const rate = (name, format) => ({ rates }) => (rates ? format(rates[name]) : '–');
const TILES = [
  ['Open connections', ({ connections }) => count(connections.open),
    ({ connections: { handshake } }) => `and ${whole(handshake)} on HTTP`],
  ['Messages in', rate('messages_in', count), () => 'a second'],
  ['Messages out', rate('messages_out', count), () => 'a second'],
  ['Bytes out', rate('bytes_out', bytes), () => 'a second'],
  ['Fan-out', ({ fan_out: { p99_us: p99 } }) => (p99 == null ? '–' : time(p99)),
    ({ fan_out: { count: many } }) => (many ? '99 % within' : 'none just now')],
  ['Loop lag', ({ loops }) => time(Math.max(...loops.map((each) => each.lag_us))),
    () => 'longest turn'],
  ['Backlog', (now) => bytes(now.backlog_bytes), () => 'of slow peers'],
  ['Rooms', ({ rooms }) => count(rooms.count), ({ members }) => plural(members, 'member')],
];

class Tiles {
  constructor(place) {
    this.tiles = TILES.map(([name, value, words]) => {
      const shown = make('dd', 'value', '–');
      const below = make('dd', 'words', '\u00a0');
      place.append(make('div', 'tile panel', make('dt', 'name', name), shown, below));
      return { value, words, shown, below };
    });
  }

  show(now) {
    for (const { value, words, shown, below } of this.tiles) {
      shown.textContent = value(now);
      below.textContent = words(now);
    }
  }
}

// ---- the lists ----

// A table whose rows follow their keys. While somebody points at it, its rows stay where they are.
class List {
  constructor(id, empty, numbers) {
    this.table = $(id);
    this.body = this.table.tBodies[0];
    this.panel = this.table.closest('.panel');
    this.empty = this.panel.querySelector('.empty');
    this.words = empty;
    this.numbers = numbers; // which columns hold numbers
    this.isWhole = id === 'limits'; // all of a few
    this.rows = new Map();
    this.show([]);
  }

  // `items` are { key, cells, open }: `open` makes the first cell a button.
  show(items) {
    const shown = items.slice(0, this.isWhole ? items.length : rowsMax());
    const held = matchMedia('(hover: hover)').matches && this.body.matches(':hover');
    const keys = shown.map(({ key }) => key);
    const isHeld = held && this.rows.size > 0;
    if (!isHeld) {
      for (const key of this.rows.keys()) if (!keys.includes(key)) this.rows.delete(key);
    }
    for (const item of shown) {
      if (!this.rows.has(item.key)) {
        if (isHeld) continue;
        this.rows.set(item.key, this.#row(item));
      }
      const row = this.rows.get(item.key);
      item.cells.forEach((text, index) => {
        if (row.cells[index].textContent !== text) row.cells[index].textContent = text;
      });
    }
    if (!isHeld) this.#order(keys.map((key) => this.rows.get(key).element));
    this.empty.textContent = this.rows.size > 0 ? '' : this.words;
    this.table.classList.toggle('bare', this.rows.size === 0);
  }

  #row({ cells, open }) {
    const places = cells.map((_, index) => {
      if (index > 0 || !open) return make('bdi', '');
      const button = make('button', 'link', '');
      button.type = 'button';
      button.dir = 'auto';
      button.addEventListener('click', open);
      return button;
    });
    const element = make('tr', '', ...places.map((place, index) => make('td',
      this.numbers.includes(index) ? 'number' : '', place)));
    return { element, cells: places };
  }

  // A row that moves keeps the focus.
  #order(elements) {
    const now = [...this.body.children];
    if (now.length === elements.length && now.every((row, at) => row === elements[at])) return;
    const focused = this.body.contains(document.activeElement) ? document.activeElement : null;
    this.body.replaceChildren(...elements);
    if (focused?.isConnected) focused.focus({ preventScroll: true });
  }
}

// ---- the page ----

class Board {
  constructor() {
    this.inspector = new Inspector(() => this.feed);
    this.tiles = new Tiles($('tiles'));
    this.charts = new Charts(document.querySelector('.charts'));
    this.lists = {
      rooms: new List('rooms', 'Nobody is in a room.', [1]),
      talkers: new List('talkers', 'Nobody has said anything in the last second.', [1, 2]),
      slow: new List('slow', 'Everybody reads as fast as the server writes.', [2]),
      limits: new List('limits', 'The limits come with the first numbers.', [1, 2, 3]),
      events: new List('events', 'Nothing was refused, ended or dropped so far.', [1]),
      loops: new List('loops', 'The loops come with the first numbers.', [1, 2]),
    };
    $('logout').addEventListener('click', () => this.logOut());
    $('retry').addEventListener('click', () => this.feed?.retry());
    $('find').addEventListener('submit', (event) => {
      event.preventDefault();
      const name = $('find-name').value;
      if (name) this.inspector.open(event.submitter?.value ?? 'user', name);
      else $('find-name').focus();
    });
    for (const choice of document.getElementsByName('rooms-by')) {
      choice.addEventListener('change', () => this.now && this.#rooms(this.now));
    }
    setInterval(() => this.#countDown(), 250);
  }

  open(key) {
    $('login').hidden = true;
    $('board').hidden = false;
    this.feed = new Feed(key, {
      state: (state, detail) => this.#state(state, detail),
      hello: ({ version, loops }) => { this.about = { version, loops }; },
      snapshot: (now) => this.#show(now),
    });
    $('content').focus({ preventScroll: true });
  }

  logOut() {
    this.feed.close();
    store(null);
    location.reload(); // nothing of what was shown stays
  }

  #state(state, detail) {
    $('badge').dataset.state = state;
    $('banner').hidden = state !== 'waiting';
    $('board').classList.toggle('stale', state !== 'live');
    if (state === 'live') {
      $('badge').textContent = 'Live';
    } else if (state === 'connecting') {
      $('badge').textContent = 'Connecting';
    } else if (state === 'waiting') {
      $('badge').textContent = 'Offline';
      this.retryAt = detail;
      if (this.now) this.charts.add(null);
      this.#countDown();
    } else if (detail) {
      store(null);
      showLogin(DENIALS[detail] ?? DENIALS.wrong_key);
    }
  }

  #countDown() {
    if ($('banner').hidden) return;
    const seconds = Math.ceil((this.retryAt - Date.now()) / 1000);
    const when = seconds > 0 ? `The next try is in ${seconds} s.` : 'Trying now.';
    const words = `The server does not answer. ${when}`;
    if ($('banner-text').textContent !== words) $('banner-text').textContent = words;
  }

  #show(now) {
    this.now = now;
    const { version, loops } = this.about ?? {};
    $('server').textContent = [location.host, `throng ${version}`, plural(loops, 'loop'),
      `up ${duration(now.uptime_s)}`].join(' · ');
    $('level').dataset.level = now.level;
    $('level').textContent = LEVELS[now.level] ?? now.level;
    this.tiles.show(now);
    this.charts.add(now);
    this.#rooms(now);
    this.#connections(now);
    this.#facts(now);
    this.inspector.refresh();
  }

  #rooms({ rooms }) {
    const by = document.querySelector('[name="rooms-by"]:checked').value;
    const isMembers = by === 'by_members';
    $('rooms-value').textContent = isMembers ? 'Members' : 'Messages/s';
    this.lists.rooms.words = isMembers ? 'Nobody is in a room.'
      : 'Nothing was said in a room in the last second.';
    this.lists.rooms.show(rooms[by].map(({ room, count: members, messages_per_s: messages }) => ({
      key: room, cells: [room, isMembers ? whole(members) : count(messages)],
      open: () => this.inspector.open('room', room),
    })));
  }

  #connections({ talkers, slow }) {
    const open = (id) => () => this.inspector.open('connection', id);
    this.lists.talkers.show(talkers.map((each) => ({ key: each.id, open: open(each.id),
      cells: [each.user, count(each.messages_per_s), bytes(each.bytes_per_s)] })));
    this.lists.slow.show(slow.map((each) => ({ key: each.id, open: open(each.id),
      cells: [each.user, each.address ?? 'unknown', bytes(each.backlog_bytes)] })));
  }

  #facts(now) {
    this.lists.limits.show(now.limits.map(({ name, max, used, met }) => {
      const [words, format] = LIMITS[name] ?? [name, whole];
      return { key: name, cells: [words, used == null ? '–' : format(used), format(max),
        met == null ? '–' : count(met)] };
    }));
    this.lists.events.show(events(now).map(([words, many]) => (
      { key: words, cells: [words, whole(many)] })));
    this.lists.loops.show(now.loops.map((each) => ({ key: String(each.loop),
      cells: [String(each.loop), whole(each.connections), time(each.lag_us)] })));
  }
}

// ---- the key ----

function store(key) {
  try {
    if (key === null) sessionStorage.removeItem(KEY);
    else sessionStorage.setItem(KEY, key);
  } catch { /* storage is off: the key is asked for again after a reload */ }
}

function stored() {
  try {
    return sessionStorage.getItem(KEY);
  } catch {
    return null;
  }
}

function showLogin(error = '') {
  $('inspector').close();
  $('board').hidden = true;
  $('login').hidden = false;
  $('login-error').textContent = error;
  $('key').toggleAttribute('aria-invalid', error !== '');
  $('key').focus();
}

$('login-form').addEventListener('submit', async (event) => {
  event.preventDefault();
  const key = $('key').value.trim();
  $('login-open').disabled = true;
  const verdict = key === '' ? 'missing_key' : await access(key);
  $('login-open').disabled = false;
  if (verdict !== 'open') {
    showLogin(DENIALS[verdict] ?? DENIALS.wrong_key);
    $('key').select();
    return;
  }
  $('key').value = '';
  store(key);
  board.open(key);
});

const board = new Board();
const key = stored();
if (key === null) showLogin();
else board.open(key);
