// The browser's end of a throng server: one connection, its rooms, and the way back to them.
// It owns the socket, the commands that wait for an answer, and when to try again. It never
// keeps what is said, and never sends twice what may have arrived, but where the server would know
// it again.
//
//   const t = new Throng('/ws', { name: 'ann' });
//   t.on('message', ({ room, sender, content }) => console.log(room, sender, content));
//   await t.join('lobby');
//   await t.publish('lobby', 'hello');
//
// Types and words: throng.d.ts beside this file. Messages: docs/hub.md of the project.

const CONNECT_MS = 15_000;
const DELAY_MS = 1_000;
const DELAY_MAX_MS = 30_000;
const STEADY_MS = 5_000;
const LEAVE_MS = 1_000; // how long after its time a server that stops is waited for
const BEATS_MAX = 100;
const REPEAT_MS = 240_000; // a server knows a messageId for 5 minutes, unless it is told otherwise
const RENEW_AT = 0.8; // of the life of a token
const TIMER_MAX_MS = 2 ** 31 - 1;
const OPEN = 1; // WebSocket.OPEN

export class ThrongError extends Error {
  constructor(code, message = code) {
    super(message);
    this.name = 'ThrongError';
    this.code = code;
  }
}

//                welcome
//   connecting ─────────► open
//     ▲     │ lost         │ lost
//     │     ▼              │
//    waiting ◄─────────────┤
//                          │ ended for good (1000, 1008), and from connecting
//   closed ◄───────────────┘ close() from any state
//     │ retry(): connecting
export class Throng {
  #options;
  #listeners = {};
  #timers = {};
  #socket = null;
  #attempt = 0;
  #leaveAt = 0; // no sooner is the next connect, since the server has said so
  #renewed = false; // a token was asked for anew because of a 1008, and has not proved itself
  #wasOpen = false;
  #rooms = new Map(); // the rooms to be in: name -> { epoch, offset } as far as the server says
  #left = new Set(); // the rooms that were left while there was no connection
  #queue = []; // commands not sent yet
  #pending = new Map(); // id -> a command sent and not answered
  #id = 0;
  #seq = 0;
  #beats = new Map(); // seq -> when it was sent
  #again = false; // whether a session is resumed after a reconnect
  #resumed = []; // the rooms that have come back so far
  #watch = null; // takes the listeners on the browser away

  constructor(url = '/ws', options = {}) {
    this.#options = { timeoutMs: 10_000, heartbeatMs: 0, queueMax: 100, ...options };
    this.url = new URL(url, globalThis.location?.href);
    this.url.protocol = this.url.protocol.replace('http', 'ws');
    this.name = options.name;
    this.session = options.session;
    this.lost = 0;
    this.rttMs = undefined;
    if (options.room) this.#rooms.set(options.room, {});
    this.#connect();
  }

  get rooms() { return [...this.#rooms.keys()]; }

  // False as soon as the socket begins to close, before `state` follows.
  get isOpen() { return this.state === 'open' && this.#socket?.readyState === OPEN; }

  on(type, listener) {
    (this.#listeners[type] ??= new Set()).add(listener);
    return () => this.#listeners[type].delete(listener);
  }

  join(room) {
    this.#left.delete(room);
    return this.#command({ type: 'join', room });
  }

  // To leave while away is to not come back; nobody needs to be asked.
  leave(room) {
    this.#rooms.delete(room);
    if (this.isOpen) return this.#command({ type: 'leave', room });
    this.#left.add(room);
    this.#refuseQueued((command) => command.fields.room === room, 'left', 'you left this room');
    return Promise.resolve({ room });
  }

  // With a `messageId` of its own a message is sent again after a reconnect, and is there once.
  publish(room, content, { echo = true, key, messageId } = {}) {
    const more = echo ? {} : { echo };
    return this.#command({ type: 'text', room, content, key, message_id: messageId, ...more });
  }

  direct(user, content) { return this.#command({ type: 'direct', user, content }); }

  presence(room) { return this.#command({ type: 'presence', room }); }

  // The newest messages, or those before or after an offset; the oldest first.
  history(room, { limit, before, after } = {}) {
    return this.#command({ type: 'history', room, limit, before, after });
  }

  // Asks a connection that looks open whether it still is; no answer in time ends it.
  heartbeat() {
    if (!this.isOpen) return;
    const seq = ++this.#seq;
    if (this.#beats.size >= BEATS_MAX) this.#miss(this.#beats.keys().next().value);
    this.#beats.set(seq, performance.now());
    this.#timers.answer ??= setTimeout(() => this.#lost(1006, ''), this.#options.timeoutMs);
    this.#socket.send(JSON.stringify({ type: 'heartbeat', seq, timestamp: Date.now() }));
  }

  // Now instead of later.
  retry() {
    if (this.state === 'waiting' || this.state === 'closed') this.#connect();
  }

  close(code = 1000, reason = '') {
    this.#drop(code, reason);
    this.#end(code, reason);
  }

  // ---- the connection ----

  async #connect() {
    this.#drop(1000);
    this.#watchBrowser();
    const timer = setTimeout(() => this.#lost(1006, 'no answer'), CONNECT_MS);
    this.#timers.connect = timer;
    this.#enter('connecting');
    let socket;
    let bearer;
    let ticket;
    try {
      ticket = await this.#options.ticket?.();
      if (!ticket) bearer = await this.#token();
      if (this.#timers.connect !== timer) return; // closed or tried anew meanwhile
      // Whoever offers subprotocols must be answered with one, so the token is not alone.
      socket = new WebSocket(this.#address(ticket), bearer ? ['throng.v1.json', `bearer.${bearer}`] : []);
    } catch (error) {
      if (this.#timers.connect !== timer) return;
      this.#emit('error', new ThrongError('connect', String(error?.message ?? error)));
      this.#lost(1006, 'no token, or no address');
      return;
    }
    this.#socket = socket;
    let opened = false;
    socket.onopen = () => { opened = true; };
    socket.onmessage = ({ data }) => socket === this.#socket && this.#receive(data);
    socket.onclose = async ({ code, reason }) => {
      if (socket !== this.#socket) return;
      const refusal = opened ? undefined : await this.#refusal(bearer, ticket);
      if (socket !== this.#socket) return;
      if (refusal) this.#lost(1008, refusal);
      else this.#lost(code, reason);
    };
  }

  async #token() {
    const { token } = this.#options;
    return typeof token === 'function' ? token() : token;
  }

  // Browsers do not tell a page why its handshake was refused. The server does, if it is asked
  // the same without a handshake: the code of a refusal that a further try would meet again.
  async #refusal(bearer, ticket) {
    const url = new URL(this.url);
    if (ticket) url.searchParams.set('ticket', ticket);
    url.protocol = url.protocol.replace('ws', 'http');
    const headers = bearer ? { authorization: `Bearer ${bearer}` } : {};
    try {
      const answer = await fetch(url, { headers, cache: 'no-store' });
      if (answer.status === 401 || answer.status === 403) return (await answer.json()).error;
    } catch { /* it does not answer, or not to pages from here */ }
    return undefined;
  }

  // The first room comes in one round trip by the URL; to resume in it takes a command.
  #address(ticket) {
    const url = new URL(this.url);
    if (ticket) url.searchParams.set('ticket', ticket);
    const { room } = this.#options;
    const isNew = this.#rooms.has(room) && !this.#rooms.get(room).epoch;
    if (isNew && this.session === undefined) url.searchParams.set('room', room);
    if (this.name) url.searchParams.set('name', this.name);
    return url;
  }

  #lost(code, reason) {
    this.#drop(1000);
    const { token, ticket } = this.#options;
    const renews = code === 1008 && (ticket || typeof token === 'function') && !this.#renewed;
    if (renews) this.#renewed = true;
    const sent = [...this.#pending.values()];
    this.#pending.clear();
    for (const command of sent.reverse()) this.#interrupt(command);
    if ((code === 1000 || code === 1008) && !renews) {
      this.#end(code, reason);
      return;
    }
    const wait = Math.max(this.#delay(), this.#leaveAt - Date.now());
    this.#leaveAt = 0;
    this.retryAt = Date.now() + wait;
    this.#timers.retry = setTimeout(() => this.#connect(), wait);
    this.#enter('waiting', code, reason);
  }

  // Only what may be done twice is done again.
  #interrupt(command) {
    clearTimeout(command.timer);
    const { type, room, message_id: id } = command.fields;
    const harmless = type === 'join' || type === 'presence' || type === 'history';
    if (harmless || id !== undefined) this.#queue.unshift(command);
    else if (type === 'leave') command.resolve({ room });
    else this.#giveUp(command);
  }

  #giveUp(command) {
    command.reject(new ThrongError('lost', 'the connection broke: it may have arrived'));
  }

  // At once, then a random part of 1, 2, 4 … 30 s, so that a crowd does not come back in step.
  #delay() {
    const attempt = this.#attempt++;
    if (attempt === 0) return 0;
    return Math.random() * Math.min(DELAY_MAX_MS, DELAY_MS * 2 ** (attempt - 1));
  }

  #end(code, reason) {
    this.#watch?.abort();
    this.#watch = null;
    this.#attempt = 0;
    for (const command of this.#pending.values()) this.#interrupt(command);
    this.#pending.clear();
    this.#refuseQueued(() => true, 'closed', 'the connection is closed');
    this.#enter('closed', code, reason);
  }

  #drop(code, reason) {
    for (const name of Object.keys(this.#timers)) this.#clear(name);
    this.#beats.clear();
    const socket = this.#socket;
    this.#socket = null;
    if (socket && socket.readyState <= OPEN) socket.close(code, reason);
  }

  #clear(name) {
    clearTimeout(this.#timers[name]);
    delete this.#timers[name];
  }

  #enter(state, code, reason) {
    this.state = state;
    if (state !== 'connecting') [this.code, this.reason] = [code, reason];
    this.#emit('state', { state, code: this.code, reason: this.reason, retryAt: this.retryAt });
  }

  // A network that comes back, or a person who looks, is worth a try at once.
  #watchBrowser() {
    if (this.#watch || !globalThis.addEventListener) return;
    this.#watch = new AbortController();
    const { signal } = this.#watch;
    const look = () => {
      if (this.state === 'waiting') this.retry();
      else this.heartbeat();
    };
    addEventListener('online', look, { signal });
    addEventListener('offline', () => this.heartbeat(), { signal });
    globalThis.document?.addEventListener('visibilitychange', () => {
      if (!document.hidden) look();
    }, { signal });
  }

  // ---- what comes in ----

  #receive(data) {
    let message;
    try {
      message = JSON.parse(data);
    } catch {
      return;
    }
    if (message === null || typeof message !== 'object') return;
    this.#clear('answer'); // anything is a sign of life
    switch (message.type) {
      case 'welcome':
        if (this.state === 'connecting') this.#welcome(message);
        break;
      case 'text':
      case 'direct':
        this.#advance(message);
        this.#emit('message', message);
        break;
      case 'system':
        this.#system(message);
        break;
      case 'ok':
      case 'error':
        this.#answer(message);
        break;
      case 'heartbeat':
        this.#beat(message);
        break;
      case 'reconnect':
        this.#leave(message);
        break;
    }
  }

  #welcome(message) {
    this.#clear('connect');
    this.#renewBefore(message);
    const again = this.#wasOpen;
    this.#wasOpen = true;
    this.name = message.sender ?? this.name;
    const { heartbeatMs } = this.#options;
    if (heartbeatMs > 0) this.#timers.beat = setInterval(() => this.heartbeat(), heartbeatMs);
    // A server that welcomes and hangs up must not be met with a fresh first retry every time.
    this.#timers.steady = setTimeout(() => {
      this.#attempt = 0;
      this.#renewed = false;
    }, STEADY_MS);
    if (message.room !== undefined) this.#joined(message, again);
    if (this.state !== 'connecting') return; // a listener closed it
    if (this.session !== undefined && message.session !== undefined) {
      this.#resume(message.session, again);
      return;
    }
    this.session = message.session;
    this.#settle(message.room);
  }

  // The rooms come back one by one, each as after a join, before the answer.
  async #resume(fresh, again) {
    const { session } = this;
    const socket = this.#socket;
    const known = [...this.#rooms].filter(([, { epoch }]) => epoch !== undefined);
    const rooms = known.map(([room, { epoch, offset }]) => ({ room, epoch, offset }));
    this.#again = again;
    this.#resumed = [];
    try {
      const answer = await this.#command({ type: 'resume', session, rooms, again: true });
      this.session = answer.session;
      this.name = answer.sender;
    } catch (error) {
      if (socket !== this.#socket) return; // the next one tries it again
      if (error.code === 'unknown_session') this.session = fresh;
      else this.#emit('error', error);
    }
    if (socket !== this.#socket || this.state !== 'connecting') return;
    this.#settle(...this.#resumed);
  }

  // Joins the rooms that it is not in yet, and sends what has waited.
  #settle(...there) {
    this.#left.clear();
    const queued = this.#queue.splice(0);
    const asked = (room) => queued.some(({ fields }) => fields.type === 'join'
      && fields.room === room);
    for (const room of this.#rooms.keys()) {
      if (!there.includes(room) && !asked(room)) this.#rejoin(room);
    }
    for (const command of queued) this.#send(command);
    this.#enter('open');
  }

  // The server stops, and says when this connection ends, so that not all come back at once. It
  // goes first: what it still has to say comes before its Close.
  #leave({ after_ms: ms }) {
    const wait = Math.min(Math.max(Number(ms) || 0, 0), TIMER_MAX_MS - LEAVE_MS);
    this.#leaveAt = Date.now() + wait;
    this.#clear('leave');
    const leave = () => this.#lost(1001, 'the server stops');
    this.#timers.leave = setTimeout(leave, wait + LEAVE_MS);
  }

  // A token that can be asked for is followed by another while it is still good.
  #renewBefore({ expires_at: end, timestamp }) {
    if (typeof this.#options.token !== 'function' || end === undefined) return;
    const wait = Math.min((end - timestamp) * RENEW_AT, TIMER_MAX_MS);
    this.#timers.token = setTimeout(() => this.#renew(), wait);
  }

  async #renew() {
    const socket = this.#socket;
    try {
      const token = await this.#token();
      if (socket !== this.#socket || !this.isOpen) return;
      this.#renewBefore(await this.#command({ type: 'refresh', token }));
    } catch (error) {
      if (socket !== this.#socket) return; // the next connect asks for a token itself
      this.#emit('error', error.code ? error : new ThrongError('token', String(error)));
    }
  }

  #rejoin(room) {
    this.#command({ type: 'join', room, again: true }).catch((error) => {
      if (error.code !== 'closed' && error.code !== 'left') this.#emit('error', error);
    });
  }

  // Where the server says how far a room is, that is what to come back with. What was missed comes
  // as any message does; of a room that was not left some of it may have come already.
  #joined({ room, members, count, epoch, offset, recovered, messages = [] }, again) {
    const known = this.#rooms.get(room);
    const from = known?.epoch === epoch ? known?.offset ?? 0 : 0;
    this.#rooms.set(room, epoch === undefined ? {} : { epoch, offset });
    this.#emit('joined', { room, members, count, again, recovered });
    for (const message of messages) if (message.offset > from) this.#emit('message', message);
  }

  // A room of the session. One that was left meanwhile is left now.
  #back(message) {
    const { room } = message;
    if (this.#left.has(room)) {
      this.#command({ type: 'leave', room, again: true }).catch(() => {});
      return;
    }
    this.#resumed.push(room);
    this.#joined(message, this.#again);
  }

  #advance({ room, offset }) {
    const known = this.#rooms.get(room);
    if (known?.epoch !== undefined && offset > (known.offset ?? -1)) known.offset = offset;
  }

  #system(message) {
    const { event, room, sender, epoch, offset } = message;
    // Something is missing: what comes next follows this place.
    if (event === 'gap' && this.#rooms.has(room)) this.#rooms.set(room, { epoch, offset });
    this.#emit(event === 'join' || event === 'leave' ? event : 'system', message);
    // One of this name left: a namesake, or this connection, taken out by the server.
    if (event === 'leave' && sender === this.name) this.presence(room).catch(() => {});
  }

  #miss(seq) {
    this.#beats.delete(seq);
    this.lost += 1;
  }

  #beat({ seq }) {
    const sent = this.#beats.get(seq);
    if (sent === undefined) return;
    this.rttMs = performance.now() - sent;
    this.#beats.delete(seq);
    for (const each of this.#beats.keys()) if (each < seq) this.#miss(each); // answers keep order
    this.#emit('heartbeat', { seq, rttMs: this.rttMs, lost: this.lost });
  }

  // ---- commands ----

  // Written down at once: what the caller changes later is not sent.
  #command({ again = false, ...fields }) {
    return new Promise((resolve, reject) => {
      const command = { fields, again, resolve, reject };
      command.text = JSON.stringify(fields).slice(1, -1);
      if (fields.type === 'text' || fields.type === 'direct') delete fields.content;
      if (again || this.isOpen) this.#send(command);
      else if (this.state === 'closed') reject(new ThrongError('closed', 'it is closed'));
      else this.#enqueue(command);
    });
  }

  #enqueue(command) {
    this.#queue.push(command);
    if (this.#queue.length <= this.#options.queueMax) return;
    this.#queue.shift().reject(new ThrongError('queue_full', 'too much waits: the oldest goes'));
  }

  #send(command) {
    const { type, room } = command.fields;
    command.sent ??= Date.now();
    // One that was away too long is not known again by the server.
    if (type === 'text' && Date.now() - command.sent > REPEAT_MS) return this.#giveUp(command);
    const id = ++this.#id;
    let { text } = command;
    if (type === 'join') {
      if (!this.#rooms.has(room)) this.#rooms.set(room, {});
      const { epoch, offset } = this.#rooms.get(room);
      if (epoch !== undefined) text += `,"since":${JSON.stringify({ epoch, offset })}`;
    }
    this.#pending.set(id, command);
    command.timer = setTimeout(() => {
      this.#pending.delete(id);
      command.reject(new ThrongError('timeout', 'no answer came in time: it may have arrived'));
    }, this.#options.timeoutMs);
    this.#socket.send(`{"id":${id},${text}}`);
  }

  #answer({ type, id, code, content, messages, ...answer }) {
    const command = this.#pending.get(id);
    const error = type === 'error' && new ThrongError(code, content);
    if (!command) {
      if (error) this.#emit('error', error);
      else if (answer.room !== undefined) this.#back({ ...answer, messages });
      return;
    }
    this.#pending.delete(id);
    clearTimeout(command.timer);
    const { type: asked, room } = command.fields;
    if (error) {
      if (asked === 'join' || code === 'not_joined') this.#rooms.delete(room);
      command.reject(error);
      return;
    }
    if (asked === 'join' && this.#rooms.has(room)) {
      this.#joined({ ...answer, room, messages }, command.again);
    }
    command.resolve(asked === 'history' ? { ...answer, messages } : answer);
  }

  #refuseQueued(applies, code, message) {
    const refused = this.#queue.filter(applies);
    this.#queue = this.#queue.filter((command) => !refused.includes(command));
    for (const { reject } of refused) reject(new ThrongError(code, message));
  }

  // A listener that throws is the page's fault and must not end the connection.
  #emit(type, detail) {
    for (const listener of this.#listeners[type] ?? []) {
      try {
        listener(detail);
      } catch (error) {
        (globalThis.reportError ?? console.error)(error);
      }
    }
  }
}
