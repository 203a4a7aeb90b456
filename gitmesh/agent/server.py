"""The agent's HTTP door: /healthz, /readyz, /metrics. It reads only, in one thread of its own, apart from the loop.

Every connection has one deadline for its request and answer together, and there are limits on connections: beyond them the oldest of
the peer that has most is cut, so that whoever holds connections open loses them, and a probe always gets through (reliability W05).
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from http import HTTPStatus
from threading import Thread
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from gitmesh.agent.health import Answer, Health
from gitmesh.agent.listening import addresses, listening

if TYPE_CHECKING:
    from socket import socket

Page = tuple[int, str, bytes]
MOST_CONNECTIONS = 64
MOST_OF_A_PEER = 16
SLOWEST_CLIENT = 10.0
"""Seconds that a client has, from its connection to the end of the answer."""
_LONGEST_HEAD = 8192
_BACKLOG = 512
_A_MOMENT = 0.05
_PLAIN = "text/plain; charset=utf-8"


def pages(health: Health, registry: CollectorRegistry, now: Callable[[], float]) -> Mapping[str, Callable[[], Page]]:
    """Path -> page. A fixed map: no path ever reaches a file system (reliability W10)."""
    return {
        "/healthz": lambda: _answer(health.alive(now())),
        "/readyz": lambda: _answer(health.ready()),
        "/metrics": lambda: (200, CONTENT_TYPE_LATEST, generate_latest(registry)),
    }


def _answer(answer: Answer) -> Page:
    return (200 if answer.ok else 503, _PLAIN, f"{answer.text}\n".encode())


class Server:
    """Answers on sockets that listen, from its making until `close`."""

    def __init__(self, sockets: Sequence[socket], routes: Mapping[str, Callable[[], Page]]) -> None:
        self.addresses = addresses(sockets)
        self._door = _Door(routes)
        self._loop = asyncio.new_event_loop()
        self._stop = asyncio.Event()
        self._thread = Thread(target=self._run, args=(sockets,), name="http", daemon=True)
        self._thread.start()

    @property
    def connections(self) -> int:
        """How many are open now."""
        return len(self._door.open)

    def close(self) -> None:
        """Answer no more, and close every connection; harmless when repeated."""
        with contextlib.suppress(RuntimeError):  # the loop is closed already
            self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()

    def _run(self, sockets: Sequence[socket]) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._serve(sockets))

    async def _serve(self, sockets: Sequence[socket]) -> None:
        async with contextlib.AsyncExitStack() as stack:
            for one in sockets:
                made = await asyncio.start_server(self._door.enter, sock=one, limit=_LONGEST_HEAD, backlog=_BACKLOG)
                await stack.enter_async_context(made)
            await self._stop.wait()
            for one in sockets:  # a connection that comes in while asyncio closes its server would stay open
                self._loop.remove_reader(one)
            await self._door.close()


def serve(listen: str, routes: Mapping[str, Callable[[], Page]]) -> Server:
    """Listen on HOST:PORT and answer in the background. Raises ListenError."""
    return Server(listening(listen, backlog=_BACKLOG), routes)


class _Door:
    """The open connections, oldest first, each with its peer; used in the loop's thread only."""

    def __init__(self, routes: Mapping[str, Callable[[], Page]]) -> None:
        self._routes = routes
        self.open: dict[asyncio.StreamWriter, str] = {}

    async def enter(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection: a request, an answer, the end."""
        self.open[writer] = str((writer.get_extra_info("peername") or ("",))[0])
        self._make_room(self.open[writer])
        try:
            async with asyncio.timeout(SLOWEST_CLIENT):
                await self._exchange(reader, writer)
        except (OSError, TimeoutError, EOFError):
            pass  # a client that went away, was too slow, or was cut for others
        finally:
            self.open.pop(writer, None)
            writer.transport.abort()

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
        except asyncio.LimitOverrunError:
            head = b""
        writer.write(response(head, self._routes))
        await writer.drain()
        writer.write_eof()
        while await reader.read(_LONGEST_HEAD):  # until the peer has read all: a connection that is cut before takes the answer with it
            pass

    def _make_room(self, peer: str) -> None:
        """Within the limits by cutting the oldest, of this peer or of the one that has most."""
        counts = Counter(self.open.values())
        if counts[peer] > MOST_OF_A_PEER:
            self._cut(peer)
        elif len(self.open) > MOST_CONNECTIONS:
            self._cut(counts.most_common(1)[0][0])

    def _cut(self, peer: str) -> None:
        oldest = next(writer for writer, of in self.open.items() if of == peer)
        del self.open[oldest]
        oldest.transport.abort()

    async def close(self) -> None:
        """Cut all, those too that have come in just now, and wait until their sockets are closed."""
        while others := asyncio.all_tasks() - {asyncio.current_task()}:
            for writer in self.open:
                writer.transport.abort()
            await asyncio.wait(others, timeout=_A_MOMENT)


def response(head: bytes, routes: Mapping[str, Callable[[], Page]]) -> bytes:
    """The whole answer to the head of a request, which is the last one on its connection."""
    method, _, rest = head.partition(b"\r\n")[0].decode("latin-1").partition(" ")
    target, _, version = rest.rpartition(" ")
    if not target.startswith("/") or not version.startswith("HTTP/1."):
        page: Page = (400, _PLAIN, b"bad request\n")
    elif method not in ("GET", "HEAD"):
        page = (405, _PLAIN, b"only GET and HEAD\n")
    else:
        page = routes.get(target.partition("?")[0], _not_found)()
    status, kind, body = page
    fields = {"Content-Type": kind, "Content-Length": len(body), "X-Content-Type-Options": "nosniff", "Connection": "close"}
    lines = [f"HTTP/1.1 {status} {HTTPStatus(status).phrase}", *(f"{name}: {value}" for name, value in fields.items())]
    return "\r\n".join([*lines, "", ""]).encode() + (b"" if method == "HEAD" else body)


def _not_found() -> Page:
    return 404, _PLAIN, b"not found\n"
