// What happens when the server goes, comes back, refuses or floods.

import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Server, eventually, freePort, member, online, people, quiet, said, say, scripted, state,
  unsent } from '../support.js';

const longWaits = (page) => page.addInitScript(() => { Math.random = () => 0.999; });

export const connection = {
  async 'the page comes back by itself when the server does'({ tabs }) {
    const port = await freePort();
    tabs.server = await Server.start(port);
    const ann = await tabs.join('back', 'ann');
    const bob = await tabs.join('back', 'bob');
    await say(ann, 'before');
    await eventually(() => said(bob), ['before']);
    await tabs.server.stop('SIGKILL');
    await eventually(() => state(ann), 'waiting');
    await ann.getByText(/^Reconnecting in \d+ s$/).waitFor();
    await say(ann, 'written while away');
    await eventually(() => unsent(ann), ['written while away']);
    await ann.getByText('Waiting for the connection').waitFor();
    tabs.server = await Server.start(port);
    try {
      await Promise.all([online(ann, 40_000), online(bob, 40_000)]);
      await eventually(() => people(bob), ['bob', 'ann']);
      await eventually(() => unsent(ann), []);
      await eventually(async () => (await said(ann)).at(-1), 'written while away');
      await say(bob, 'after');
      await eventually(async () => (await said(ann)).at(-1), 'after');
      assert((await said(ann)).includes('before'), 'what was said before is still there');
    } finally {
      await tabs.server.stop();
    }
  },

  async 'two tabs chat, one goes offline, and comes back into the talk'({ tabs }) {
    const context = await tabs.context();
    const ann = await tabs.join('tunnel', 'ann', { context });
    const bob = await tabs.join('tunnel', 'bob');
    await say(ann, 'before the tunnel');
    await eventually(() => said(bob), ['before the tunnel']);
    await say(bob, 'see you on the other side');
    await eventually(async () => (await said(ann)).length, 2);
    await context.setOffline(true);
    // The browser cuts nothing: the page asks, and waits 10 s for an answer.
    await eventually(() => state(ann), 'waiting', 25_000);
    await ann.locator('#banner').waitFor();
    await say(ann, 'written in the tunnel');
    await eventually(() => unsent(ann), ['written in the tunnel']);
    assert.equal((await said(bob)).length, 2);
    await context.setOffline(false);
    await online(ann, 40_000);
    await eventually(async () => (await said(bob)).at(-1), 'written in the tunnel');
    await eventually(() => unsent(ann), []);
    await eventually(() => people(bob), ['bob', 'ann']);
    await say(bob, 'welcome back');
    await eventually(async () => (await said(ann)).at(-1), 'welcome back');
    assert((await said(ann)).includes('before the tunnel'), 'what was said before is still there');
  },

  async 'what was said while a page was away is shown when it is back'({ tabs }) {
    const port = await freePort();
    const folder = mkdtempSync(join(tmpdir(), 'throng-'));
    const flags = ['--history-db', join(folder, 'throng.db'), '--durable', 'kept*'];
    tabs.server = await Server.start(port, flags);
    const ann = await tabs.join('kept', 'ann', { prepare: longWaits });
    await say(ann, 'before');
    await eventually(() => said(ann), ['before']);
    await tabs.server.stop('SIGKILL');
    await ann.getByText(/^Reconnecting in [2-9] s$/).waitFor({ timeout: 20_000 });
    tabs.server = await Server.start(port, flags);
    try {
      const bob = await member(tabs.server, 'kept', 'bob');
      for (const text of ['missed one', 'missed two']) bob.say(text);
      const texts = () => bob.received.filter(({ type }) => type === 'text').length;
      await eventually(texts, 2);
      await online(ann, 40_000);
      bob.say('live');
      await eventually(() => said(ann), ['before', 'missed one', 'missed two', 'live']);
      assert(!(await quiet(ann)).includes('Back again'), 'nothing is missing');
    } finally {
      await tabs.server.stop();
      rmSync(folder, { recursive: true });
    }
  },

  async 'a server that stops cleanly is waited for'({ tabs }) {
    tabs.server = await Server.start();
    const ann = await tabs.join('clean', 'ann');
    await tabs.server.stop('SIGTERM');
    await eventually(() => state(ann), 'waiting');
    await ann.locator('#banner').waitFor();
  },

  async '"Reconnect now" does'({ tabs }) {
    const port = await freePort();
    tabs.server = await Server.start(port);
    const ann = await tabs.join('now', 'ann', { prepare: longWaits });
    await tabs.server.stop('SIGKILL');
    await ann.getByText(/^Reconnecting in [2-9] s$/).waitFor({ timeout: 20_000 });
    tabs.server = await Server.start(port);
    try {
      const asked = Date.now();
      await ann.getByRole('button', { name: 'Reconnect now' }).click();
      await online(ann);
      assert(Date.now() - asked < 1500, 'at once');
      await ann.locator('#banner').waitFor({ state: 'hidden' });
    } finally {
      await tabs.server.stop();
    }
  },

  async 'retries come at once, then ever later'({ tabs }) {
    let times;
    await tabs.open({ room: 'retries', name: 'ann' }, {
      prepare: async (page) => {
        await longWaits(page);
        times = await scripted(page, ({ route }) => route.close({ code: 1011 }));
      },
    });
    await eventually(() => times.length >= 5, true, 20_000);
    const waits = times.slice(1, 5).map((time, index) => time - times[index]);
    const expected = [0, 1000, 2000, 4000];
    waits.forEach((wait, index) => assert(Math.abs(wait - expected[index]) < 600, `${waits}`));
  },

  async 'a refusal by policy is shown and not argued with'({ tabs }) {
    let times;
    const page = await tabs.open({ room: 'policy', name: 'ann' }, {
      prepare: async (prepared) => {
        times = await scripted(prepared, ({ route, welcome, number }) => {
          if (number > 1) welcome();
          else route.close({ code: 1008, reason: 'banned until noon' });
        });
      },
    });
    await eventually(() => state(page), 'offline');
    await page.getByText('The server closed the connection: banned until noon').first().waitFor();
    await new Promise((resolve) => { setTimeout(resolve, 2500); });
    assert.equal(times.length, 1);
    await page.getByRole('button', { name: 'Reconnect now' }).click();
    await online(page);
  },

  async 'a connection that died without a word is given up'({ tabs }) {
    let times;
    const page = await tabs.join('silent', 'ann', {
      prepare: async (prepared) => {
        await prepared.clock.install();
        times = await scripted(prepared, ({ welcome }) => welcome());
      },
    });
    await page.clock.fastForward(21_000);
    assert.equal(await state(page), 'online');
    await page.clock.fastForward(11_000);
    await eventually(() => times.length, 2);
    await online(page);
  },

  async 'an error names the message it is about'({ tabs }) {
    const page = await tabs.join('errors', 'ann', {
      prepare: (prepared) => scripted(prepared, ({ route, tell, welcome }) => {
        welcome();
        route.onMessage((data) => {
          const { type, id } = JSON.parse(data);
          if (type === 'text') tell({ type: 'error', id, code: 'too_long', content: 'No essays.' });
        });
      }),
    });
    await say(page, 'an essay');
    await page.getByText('No essays.').waitFor();
    assert.deepEqual(await unsent(page), ['an essay']);
    assert.deepEqual(await said(page), []);
    await page.getByRole('button', { name: 'Edit' }).click();
    assert.equal(await page.locator('#draft').inputValue(), 'an essay');
    assert.deepEqual(await unsent(page), []);
  },

  async 'a very long message is delivered, or refused in words and kept'({ tabs }) {
    const page = await tabs.join('essays', 'ann');
    const essay = `${'essay '.repeat(40_000)}end`;
    await say(page, essay);
    const refused = page.locator('#outbox .pending[data-state="failed"]');
    await eventually(async () => (await said(page)).length + await refused.count(), 1);
    if (await refused.count() === 1) assert.notEqual(await refused.locator('.note').innerText(), '');
    assert.equal([...await said(page), ...await unsent(page)][0], essay);
    await online(page, 40_000);
    await say(page, 'short');
    await eventually(async () => (await said(page)).at(-1), 'short');
  },

  async 'a message cut off on its way is neither lost nor sent twice'({ tabs }) {
    const sent = [];
    const page = await tabs.join('cut', 'ann', {
      prepare: (prepared) => scripted(prepared, ({ route, welcome, number }) => {
        welcome();
        route.onMessage((data) => {
          sent.push(JSON.parse(data).content);
          if (number === 1) route.close({ code: 1011 });
        });
      }),
    });
    await say(page, 'did it arrive?');
    await page.getByText('this may not have arrived').waitFor();
    await online(page);
    assert.deepEqual(sent, ['did it arrive?']);
    await page.getByRole('button', { name: 'Send again' }).click();
    await eventually(() => sent.length, 2);
  },

  async 'the page keeps the last 500 entries, and the place of a reader'({ tabs }) {
    let speak;
    const page = await tabs.join('flood', 'ann', {
      prepare: (prepared) => scripted(prepared, ({ tell, welcome }) => {
        welcome(['ann', 'bob']);
        speak = (content) => tell({ type: 'text', room: 'flood', sender: 'bob', content });
      }),
    });
    for (let number = 1; number <= 700; number += 1) speak(`line ${number}`);
    await eventually(async () => (await said(page)).at(-1), 'line 700');
    const entries = () => page.locator('#log :is(.bubble, .quiet)').count();
    assert.equal(await entries(), 500);
    const bottom = () => page.locator('#scroller').evaluate(
      (box) => Math.round(box.scrollHeight - box.scrollTop - box.clientHeight));
    assert.equal(await bottom(), 0);
    await page.locator('#scroller').evaluate((box) => { box.scrollTop -= 2000; });
    const line = page.getByText('line 650', { exact: true });
    await eventually(() => page.locator('#unseen').isVisible(), false);
    const before = (await line.boundingBox()).y;
    for (let number = 701; number <= 720; number += 1) speak(`line ${number}`);
    await page.getByRole('button', { name: '20 new messages' }).waitFor();
    assert.equal(await entries(), 500);
    assert(Math.abs((await line.boundingBox()).y - before) <= 2, 'the reader keeps the place');
    await page.getByRole('button', { name: '20 new messages' }).click();
    assert.equal(await bottom(), 0);
    assert.equal(await page.locator('#unseen').isVisible(), false);
  },

  async 'the title counts what was said while nobody looked'({ tabs }) {
    let speak;
    const page = await tabs.join('title', 'ann', {
      prepare: (prepared) => scripted(prepared, ({ tell, welcome }) => {
        welcome(['ann', 'bob']);
        speak = () => tell({ type: 'text', room: 'title', sender: 'bob', content: 'hi' });
      }),
    });
    const hide = (hidden) => page.evaluate((value) => {
      Object.defineProperty(document, 'hidden', { value, configurable: true });
      document.dispatchEvent(new Event('visibilitychange'));
    }, hidden);
    assert.equal(await page.title(), '#title · throng');
    await hide(true);
    speak();
    speak();
    await eventually(() => page.title(), '(2) #title · throng');
    await hide(false);
    await eventually(() => page.title(), '#title · throng');
  },

  async 'a list that lost step with the room asks again'({ tabs }) {
    const page = await tabs.join('step', 'ann', {
      prepare: (prepared) => scripted(prepared, ({ route, tell, welcome }) => {
        welcome(['ann']);
        tell({ type: 'system', room: 'step', event: 'leave', sender: 'nobody known' });
        route.onMessage((data) => {
          const { type, id } = JSON.parse(data);
          if (type === 'presence') tell({ type: 'ok', id, members: ['ann', 'bob', 'carl'] });
        });
      }),
    });
    await eventually(() => people(page), ['ann', 'bob', 'carl']);
    assert((await quiet(page)).includes('nobody known left'));
  },
};
