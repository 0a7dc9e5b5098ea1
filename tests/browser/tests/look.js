// How the page looks and holds up: policies, widths, keyboard, and pictures for a person to judge.

import assert from 'node:assert/strict';
import { join } from 'node:path';
import { SCREENSHOTS, eventually, people, said, scripted, withPolicy } from '../support.js';

const PHONE = { viewport: { width: 360, height: 740 }, hasTouch: true, isMobile: true,
  deviceScaleFactor: 2 };

const TALK = [
  ['mira', 'Morning! Is the new build on the test machine yet?'],
  ['jonas', 'Since eight. It took the whole replay without a hiccup.'],
  ['jonas', 'Two hundred rooms, a few thousand people in the biggest one.'],
  ['ann', 'Nice. What did the slowest join look like?'],
  ['jonas', '41 ms, and that was while it was still loading the room list. After that it sits '
    + 'around 3 ms and stays there, which is a good deal better than I had expected.'],
  ['mira', 'Here is the log, nothing odd in it:\n  joins      18 204\n  leaves     18 204\n'
    + '  dropped         0'],
  ['ann', 'Then let us ship it on Thursday.'],
  ['ann', 'I will write the notes today.'],
  ['Łucja', 'I can proofread them 👋'],
  ['mira', 'https://example.org/notes?draft=2#a-rather-long-address-that-has-to-break-somewhere-or-it-'
    + 'would-push-the-page-wide'],
];

// A room with a conversation in it, the same in every picture.
function conversation(act = () => {}) {
  return (page) => scripted(page, (server) => {
    if (server.number > 1) {
      server.route.close({ code: 1001 });
      return;
    }
    server.welcome(['ann', 'mira', 'jonas', 'Łucja', 'guest-4821', 'Priya', 'Priya']);
    const start = Date.now() - TALK.length * 60_000;
    TALK.forEach(([sender, content], index) => {
      server.tell({ type: 'text', room: 'release', sender, content,
        timestamp: start + index * 60_000 });
    });
    for (const [event, sender] of [['join', 'Tomás'], ['leave', 'guest-4821']]) {
      server.tell({ type: 'system', room: 'release', event, sender, content: '' });
    }
    act(server);
  });
}

const shot = (page, name) => page.screenshot({ path: join(SCREENSHOTS, `${name}.png`) });

const sideways = (page) => page.evaluate(() => [document.documentElement, document.body,
  document.getElementById('scroller'), document.getElementById('join')].map(
  (element) => element.scrollWidth - element.clientWidth));

async function talking(tabs, options, act) {
  const page = await tabs.join('release', 'ann', { prepare: conversation(act), ...options });
  await eventually(async () => (await said(page)).length, TALK.length);
  await eventually(async () => (await people(page)).includes('Tomás'), true);
  return page;
}

export const look = {
  async 'every file the page names is served as what it is'({ server }) {
    for (const [path, type] of [['/', 'text/html'], ['/chat.css', 'text/css'],
      ['/chat.js', 'text/javascript'], ['/throng.js', 'text/javascript'],
      ['/icon.svg', 'image/svg+xml']]) {
      const response = await fetch(server.url + path);
      assert.equal(response.status, 200, path);
      assert(response.headers.get('content-type').startsWith(type), path);
    }
  },

  async 'the page works under a strict content security policy'({ server, tabs }) {
    const strict = await withPolicy(server, "default-src 'self'");
    tabs.server = strict;
    const page = await tabs.join('strict', 'ann');
    await page.locator('#draft').fill('hello');
    await page.locator('#send').click();
    await eventually(() => said(page), ['hello']);
    strict.stop();
  },

  async 'nothing scrolls sideways, from the smallest phone up'({ tabs }) {
    const page = await talking(tabs, PHONE);
    for (const width of [320, 360, 390, 600, 736, 737, 1024]) {
      await page.setViewportSize({ width, height: 740 });
      assert.deepEqual(await sideways(page), [0, 0, 0, 0], `at ${width}`);
    }
    const form = await tabs.open({}, PHONE);
    assert.deepEqual(await sideways(form), [0, 0, 0, 0], 'the form');
  },

  async 'on a phone the people are a drawer'({ tabs }) {
    const page = await talking(tabs, PHONE);
    const panel = page.locator('#people-panel');
    assert.equal(await panel.isVisible(), false);
    await page.getByRole('button', { name: '7 people in this room' }).click();
    await panel.waitFor();
    await shot(page, 'phone-people');
    await page.keyboard.press('Escape');
    await panel.waitFor({ state: 'hidden' });
  },

  async 'the keyboard reaches everything, and shows where it is'({ tabs }) {
    const page = await talking(tabs);
    const reached = new Set();
    for (let step = 0; step < 12; step += 1) {
      await page.keyboard.press('Tab');
      const at = await page.evaluate(() => {
        const { id, parentElement } = document.activeElement;
        const { outlineStyle } = getComputedStyle(document.activeElement);
        const ring = getComputedStyle(parentElement ?? document.body).boxShadow;
        return { id, seen: outlineStyle !== 'none' || ring !== 'none' };
      });
      if (at.id === '') continue;
      assert(at.seen, `focus on #${at.id} cannot be seen`);
      reached.add(at.id);
    }
    for (const id of ['share', 'leave', 'scroller', 'draft', 'people']) {
      assert(reached.has(id), `#${id} was not reached: ${[...reached]}`);
    }
  },

  async 'every colour of a name can be read'({ tabs }) {
    for (const colorScheme of ['light', 'dark']) {
      const page = await talking(tabs, { colorScheme });
      const worst = await page.evaluate(() => {
        const canvas = new OffscreenCanvas(1, 1).getContext('2d', { willReadFrequently: true });
        const luminance = (colour) => {
          canvas.fillStyle = colour;
          canvas.fillRect(0, 0, 1, 1);
          const [r, g, b] = [...canvas.getImageData(0, 0, 1, 1).data].map((byte) => {
            const part = byte / 255;
            return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
          });
          return 0.2126 * r + 0.7152 * g + 0.0722 * b;
        };
        const contrast = (one, two) => {
          const [low, high] = [luminance(one), luminance(two)].sort((a, b) => a - b);
          return (high + 0.05) / (low + 0.05);
        };
        const name = document.querySelector('.name');
        const disc = document.querySelector('.avatar');
        const ground = getComputedStyle(document.body).backgroundColor;
        const found = [];
        for (let hue = 0; hue < 360; hue += 5) {
          name.style.setProperty('--hue', hue);
          disc.style.setProperty('--hue', hue);
          found.push(contrast(getComputedStyle(name).color, ground));
          const { color, backgroundColor } = getComputedStyle(disc);
          found.push(contrast(color, backgroundColor));
        }
        const style = getComputedStyle(document.documentElement);
        const value = (token) => style.getPropertyValue(token);
        for (const [text, on] of [['--muted', '--ground'], ['--muted', '--surface'],
          ['--on-accent', '--accent'], ['--text', '--bubble-own'], ['--bad', '--bad-ground'],
          ['--bad', '--ground'], ['--warn', '--surface'], ['--accent', '--ground']]) {
          found.push(contrast(value(text), value(on)));
        }
        return Math.min(...found);
      });
      assert(worst >= 4.5, `${colorScheme}: ${worst.toFixed(2)}`);
    }
  },

  async 'pictures for a person to look at'({ tabs }) {
    for (const colorScheme of ['light', 'dark']) {
      const page = await talking(tabs, { colorScheme });
      await page.locator('#draft').fill('See you at the stand-up');
      await shot(page, colorScheme);
      await page.getByRole('button', { name: 'Share room' }).click();
      await shot(page, `${colorScheme}-share`);
      const form = await tabs.open({}, { colorScheme });
      await shot(form, `${colorScheme}-join`);
      const empty = await tabs.join('fresh', 'ann', { colorScheme });
      await eventually(() => people(empty), ['ann']);
      await shot(empty, `${colorScheme}-empty`);
    }
    const phone = await talking(tabs, PHONE);
    await shot(phone, 'phone');
    const night = await talking(tabs, { ...PHONE, colorScheme: 'dark' });
    await shot(night, 'phone-dark');
    await shot(await tabs.open({ room: 'release' }, PHONE), 'phone-join');
  },

  async 'pictures of trouble'({ tabs }) {
    for (const [name, options] of [['light', {}], ['phone', PHONE]]) {
      let hangUp;
      const act = ({ route, tell }) => {
        route.onMessage((data) => {
          const { type, id } = JSON.parse(data);
          if (type !== 'text') return;
          tell({ type: 'error', id, code: 'too_long', content: 'A message has at most 4096 bytes.' });
        });
        hangUp = () => route.close({ code: 1001 });
      };
      const page = await talking(tabs, options, act);
      await page.locator('#draft').fill('This one was too long.');
      await page.locator('#draft').press('Enter');
      await page.getByText('at most 4096').waitFor();
      await page.evaluate(() => { Math.random = () => 0.99; });
      hangUp();
      await page.locator('#banner').waitFor();
      await page.locator('#draft').fill('And this one is waiting.');
      await page.locator('#draft').press('Enter');
      await page.locator('#draft').fill('');
      await page.getByText(/^Reconnecting in [2-4] s$/).waitFor();
      await shot(page, `${name}-trouble`);
      assert.equal(await page.locator('.pending').count(), 2);
    }
  },
};
