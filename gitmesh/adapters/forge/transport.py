"""One way to every forge: one deadline, one place where the token is read and sent, one rule for what is
tried again.

The library is httpcore2, the part of httpx2 (maintained, typed, h11 below) that sends a request and does
nothing else: it takes our own sockets, so that one deadline holds where timeouts of httpx2, requests and
urllib3 hold for single reads; it follows no redirect and reads no environment. python-gitlab and gidgethub
each bring a second token path and retry rule (and PyGithub's and python-gitlab's requests a `.netrc`) for the
six calls that we need of each forge; aiohttp needs an event loop, and twice the time to load.
"""

from __future__ import annotations

import logging
import random
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import urlencode

import httpcore2
import msgspec
from msgspec import Struct
from msgspec.structs import replace

import gitmesh
from gitmesh.adapters.forge.answers import HttpAnswer, Query, failure
from gitmesh.adapters.forge.wire import LimitedBackend, TimeLimit, UntrustedError
from gitmesh.adapters.kube.errors import clean
from gitmesh.adapters.kube.pacing import backoff
from gitmesh.errors import ForgeError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from gitmesh.adapters.forge.site import Purpose, Site

T = TypeVar("T")

ATTEMPTS = 5
MOST_PAGES = 100
MOST_BYTES = 32 * 1024 * 1024
"""Of one answer. A page of comments may have 20 of GitLab's, each with a million characters."""
logging.getLogger("httpcore2").setLevel(
    logging.WARNING
)  # at DEBUG it tells all headers of an answer, which may repeat a token
# 409 is among them: GitLab answers so while somebody else sets a status of the same commit.
_RETRIED = frozenset({409, 500, 502, 503, 504})


class ApiCall(Struct, frozen=True, kw_only=True):
    """One request. `repeats`: done twice it is as if it were done once, so that it may be tried again
    whatever became of it.
    """

    purpose: Purpose
    path: str
    method: str = "GET"
    query: Query = {}
    body: Mapping[str, str] | None = None
    repeats: bool = True


class Mishap(Struct, frozen=True):
    """No answer that could be read. `sent`: the request may have been carried out all the same."""

    error: ForgeError
    sent: bool


class Transport:
    """Calls to one forge, from any thread. Nothing is kept between calls: no connection, no token, no
    certificate.
    """

    def __init__(
        self,
        site: Site,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self.site = site
        self._clock, self._sleep, self._jitter = clock, sleep, jitter

    @contextmanager
    def call(self) -> Iterator[Exchange]:
        """All requests of one call of the port. Whatever goes wrong is a ForgeError, free of the token."""
        limit = TimeLimit(self.site.timeout, self._clock, self._sleep)
        token = self.site.token()
        proxy = httpcore2.Proxy(self.site.proxy) if self.site.proxy else None
        pool = httpcore2.ConnectionPool(
            # One connection: the requests of a call follow each other, and share its deadline.
            ssl_context=self.site.tls(),
            proxy=proxy,
            max_connections=1,
            network_backend=LimitedBackend(limit),
        )
        headers = {
            "Host": self.site.host,
            **_HEADERS,
            **self.site.headers,
            self.site.header: self.site.scheme + token.value,
        }
        try:
            with pool:
                yield Exchange(self.site, pool, headers, limit, self._jitter)
        except TimeoutError:
            raise ForgeError(f"{self.site.host} did not answer within {self.site.timeout:g} s") from None
        except ForgeError as error:
            # Here, once for all requests of the call: an answer of the other side may repeat what it was
            # sent.
            error.detail = token.masked(error.detail)
            raise


_HEADERS: Mapping[str, str] = {"User-Agent": f"gitmesh/{gitmesh.__version__}", "Accept": "application/json"}


class Exchange:
    """The requests of one call. To be used from one thread, inside of `Transport.call`."""

    def __init__(
        self,
        site: Site,
        pool: httpcore2.ConnectionPool,
        headers: Mapping[str, str],
        limit: TimeLimit,
        jitter: Callable[[], float],
    ) -> None:
        self._site, self._pool, self._headers = site, pool, headers
        self._limit, self._jitter = limit, jitter

    def ask(self, ask: ApiCall, shape: type[T]) -> T:
        """The body of a good answer. Raises ForgeError, and TimeoutError for `call`."""
        return _value(self.answer(ask, shape))

    def pages(self, ask: ApiCall, shape: type[T]) -> Iterator[T]:
        """The bodies of all pages. Raises ForgeError where there are too many."""
        for _ in range(MOST_PAGES):
            answer = self.answer(ask, shape)
            yield _value(answer)
            following = answer.next_page(ask.query)
            if following is None:
                return
            ask = replace(ask, query=following)
        # An error, not the part that was read: what is sought may be on a page that was not.
        raise ForgeError(f"{self._site.host} lists more than {MOST_PAGES} pages", retryable=False)

    def answer(
        self, ask: ApiCall, shape: type[T], accepts: Callable[[HttpAnswer[T]], bool] = lambda _: False
    ) -> HttpAnswer[T]:
        """A good answer with its value, or another one that `accepts` takes. Raises ForgeError, and
        TimeoutError for `call`.
        """
        outcome = self._once(ask, shape)
        for attempt in range(ATTEMPTS - 1):
            wait = self._wait(ask, outcome, attempt)
            # A pause that would outlast the call is not begun: the failure is told now, with what the forge
            # said.
            if wait is None or not self._limit.has_room(wait):
                break
            self._limit.pause(wait)
            outcome = self._once(ask, shape)
        if isinstance(outcome, Mishap):
            raise outcome.error
        if outcome.is_good or (not outcome.is_limit and accepts(outcome)):
            return outcome
        raise failure(self._site, ask.purpose, outcome)

    def _wait(self, ask: ApiCall, outcome: HttpAnswer[T] | Mishap, attempt: int) -> float | None:
        """Seconds until the next attempt; None where there is to be none."""
        pause = backoff(attempt, self._jitter())
        if isinstance(outcome, Mishap):
            # A comment that was perhaps written already is not written again: two would be worse than none.
            return pause if outcome.error.retryable and (ask.repeats or not outcome.sent) else None
        if outcome.is_limit:  # it was not carried out
            return pause if outcome.wait is None else outcome.wait + pause
        if outcome.status in _RETRIED and ask.repeats:
            return pause if "retry-after" not in outcome.headers else (outcome.wait or 0) + pause
        return None

    def _once(self, ask: ApiCall, shape: type[T]) -> HttpAnswer[T] | Mishap:
        url = f"{self._site.api}/{ask.path}" + (f"?{urlencode(ask.query)}" if ask.query else "")
        content = None if ask.body is None else msgspec.json.encode(ask.body)
        headers = list(self._headers.items()) + (
            [] if content is None else [("Content-Type", "application/json")]
        )
        host = self._site.host
        try:
            with self._pool.stream(ask.method, url, headers=headers, content=content) as response:
                return self._read(
                    HttpAnswer(status=response.status, headers=_headers(response), body=self._body(response)),
                    shape,
                )
        except httpcore2.ConnectError as error:
            return self._unreachable(error)
        except httpcore2.ProxyError as error:
            text = f"the proxy of forge.proxy does not lead to {host}"
            return Mishap(
                ForgeError(text, detail=clean(error), hint="Look whether it may be used for this host."),
                sent=False,
            )
        except (httpcore2.NetworkError, httpcore2.ProtocolError) as error:
            return Mishap(ForgeError(f"{host} broke the connection off", detail=clean(error)), sent=True)

    def _unreachable(self, error: httpcore2.ConnectError) -> Mishap:
        if isinstance(error, UntrustedError):
            text = f"the certificate of {self._site.host} could not be verified"
            hint = "If a private CA signed it, name the file with the CA's certificate in forge.caFile."
            return Mishap(ForgeError(text, retryable=False, detail=str(error), hint=hint), sent=False)
        # Nothing was sent, so also a comment may be tried again.
        return Mishap(ForgeError(f"{self._site.host} could not be reached", detail=str(error)), sent=False)

    def _body(self, response: httpcore2.Response) -> bytes:
        body = bytearray()
        for piece in response.iter_stream():
            body += piece
            # Counted as it comes: Content-Length is the other side's word, and may be missing.
            if len(body) > MOST_BYTES:
                raise ForgeError(
                    f"{self._site.host} answers with more than {MOST_BYTES >> 20} MiB", retryable=False
                )
        return bytes(body)

    def _read(self, answer: HttpAnswer[T], shape: type[T]) -> HttpAnswer[T] | Mishap:
        if not answer.is_good:
            return answer
        try:
            return replace(answer, value=msgspec.json.decode(answer.body or b"{}", type=shape))
        except (msgspec.DecodeError, RecursionError) as error:
            # Sent, so a comment is not tried again: what answered in the API's place may have passed it on.
            text = f"{self._site.host} answers something else than its API does (HTTP {answer.status})"
            hint = "A login page or a proxy may stand before it, or forge.url or forge.kind is wrong."
            return Mishap(ForgeError(text, detail=clean(error), hint=hint), sent=True)


def _value(answer: HttpAnswer[T]) -> T:
    assert answer.value is not None, "a good answer was decoded"
    return answer.value


def _headers(response: httpcore2.Response) -> Mapping[str, str]:
    """Those that come more than once are joined, as RFC 9110 says."""
    found: dict[str, str] = {}
    for key, value in response.headers:
        name, text = key.decode("latin-1").lower(), value.decode("latin-1")
        found[name] = f"{found[name]}, {text}" if name in found else text
    return found
