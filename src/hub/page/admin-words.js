// The dashboard's words: how numbers, times and names are written, and how elements are made.

const SPACE = '\u00a0'; // a number and its unit stay on one line

const digits = (number) => Number(number.toPrecision(3))
  .toLocaleString('en', { maximumSignificantDigits: 3 });

const scaled = (number, step, units) => {
  let [value, at] = [number, 0];
  while (value >= step * 0.9995 && at < units.length - 1) [value, at] = [value / step, at + 1];
  return `${digits(value)}${SPACE}${units[at]}`.trim();
};

export const count = (number) => (number < 10_000
  ? Number(number.toFixed(number < 100 ? 1 : 0)).toLocaleString('en')
  : scaled(number / 1000, 1000, ['k', 'M', 'G']));
export const whole = (number) => number.toLocaleString('en');
export const bytes = (number) => scaled(number, 1024, ['B', 'KiB', 'MiB', 'GiB', 'TiB']);
export const time = (us) => scaled(us, 1000, ['µs', 'ms', 's']);

const clockFormat = new Intl.DateTimeFormat('en-GB', { hour: '2-digit', minute: '2-digit',
  second: '2-digit' });
const dateFormat = new Intl.DateTimeFormat('en-GB', { dateStyle: 'medium', timeStyle: 'medium' });
export const clock = (ms) => clockFormat.format(ms);
export const date = (ms) => dateFormat.format(ms);

export function duration(seconds) {
  for (const [unit, size] of [['day', 86_400], ['hour', 3600], ['minute', 60]]) {
    const many = Math.floor(seconds / size);
    if (many > 0) return `${many}${SPACE}${unit}${many > 1 ? 's' : ''}`;
  }
  return `${Math.max(0, Math.floor(seconds))}${SPACE}s`;
}

export const plural = (number, one) => `${whole(number)} ${number === 1 ? one : `${one}s`}`;

export function make(name, className, ...children) {
  const element = document.createElement(name);
  if (className) element.className = className;
  element.append(...children);
  return element;
}

export const DENIALS = {
  wrong_key: 'The server does not take this key. Check it and try again.',
  missing_key: 'Enter a key first.',
  no_api_key: 'This server has no API key, so the dashboard is closed. Start it with '
    + '--api-key KEY.',
  away: 'The server does not answer. Try again in a moment.',
};

export const LEVELS = { normal: 'Load normal', busy: 'Busy', degraded: 'Degraded',
  critical: 'Critical' };

export const LIMITS = {
  connections: ['Connections', count],
  connections_per_address: ['Address: connections', count],
  connections_per_user: ['User: connections', count],
  handshakes: ['Handshakes', count],
  handshakes_per_address: ['Address: handshakes', count],
  message_bytes: ['Longest message', bytes],
  backlog_bytes: ['Peer: backlog', bytes],
  rooms_per_connection: ['Peer: rooms', count],
  messages_per_second: ['Peer: messages/s', count],
};

const CAUSES = { peer: 'Closed by the peer', protocol: 'Broke the protocol',
  lost: 'Lost without a word',
  pong_timeout: 'No answer to a ping', write_timeout: 'Read nothing for too long',
  close_timeout: 'No answer to a Close', backlogged: 'Read too slowly' };
const STATUSES = { 400: 'bad request', 401: 'no token, or a wrong one', 403: 'not allowed',
  404: 'no such path', 408: 'too slow', 413: 'too large', 414: 'too long an address',
  426: 'no WebSocket', 429: 'too many', 431: 'too large a head', 503: 'full or stopping' };
const DROPS = { newest: 'Not sent: the newest', oldest: 'Not sent: the oldest',
  closed: 'Not sent: the peer was closed' };

// What has gone wrong or ended since the start, the most first.
export function events({ refused, closes, drops }) {
  const named = [
    ...refused.map(({ name, count: many }) => [`Refused with ${name}`
      + (STATUSES[name] ? ` (${STATUSES[name]})` : ''), many]),
    ...closes.map(({ name, count: many }) => [CAUSES[name] ?? name, many]),
    ...drops.map(({ name, count: many }) => [DROPS[name] ?? name, many]),
  ];
  return named.filter(([, many]) => many > 0).sort((one, other) => other[1] - one[1]);
}
