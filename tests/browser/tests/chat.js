// People in rooms: what one of them does is what the others see.

import assert from 'node:assert/strict';
import { eventually, member, online, people, peopleCount, quiet, said, say, unsent }
  from '../support.js';

export const chat = {
  async 'two tabs chat both ways'({ tabs }) {
    const ann = await tabs.join('ways', 'ann');
    const bob = await tabs.join('ways', 'bob');
    await say(ann, 'hello bob');
    await eventually(() => said(bob), ['hello bob']);
    await say(bob, 'hello ann');
    await eventually(() => said(ann), ['hello bob', 'hello ann']);
    await eventually(() => said(bob), ['hello bob', 'hello ann']);
    await eventually(() => unsent(ann), []);
    assert.equal(await ann.locator('.group.own').count(), 1);
    assert.equal(await ann.locator('.group:not(.own) .name').textContent(), 'bob');
  },

  async 'two tabs of one browser profile are two people'({ tabs }) {
    const context = await tabs.context();
    const ann = await tabs.join('profile', 'ann', { context });
    const bob = await tabs.join('profile', 'bob', { context });
    await eventually(() => people(ann), ['ann', 'bob']);
    await ann.reload();
    await online(ann);
    await eventually(() => people(bob), ['bob', 'ann']);
    await say(ann, 'still ann');
    await eventually(() => bob.locator('.name').allTextContents(), ['ann']);
  },

  async 'the join form joins, and remembers name and room'({ tabs }) {
    const context = await tabs.context();
    const page = await tabs.open({}, { context });
    await page.getByLabel('Your name').fill('  ann ');
    await page.getByRole('textbox', { name: 'Room' }).fill('#form');
    await page.getByRole('button', { name: 'Join the room' }).click();
    await online(page);
    assert.equal(await page.locator('#room-name').textContent(), '#form');
    assert.equal(new URL(page.url()).search, '?room=form');
    await eventually(() => people(page), ['ann']);
    const later = await tabs.open({}, { context });
    assert.equal(await later.getByLabel('Your name').inputValue(), 'ann');
    assert.equal(await later.getByRole('textbox', { name: 'Room' }).inputValue(), 'form');
    const shared = await tabs.open({ room: 'other' }, { context });
    assert.equal(await shared.getByRole('textbox', { name: 'Room' }).inputValue(), 'other');
  },

  async 'an address with a name joins at once and does not pass the name on'({ tabs }) {
    const page = await tabs.join('address', 'ann');
    assert.equal(new URL(page.url()).search, '?room=address');
    await page.getByRole('button', { name: 'Share room' }).click();
    assert.match(await page.locator('#share-link').inputValue(), /\/\?room=address$/);
  },

  async 'an empty name gets a guest name, and keeps it over a reload'({ tabs }) {
    const page = await tabs.join('guests', '');
    await eventually(() => peopleCount(page), '1');
    const [guest] = await people(page);
    assert(guest.length > 0, 'a guest has a name');
    await say(page, 'who am I');
    await eventually(() => page.locator('.group.own').count(), 1);
    await page.reload();
    await online(page);
    await eventually(() => people(page), [guest]);
  },

  async 'the list of people follows who comes and goes'({ server, tabs }) {
    const ann = await tabs.join('list', 'ann');
    await eventually(() => peopleCount(ann), '1');
    const bob = await tabs.join('list', 'bob');
    await eventually(() => people(ann), ['ann', 'bob']);
    await eventually(() => people(bob), ['bob', 'ann']);
    const carl = await member(server, 'list', 'carl');
    await eventually(() => people(bob), ['bob', 'ann', 'carl']);
    await eventually(() => peopleCount(ann), '3');
    carl.leave();
    await bob.getByRole('button', { name: 'Leave' }).click();
    await eventually(() => people(ann), ['ann']);
    await eventually(() => peopleCount(ann), '1');
    const seen = await quiet(ann);
    for (const line of ['carl joined', 'carl left', 'bob left']) assert(seen.includes(line), seen);
  },

  async 'two members of one name count as two'({ server, tabs }) {
    const ann = await tabs.join('twins', 'ann');
    const one = await member(server, 'twins', 'bob');
    const two = await member(server, 'twins', 'bob');
    await eventually(() => peopleCount(ann), '3');
    await eventually(() => people(ann), ['ann', 'bob']);
    await eventually(() => ann.locator('#people .tag').allTextContents(), ['you', '×2']);
    one.leave();
    await eventually(() => peopleCount(ann), '2');
    await eventually(() => people(ann), ['ann', 'bob']);
    two.leave();
    await eventually(() => people(ann), ['ann']);
  },

  async 'rooms are separate'({ tabs }) {
    const ann = await tabs.join('here', 'ann');
    const bob = await tabs.join('there', 'bob');
    await say(bob, 'only there');
    await say(ann, 'only here');
    await eventually(() => said(ann), ['only here']);
    await eventually(() => said(bob), ['only there']);
    assert.deepEqual(await people(ann), ['ann']);
    assert.deepEqual(await people(bob), ['bob']);
  },

  async 'markup in messages, names and rooms stays text'({ tabs }) {
    const evil = '<img src=x onerror="window.broken=1"><b>bold</b><script>window.broken=1</script>';
    const name = '<i>ann</i>';
    const ann = await tabs.join('<u>room</u>', name);
    const bob = await tabs.join('<u>room</u>', 'bob');
    await say(ann, evil);
    await eventually(() => said(bob), [evil]);
    await eventually(() => people(bob), ['bob', name]);
    assert.equal(await bob.locator('#room-name').textContent(), '#<u>room</u>');
    for (const page of [ann, bob]) {
      assert.equal(await page.locator('.chat :is(img, b, i, u, script)').count(), 0);
      assert.equal(await page.evaluate(() => window.broken), undefined);
    }
  },

  async 'Enter sends, Shift+Enter makes a new line, and text arrives as written'({ tabs }) {
    const ann = await tabs.join('keys', 'ann');
    const bob = await tabs.join('keys', 'bob');
    await ann.keyboard.type('first');
    await ann.keyboard.press('Shift+Enter');
    await ann.keyboard.type('  second');
    await ann.keyboard.press('Enter');
    await say(ann, 'żółw 🐢 مرحبا "quoted" \\ \u2028 end');
    await say(ann, ' \n ');
    await eventually(() => said(bob),
      ['first\n  second', 'żółw 🐢 مرحبا "quoted" \\ \u2028 end']);
  },

  async 'messages of one sender are grouped until another speaks'({ server, tabs }) {
    const ann = await tabs.join('groups', 'ann');
    const bob = await member(server, 'groups', 'bob');
    const carl = await member(server, 'groups', 'carl');
    for (const [who, text] of [[bob, 'a'], [bob, 'b'], [carl, 'c'], [bob, 'd']]) {
      const before = (await said(ann)).length;
      who.say(text);
      await eventually(async () => (await said(ann)).length, before + 1);
    }
    assert.deepEqual(await ann.locator('.group .name').allTextContents(), ['bob', 'carl', 'bob']);
    bob.leave();
    carl.leave();
  },

  async 'a reload keeps name and room'({ tabs }) {
    const ann = await tabs.join('reload', 'ann');
    const bob = await tabs.join('reload', 'bob');
    await ann.locator('#draft').fill('half a thou');
    await ann.reload();
    await online(ann);
    await eventually(() => people(ann), ['ann', 'bob']);
    await eventually(() => peopleCount(bob), '2');
    assert.equal(await ann.locator('#draft').inputValue(), 'half a thou');
    await say(ann, 'same as before');
    await eventually(() => bob.locator('.name').allTextContents(), ['ann']);
  },

  async 'leaving goes back to the form, and the back button into the room'({ tabs }) {
    const page = await tabs.join('leaving', 'ann');
    const bob = await tabs.join('leaving', 'bob');
    await page.getByRole('button', { name: 'Leave' }).click();
    await page.getByRole('button', { name: 'Join the room' }).waitFor();
    await eventually(() => people(bob), ['bob']);
    await page.reload();
    await page.getByRole('button', { name: 'Join the room' }).waitFor();
    await page.goBack();
    await online(page);
    await eventually(() => people(bob), ['bob', 'ann']);
  },
};
