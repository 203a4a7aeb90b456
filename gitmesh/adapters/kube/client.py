"""HTTP to one API server: one session on an event loop of its own, deadlines, bounded answers, bounded retries.

Callers are synchronous and enter through `run`; what they run is a coroutine that awaits `send`.
"""

from __future__ import annotations

import asyncio
import random
import ssl
import threading
import weakref
from collections.abc import Callable, Coroutine, Mapping
from concurrent.futures import CancelledError
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeVar

import aiohttp
import orjson
from yarl import URL

from gitmesh.adapters.kube.credentials import Endpoint
from gitmesh.adapters.kube.errors import api_error, clean, is_schema_error
from gitmesh.adapters.kube.pacing import ATTEMPTS, RETRIED, Slots, backoff, retry_after
from gitmesh.ports import ClusterError

T = TypeVar("T")
IN_FLIGHT = 32
MOST_BYTES = 64 * 1024 * 1024
_CHUNK = 256 * 1024
_LAST_ROUNDS = 10
"""Rounds of the loop after the last connection was closed: a transport (below it TLS, and the socket) takes some to go."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One request. `path` was made by `paths`; `body` is JSON text; `safe` says that sending it twice does no harm."""

    method: str
    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None
    content_type: str = "application/json"
    accept: str = "application/json"
    safe: bool = True

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


class Identity(NamedTuple):
    """Which object, in which version."""

    uid: str
    version: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """Any answer but one that was retried; `warnings` are the texts of its Warning headers."""

    request: Request
    status: int
    body: bytes = field(repr=False)
    warnings: tuple[str, ...] = ()
    retry_after: str | None = None

    def json(self) -> dict[str, Any]:
        """The object of a 2xx. Raises ApiError for other statuses and ClusterError for what is no JSON object."""
        if not 200 <= self.status < 300:
            raise api_error(str(self.request), self.status, self.body)
        try:
            content = orjson.loads(self.body)
        except orjson.JSONDecodeError:
            content = None
        if not isinstance(content, dict):
            raise ClusterError(f"{self.request}: the answer is not JSON: {clean(self.body[:256].decode(errors='replace'), 120)}")
        return content

    def identity(self) -> Identity:
        """uid and resourceVersion of the object that the answer is. Raises ApiError as `json`, ClusterError for other shapes."""
        metadata = self.json().get("metadata")
        uid, version = (metadata.get("uid"), metadata.get("resourceVersion")) if isinstance(metadata, dict) else (None, None)
        if not isinstance(uid, str) or not isinstance(version, str):
            raise ClusterError(f"{self.request}: the answer is no Kubernetes object")
        return Identity(uid, version)


class Client:
    """The way to one API server. `timeout` is the deadline of one request in seconds, all its attempts included."""

    def __init__(self, endpoint: Endpoint, *, timeout: float, user_agent: str, jitter: Callable[[], float] = random.random) -> None:
        self._endpoint = endpoint
        self._timeout = timeout
        self._headers = {"Accept-Encoding": "identity", "User-Agent": user_agent}
        self._jitter = jitter
        self._slots = Slots(IN_FLIGHT)
        self._session: aiohttp.ClientSession | None = None
        self._context: ssl.SSLContext | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._lock = threading.Lock()
        self._end: weakref.finalize[..., Client] | None = None

    # -- the synchronous face ---------------------------------------------------------------------------

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine on the client's loop and wait for it. Not to be called from that loop.

        Raises what it raises, and ClusterError where `close` ended it.
        """
        try:
            return asyncio.run_coroutine_threadsafe(work, self._started()).result()
        except CancelledError:
            raise ClusterError("the connection was closed from this side") from None

    def close(self) -> None:
        """Close connections and end the thread; a later use starts anew."""
        with self._lock:
            if self._end is not None:
                self._end()
            self._end = self._loop = self._session = self._context = None

    @property
    def in_flight(self) -> int:
        """How many requests are sent at once now; less than 32 after the server said 429."""
        return self._slots.limit

    def _started(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                thread = threading.Thread(target=_serve, args=(self._loop,), name="gitmesh-kube", daemon=True)
                thread.start()
                self._session = asyncio.run_coroutine_threadsafe(_session(self._headers), self._loop).result()
                self._end = weakref.finalize(self, _shut, self._loop, thread, self._session)
            return self._loop

    # -- on the loop ------------------------------------------------------------------------------------

    async def send(self, request: Request) -> Answer:
        """The server's answer, whatever its status; retried where that is harmless and there is time.

        Raises ClusterError when there is none within the deadline.
        """
        async with self._slots:
            try:
                async with asyncio.timeout(self._timeout):
                    return await self._attempts(request)
            except TimeoutError:
                raise ClusterError(f"{request}: no answer within {self._timeout:g} s") from None

    async def _attempts(self, request: Request) -> Answer:
        loop = asyncio.get_running_loop()
        end = loop.time() + self._timeout
        for attempt in range(ATTEMPTS):
            answer, failure = await self._attempt(request)
            pause = self._pause(request, attempt, answer)
            if pause is not None and loop.time() + pause < end:
                await asyncio.sleep(pause)
                continue
            if failure is not None:
                raise failure
            if answer is not None:
                return answer
        raise AssertionError("the last attempt always ends")

    def _pause(self, request: Request, attempt: int, answer: Answer | None) -> float | None:
        """Seconds before another attempt, or None for no other."""
        if not request.safe or attempt + 1 >= ATTEMPTS:
            return None
        if answer is None:
            return backoff(attempt, self._jitter())
        if answer.status == 429:
            self._slots.slower()
        if answer.status not in RETRIED or is_schema_error(answer.status, answer.body):
            return None
        asked = retry_after(answer.retry_after)
        return backoff(attempt, self._jitter()) if asked is None else asked

    async def _attempt(self, request: Request) -> tuple[Answer | None, ClusterError | None]:
        """One attempt; a refused token is renewed once. The failure is one of the transport."""
        try:
            answer = await self._once(request, renew=False)
            if answer.status == 401:
                answer = await self._once(request, renew=True)
            if answer.status != 429:
                self._slots.faster()
            return answer, None
        except aiohttp.ClientConnectorCertificateError as error:
            reason = clean(error.certificate_error.args[-1] if error.certificate_error.args else "", 200)
            raise ClusterError(f"{request}: the server's certificate is not trusted: {reason}", code="GM501") from None
        except (aiohttp.ClientError, OSError) as error:
            return None, ClusterError(f"{request}: {_words(error)}")

    async def _once(self, request: Request, *, renew: bool) -> Answer:
        tokens = self._endpoint.tokens
        token = await tokens.token(renew) if tokens else ""
        headers = {"Accept": request.accept}
        if token:
            headers["Authorization"] = f"Bearer {token}"
        if request.body is not None:
            headers["Content-Type"] = request.content_type
        assert self._session is not None
        async with self._session.request(
            request.method,
            self._url(request),
            data=request.body,
            headers=headers,
            allow_redirects=False,
            ssl=self._tls(renew),
            server_hostname=self._endpoint.server_name or None,
        ) as response:
            body = await _bounded(response, request)
            warnings = tuple(_warning(text) for text in response.headers.getall("Warning", ()))
            pause = response.headers.get("Retry-After")
            return Answer(request=request, status=response.status, body=body, warnings=warnings, retry_after=pause)

    def _url(self, request: Request) -> URL:
        # `encoded` keeps the path as the guard saw it: nothing is normalised after it.
        return URL(self._endpoint.server.rstrip("/") + request.path, encoded=True).with_query(request.query)

    def _tls(self, renew: bool) -> ssl.SSLContext | bool:
        if self._endpoint.server.startswith("http://"):
            return True
        if self._context is None or renew:
            self._context = self._endpoint.context()
        return self._context


def _serve(loop: asyncio.AbstractEventLoop) -> None:
    asyncio.set_event_loop(loop)
    loop.run_forever()
    loop.close()


async def _session(headers: Mapping[str, str]) -> aiohttp.ClientSession:
    # Deadlines are ours: the session's own would count the wait for a connection too.
    return aiohttp.ClientSession(
        headers=headers,
        connector=aiohttp.TCPConnector(limit=IN_FLIGHT, keepalive_timeout=75),
        timeout=aiohttp.ClientTimeout(total=None),
        cookie_jar=aiohttp.DummyCookieJar(),
        max_line_size=64 * 1024,
        max_field_size=64 * 1024,
    )


def _shut(loop: asyncio.AbstractEventLoop, thread: threading.Thread, session: aiohttp.ClientSession) -> None:
    asyncio.run_coroutine_threadsafe(_close(session), loop).result(timeout=5)
    loop.call_soon_threadsafe(loop.stop)
    thread.join(timeout=5)


async def _close(session: aiohttp.ClientSession) -> None:
    """Cancel what still runs, then close the connections."""
    others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
    await session.close()
    for _ in range(_LAST_ROUNDS):
        await asyncio.sleep(0)


async def _bounded(response: aiohttp.ClientResponse, request: Request) -> bytes:
    """The whole body, unpacked, up to 64 MiB."""
    parts = bytearray()
    async for chunk in response.content.iter_chunked(_CHUNK):
        parts += chunk
        if len(parts) > MOST_BYTES:
            response.close()
            raise ClusterError(f"{request}: the answer is larger than 64 MiB", retryable=False)
    return bytes(parts)


def _warning(header: str) -> str:
    """The text of a Warning header: 299 - "text"."""
    _, quote, rest = header.partition('"')
    return clean(rest.rpartition('"')[0] if quote else header)


def _words(error: Exception) -> str:
    if isinstance(error, aiohttp.ClientConnectorError):
        return f"cannot connect: {clean(error.os_error.strerror or error.os_error, 120)}"
    return f"the connection broke: {clean(type(error).__name__, 80)}"
