// A page in a headless Chromium as the client of `throng echo`: a person's browser.

import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import { fileURLToPath } from 'node:url';
import { chromium } from 'playwright-core';
import { MIB, compressed, impatientUrl, mode, runTests, stopServer, url } from '../support.js';

const here = (path) => fileURLToPath(new URL(path, import.meta.url));
const CHROMIUM = process.env.CHROMIUM ?? '/usr/bin/chromium';
const CHROMIUM_ARGS = ['--headless', '--no-sandbox', '--disable-gpu', '--no-first-run',
  '--disable-background-networking', '--disable-component-update', '--disable-sync'];

// Somewhere for the page to come from.
const origin = createServer((_, response) => {
  response.setHeader('content-type', 'text/html; charset=utf-8');
  response.end('<!doctype html><title>interop</title>');
}).listen(0, '127.0.0.1');
const browser = await chromium.launch({ executablePath: CHROMIUM, args: CHROMIUM_ARGS });
const page = await browser.newPage();
await page.goto(`http://127.0.0.1:${origin.address().port}/`);
await page.addScriptTag({ path: here('page.js') });

// A test whose body runs in the page, on a peer that is closed with 1000 afterwards.
const inPage = (body, { to = url, ...more } = {}) => async () => {
  const closed = await page.evaluate(`(async () => {
    const peer = await Peer.open(${JSON.stringify(to)});
    await (${body})(peer, ${JSON.stringify(more)});
    return peer.close(1000);
  })()`);
  assert.deepEqual(closed, { code: 1000, reason: '', wasClean: true });
};

const closes = (code, reason) => async () => {
  const closed = await page.evaluate(async (to) => {
    const peer = await Peer.open(to.url);
    return peer.close(to.code, to.reason);
  }, { url, code, reason });
  assert.equal(closed.code, code);
  assert(closed.wasClean);
};

/* global Peer, text, noise */
const tests = {
  negotiation: async () => {
    const extensions = await page.evaluate(async (to) => {
      const peer = await Peer.open(to);
      peer.close(1000);
      return peer.socket.extensions;
    }, url);
    const [name, ...parameters] = extensions.split('; ');
    assert.equal(name, compressed ? 'permessage-deflate' : '');
    const shared = parameters.includes('server_no_context_takeover');
    assert.equal(shared, mode === 'shared', extensions);
  },
  text: inPage((peer) => peer.echo('hello')),
  binary: inPage((peer) => peer.echo(noise(1000))),
  'empty messages': inPage(async (peer) => {
    await peer.echo('');
    await peer.echo(new Uint8Array(0));
  }),
  unicode: inPage(async (peer) => {
    await peer.echo('κόσμε, 世界, 🦀, \u0000, \uFEFF, \u{10FFFF}');
    await peer.echo(text(5000));
  }),
  'lengths where the header grows': inPage(async (peer) => {
    for (const bytes of [1, 125, 126, 127, 128, 65_535, 65_536]) {
      await peer.echo(text(bytes));
      await peer.echo(noise(bytes));
    }
  }),
  '500 messages in a row': inPage(async (peer) => {
    const messages = Array.from({ length: 500 }, (_, number) => `${number} ${text(300)}`);
    messages.forEach((message) => peer.socket.send(message));
    for (const message of messages) {
      if (await peer.next() !== message) throw new Error('another message came back');
    }
  }),
  '16 MiB of text': inPage((peer, { bytes }) => peer.echo(text(bytes)), { bytes: 16 * MIB }),
  '16 MiB of noise': inPage((peer, { bytes }) => peer.echo(noise(bytes)), { bytes: 16 * MIB }),
  'pings of the server': inPage(async (peer) => {
    await new Promise((resolve) => { setTimeout(resolve, 1500); });
    await peer.echo('still here');
  }, { to: impatientUrl }),
  'close with 1000': closes(1000),
  'close with 4321': closes(4321, 'grüße 🦀'),
  'over 16 MiB is 1009': async () => {
    const closed = await page.evaluate(async (to) => {
      const peer = await Peer.open(to.url);
      peer.socket.send(new Uint8Array(to.bytes));
      return peer.closed;
    }, { url, bytes: 16 * MIB + 1 });
    assert.equal(closed.code, 1009);
  },
  'the server stops with 1001': async () => {
    await page.evaluate(async (to) => { window.last = await Peer.open(to); }, url);
    await stopServer();
    const closed = await page.evaluate(() => window.last.closed);
    assert.equal(closed.code, 1001);
    assert(closed.wasClean);
  },
};

await runTests(tests);
await browser.close();
process.exit(); // standard input would keep it alive
