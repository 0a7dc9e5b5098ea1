// node's `ws` as the client of `throng echo`.

import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import WebSocket from 'ws';
import { MIB, compressed, echoes, impatientUrl, mode, noise, offered, runTests, stopServer, text,
  url } from '../support.js';

class Peer {
  static async open({ to = url, deflate = offered } = {}) {
    const peer = new Peer();
    peer.arrived = [];
    peer.pings = 0;
    peer.socket = new WebSocket(to, { perMessageDeflate: deflate });
    peer.socket.on('message', (data, binary) => peer.push(binary ? data : data.toString()));
    peer.socket.on('ping', () => { peer.pings += 1; });
    peer.socket.on('upgrade', ({ headers }) => {
      peer.answer = headers['sec-websocket-extensions'] ?? '';
    });
    peer.closed = new Promise((resolve) => {
      peer.socket.on('close', (code, reason) => resolve({ code, reason: reason.toString() }));
    });
    await new Promise((resolve, reject) => {
      peer.socket.once('open', resolve);
      peer.socket.once('error', reject);
    });
    peer.socket.on('error', () => {}); // a close follows
    return peer;
  }

  push(message) {
    this.arrived.push(message);
    this.wake?.();
  }

  async next() {
    while (this.arrived.length === 0) {
      const closed = await Promise.race([
        new Promise((resolve) => { this.wake = resolve; }),
        this.closed,
      ]);
      if (closed) throw new Error(`closed with ${closed.code} ${closed.reason}`);
    }
    return this.arrived.shift();
  }

  async expect(message) {
    const got = await this.next();
    assert.equal(typeof got, typeof message, 'text or binary');
    // Without a picture of both in the message: they may be of 16 MiB.
    assert(Buffer.from(got).equals(Buffer.from(message)), `${got.length} other units came back`);
  }

  async echo(message) {
    this.socket.send(message);
    await this.expect(message);
  }

  // Sends the pieces of one message, each as a frame.
  async fragments(pieces, { binary, between = () => {} }) {
    pieces.forEach((piece, index) => {
      this.socket.send(piece, { binary, fin: index === pieces.length - 1 });
      between(index);
    });
    const whole = Buffer.concat(pieces);
    await this.expect(binary ? whole : whole.toString());
  }

  async close(code, reason) {
    this.socket.close(code, reason);
    return (await this.closed).code;
  }
}

// Opens a peer for a test, and closes it cleanly afterwards.
const withPeer = (test, options) => async () => {
  const peer = await Peer.open(options);
  await test(peer);
  assert.equal(await peer.close(1000), 1000);
};

const closes = (code, reason) => async () => {
  const peer = await Peer.open();
  assert.equal(await peer.close(code, reason), code);
};

const pieces = (bytes, size) => Array.from({ length: Math.ceil(bytes.length / size) },
  (_, index) => bytes.subarray(index * size, (index + 1) * size));

// The parameters that the server must answer with, where it is offered the least and the most.
const windows = (deflate, wanted) => async () => {
  const peer = await Peer.open({ deflate });
  for (const parameter of wanted) {
    const answer = peer.answer.split(/;\s*/);
    assert(answer.includes(parameter), `${parameter} is not in: ${peer.answer}`);
  }
  for (let round = 0; round < 3; round += 1) await peer.echo(echoes());
  await peer.echo(text(300_000));
  await peer.close(1000);
};

const tests = {
  negotiation: withPeer(async (peer) => {
    assert.equal(peer.socket.extensions, compressed ? 'permessage-deflate' : '');
    const shared = /server_no_context_takeover/.test(peer.answer);
    assert.equal(shared, compressed && mode === 'shared', peer.answer);
  }),
  text: withPeer((peer) => peer.echo('hello')),
  binary: withPeer((peer) => peer.echo(noise(1000))),
  'empty messages': withPeer(async (peer) => {
    await peer.echo('');
    await peer.echo(Buffer.alloc(0));
  }),
  unicode: withPeer(async (peer) => {
    await peer.echo('κόσμε, 世界, 🦀, \u0000, \uFEFF, \u{10FFFF}');
    await peer.echo(text(5000));
  }),
  'lengths where the header grows': withPeer(async (peer) => {
    for (const bytes of [1, 125, 126, 127, 128, 65_535, 65_536]) {
      await peer.echo(text(bytes));
      await peer.echo(noise(bytes));
    }
  }),
  '500 messages in a row': withPeer(async (peer) => {
    const messages = Array.from({ length: 500 }, (_, number) => `${number} ${text(300)}`);
    messages.forEach((message) => peer.socket.send(message));
    for (const message of messages) await peer.expect(message);
  }),
  '16 MiB of text': withPeer((peer) => peer.echo(text(16 * MIB))),
  '16 MiB of noise': withPeer((peer) => peer.echo(noise(16 * MIB))),
  'fragments of text, cut inside characters': withPeer(
    (peer) => peer.fragments(pieces(Buffer.from(text(3000)), 7), { binary: false })),
  'fragments of binary': withPeer(
    (peer) => peer.fragments(pieces(noise(MIB), 65_537), { binary: true })),
  'empty fragments': withPeer(async (peer) => {
    const none = Buffer.alloc(0);
    await peer.fragments([none, Buffer.from('a'), none, Buffer.from('b'), none], { binary: true });
    await peer.fragments([none, none, none], { binary: false });
  }),
  'pings between fragments': withPeer(async (peer) => {
    const pongs = [];
    peer.socket.on('pong', (payload) => pongs.push(payload.toString()));
    const between = (index) => peer.socket.ping(String(index));
    await peer.fragments(pieces(noise(2000), 500), { binary: true, between });
    while (pongs.at(-1) !== '3') await sleep(5); // of several owed the newest may stand for all
  }),
  'ping and pong': withPeer(async (peer) => {
    for (const payload of [Buffer.alloc(0), Buffer.from('throng?'), noise(125)]) {
      const pong = new Promise((resolve) => { peer.socket.once('pong', resolve); });
      peer.socket.ping(payload);
      assert.deepEqual(await pong, payload);
    }
  }),
  'pings of the server': withPeer(async (peer) => {
    await sleep(1500);
    assert(peer.pings >= 3, `${peer.pings} pings`);
    await peer.echo('still here');
  }, { to: impatientUrl }),
  'close with 1000': closes(1000),
  'close with 1001': closes(1001, 'going'),
  'close with 4321': closes(4321, 'grüße 🦀'),
  'invalid UTF-8 is 1007': async () => {
    const peer = await Peer.open();
    peer.socket.send(Buffer.from([0x61, 0xff, 0x62]), { binary: false });
    assert.equal((await peer.closed).code, 1007);
  },
  'over 16 MiB is 1009': async () => {
    const peer = await Peer.open();
    peer.socket.send(Buffer.alloc(16 * MIB + 1));
    assert.equal((await peer.closed).code, 1009);
  },
  'bytes on the wire': withPeer(async ({ socket }) => {
    const { bytesRead, bytesWritten } = socket._socket;
    socket.send(text(MIB));
    await new Promise((resolve) => { socket.once('message', resolve); });
    const read = socket._socket.bytesRead - bytesRead;
    const written = socket._socket.bytesWritten - bytesWritten;
    assert.equal(read < MIB / 10, compressed, `${read} bytes read`);
    assert.equal(written < MIB / 10, compressed, `${written} bytes written`);
  }),
  ...(compressed && {
    'the smallest windows': windows({ serverMaxWindowBits: 9, clientMaxWindowBits: 9 },
      ['server_max_window_bits=9']),
    'windows of 12': windows({ serverMaxWindowBits: 12, clientMaxWindowBits: 12 },
      ['server_max_window_bits=12']),
    'no context takeover': windows(
      { serverNoContextTakeover: true, clientNoContextTakeover: true },
      ['server_no_context_takeover', 'client_no_context_takeover']),
  }),
  'the server stops with 1001': async () => {
    const peer = await Peer.open();
    await stopServer();
    assert.equal((await peer.closed).code, 1001);
  },
};

await runTests(tests);
process.exit(); // standard input would keep it alive
