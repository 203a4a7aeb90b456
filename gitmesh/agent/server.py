"""The agent's HTTP door: /healthz, /readyz, /metrics, and /webhook, which only wakes. One thread of its own,
apart from the loop.

Every connection has one deadline for its request and answer together, and there are limits on connections:
beyond them the oldest of the peer that has most is cut, so that whoever holds connections open loses them,
and a probe always gets through (docs/reliability.md W05).
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

from gitmesh.agent.health import Health, ProbeAnswer
from gitmesh.agent.listening import addresses, listening

if TYPE_CHECKING:
    from socket import socket

Page = tuple[int, str, bytes]
Hook = Callable[[Mapping[str, str], bytes], Page]
"""What answers a POST: headers, with names in lower case, and body."""
MOST_CONNECTIONS = 64
MOST_OF_A_PEER = 16
SLOWEST_CLIENT = 10.0
"""Seconds that a client has, from its connection to the end of the answer."""
MOST_BODY = 1 << 20
"""Bytes of a request's body; a longer one is refused before it is read."""
MOST_BODIES = 8
"""Bodies that are being read at the same time; who comes then is told to come later."""
_LONGEST_HEAD = 8192
_BACKLOG = 512
NO_HOOKS: Mapping[str, Hook] = {}
_A_MOMENT = 0.05
_PLAIN = "text/plain; charset=utf-8"


def pages(
    health: Health, registry: CollectorRegistry, now: Callable[[], float]
) -> Mapping[str, Callable[[], Page]]:
    """Path -> page. A fixed map: no path ever reaches a file system (docs/reliability.md W10)."""
    return {
        "/healthz": lambda: _answer(health.alive(now())),
        "/readyz": lambda: _answer(health.ready()),
        "/metrics": lambda: (200, CONTENT_TYPE_LATEST, generate_latest(registry)),
    }


def _answer(answer: ProbeAnswer) -> Page:
    return (200 if answer.ok else 503, _PLAIN, f"{answer.text}\n".encode())


class AgentServer:
    """Answers on sockets that listen, from its making until `close`."""

    def __init__(
        self, sockets: Sequence[socket], routes: Mapping[str, Callable[[], Page]], hooks: Mapping[str, Hook]
    ) -> None:
        self.addresses = addresses(sockets)
        self._door = _Door(routes, hooks)
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
                made = await asyncio.start_server(
                    self._door.enter, sock=one, limit=_LONGEST_HEAD, backlog=_BACKLOG
                )
                await stack.enter_async_context(made)
            await self._stop.wait()
            for one in sockets:  # a connection that comes in while asyncio closes its server would stay open
                self._loop.remove_reader(one)
            await self._door.close()


def serve(
    listen: str, routes: Mapping[str, Callable[[], Page]], hooks: Mapping[str, Hook] = NO_HOOKS
) -> AgentServer:
    """Listen on HOST:PORT and answer in the background: GET by `routes`, POST by `hooks`. Raises
    ListenError.
    """
    return AgentServer(listening(listen, backlog=_BACKLOG), routes, hooks)


class _Door:
    """The open connections, oldest first, each with its peer; used in the loop's thread only."""

    def __init__(self, routes: Mapping[str, Callable[[], Page]], hooks: Mapping[str, Hook]) -> None:
        self._routes, self._hooks = routes, hooks
        self._reading = 0
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
        hook = _hook(head, self._hooks)
        writer.write(
            answered(*await self._posted(head, hook, reader, writer))
            if hook
            else response(head, self._routes)
        )
        await writer.drain()
        writer.write_eof()
        while await reader.read(
            _LONGEST_HEAD
        ):  # until the peer has read all: a connection that is cut before takes the answer with it
            pass

    async def _posted(
        self, head: bytes, hook: Hook, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> Page:
        """Read a body that may be read, and hand it over."""
        headers = _headers(head)
        length, refusal = _length(headers)
        if refusal:
            return refusal
        # Connections times the longest body would be 64 MiB for who knows no secret yet.
        if self._reading >= MOST_BODIES:
            return 503, _PLAIN, b"too many at once\n"
        if headers.get("expect", "").lower() == "100-continue":
            writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        self._reading += 1
        try:
            return hook(headers, await reader.readexactly(length))
        finally:
            self._reading -= 1

    def _make_room(self, peer: str) -> None:
        """Within the limits by cutting the oldest, of this peer or of the one that has most."""
        counts = Counter(self.open.values())
        # Its own oldest first: who opens too many harms only himself.
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
        page = (405, _PLAIN, b"only GET and HEAD\n") if _path(target) in routes else _not_found()
    else:
        page = routes.get(_path(target), _not_found)()
    return answered(*page, without_body=method == "HEAD")


def answered(status: int, kind: str, body: bytes, *, without_body: bool = False) -> bytes:
    """A page as an HTTP answer, after which the connection closes."""
    fields = {
        "Content-Type": kind,
        "Content-Length": len(body),
        # So that no browser takes text of ours for HTML.
        "X-Content-Type-Options": "nosniff",
        # One request for each connection, so that one deadline bounds them both.
        "Connection": "close",
    }
    lines = [
        f"HTTP/1.1 {status} {HTTPStatus(status).phrase}",
        *(f"{name}: {value}" for name, value in fields.items()),
    ]
    return "\r\n".join([*lines, "", ""]).encode() + (b"" if without_body else body)


def _path(target: str) -> str:
    return target.partition("?")[0]


def _hook(head: bytes, hooks: Mapping[str, Hook]) -> Hook | None:
    """What takes the request, where it is a POST for one of them."""
    words = head.partition(b"\r\n")[0].decode("latin-1").split(" ")
    return (
        hooks.get(_path(words[1]))
        if len(words) == 3 and words[0] == "POST" and words[2].startswith("HTTP/1.")
        else None
    )


def _headers(head: bytes) -> Mapping[str, str]:
    """Names in lower case; one that comes twice is no value that could be relied on."""
    found: dict[str, str] = {}
    for line in head.decode("latin-1").split("\r\n")[1:]:
        name, colon, value = line.partition(":")
        if colon:
            found[name.lower()] = value.strip() if name.lower() not in found else ""
    return found


def _length(headers: Mapping[str, str]) -> tuple[int, Page | None]:
    """Bytes of the body, or why it is not read."""
    text = headers.get("content-length")
    # One way to say how long a body is: with two, a proxy before us may read another request than we do.
    if text is None or "transfer-encoding" in headers:
        return 0, (411, _PLAIN, b"say Content-Length\n")
    if not (text.isascii() and text.isdecimal()):
        return 0, (400, _PLAIN, b"bad request\n")
    if len(text) > 10 or int(text) > MOST_BODY:
        return 0, (413, _PLAIN, b"too large\n")
    return int(text), None


def _not_found() -> Page:
    return 404, _PLAIN, b"not found\n"
