// Runs inside the page: the browser's own WebSocket, with promises.

/* exported Peer, text, noise, same, utf8Length */

class Peer {
  static async open(url) {
    const peer = new Peer();
    peer.arrived = [];
    peer.socket = new WebSocket(url);
    peer.socket.binaryType = 'arraybuffer';
    peer.closed = new Promise((resolve) => {
      peer.socket.onclose = ({ code, reason, wasClean }) => resolve({ code, reason, wasClean });
    });
    peer.socket.onmessage = ({ data }) => {
      peer.arrived.push(data);
      peer.wake?.();
    };
    await new Promise((resolve, reject) => {
      peer.socket.onopen = resolve;
      peer.closed.then(({ code }) => reject(new Error(`closed with ${code}`)));
    });
    return peer;
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

  async echo(message) {
    this.socket.send(message);
    same(await this.next(), message);
  }

  close(code, reason) {
    this.socket.close(code, reason);
    return this.closed;
  }
}

function same(got, wanted) {
  if (typeof got !== typeof wanted) throw new Error('text or binary');
  if (typeof wanted === 'string') {
    if (got !== wanted) throw new Error(`${got.length} other units came back`);
    return;
  }
  const [left, right] = [new Uint8Array(got), wanted];
  if (left.length !== right.length || left.some((byte, index) => byte !== right[index])) {
    throw new Error(`${left.length} other bytes came back`);
  }
}

const utf8Length = (string) => new TextEncoder().encode(string).length;

function text(bytes) {
  const line = '{"type":"text","room":"lobby","content":"grüße, 世界, 🦀"}\n';
  const lineBytes = utf8Length(line);
  return line.repeat(Math.floor(bytes / lineBytes)) + '.'.repeat(bytes % lineBytes);
}

function noise(bytes) {
  const all = new Uint8Array(bytes);
  const most = 65_536;
  for (let at = 0; at < bytes; at += most) crypto.getRandomValues(all.subarray(at, at + most));
  return all;
}
