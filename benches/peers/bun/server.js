// Bun: echo on /echo, and on /fan what one sends goes to all. Usage: server.js PORT [deflate]

const [port, ...options] = process.argv.slice(2);
const deflate = options.includes('deflate');

const server = Bun.serve({
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
