// What the tests share: the real server, the real browser, and a person's handles on the page.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { createServer as createHttpServer } from 'node:http';
import { connect, createServer } from 'node:net';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { chromium } from 'playwright-core';
import WebSocket from 'ws';

const here = (path) => fileURLToPath(new URL(path, import.meta.url));
export const BINARY = process.env.THRONG ?? here('../../target/release/throng');
const CHROMIUM = process.env.CHROMIUM ?? '/usr/bin/chromium';
const CHROMIUM_ARGS = ['--headless', '--no-sandbox', '--disable-gpu', '--disable-quic',
  '--no-first-run', '--disable-background-networking', '--disable-component-update',
  '--disable-sync'];
export const PATIENCE_MS = 10_000;
export const SCREENSHOTS = here('screenshots');
mkdirSync(SCREENSHOTS, { recursive: true });

export class Server {
  // Starts `throng serve` with these flags, and waits for the line that says where it listens.
  static async start(port = 0, flags = []) {
    const server = new Server();
    server.process = spawn(BINARY, ['serve', '--listen', `127.0.0.1:${port}`, ...flags],
      { stdio: ['ignore', 'pipe', 'inherit'] });
    server.ended = new Promise((resolve) => { server.process.once('close', resolve); });
    const line = await new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error('the server said nothing')), PATIENCE_MS);
      createInterface({ input: server.process.stdout }).once('line', (first) => {
        clearTimeout(timer);
        resolve(first);
      });
      server.process.once('error', reject);
      server.ended.then((code) => reject(new Error(`the server ended with ${code}`)));
    });
    server.url = /^listening on (http:\/\/\S+)$/.exec(line)?.[1];
    assert(server.url, `first line: ${line}`);
    return server;
  }

  async stop(signal = 'SIGTERM') {
    this.process.kill(signal);
    await this.ended;
  }
}

export async function freePort() {
  const probe = createServer().listen(0, '127.0.0.1');
  await new Promise((resolve) => { probe.once('listening', resolve); });
  const { port } = probe.address();
  await new Promise((resolve) => { probe.close(resolve); });
  return port;
}

// The same server seen through a proxy that adds a content security policy to every response.
export async function withPolicy({ url }, policy) {
  const proxy = createHttpServer(async (request, response) => {
    const answer = await fetch(url + request.url);
    response.writeHead(answer.status, { 'content-type': answer.headers.get('content-type'),
      'content-security-policy': policy });
    response.end(Buffer.from(await answer.arrayBuffer()));
  });
  proxy.on('upgrade', (request, socket) => {
    const { hostname, port } = new URL(url);
    const server = connect(port, hostname);
    const fields = [];
    for (let at = 0; at < request.rawHeaders.length; at += 2) {
      fields.push(`${request.rawHeaders[at]}: ${request.rawHeaders[at + 1]}\r\n`);
    }
    server.write(`GET ${request.url} HTTP/1.1\r\n${fields.join('')}\r\n`);
    server.pipe(socket).pipe(server);
    for (const end of [server, socket]) {
      end.on('error', () => {});
      end.on('close', () => [server, socket].forEach((each) => each.destroy()));
    }
  });
  await new Promise((resolve) => { proxy.listen(0, '127.0.0.1', resolve); });
  return {
    url: `http://127.0.0.1:${proxy.address().port}`,
    stop: () => {
      proxy.closeAllConnections();
      proxy.close();
    },
  };
}

export function launchBrowser() {
  return chromium.launch({ executablePath: CHROMIUM, args: CHROMIUM_ARGS });
}

// A member without a browser: connects, and says or collects what it is told to.
export async function member(server, room, name) {
  const url = new URL('/ws', server.url.replace('http', 'ws'));
  url.searchParams.set('room', room);
  url.searchParams.set('name', name);
  const socket = new WebSocket(url);
  const received = [];
  await new Promise((resolve, reject) => {
    socket.once('error', reject);
    socket.on('message', (data) => {
      received.push(JSON.parse(data));
      resolve();
    });
  });
  return {
    received,
    say: (content) => socket.send(JSON.stringify({ type: 'text', content })),
    leave: () => socket.close(),
  };
}

// One test's tabs; everything is closed at its end, and no page may have complained.
export class Tabs {
  constructor(browser, server) {
    this.browser = browser;
    this.server = server;
    this.contexts = [];
    this.complaints = [];
  }

  async context(options = {}) {
    const context = await this.browser.newContext({ viewport: { width: 1100, height: 720 },
      locale: 'en-GB', reducedMotion: 'reduce', ...options });
    context.setDefaultTimeout(PATIENCE_MS);
    this.contexts.push(context);
    return context;
  }

  // `prepare` gets the page before anything is loaded.
  async open(query = {}, { context, prepare, ...options } = {}) {
    const page = await (context ?? await this.context(options)).newPage();
    page.on('pageerror', (error) => this.complaints.push(String(error)));
    page.on('console', (message) => {
      const expected = /WebSocket connection to|Failed to load resource/.test(message.text());
      if (message.type() === 'error' && !expected) this.complaints.push(message.text());
    });
    await prepare?.(page);
    await page.goto(`${this.server.url}/?${new URLSearchParams(query)}`);
    return page;
  }

  async join(room, name, options) {
    const page = await this.open({ room, name }, options);
    await online(page);
    return page;
  }

  async close() {
    await Promise.all(this.contexts.map((context) => context.close()));
    assert.deepEqual(this.complaints, [], 'a page complained');
  }
}

// Waits until `read` gives `expected`; reports the last value it gave.
export async function eventually(read, expected, timeoutMs = PATIENCE_MS) {
  const end = Date.now() + timeoutMs;
  for (;;) {
    try {
      assert.deepEqual(await read(), expected);
      return;
    } catch (error) {
      if (Date.now() > end) throw error;
    }
    await new Promise((resolve) => { setTimeout(resolve, 30); });
  }
}

export const state = (page) => page.locator('#badge').getAttribute('data-state');
export const online = (page, timeoutMs) => eventually(() => state(page), 'online', timeoutMs);
export const said = (page) => page.locator('#log .bubble').allTextContents();
export const unsent = (page) => page.locator('#outbox .bubble').allTextContents();
export const quiet = async (page) => (await page.locator('#log').textContent()) ?? '';
export const people = (page) => page.locator('#people bdi').allTextContents();
export const peopleCount = (page) => page.locator('#people-count').textContent();

export async function say(page, text) {
  await page.locator('#draft').fill(text);
  await page.locator('#draft').press('Enter');
}

// A server of the test's own behind the page's WebSocket: for what the real one does seldom.
// `connections` holds the time of each attempt; `act` gets a connection's route and number.
export async function scripted(page, act) {
  const connections = [];
  await page.routeWebSocket(/\/ws\?/, (route) => {
    const { searchParams } = new URL(route.url());
    const tell = (message) => route.send(JSON.stringify({ timestamp: Date.now(), ...message }));
    const welcome = (members = [searchParams.get('name')]) => tell({ type: 'welcome',
      room: searchParams.get('room'), sender: searchParams.get('name'), members });
    connections.push(Date.now());
    act({ route, tell, welcome, number: connections.length });
  });
  return connections;
}
