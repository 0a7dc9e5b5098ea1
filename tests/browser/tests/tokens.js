// Tokens, from a real page to the real server: what lets a person in, and what a person is told
// who is not let in.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { BINARY, SCREENSHOTS, Server, eventually, online, people, said, say, state }
  from '../support.js';

const folder = mkdtempSync(join(tmpdir(), 'throng-tokens-'));
const secret = (name) => {
  const path = join(folder, name);
  writeFileSync(path, `${name} that is long enough for anybody`);
  return path;
};
const OURS = secret('our secret');
const THEIRS = secret('their secret');

const token = (sub, ttl = '1h', by = OURS) => execFileSync(BINARY,
  ['token', '--sub', sub, '--secret-file', by, '--ttl', ttl], { encoding: 'utf8' }).trim();

// A server that lets nobody in without a token.
async function guarded(tabs, act, ...flags) {
  const server = await Server.start(0, ['--jwt-secret-file', OURS, '--require-token', ...flags]);
  tabs.server = server;
  try {
    await act(server);
  } finally {
    await server.stop('SIGKILL'); // its pages are left as they are
  }
}

// A page of that server with nothing on it.
async function blank(tabs) {
  const page = await (await tabs.context()).newPage();
  page.on('pageerror', (error) => tabs.complaints.push(String(error)));
  await page.goto(`${tabs.server.url}/healthz`);
  return page;
}

// A client of throng.js in `window.t` of such a page.
async function client(tabs, bearer) {
  const page = await blank(tabs);
  await page.exposeFunction('mint', bearer);
  await page.evaluate(async () => {
    const { Throng } = await import('/throng.js');
    window.t = new Throng('/ws', { room: 'r', token: () => window.mint() });
    window.states = [];
    window.t.on('state', ({ state: now }) => window.states.push(now));
  });
  return page;
}

const clientState = (page) => page.evaluate(() => [window.t.state, window.t.code, window.t.reason]);

// The chat page, with a token behind the `#` of its address.
async function chat(tabs, name, bearer) {
  const page = await tabs.open();
  const hash = bearer === undefined ? '' : `#token=${bearer}`;
  await page.goto(`${tabs.server.url}/?${new URLSearchParams({ room: 'r', name })}${hash}`);
  return page;
}

const banner = (page) => page.locator('#banner-text').textContent();

export const tokens = {
  async 'a page comes in with its token in the list of subprotocols'({ tabs }) {
    await guarded(tabs, async (server) => {
      const page = await blank(tabs);
      const told = (offered) => page.evaluate(([url, protocols]) => new Promise((resolve) => {
        const socket = new WebSocket(url, protocols);
        socket.onmessage = ({ data }) => resolve([socket.protocol, JSON.parse(data).sender]);
        socket.onclose = ({ code }) => resolve(code);
      }), [`${server.url.replace('http', 'ws')}/ws?name=eve`, offered]);
      const good = `bearer.${token('ann')}`;
      assert.deepEqual(await told(['throng.v1.json', good]), ['throng.v1.json', 'ann']);
      assert.equal(await told(['throng.v1.json', 'bearer.x']), 1006, 'a page is not told why');
      assert.equal(await told([]), 1006);
    });
  },

  async 'throng.js tells why a token was refused, before the upgrade or after it'({ tabs }) {
    for (const flags of [[], ['--refuse-after-upgrade']]) {
      await guarded(tabs, async () => {
        for (const [bearer, reason] of [[token('ann', '1h', THEIRS), 'bad_signature'],
          ['x', 'malformed_token'], [undefined, 'missing_token']]) {
          const page = await client(tabs, () => bearer);
          await eventually(() => clientState(page), ['closed', 1008, reason]);
        }
      }, ...flags);
    }
  },

  async 'throng.js asks for a new token before the old one ends'({ tabs }) {
    await guarded(tabs, async () => {
      let minted = 0;
      const page = await client(tabs, () => {
        minted += 1;
        return token('ann', '3s');
      });
      await eventually(() => minted >= 4, true, 20_000);
      assert.deepEqual(await page.evaluate(() => window.states), ['open']);
      const { members } = await page.evaluate(() => window.t.presence('r'));
      assert.deepEqual(members, ['ann']);
    });
  },

  async 'a page comes in by tickets, each of them once'({ tabs }) {
    const key = 'key-of-these-tests-0123456789';
    await guarded(tabs, async (server) => {
      const taken = [];
      const mint = async () => {
        const answer = await fetch(`${server.url}/api/tickets`, { method: 'POST',
          headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json' },
          body: JSON.stringify({ sub: 'ann', origin: server.url }) });
        taken.push((await answer.json()).ticket);
        return taken.at(-1);
      };
      const enter = async (ticket) => {
        const page = await blank(tabs);
        await page.exposeFunction('mint', ticket);
        await page.evaluate(async () => {
          const { Throng } = await import('/throng.js');
          window.t = new Throng('/ws', { room: 'r', ticket: () => window.mint() });
        });
        return page;
      };
      const page = await enter(mint);
      await eventually(() => page.evaluate(() => [window.t.state, window.t.name]), ['open', 'ann']);
      const { connections } = await (await fetch(`${server.url}/api/connections`,
        { headers: { authorization: `Bearer ${key}` } })).json();
      await fetch(`${server.url}/api/connections/${connections[0].id}`,
        { method: 'DELETE', headers: { authorization: `Bearer ${key}` } });
      await eventually(() => taken.length, 2);
      await eventually(() => page.evaluate(() => window.t.state), 'open');
      const other = await enter(() => taken[0]);
      await eventually(() => clientState(other), ['closed', 1008, 'used_ticket']);
    }, '--api-key', key);
  },

  async 'a link with a token lets a person in, and does not show it'({ tabs }) {
    await guarded(tabs, async () => {
      const ann = await chat(tabs, 'eve', token('ann'));
      await online(ann);
      assert.equal(new URL(ann.url()).hash, '');
      await eventually(() => people(ann), ['ann']);
      const bob = await chat(tabs, '', token('bob'));
      await online(bob);
      await say(bob, 'hello ann');
      await eventually(() => said(ann), ['hello ann']);
      await ann.reload();
      await online(ann);
      await eventually(async () => (await people(ann)).sort(), ['ann', 'bob']);
    }, '--refuse-after-upgrade');
  },

  async 'a person who is not let in reads why'({ tabs }) {
    for (const flags of [[], ['--refuse-after-upgrade']]) {
      await guarded(tabs, async () => {
        for (const [bearer, words] of [
          [undefined, /^This server lets nobody in without a token\./],
          [token('ann', '1h', THEIRS), /^This server does not accept your token\./],
          [token('ann', '1s'), /^Your time here is over: your token has expired\./],
        ]) {
          const page = await chat(tabs, 'ann', bearer);
          await eventually(() => state(page), 'offline');
          assert.match(await banner(page), words);
          assert(await page.locator('#banner').isVisible());
          if (bearer) continue;
          await new Promise((resolve) => { setTimeout(resolve, 800); }); // it comes with a delay
          await page.screenshot({ path: join(SCREENSHOTS, 'refused.png') });
        }
      }, ...flags);
    }
  },

  async 'a new link in place of an old one is taken'({ tabs }) {
    await guarded(tabs, async (server) => {
      const page = await chat(tabs, 'ann', 'x');
      await eventually(() => state(page), 'offline');
      await page.goto(`${server.url}/?room=r#token=${token('ann')}`);
      await page.getByRole('button', { name: 'Join the room' }).click();
      await online(page);
    });
  },
};
