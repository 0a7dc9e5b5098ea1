// The dashboard: who may look, that it moves, what it does, and how it looks.

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { SCREENSHOTS, Server, eventually, freePort, member } from '../support.js';

const KEY = 'a+key/that=is(long)enough';
const PHONE = { viewport: { width: 390, height: 844 }, hasTouch: true, isMobile: true,
  deviceScaleFactor: 2 };

const shot = (page, name, options = {}) => page.screenshot({
  path: join(SCREENSHOTS, `admin-${name}.png`), ...options });
const badge = (page) => page.locator('#badge').textContent();
const live = (page, timeoutMs) => eventually(() => badge(page), 'Live', timeoutMs);
const points = (page, chart, series) => page.evaluate(([id, at]) => (
  document.querySelector(`#chart-${id} .plot`).plot?.data[at] ?? []), [chart, series]);
const rows = (page, list) => page.locator(`#${list} tbody tr`).allInnerTexts();
const tile = (page, name) => page.locator('.tile', { hasText: name }).locator('.value')
  .textContent();

// A server with a key, for one test.
async function guarded(tabs, test, options = []) {
  tabs.server = await Server.start(0, ['--api-key', KEY, ...options]);
  try {
    await test(tabs.server);
  } finally {
    await tabs.server.stop('SIGKILL');
  }
}

async function logIn(page, key = KEY) {
  await page.getByLabel('API key').fill(key);
  await page.getByRole('button', { name: 'Open the dashboard' }).click();
}

async function dashboard(tabs, options = {}) {
  const page = await tabs.open({}, { path: '/admin', ...options });
  await logIn(page);
  await live(page);
  return page;
}

// Rooms of people who talk, each a little more than the one before.
async function crowd(server, rooms = [['lobby', 12], ['release', 7], ['support', 4], ['ops', 2]]) {
  const people = [];
  for (const [room, count] of rooms) {
    for (let number = 1; number <= count; number += 1) {
      people.push(await member(server, room, `${room}-${number}`));
    }
  }
  let turn = 0;
  const timer = setInterval(() => {
    turn += 1;
    const eager = people.slice(0, 12 + Math.round(8 * Math.sin(turn / 40)));
    eager.forEach((each, index) => {
      if (turn % (index + 2) === 0) each.say(`message ${turn} of somebody who has a lot to say`);
    });
  }, 20);
  return {
    people,
    stop: () => {
      clearInterval(timer);
      people.forEach((each) => each.leave());
    },
  };
}

export const admin = {
  async 'without an API key the dashboard is closed, and says so'({ tabs }) {
    const page = await tabs.open({}, { path: '/admin' });
    await logIn(page, 'any-key-at-all-0123456789');
    await page.getByRole('alert').filter({ hasText: 'This server has no API key' }).waitFor();
    const policy = (await fetch(`${tabs.server.url}/admin`)).headers.get('content-security-policy');
    assert.match(policy, /^default-src 'self';/);
    assert(!policy.includes('unsafe'), policy);
    assert.equal(await page.locator('#board').isVisible(), false);
  },

  async 'a wrong key is refused in words, the right one opens, and no URL has it'({ tabs }) {
    await guarded(tabs, async () => {
      const urls = [];
      const page = await tabs.open({}, { path: '/admin', prepare: (prepared) => {
        prepared.on('request', (request) => urls.push(request.url()));
        prepared.on('websocket', (socket) => urls.push(socket.url()));
        prepared.on('framenavigated', (frame) => urls.push(frame.url()));
      } });
      await page.getByLabel('API key').press('Enter');
      await page.getByText('Enter a key first.').waitFor();
      for (const wrong of ['wrong-key-0123456789', KEY.toUpperCase(), 'ключ', `${KEY} x`]) {
        await logIn(page, wrong);
        await page.getByText('The server does not take this key.').waitFor();
        await page.getByLabel('API key').fill('');
      }
      await shot(page, 'refused');
      assert.equal(await page.evaluate(() => sessionStorage.length), 0);
      await logIn(page);
      await live(page);
      assert.equal(await page.evaluate(() => localStorage.length), 0);
      await page.reload();
      await live(page);
      assert(urls.some((url) => url.startsWith('ws:')), 'there was a WebSocket');
      for (const url of urls) {
        assert(!url.includes('key') && !url.includes(encodeURIComponent(KEY)), url);
      }
      await page.getByRole('button', { name: 'Log out' }).click();
      await page.getByLabel('API key').waitFor();
      assert.equal(await page.evaluate(() => sessionStorage.length), 0);
    });
  },

  async 'the dashboard moves under load'({ tabs }) {
    await guarded(tabs, async (server) => {
      const page = await dashboard(tabs);
      await page.getByText('Nobody is in a room.').waitFor();
      await page.getByText('Everybody reads as fast as the server writes.').waitFor();
      const crowded = await crowd(server);
      try {
        await eventually(() => tile(page, 'Rooms'), '4');
        await eventually(() => tile(page, 'Open connections'), '26');
        const seen = new Set();
        await eventually(async () => {
          seen.add(await tile(page, 'Messages in'));
          return seen.size >= 3;
        }, true);
        await eventually(async () => (await points(page, 'messages', 1))
          .filter((value) => value > 10).length >= 3, true);
        for (const [chart, series] of [['messages', 2], ['bytes', 1], ['bytes', 2], ['times', 1],
          ['times', 3], ['connections', 1]]) {
          const found = (await points(page, chart, series)).filter((value) => value > 0);
          assert(found.length >= 3, `${chart} ${series}: ${found}`);
        }
        assert.match((await rows(page, 'talkers'))[0], /^lobby-1\s+\d/);
        assert.match((await rows(page, 'rooms'))[0], /^lobby\s+12$/);
        await page.getByLabel('Messages', { exact: true }).check();
        await eventually(async () => (await rows(page, 'rooms'))[0].split(/\s+/)[0], 'lobby');
        assert((await rows(page, 'limits')).length >= 4);
        assert.match(await tile(page, 'Fan-out'), /\d.*(µs|ms)$/);
      } finally {
        crowded.stop();
      }
      await eventually(() => tile(page, 'Open connections'), '1');
      await page.getByText('Closed by the peer').waitFor();
    }, ['--loops', '2']);
  },

  async 'a connection is looked at, and disconnected after a second yes'({ tabs }) {
    await guarded(tabs, async (server) => {
      const ann = await member(server, 'desk', 'ann');
      const bob = await member(server, 'desk', 'bob');
      const page = await dashboard(tabs);
      const dialog = page.getByRole('dialog');
      await page.getByLabel('Look at a user or a room').fill('ann');
      await page.getByRole('button', { name: 'User', exact: true }).click();
      await dialog.getByText('1 connection', { exact: true }).waitFor();
      await dialog.getByRole('button', { name: /^127\.0\.0\.1/ }).click();
      await dialog.getByText('Address').waitFor();
      assert.match(await dialog.locator('.facts').innerText(), /127\.0\.0\.1:\d+/);
      await dialog.getByRole('button', { name: 'desk' }).click();
      await dialog.getByText('2 members').waitFor();
      await dialog.getByRole('button', { name: 'Back' }).click();
      await dialog.getByRole('button', { name: 'Disconnect…' }).click();
      await dialog.getByText('End this connection?').waitFor();
      await shot(page, 'disconnect');
      await dialog.getByRole('button', { name: 'Keep it' }).click();
      assert.equal(await Promise.race([ann.ended, new Promise((resolve) => {
        setTimeout(resolve, 300, 'kept');
      })]), 'kept');
      await dialog.getByRole('button', { name: 'Disconnect…' }).click();
      await dialog.getByRole('button', { name: 'Disconnect', exact: true }).click();
      await dialog.getByText('Disconnected.').waitFor();
      assert.equal(await ann.ended, 1008);
      await page.keyboard.press('Escape');
      await dialog.waitFor({ state: 'hidden' });
      await eventually(() => rows(page, 'rooms'), ['desk\t1']);
      await page.getByLabel('Look at a user or a room').fill('nobody');
      await page.getByRole('button', { name: 'Room', exact: true }).click();
      await dialog.getByText('Nobody is in a room of this name.').waitFor();
      bob.leave();
    }, ['--loops', '2']);
  },

  async 'who reads too slowly is named'({ tabs }) {
    await guarded(tabs, async (server) => {
      const [fast, slow] = [await member(server, 'slow', 'fast'),
        await member(server, 'slow', 'slow')];
      const page = await dashboard(tabs);
      slow.stall();
      const noise = randomBytes(45_000).toString('base64'); // which does not get smaller
      const timer = setInterval(() => fast.say(noise), 10);
      try {
        await eventually(async () => (await rows(page, 'slow')).map((row) => (
          /^slow\s+127\.0\.0\.1:\d+\s+[\d.]+\s(KiB|MiB)$/.test(row))), [true], 40_000);
        assert.match(await tile(page, 'Backlog'), /[KM]iB$/);
      } finally {
        clearInterval(timer);
        fast.leave();
        slow.leave();
      }
    }, ['--backlog-bytes', '60000000']);
  },

  async 'the dashboard comes back after the server was restarted'({ tabs }) {
    const port = await freePort();
    tabs.server = await Server.start(port, ['--api-key', KEY]);
    const page = await dashboard(tabs);
    await eventually(async () => (await points(page, 'connections', 1)).length >= 2, true);
    await tabs.server.stop('SIGKILL');
    await page.getByText('The server does not answer.').waitFor();
    await shot(page, 'offline');
    tabs.server = await Server.start(port, ['--api-key', KEY]);
    try {
      await live(page, 20_000);
      assert.equal(await page.locator('#banner').isVisible(), false);
      await eventually(async () => {
        const values = await points(page, 'connections', 1);
        const gap = values.indexOf(null);
        return gap > 0 && values.slice(gap).some((value) => value === 1);
      }, true);
    } finally {
      await tabs.server.stop('SIGKILL');
    }
    tabs.server = await Server.start(port, ['--api-key', 'another-key-0123456789']);
    try {
      await page.getByText('The server does not take this key.').waitFor({ timeout: 20_000 });
    } finally {
      await tabs.server.stop('SIGKILL');
    }
  },

  async 'nothing on the dashboard shifts or scrolls sideways'({ tabs }) {
    await guarded(tabs, async (server) => {
      for (const options of [{}, PHONE]) {
        const page = await dashboard(tabs, options);
        await eventually(async () => (await rows(page, 'loops')).length, 1);
        await page.evaluate(() => {
          window.shifted = 0;
          new PerformanceObserver((list) => {
            for (const { value } of list.getEntries()) window.shifted += value;
          }).observe({ type: 'layout-shift' });
        });
        const crowded = await crowd(server);
        await eventually(async () => (await rows(page, 'talkers')).length,
          options === PHONE ? 5 : 8);
        await page.waitForTimeout(2500);
        crowded.stop();
        await page.waitForTimeout(1500);
        // A number that grows a digit moves by that much; a panel would be a thousand times more.
        const shifted = await page.evaluate(() => window.shifted);
        assert(shifted < 0.002, `shifted by ${shifted}`);
        for (const width of [320, 390, 736, 737, 1000, 1248, 1440]) {
          await page.setViewportSize({ width, height: 844 });
          await page.waitForTimeout(50); // the charts follow in the next frame
          const over = await page.evaluate(() => (
            document.documentElement.scrollWidth - document.documentElement.clientWidth));
          assert.equal(over, 0, `at ${width}`);
        }
      }
    });
  },

  async 'the dashboard is for the keyboard too, and can be read'({ tabs }) {
    await guarded(tabs, async (server) => {
      const ann = await member(server, 'keys', 'ann');
      for (const colorScheme of ['light', 'dark']) {
        const page = await dashboard(tabs, { colorScheme });
        await eventually(() => rows(page, 'rooms'), ['keys\t1']);
        const reached = [];
        for (let step = 0; step < 5; step += 1) {
          await page.keyboard.press('Tab');
          const at = await page.evaluate(() => {
            const { id, type, textContent } = document.activeElement;
            const shown = document.activeElement.nextElementSibling ?? document.activeElement;
            const outline = [document.activeElement, shown]
              .some((each) => getComputedStyle(each).outlineStyle !== 'none');
            return { name: id || type + textContent.trim(), outline };
          });
          assert(at.outline, `focus on ${at.name} cannot be seen`);
          reached.push(at.name);
        }
        assert.deepEqual(reached, ['find-name', 'submitUser', 'submitRoom', 'radio',
          'buttonkeys']);
        await page.locator('#rooms').getByRole('button', { name: 'keys' }).focus();
        await page.keyboard.press('Enter');
        await page.getByRole('dialog').getByText('1 member', { exact: true }).waitFor();
        const worst = await page.evaluate(() => {
          const canvas = new OffscreenCanvas(1, 1).getContext('2d', { willReadFrequently: true });
          const luminance = (name) => {
            canvas.fillStyle = getComputedStyle(document.documentElement).getPropertyValue(name);
            canvas.fillRect(0, 0, 1, 1);
            const [r, g, b] = [...canvas.getImageData(0, 0, 1, 1).data].map((byte) => {
              const part = byte / 255;
              return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
            });
            return 0.2126 * r + 0.7152 * g + 0.0722 * b;
          };
          const pairs = [['--muted', '--ground'], ['--muted', '--surface'], ['--muted', '--hover'],
            ['--accent', '--surface'], ['--on-accent', '--accent'], ['--bad', '--surface'],
            ['--bad', '--bad-ground'], ['--warn', '--warn-ground'], ['--text', '--ground']];
          return Math.min(...pairs.map(([text, on]) => {
            const [low, high] = [luminance(text), luminance(on)].sort((a, b) => a - b);
            return (high + 0.05) / (low + 0.05);
          }));
        });
        assert(worst >= 4.5, `${colorScheme}: ${worst.toFixed(2)}`);
      }
      ann.leave();
    });
  },

  async 'pictures of the dashboard for a person to look at'({ tabs }) {
    await guarded(tabs, async (server) => {
      const crowded = await crowd(server);
      const open = async (options) => {
        const page = await dashboard(tabs, options);
        await eventually(async () => (await rows(page, 'talkers')).length >= 5, true);
        return page;
      };
      const wide = { viewport: { width: 1360, height: 900 } };
      const pages = { light: await open(wide), dark: await open({ ...wide, colorScheme: 'dark' }),
        phone: await open(PHONE), 'phone-dark': await open({ ...PHONE, colorScheme: 'dark' }) };
      await pages.light.waitForTimeout(5000);
      for (const [name, page] of Object.entries(pages)) {
        await page.bringToFront();
        await page.waitForTimeout(600);
        await shot(page, name);
        await shot(page, `${name}-whole`, { fullPage: true });
        await page.locator('#talkers').getByRole('button').first().click();
        await page.getByRole('dialog').getByText('1 room', { exact: true }).waitFor();
        await shot(page, `${name}-connection`);
      }
      await shot(await tabs.open({}, { path: '/admin' }), 'login');
      await shot(await tabs.open({}, { path: '/admin', ...PHONE, colorScheme: 'dark' }),
        'phone-login');
      crowded.stop();
    }, ['--loops', '2', '--message-rate', '1000', '--handshake-rate', '500']);
  },
};
