// Bun: echo on /echo, and on /fan what one sends goes to all. Usage: server.js PORT [deflate]
// TLS_CERT and TLS_KEY, files, make it a TLS server.

const [port, ...options] = process.argv.slice(2);
const deflate = options.includes('deflate');

const { TLS_CERT, TLS_KEY } = process.env;

const server = Bun.serve({
  tls: TLS_CERT && { cert: Bun.file(TLS_CERT), key: Bun.file(TLS_KEY) },
  port: Number(port),
  hostname: '127.0.0.1',
  fetch(request, server) {
    const isFan = new URL(request.url).pathname === '/fan';
    if (server.upgrade(request, { data: { isFan } })) return;
    return new Response('not found', { status: 404 });
  },
  websocket: {
    perMessageDeflate: deflate && { compress: 'shared', decompress: 'shared' },
    maxPayloadLength: 2 << 20,
    backpressureLimit: 256 << 20,
    idleTimeout: 960,
    open(socket) {
      if (socket.data.isFan) socket.subscribe('all');
    },
    message(socket, message) {
      if (socket.data.isFan) server.publish('all', message);
      else socket.send(message, deflate);
    },
  },
});

console.log(`listening on http://127.0.0.1:${server.port}`);
