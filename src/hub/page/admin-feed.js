// The dashboard's connection: the key, the socket, the commands that wait for an answer, and when
// to try again. It never draws.

const FIRST_DELAY_MS = 500;
const DELAY_MAX_MS = 10_000;
const SILENCE_MS = 10_000; // a snapshot comes each second
const ANSWER_MS = 5_000;

const here = (path) => new URL(path, location.href);

// A subprotocol is a token (RFC 9110): what cannot stand in one goes as %XX.
const escaped = (key) => encodeURIComponent(key)
  .replace(/[()]/g, (character) => (character === '(' ? '%28' : '%29'));

// Whether the server takes a key: 'open', 'away', or the code of why not. A browser does not say
// why a handshake was refused, so this asks before.
export async function access(key) {
  if (!/^[\x21-\x7e]+$/.test(key)) return 'wrong_key';
  try {
    const response = await fetch(here('admin/access'), { cache: 'no-store',
      headers: { authorization: `Bearer ${key}` }, signal: AbortSignal.timeout(ANSWER_MS) });
    if (response.ok) return 'open';
    if (response.status >= 500) return 'away';
    return (await response.json()).error;
  } catch {
    return 'away';
  }
}

//   connecting ──hello──► live ──lost──► waiting ──► connecting
//        └──key refused──► closed ◄── close()
export class Feed {
  #key;
  #on;
  #socket = null;
  #timers = {};
  #attempt = 0;
  #pending = new Map();
  #id = 0;

  // `on` has `state(state, detail)`, `hello(message)` and `snapshot(message)`.
  constructor(key, on) {
    this.#key = key;
    this.#on = on;
    this.#connect();
  }

  // Asks for something; the answer, or null where none came.
  ask(type, fields) {
    if (this.state !== 'live') return Promise.resolve(null);
    const id = ++this.#id;
    this.#socket.send(JSON.stringify({ type, id, ...fields }));
    return new Promise((resolve) => {
      const timer = setTimeout(() => this.#settle(id, null), ANSWER_MS);
      this.#pending.set(id, { resolve, timer });
    });
  }

  retry() {
    if (this.state === 'waiting') this.#connect();
  }

  close(detail) {
    this.#drop();
    this.#enter('closed', detail);
  }

  async #connect() {
    this.#drop();
    this.#enter('connecting');
    const verdict = await access(this.#key);
    if (this.state !== 'connecting') return;
    if (verdict === 'away') this.#lost();
    else if (verdict !== 'open') this.close(verdict);
    else this.#open();
  }

  #open() {
    const url = here('admin');
    url.protocol = url.protocol.replace('http', 'ws');
    url.search = '';
    url.hash = '';
    const socket = new WebSocket(url, ['throng.admin.v1', `bearer.${escaped(this.#key)}`]);
    this.#socket = socket;
    socket.onmessage = ({ data }) => socket === this.#socket && this.#receive(JSON.parse(data));
    socket.onclose = () => socket === this.#socket && this.#lost();
    this.#listen();
  }

  #receive(message) {
    this.#listen();
    if (message.type === 'hello') {
      this.#attempt = 0;
      this.#enter('live');
      this.#on.hello(message);
    } else if (message.type === 'snapshot') {
      this.#on.snapshot(message);
    } else {
      this.#settle(message.id, message.type === 'answer' ? message : null);
    }
  }

  // A connection that says nothing any more is dead, whatever TCP thinks.
  #listen() {
    clearTimeout(this.#timers.silence);
    this.#timers.silence = setTimeout(() => this.#lost(), SILENCE_MS);
  }

  #settle(id, answer) {
    const waiting = this.#pending.get(id);
    this.#pending.delete(id);
    clearTimeout(waiting?.timer);
    waiting?.resolve(answer);
  }

  #lost() {
    this.#drop();
    const ceiling = Math.min(FIRST_DELAY_MS * 2 ** this.#attempt, DELAY_MAX_MS);
    this.#attempt += 1;
    const delay = ceiling * (0.5 + Math.random() / 2);
    this.#timers.retry = setTimeout(() => this.#connect(), delay);
    this.#enter('waiting', Date.now() + delay);
  }

  #drop() {
    Object.values(this.#timers).forEach(clearTimeout);
    const socket = this.#socket;
    this.#socket = null;
    socket?.close();
    for (const id of [...this.#pending.keys()]) this.#settle(id, null);
  }

  #enter(state, detail) {
    this.state = state;
    this.#on.state(state, detail);
  }
}
