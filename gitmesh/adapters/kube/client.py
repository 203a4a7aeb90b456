"""Requests to one API server: deadlines, bounded retries, as many at once as the server bears."""

from __future__ import annotations

import contextlib
import random
import threading
import weakref
from ssl import SSLCertVerificationError
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from gitmesh.adapters.kube.deadline import Closing, Deadline
from gitmesh.adapters.kube.errors import clean, is_schema_error
from gitmesh.adapters.kube.exchange import ApiAnswer, ApiRequest, warning_of
from gitmesh.adapters.kube.message import MessageError, TooLargeError
from gitmesh.adapters.kube.pacing import ATTEMPTS, RETRIED, Slots, backoff, retry_after
from gitmesh.adapters.kube.together import together
from gitmesh.adapters.kube.transport import Pool
from gitmesh.adapters.kube.wire import UnreachableError
from gitmesh.errors import ClusterError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from gitmesh.adapters.kube.access import EndpointAccess
    from gitmesh.adapters.kube.credentials import Endpoint

A = TypeVar("A")
T = TypeVar("T")
IN_FLIGHT = 32


class _Session(NamedTuple):
    """What lives until the client is closed."""

    pool: Pool
    closing: Closing

    def end(self) -> None:
        """Close connections; what runs or waits ends in ClusterError."""
        self.closing.close()
        self.pool.close()


class KubeClient:
    """The way to one API server, for any thread. `timeout` is the deadline of one request in seconds, all its
    attempts included.

    Where the server is and who we are there is what `access` said at the last `refresh`; refused credentials
    are asked for anew at once.
    """

    def __init__(
        self,
        access: EndpointAccess,
        *,
        timeout: float,
        user_agent: str,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._access = access
        self.timeout = timeout
        self._headers = {"Accept-Encoding": "identity", "User-Agent": user_agent}
        self._jitter = jitter
        self._slots = Slots(IN_FLIGHT)
        self._date: str | None = None
        self._lock = threading.Lock()
        self._session: _Session | None = None
        self._end: weakref.finalize[..., KubeClient] | None = None

    def close(self) -> None:
        """Close connections and end what runs; a later use starts anew."""
        with self._lock:
            if self._end is not None:
                self._end()
            self._end = self._session = None

    def refresh(self) -> ClusterError | None:
        """Look whether the files were changed that say where the server is and who we are. Between two cycles
        only: the cluster may be another one after it.

        Returns why they cannot be read, while what was read last serves; raises that where nothing was.
        """
        # Other connections, too: those that are open lead to where it was before.
        if self._access.endpoint() != self.endpoint:
            self.close()
        return self._access.fault or self._started().pool.refresh()

    @property
    def endpoint(self) -> Endpoint:
        """The endpoint in use. Raises ClusterError where none is known."""
        return self._started().pool.endpoint

    def clock(self) -> float:
        """The server's own clock at its last answer, in seconds since the epoch; 0 before the first one."""
        from email.utils import parsedate_to_datetime  # 15 ms, for those who ask

        try:
            return parsedate_to_datetime(self._date or "").timestamp()
        except (ValueError, OverflowError):
            return 0.0

    @property
    def in_flight(self) -> int:
        """How many requests are sent at once now; less than 32 after the server said 429."""
        return self._slots.limit

    def each(self, work: Callable[[A], T], items: Iterable[A]) -> list[T]:
        """What `work`, which sends requests, makes of each item, in their order, as many at once as the
        server bears.

        After a failure nothing else is begun; it is raised once all that runs has ended. An interrupt closes
        the client.
        """
        try:
            return together(work, items, most=IN_FLIGHT)
        except Exception:
            raise
        # An interrupt: whoever still waits for an answer is let go.
        except BaseException:
            self.close()
            raise

    def pause(self, seconds: float) -> None:
        """Send nothing for a while; `close` ends it."""
        with contextlib.suppress(ClusterError):
            Deadline(seconds + 1, self._started().closing).pause(seconds)

    def send(self, request: ApiRequest) -> ApiAnswer:
        """The server's answer, whatever its status; retried where that is harmless and there is time.

        Raises ClusterError when there is none within the deadline, or `close` ended it.
        """
        session = self._started()
        with self._slots:
            try:
                return self._attempts(request, session.pool, Deadline(self.timeout, session.closing))
            except TimeoutError:
                raise _silent(request, f"no answer within {self.timeout:g} s") from None

    def _started(self) -> _Session:
        with self._lock:
            if self._session is None:
                self._session = _Session(Pool(self._access.endpoint()), Closing())
                self._end = weakref.finalize(self, self._session.end)
            return self._session

    def _attempts(self, request: ApiRequest, pool: Pool, deadline: Deadline) -> ApiAnswer:
        for attempt in range(ATTEMPTS):
            answer, failure = self._attempt(request, pool, deadline)
            pause = self._pause(request, attempt, answer)
            # A pause beyond the deadline is not begun: the caller learns at once what was answered.
            if pause is not None and pause < deadline.left():
                deadline.pause(pause)
                continue
            if failure is not None:
                raise failure
            if answer is not None:
                return answer
        raise AssertionError("the last attempt always ends")

    def _pause(self, request: ApiRequest, attempt: int, answer: ApiAnswer | None) -> float | None:
        """Seconds before another attempt, or None for no other."""
        if not request.safe or attempt + 1 >= ATTEMPTS:
            return None
        if answer is None:
            return backoff(attempt, self._jitter())
        if answer.status == 429:
            self._slots.slower()
        # The API server says 500 of a patch that does not fit the schema, which no further attempt changes.
        if answer.status not in RETRIED or is_schema_error(answer.status, answer.body):
            return None
        asked = retry_after(answer.retry_after)
        return backoff(attempt, self._jitter()) if asked is None else asked

    def _attempt(
        self, request: ApiRequest, pool: Pool, deadline: Deadline
    ) -> tuple[ApiAnswer | None, ClusterError | None]:
        """One attempt; refused credentials are renewed once. The failure is one of the transport."""
        try:
            answer = self._once(request, pool, deadline, renew=False)
            # Once: credentials may have been rotated since they were read; refused again, they are wrong.
            if answer.status == 401:
                self._renew(pool)
                answer = self._once(request, pool, deadline, renew=True)
            if answer.status != 429:
                self._slots.faster()
            return answer, None
        except SSLCertVerificationError as error:
            reason = clean(error.verify_message, 200)
            hint = (
                "Is the CA of the kubeconfig that of this API server, and `server` a name in its certificate?"
            )
            raise ClusterError(
                "the server's certificate is not trusted", hint=hint, detail=f"{request}: {reason}"
            ) from None
        except TooLargeError:
            raise ClusterError(
                "the answer is larger than 64 MiB", retryable=False, detail=str(request)
            ) from None
        except OSError as error:
            deadline.left()  # where there is no time any more, that is what is told
            return None, _silent(request, _words(error))

    def _renew(self, pool: Pool) -> None:
        """Take up new credentials."""
        with contextlib.suppress(ClusterError):
            found = self._access.endpoint(refused=True)
            # Another address waits for `refresh`: what is under way was planned for the cluster at this one.
            if found.is_at(pool.endpoint):
                pool.endpoint = found

    def _once(self, request: ApiRequest, pool: Pool, deadline: Deadline, *, renew: bool) -> ApiAnswer:
        tokens = pool.endpoint.tokens
        token = tokens.token(renew, deadline) if tokens else ""
        headers = {**self._headers, "Accept": request.accept}
        if token:
            headers["Authorization"] = f"Bearer {token}"
        if request.body is not None:
            headers["Content-Type"] = request.content_type
        reply = pool.exchange(request.method, request.target, request.body, headers, deadline, renew=renew)
        self._date = reply.first("date") or self._date
        warnings = tuple(map(warning_of, reply.headers.get("warning", ())))
        return ApiAnswer(
            request=request,
            status=reply.status,
            body=reply.body,
            warnings=warnings,
            retry_after=reply.first("retry-after"),
        )


def _silent(request: ApiRequest, words: str) -> ClusterError:
    """There was no whole answer. How a server that is away shows that, and to which of many requests, differs
    each time.
    """
    return ClusterError("the API server does not answer", detail=f"{request}: {words}")


def _words(error: Exception) -> str:
    if isinstance(error, UnreachableError):
        return f"cannot connect: {clean(error, 120)}"
    return (
        "the connection broke:"
        f" {error if isinstance(error, MessageError) else clean(type(error).__name__, 80)}"
    )
