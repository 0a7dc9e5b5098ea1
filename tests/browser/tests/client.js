// /throng.js by itself, on a page of its own origin: what a program that imports it sees.

import assert from 'node:assert/strict';
import { gzipSync } from 'node:zlib';
import { WebSocketServer } from 'ws';
import { Server, eventually, freePort, member } from '../support.js';

const SIZE_MAX = 6_000;

// A tab with a client in `window.t`; `window.seen` is what its listeners were told.
async function tab(tabs, { url = '/ws', options = {}, context, prepare } = {}) {
  const page = await (context ?? await tabs.context()).newPage();
  page.on('pageerror', (error) => tabs.complaints.push(String(error)));
  await prepare?.(page);
  await page.goto(`${tabs.server.url}/healthz`); // a page without a policy of its own
  await page.evaluate(async ([address, chosen]) => {
    const { Throng } = await import('/throng.js');
    const seen = { messages: [], joined: [], comings: [], states: [], errors: [], beats: [] };
    window.seen = seen;
    window.tokens = 0;
    if (chosen.counts) chosen.token = async () => `token-${++window.tokens}`;
    const t = new Throng(address, chosen);
    window.t = t;
    t.on('message', ({ room, sender, content }) => seen.messages.push([room, sender, content]));
    t.on('joined', ({ room, again }) => seen.joined.push([room, again]));
    t.on('join', ({ room, sender }) => seen.comings.push(['join', room, sender]));
    t.on('leave', ({ room, sender }) => seen.comings.push(['leave', room, sender]));
    t.on('state', ({ state }) => seen.states.push(state));
    t.on('error', ({ code }) => seen.errors.push(code));
    t.on('heartbeat', ({ seq, rttMs, lost }) => seen.beats.push([seq, rttMs >= 0, lost]));
    // What became of a command: its answer, or the code of its error.
    window.settle = (promise) => promise.then((answer) => answer, (error) => error.code);
  }, [url, options]);
  return page;
}

const seen = (page, what) => page.evaluate((name) => window.seen[name], what);
const stateOf = (page) => page.evaluate(() => window.t.state);
const open = (page, timeoutMs) => eventually(() => stateOf(page), 'open', timeoutMs);
const run = (page, code) => page.evaluate(`settle(${code})`);

// Keeps the page's sockets, so that a test can cut them.
const keepSockets = (page) => page.addInitScript(() => {
  window.sockets = [];
  window.WebSocket = class extends WebSocket {
    constructor(...args) {
      super(...args);
      window.sockets.push(this);
    }
  };
});

// A WebSocket server that answers as it is told, for what the real one does not do yet.
async function answering(act, options = {}) {
  const server = new WebSocketServer({ port: 0, host: '127.0.0.1', ...options });
  await new Promise((resolve) => { server.once('listening', resolve); });
  const handshakes = [];
  server.on('connection', (socket, request) => {
    handshakes.push({ url: request.url, offered: request.headers['sec-websocket-protocol'] });
    const tell = (message) => socket.send(JSON.stringify(message));
    act({ socket, tell, number: handshakes.length });
  });
  return { url: `ws://127.0.0.1:${server.address().port}/ws`, handshakes,
    stop: () => {
      server.clients.forEach((socket) => socket.terminate());
      server.close();
    } };
}

export const client = {
  async 'throng.js is under 6 kB compressed, and asks for nothing else'({ server }) {
    const response = await fetch(`${server.url}/throng.js`);
    assert.equal(response.headers.get('content-type'), 'text/javascript; charset=utf-8');
    const text = await response.text();
    const bytes = gzipSync(text, { level: 9 }).length;
    assert(bytes < SIZE_MAX, `${bytes} bytes`);
    assert(!/^\s*import\b|\bimport\(|\bfrom '/m.test(text.replace(/^\/\/.*$/gm, '')), 'no import');
    const types = await fetch(`${server.url}/throng.d.ts`);
    assert.equal(types.status, 200);
    assert((await types.text()).includes('export class Throng'));
  },

  async 'two tabs talk through throng.js in rooms that they join'({ tabs }) {
    const ann = await tab(tabs, { options: { name: 'ann' } });
    const bob = await tab(tabs, { options: { name: 'bob', room: 'js-a' } });
    await Promise.all([open(ann), open(bob)]);
    const { epoch, ...joined } = await run(ann, "t.join('js-a')");
    assert.match(epoch, /^[0-9a-f]{16}$/);
    assert.deepEqual(joined,
      { room: 'js-a', members: ['bob', 'ann'], count: 2, offset: 0, recovered: false });
    await eventually(() => seen(bob, 'comings'), [['join', 'js-a', 'ann']]);
    await run(ann, "t.join('js-b')");
    await run(ann, "t.publish('js-a', 'hello')");
    await run(bob, "t.publish('js-a', { any: ['json', 1] }, { echo: false })");
    await eventually(() => seen(ann, 'messages'),
      [['js-a', 'ann', 'hello'], ['js-a', 'bob', { any: ['json', 1] }]]);
    assert.deepEqual(await seen(bob, 'messages'), [['js-a', 'ann', 'hello']]);
    const { messages, more } = await run(bob, "t.history('js-a', { limit: 1 })");
    assert.deepEqual([messages.map(({ offset }) => offset), more], [[2], true]);
    await run(bob, "t.direct('ann', 'psst')");
    await eventually(async () => (await seen(ann, 'messages')).at(-1), [undefined, 'bob', 'psst']);
    assert.deepEqual(await run(ann, "t.leave('js-a')"), { room: 'js-a' });
    await eventually(async () => (await seen(bob, 'comings')).at(-1), ['leave', 'js-a', 'ann']);
    assert.deepEqual((await run(bob, "t.presence('js-a')")).members, ['bob']);
    assert.deepEqual(await ann.evaluate(() => window.t.rooms), ['js-b']);
    assert.equal(await run(ann, "t.publish('js-a', 'outside')"), 'not_joined');
    assert.equal(await run(ann, "t.join('')"), 'bad_name');
    assert.deepEqual(await seen(ann, 'errors'), []);
  },

  async 'who goes offline comes back to all of its rooms'({ server, tabs }) {
    const context = await tabs.context();
    const ann = await tab(tabs, { context,
      options: { name: 'ann', room: 'back-a', timeoutMs: 1000 } });
    await open(ann);
    await run(ann, "t.join('back-b')");
    await run(ann, "t.join('back-c')");
    await run(ann, "t.leave('back-c')");
    await context.setOffline(true);
    await eventually(async () => (await seen(ann, 'states')).filter((s) => s === 'waiting').length
      >= 2, true);
    await ann.evaluate(() => {
      window.queued = window.settle(window.t.publish('back-b', 'written while away'));
    });
    const bob = await member(server, 'back-b', 'bob');
    await context.setOffline(false);
    await open(ann, 5000);
    assert.equal(typeof await ann.evaluate(() => window.queued), 'object');
    await eventually(() => seen(ann, 'joined'), [['back-a', false], ['back-b', false],
      ['back-c', false], ['back-a', true], ['back-b', true]]);
    await eventually(() => bob.received.filter(({ type }) => type === 'text')
      .map(({ content }) => content), ['written while away']);
    bob.say('welcome back');
    await eventually(async () => (await seen(ann, 'messages')).at(-1),
      ['back-b', 'bob', 'welcome back']);
    bob.leave();
  },

  async 'a server that is killed is come back to, rooms and all'({ tabs }) {
    const port = await freePort();
    tabs.server = await Server.start(port);
    const ann = await tab(tabs, { options: { name: 'ann' } });
    await open(ann);
    await run(ann, "t.join('killed')");
    await tabs.server.stop('SIGKILL');
    await eventually(() => stateOf(ann), 'waiting');
    tabs.server = await Server.start(port);
    try {
      await open(ann, 40_000);
      await eventually(async () => (await run(ann, "t.presence('killed')")).members, ['ann']);
    } finally {
      await tabs.server.stop();
    }
  },

  async 'a guest keeps its name over a reconnect'({ tabs }) {
    const page = await tab(tabs, { prepare: keepSockets, options: { room: 'guest-js' } });
    await open(page);
    const name = await page.evaluate(() => window.t.name);
    assert.match(name, /^guest-/);
    await page.evaluate(() => window.sockets.at(-1).close(4000));
    await eventually(async () => (await seen(page, 'joined')).length, 2);
    assert.equal(await page.evaluate(() => window.t.name), name);
  },

  async 'a session brings rooms back, and those that were left meanwhile are left'({ tabs }) {
    tabs.server = await Server.start(0, ['--sessions']);
    try {
      const ann = await tab(tabs, { prepare: keepSockets, options: { room: 'one' } });
      await open(ann);
      for (const room of ['two', 'three']) await run(ann, `t.join('${room}')`);
      const [name, session] = await ann.evaluate(() => [window.t.name, window.t.session]);
      assert.match(session, /^[0-9a-f]{32}$/);
      const bob = await tab(tabs, { options: { name: 'bob' } });
      await open(bob);
      await run(bob, "t.join('three')");
      // While it is away it leaves a room, and joins one.
      await ann.evaluate(() => new Promise((resolve) => {
        const left = window.t.on('state', ({ state }) => {
          if (state === 'open') return;
          left();
          window.t.leave('three');
          window.again = window.settle(window.t.join('four'));
          resolve();
        });
        window.sockets.at(-1).close(4000);
      }));
      assert.equal(typeof await ann.evaluate(() => window.again), 'object');
      await open(ann);
      assert.deepEqual(await ann.evaluate(() => window.t.rooms.sort()), ['four', 'one', 'two']);
      assert.deepEqual(await ann.evaluate(() => [window.t.name, window.t.session]), [name, session]);
      await eventually(async () => (await run(bob, "t.presence('three')")).members, ['bob']);
      // Another page that has the session has its rooms.
      await ann.evaluate(() => window.t.close());
      const next = await tab(tabs, { options: { session } });
      await open(next);
      await eventually(() => next.evaluate(() => window.t.rooms.sort()), ['four', 'one', 'two']);
      assert.equal(await next.evaluate(() => window.t.name), name);
      for (const page of [ann, bob, next]) assert.deepEqual(await seen(page, 'errors'), []);
    } finally {
      await tabs.server.stop();
    }
  },

  async 'a command without an answer times out; one cut off may have arrived'({ tabs }) {
    const silent = await answering(({ socket, tell, number }) => {
      tell({ type: 'welcome', sender: 'ann' });
      socket.on('message', (data) => {
        const { content, type, id } = JSON.parse(data);
        if (content === 'cut') socket.terminate();
        if (number > 1 && type === 'presence') tell({ type: 'ok', id, members: ['ann'] });
      });
    });
    const page = await tab(tabs, { url: silent.url, options: { timeoutMs: 300 } });
    await open(page);
    const started = Date.now();
    assert.equal(await run(page, "t.publish('a', 'hi')"), 'timeout');
    assert(Date.now() - started < 3000, 'in time');
    assert.equal(await stateOf(page), 'open');
    const [presence, cutOff] = await page.evaluate(() => Promise.all([
      window.settle(window.t.presence('a')), window.settle(window.t.publish('a', 'cut'))]));
    assert.equal(cutOff, 'lost');
    assert.deepEqual(presence, { members: ['ann'] }, 'asked again: that does no harm');
    silent.stop();
  },

  async 'a message with an id of its own is sent again, and is there once'({ tabs }) {
    const [ann, bob] = [await tab(tabs, { prepare: keepSockets, options: { name: 'ann' } }),
      await tab(tabs)];
    for (const page of [ann, bob]) {
      await open(page);
      await run(page, "t.join('once')");
    }
    // It is on its way when the connection breaks, so that its answer does not come.
    const answer = await ann.evaluate(() => {
      const published = window.t.publish('once', 'hi', { messageId: 'm-1' });
      window.sockets.at(-1).close(4000);
      return window.settle(published);
    });
    assert.deepEqual(answer, { offset: 1, duplicate: true });
    const again = await run(ann, "t.publish('once', 'other', { messageId: 'm-1' })");
    assert.deepEqual(again, { offset: 1, duplicate: true });
    assert.deepEqual(await run(ann, "t.publish('once', 'last')"), { offset: 2 });
    await eventually(() => seen(bob, 'messages'),
      [['once', 'ann', 'hi'], ['once', 'ann', 'last']]);
  },

  async 'what waits while away is bounded, and the oldest is told so'({ tabs }) {
    const page = await tab(tabs, { url: `ws://127.0.0.1:${await freePort()}/ws`,
      options: { queueMax: 2 } });
    await eventually(() => stateOf(page), 'waiting');
    const outcomes = page.evaluate(() => Promise.all(['one', 'two', 'three', 'four']
      .map((content) => window.settle(window.t.publish('a', content)))));
    await page.evaluate(() => window.t.close());
    assert.deepEqual(await outcomes, ['queue_full', 'queue_full', 'closed', 'closed']);
    assert.equal(await stateOf(page), 'closed');
    assert.equal(await run(page, "t.publish('a', 'five')"), 'closed');
  },

  async 'every connect asks for a token, which the subprotocols carry'({ tabs }) {
    const guarded = await answering(({ socket, tell, number }) => {
      tell({ type: 'welcome', sender: 'ann' });
      if (number < 3) socket.close(number === 1 ? 1008 : 1011, 'expired');
    }, { handleProtocols: () => 'throng.v1.json' });
    const page = await tab(tabs, { url: guarded.url, options: { counts: true } });
    await eventually(() => guarded.handshakes.length, 3, 20_000);
    await open(page);
    assert.deepEqual(guarded.handshakes.map(({ offered }) => offered),
      [1, 2, 3].map((number) => `throng.v1.json, bearer.token-${number}`));
    assert(guarded.handshakes.every(({ url }) => !url.includes('token')), 'not in the address');
    guarded.stop();
  },

  async 'a fresh token that is refused too is not argued with'({ tabs }) {
    const guarded = await answering(({ socket }) => socket.close(1008, 'no'),
      { handleProtocols: () => 'throng.v1.json' });
    const page = await tab(tabs, { url: guarded.url, options: { counts: true } });
    await eventually(() => stateOf(page), 'closed');
    assert.equal(guarded.handshakes.length, 2);
    assert.equal(await page.evaluate(() => window.t.reason), 'no');
    guarded.stop();
  },

  async 'where the server says how far a room is, a client comes back with that'({ tabs }) {
    const joins = [];
    const keeping = await answering(({ socket, tell, number }) => {
      tell({ type: 'welcome', sender: 'ann' });
      socket.on('message', (data) => {
        const { type, id, room, since } = JSON.parse(data);
        if (type !== 'join') return;
        joins.push(since);
        tell({ type: 'ok', id, room, members: ['ann'], epoch: 'e', offset: 41 });
        tell({ type: 'text', room, offset: 42, content: 'hi', sender: 'bob', timestamp: 1 });
        if (number === 1) setTimeout(() => socket.terminate(), 50);
      });
    });
    const page = await tab(tabs, { url: keeping.url });
    await run(page, "t.join('kept')");
    await eventually(() => joins.length, 2, 20_000);
    assert.deepEqual(joins, [undefined, { epoch: 'e', offset: 42 }]);
    keeping.stop();
  },

  async 'heartbeats measure the way, and count what was passed over'({ tabs }) {
    const real = await tab(tabs, { options: { heartbeatMs: 50 } });
    await eventually(async () => (await seen(real, 'beats')).length >= 3, true);
    assert.deepEqual((await seen(real, 'beats')).slice(0, 3),
      [[1, true, 0], [2, true, 0], [3, true, 0]]);
    const lossy = await answering(({ socket, tell }) => {
      tell({ type: 'welcome', sender: 'ann' });
      socket.on('message', (data) => {
        const beat = JSON.parse(data);
        if (beat.seq % 3 === 0) tell(beat);
      });
    });
    const page = await tab(tabs, { url: lossy.url, options: { heartbeatMs: 50 } });
    await eventually(async () => (await seen(page, 'beats')).length >= 2, true);
    assert.deepEqual((await seen(page, 'beats')).slice(0, 2), [[3, true, 2], [6, true, 4]]);
    lossy.stop();
  },
};
