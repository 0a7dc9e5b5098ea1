// The dashboard's window on one connection, user or room. It asks through the feed, and
// disconnects only after a second yes.

import { bytes, date, duration, make, plural } from './admin-words.js';

const $ = (id) => document.getElementById(id);
const KINDS = { connection: 'Connection', user: 'User', room: 'Room' };

const NO_ANSWER = 'The server has not answered. Close this and try again.';

export class Inspector {
  #feed = () => null;
  #views = []; // the way back: { kind, name }
  #dialog = $('inspector');
  #asked = 0;

  // `feed` gives the feed of now.
  constructor(feed) {
    this.#feed = feed;
    $('inspector-close').addEventListener('click', () => this.#dialog.close());
    $('inspector-back').addEventListener('click', () => {
      this.#views.pop();
      this.#show();
    });
    $('disconnect').addEventListener('click', () => this.#disconnect());
    $('keep').addEventListener('click', () => this.#settle());
    this.#dialog.addEventListener('click', (event) => {
      if (event.target === this.#dialog) this.#dialog.close(); // beside it
    });
    this.#dialog.addEventListener('close', () => { this.#views = []; });
  }

  open(kind, name) {
    this.#views.push({ kind, name });
    if (!this.#dialog.open) this.#dialog.showModal();
    this.#show();
  }

  // A second has passed: a connection's numbers are of now.
  refresh() {
    if (this.#dialog.open && this.#view?.kind === 'connection' && !this.#view.gone) this.#ask();
  }

  get #view() { return this.#views.at(-1); }

  #show() {
    const { kind, name } = this.#view;
    $('inspector-kind').textContent = KINDS[kind];
    $('inspector-title').textContent = name;
    $('inspector-back').hidden = this.#views.length < 2;
    $('inspector-foot').hidden = true;
    this.#settle();
    this.#fill(make('p', 'quiet', 'Asking the server…'));
    this.#ask();
    $('inspector-body').focus();
  }

  async #ask() {
    const view = this.#view;
    const number = ++this.#asked;
    const answer = await this.#feed()?.ask(view.kind, { [view.kind]: view.name });
    if (number !== this.#asked || view !== this.#view || !this.#dialog.open) return;
    if (!answer) {
      if (!view.seen) this.#fill(make('p', 'quiet', NO_ANSWER));
      return;
    }
    view.seen = true;
    if (view.kind === 'connection') this.#connection(view, answer.connections[0]);
    else this.#list(view, answer);
  }

  #connection(view, connection) {
    if (!connection) {
      view.gone = true;
      $('inspector-foot').hidden = true;
      this.#fill(make('p', 'quiet', view.ended ?? 'This connection has ended.'));
      return;
    }
    const { id, user, address, opened_s: openedS, backlog_bytes: backlog, rooms } = connection;
    $('inspector-title').textContent = user;
    $('inspector-foot').hidden = false;
    const age = duration(Date.now() / 1000 - openedS);
    const facts = make('dl', 'facts');
    for (const [name, value] of [['Connection', id], ['Address', address ?? 'unknown'],
      ['Since', `${date(openedS * 1000)}, for ${age}`], ['Owed', bytes(backlog)]]) {
      facts.append(make('dt', '', name), make('dd', '', value));
    }
    const key = JSON.stringify(rooms);
    const kept = $('inspector-body').querySelector('.entries');
    const list = kept?.dataset.key === key ? kept : this.#entries(rooms.map(
      (room) => ['room', room, room]), 'In no room.');
    list.dataset.key = key;
    const title = make('h3', '', plural(rooms.length, 'room'));
    if (kept === list) {
      $('inspector-body').querySelector('.facts').replaceWith(facts); // focus stays in the list
    } else this.#fill(facts, title, list);
  }

  #list({ kind }, { count, connections }) {
    const entry = ({ id, user, address }) => ['connection', id,
      kind === 'room' ? user : address ?? id, kind === 'room' ? address ?? '' : id];
    const none = kind === 'room' ? 'Nobody is in a room of this name.'
      : 'Nobody of this name is connected.';
    const more = count - connections.length;
    this.#fill(
      make('h3', '', plural(count, kind === 'room' ? 'member' : 'connection')),
      this.#entries(connections.map(entry), none),
      ...(more > 0 ? [make('p', 'quiet', `and ${plural(more, 'other')}`)] : []),
    );
  }

  #entries(entries, none) {
    if (entries.length === 0) return make('p', 'quiet entries', none);
    return make('ul', 'entries', ...entries.map(([kind, name, words, more = '']) => {
      const button = make('button', 'entry', make('bdi', '', words), make('span', 'more', more));
      button.type = 'button';
      button.addEventListener('click', () => this.open(kind, name));
      return make('li', '', button);
    }));
  }

  // The first press asks, the second does.
  async #disconnect() {
    const view = this.#view;
    if (!this.asking) {
      this.asking = true;
      $('inspector-words').textContent = 'End this connection? It gets Close 1008, after which '
        + 'most clients do not come back by themselves.';
      $('disconnect').textContent = 'Disconnect';
      $('disconnect').classList.add('sure');
      $('keep').hidden = false;
      $('keep').focus();
      return;
    }
    $('disconnect').disabled = true;
    const answer = await this.#feed()?.ask('disconnect', { connection: view.name });
    if (view !== this.#view) return;
    this.#settle();
    if (!answer?.complete) {
      $('inspector-words').textContent = NO_ANSWER;
      return;
    }
    view.ended = answer.count > 0 ? 'Disconnected.' : 'It had ended already.';
    this.#connection(view, undefined);
    $('inspector-close').focus();
  }

  #settle() {
    this.asking = false;
    $('inspector-words').textContent = '';
    $('disconnect').textContent = 'Disconnect…';
    $('disconnect').classList.remove('sure');
    $('disconnect').disabled = false;
    $('keep').hidden = true;
  }

  #fill(...children) { $('inspector-body').replaceChildren(...children); }
}
