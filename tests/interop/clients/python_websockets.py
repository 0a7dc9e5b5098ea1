"""Python's `websockets` as the client of `throng echo`: the tests of clients/ws.js, its own way.

Prints a line for each test: `ok NAME` or `FAILED NAME: why`.
"""

import asyncio
import os
import sys
import traceback

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory

URL, MODE, OFFER, IMPATIENT_URL = sys.argv[1:5]
COMPRESSED = OFFER == "offer" and MODE != "off"
MIB = 1 << 20
TEST_S = 20

TESTS = {}


class Connection(ClientConnection):
    """Counts the bytes that arrive."""

    bytes_read = 0

    def data_received(self, data):
        self.bytes_read += len(data)
        super().data_received(data)


def open_peer(url=URL, extensions=None):
    compression = "deflate" if OFFER == "offer" and extensions is None else None
    return connect(url, compression=compression, extensions=extensions, max_size=None,
                   ping_interval=None, proxy=None, create_connection=Connection)


def test(name):
    """Names a test. One that takes a peer gets it open, and closes it with 1000."""
    def register(function):
        async def with_peer():
            async with open_peer() as peer:
                await function(peer)
                await closes(peer, 1000)
        TESTS[name] = with_peer if function.__code__.co_argcount else function
        return function
    return register


def text(size):
    """Text that shrinks to a few per cent, with characters of one to four bytes."""
    line = '{"type":"text","room":"lobby","content":"grüße, 世界, 🦀"}\n'
    count, rest = divmod(size, len(line.encode()))
    return line * count + "." * rest


async def echo(peer, message):
    await peer.send(message)
    same(await peer.recv(), message)


def same(got, wanted):
    assert type(got) is type(wanted), "text or binary"
    assert got == wanted, f"{len(got)} other units came back"  # may be 16 MiB: not shown


async def closes(peer, code, reason=""):
    await peer.close(code, reason)
    assert peer.close_code == code, peer.close_code


async def closed_with(peer):
    try:
        await peer.recv()
    except ConnectionClosed as closed:
        return closed.rcvd and closed.rcvd.code
    raise AssertionError("a message came")


@test("negotiation")
async def _(peer):
    names = [extension.name for extension in peer.protocol.extensions]
    assert names == (["permessage-deflate"] if COMPRESSED else []), names
    if COMPRESSED:
        (deflate,) = peer.protocol.extensions
        assert deflate.remote_no_context_takeover == (MODE == "shared"), deflate


@test("text")
async def _(peer):
    await echo(peer, "hello")


@test("binary")
async def _(peer):
    await echo(peer, os.urandom(1000))


@test("empty messages")
async def _(peer):
    await echo(peer, "")
    await echo(peer, b"")


@test("unicode")
async def _(peer):
    await echo(peer, "κόσμε, 世界, 🦀, \0, \uFEFF, \U0010FFFF")
    await echo(peer, text(5000))


@test("lengths where the header grows")
async def _(peer):
    for size in (1, 125, 126, 127, 128, 65_535, 65_536):
        await echo(peer, text(size))
        await echo(peer, os.urandom(size))


@test("500 messages in a row")
async def _(peer):
    messages = [f"{number} {text(300)}" for number in range(500)]

    async def send():
        for message in messages:
            await peer.send(message)

    sending = asyncio.create_task(send())
    for message in messages:
        same(await peer.recv(), message)
    await sending


@test("16 MiB of text")
async def _(peer):
    await echo(peer, text(16 * MIB))


@test("16 MiB of noise")
async def _(peer):
    await echo(peer, os.urandom(16 * MIB))


@test("fragments of text")
async def _(peer):
    pieces = ["grüße", ", ", "", "🦀" * 1000, text(70_000)]
    await peer.send(pieces)
    same(await peer.recv(), "".join(pieces))


@test("fragments of binary")
async def _(peer):
    pieces = [os.urandom(size) for size in (0, 1, 125, 126, 65_536, 1_000_000, 0)]
    await peer.send(pieces)
    same(await peer.recv(), b"".join(pieces))


@test("pings between fragments")
async def _(peer):
    pongs = []

    async def pieces():
        for number in range(5):
            pongs.append(await peer.ping(f"ping {number}"))
            yield f"piece {number} {text(500)}"

    await peer.send(pieces())
    same(await peer.recv(), "".join([f"piece {number} {text(500)}" for number in range(5)]))
    await asyncio.gather(*pongs)


@test("ping and pong")
async def _(peer):
    for payload in (b"", b"throng?", os.urandom(125)):
        await (await peer.ping(payload))


@test("pings of the server")
async def _():
    async with open_peer(IMPATIENT_URL) as peer:
        await asyncio.sleep(1.5)
        await echo(peer, "still here")


@test("close with 1000")
async def _():
    async with open_peer() as peer:
        await closes(peer, 1000)


@test("close with 1001")
async def _():
    async with open_peer() as peer:
        await closes(peer, 1001, "going")


@test("close with 4321")
async def _():
    async with open_peer() as peer:
        await closes(peer, 4321, "grüße 🦀")


@test("invalid UTF-8 is 1007")
async def _():
    async with open_peer() as peer:
        await peer.send(b"a\xffb", text=True)
        assert await closed_with(peer) == 1007


@test("over 16 MiB is 1009")
async def _():
    # Not closed once more: on a connection that is lost already asyncio stumbles over that.
    peer = await open_peer()
    try:
        await peer.send(bytes(16 * MIB + 1))
    except ConnectionClosed:
        pass  # the server need not have read all of it
    assert await closed_with(peer) == 1009


@test("bytes on the wire")
async def _(peer):
    before = peer.bytes_read
    await echo(peer, text(MIB))
    read = peer.bytes_read - before
    assert (read < MIB / 10) == COMPRESSED, f"{read} bytes read"


async def window(bits):
    """The server keeps to the window that it is asked for, and reads what keeps to its own."""
    offer = ClientPerMessageDeflateFactory(server_max_window_bits=bits, client_max_window_bits=bits)
    async with open_peer(extensions=[offer]) as peer:
        (deflate,) = peer.protocol.extensions
        assert deflate.remote_max_window_bits == bits, deflate
        for _ in range(3):
            await echo(peer, os.urandom(4096) * 64)
        await echo(peer, text(300_000))


async def no_context_takeover():
    offer = ClientPerMessageDeflateFactory(
        server_no_context_takeover=True, client_no_context_takeover=True)
    async with open_peer(extensions=[offer]) as peer:
        (deflate,) = peer.protocol.extensions
        assert deflate.remote_no_context_takeover and deflate.local_no_context_takeover, deflate
        for _ in range(3):
            await echo(peer, text(5000))


if COMPRESSED:
    TESTS["the smallest windows"] = lambda: window(9)
    TESTS["windows of 12"] = lambda: window(12)
    TESTS["no context takeover"] = no_context_takeover


@test("the server stops with 1001")
async def _():
    async with open_peer() as peer:
        print("stop the server", flush=True)
        assert await closed_with(peer) == 1001


async def run():
    for name, function in TESTS.items():
        try:
            await asyncio.wait_for(function(), TEST_S)
            print(f"ok {name}", flush=True)
        except Exception as error:
            where = " | ".join(traceback.format_exc().split("\n")[-6:])
            print(f"FAILED {name}: {error!r} {where}", flush=True)


asyncio.run(run())
