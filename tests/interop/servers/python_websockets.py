"""Python's `websockets` as the server of throng's client. Started with `deflate` or `off`.

The paths are those that examples/interop.rs asks for, and those of servers/ws.js.
"""

import asyncio
import sys
from urllib.parse import parse_qs, urlsplit

from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

COMPRESSION = "deflate" if sys.argv[1] == "deflate" else None
last_close = "not yet"


class Connection(ServerConnection):
    """Counts the bytes that arrive."""

    bytes_read = 0

    def data_received(self, data):
        self.bytes_read += len(data)
        super().data_received(data)


async def echo(peer, _):
    global last_close
    try:
        while True:
            await peer.send(await peer.recv())
    except ConnectionClosed as closed:
        last_close = f"{closed.rcvd.code} {closed.rcvd.reason}" if closed.rcvd else "1006 "


async def fragments(peer, _):
    """Each message comes back in three fragments, with pings between them."""
    async for message in peer:
        size = -(-len(message) // 3) or 1

        async def pieces():
            for part in range(3):
                yield message[part * size:(part + 1) * size]
                await peer.ping(f"between {part}")

        await peer.send(pieces())


async def ping(peer, _):
    await (await peer.ping("are you there?"))
    await peer.send("pong are you there?")
    await peer.wait_closed()


async def close(peer, query):
    await peer.close(int(query["code"][0]), query.get("reason", [""])[0])


async def silent(peer, _):
    await peer.wait_closed()


async def tell_last_close(peer, _):
    await peer.send(last_close)
    await peer.wait_closed()


async def extensions(peer, _):
    await peer.send(", ".join(extension.name for extension in peer.protocol.extensions))
    await peer.wait_closed()


async def wire(peer, _):
    """Each message is answered with the bytes that it took on the wire."""
    before = peer.bytes_read
    async for _message in peer:
        await peer.send(str(peer.bytes_read - before))
        before = peer.bytes_read


PATHS = {
    "/echo": echo,
    "/fragments": fragments,
    "/ping": ping,
    "/close": close,
    "/silent": silent,
    "/last-close": tell_last_close,
    "/extensions": extensions,
    "/wire": wire,
}


async def handle(peer):
    url = urlsplit(peer.request.path)
    await PATHS[url.path](peer, parse_qs(url.query))


async def main():
    async with serve(handle, "127.0.0.1", 0, compression=COMPRESSION, max_size=32 << 20,
                     ping_interval=None, create_connection=Connection) as server:
        port = server.sockets[0].getsockname()[1]
        print(f"listening on ws://127.0.0.1:{port}", flush=True)
        await server.serve_forever()


asyncio.run(main())
