// node ws: echo on /echo, and on /fan what one sends goes to all. Usage: server.js PORT [deflate]
// bufferutil is installed beside it, as its documentation advises. TLS_CERT and TLS_KEY, files, make
// it a TLS server.

import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import { Sender, WebSocketServer } from 'ws';

const [port, ...options] = process.argv.slice(2);
const { TLS_CERT, TLS_KEY } = process.env;
const notFound = (_, response) => response.writeHead(404).end();
const server = TLS_CERT
  ? createTlsServer({ cert: readFileSync(TLS_CERT), key: readFileSync(TLS_KEY) }, notFound)
  : createServer(notFound);
const sockets = new WebSocketServer({
  server,
  clientTracking: false,
  maxPayload: 2 << 20,
  perMessageDeflate: options.includes('deflate') && {
    serverNoContextTakeover: true,
    clientNoContextTakeover: true,
    threshold: 0,
  },
});
const members = new Set();

// The frame is made once for all, by the library's own Sender, as socket.io does it.
function tellAll(data, isBinary) {
  const opcode = isBinary ? 2 : 1;
  const frame = Sender.frame(data, { fin: true, rsv1: false, opcode, mask: false, readOnly: true });
  const whole = frame.length > 1 && data.length < 4096 ? [Buffer.concat(frame)] : frame;
  for (const member of members) member._sender.sendFrame(whole);
}

sockets.on('connection', (socket, request) => {
  socket.on('error', () => {});
  if (request.url === '/fan') {
    members.add(socket);
    socket.on('close', () => members.delete(socket));
    socket.on('message', tellAll);
  } else {
    socket.on('message', (data, isBinary) => socket.send(data, { binary: isBinary }));
  }
});

// setNoDelay is the library's own doing.
server.listen({ port: Number(port), host: '127.0.0.1', backlog: 4096 }, () => {
  console.log(`listening on http://127.0.0.1:${port}`);
});
