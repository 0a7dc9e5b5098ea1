// node's `ws` as the server of throng's client. Started with `deflate` or `off`; the paths are
// those that examples/interop.rs asks for, and those of servers/python_websockets.py.

import { WebSocketServer } from 'ws';

const server = new WebSocketServer({ host: '127.0.0.1', port: 0, maxPayload: 32 << 20,
  perMessageDeflate: process.argv[2] === 'deflate' });

// How the last connection to /echo was closed.
let lastClose = 'not yet';

const third = (data) => Math.ceil(data.length / 3) || 1;

const paths = {
  '/echo': (socket) => {
    socket.on('message', (data, binary) => socket.send(data, { binary }));
    socket.on('close', (code, reason) => { lastClose = `${code} ${reason}`; });
  },
  // Each message comes back in three fragments, wherever that cuts a character.
  '/fragments': (socket) => socket.on('message', (data, binary) => {
    const size = third(data);
    for (const part of [0, 1, 2]) {
      const piece = data.subarray(part * size, (part + 1) * size);
      socket.send(piece, { binary, fin: part === 2 });
      if (part < 2) socket.ping(`between ${part}`);
    }
  }),
  '/ping': (socket) => {
    socket.ping('are you there?');
    socket.on('pong', (payload) => socket.send(`pong ${payload}`));
  },
  '/close': (socket, query) => socket.close(Number(query.get('code')), query.get('reason')),
  // Nothing is said, so that a test can wait in vain; the client may only come and go.
  '/silent': () => {},
  '/last-close': (socket) => socket.send(lastClose),
  '/extensions': (socket) => socket.send(socket.extensions),
  // Each message is answered with the bytes that it took on the wire.
  '/wire': (socket, _, { socket: transport }) => {
    let before = transport.bytesRead;
    socket.on('message', () => {
      socket.send(String(transport.bytesRead - before));
      before = transport.bytesRead;
    });
  },
};

server.on('connection', (socket, request) => {
  const { pathname, searchParams } = new URL(request.url, 'ws://localhost');
  socket.on('error', (error) => console.error(`${pathname}: ${error.message}`));
  paths[pathname](socket, searchParams, request);
});
server.on('listening', () => {
  console.log(`listening on ws://127.0.0.1:${server.address().port}`);
});
