"""Lists in pages, read from the quorum: all of it or an exception, never a part."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from functools import partial
from threading import Lock
from typing import Any, TypeAlias, TypeVar

from msgspec.structs import replace

from gitmesh.adapters.kube.client import KubeClient
from gitmesh.adapters.kube.exchange import ApiAnswer, ApiRequest
from gitmesh.adapters.kube.together import Ahead
from gitmesh.errors import ClusterError

T = TypeVar("T")
Take: TypeAlias = Callable[[Mapping[str, Any]], T | None]
PAGE = 500
JSON = "application/json"
_RESTARTS = 4
_MOST_PAGES = 1000
_MOST_BYTES = 2 * 1024 * 1024 * 1024
TIMES = 4
"""A list of many pages may take so many times as long as one request: a server that pages without end holds
its cluster no longer.
"""
# Held while a page is reduced, so that one decoded page at a time is in memory, however many lists are read
# at once.
_REDUCING = Lock()


class _Budget:
    """How much of one list is read, its beginnings anew included: 1000 pages, 2 GiB, and four deadlines of a
    request.
    """

    def __init__(self, path: str, seconds: float, clock: Callable[[], float]) -> None:
        self._path = path
        self._clock = clock
        self._end = clock() + seconds
        self._pages = self._bytes = 0

    def take(self, answer: ApiAnswer) -> None:
        """One page more. Raises ClusterError."""
        self._pages += 1
        self._bytes += len(answer.body)
        # A server that pages without end, or trickles, keeps every single deadline: the list as a whole
        # needs its own.
        if self._pages > _MOST_PAGES or self._bytes > _MOST_BYTES or self._clock() > self._end:
            limits = (
                f"{_MOST_PAGES} pages, {_MOST_BYTES >> 20} MiB and {TIMES} times the cluster's timeout are"
                " read of one"
            )
            hint = (
                "Raise `timeout` of the cluster if it is slow; else ask what stands in front of its API"
                " server."
            )
            detail = f"{self._pages} pages, {self._bytes} bytes"
            raise ClusterError(f"GET {self._path}: the list does not end: {limits}", hint=hint, detail=detail)


def everything(
    client: KubeClient,
    path: str,
    take: Take[T],
    *,
    page: int = PAGE,
    accept: str = JSON,
    clock: Callable[[], float] = time.monotonic,
) -> list[T]:
    """What `take` makes of each item; None is left out. Raises ClusterError."""
    budget = _Budget(path, TIMES * client.timeout, clock)
    # A list that expires between two pages (410) starts again.
    for _ in range(_RESTARTS):
        found = _once(client, path, take, page, accept, budget)
        if found is not None:
            return found
    raise ClusterError(f"GET {path}: the list expired {_RESTARTS} times before its last page")


def _once(
    client: KubeClient, path: str, take: Take[T], page: int, accept: str, budget: _Budget
) -> list[T] | None:
    """The whole list, or None if it expired on the way. The server makes a page while the one before is
    reduced.
    """
    found: list[T] = []
    first = ApiRequest(method="GET", path=path, query={"limit": str(page)}, accept=accept)
    answer = client.send(first)
    # What was read before an expiry is dropped: two halves from different moments are no list.
    while answer.status != 410:
        budget.take(answer)
        with _REDUCING:
            items, more = _page(path, answer)
            following = (
                Ahead(partial(client.send, replace(first, query={**first.query, "continue": more})))
                if more
                else None
            )
            found += [made for item in items if (made := take(item)) is not None]
            del items  # before the next page is decoded
        if following is None:
            return found
        answer = following.result()
    return None


def _page(path: str, answer: ApiAnswer) -> tuple[list[Any], str]:
    """The items of an answer, and the token of the next page, "" where there is none."""
    content = answer.json()
    items, metadata = content.get("items"), content.get("metadata")
    # One item that is no object spoils the list: left out, it would look deleted.
    if not isinstance(items, list) or not isinstance(metadata, dict) or not all(map(_is_object, items)):
        raise ClusterError(f"GET {path}: the answer is no list")
    return items, str(metadata.get("continue") or "")


def _is_object(item: Any) -> bool:
    return (
        isinstance(item, dict)
        and isinstance(metadata := item.get("metadata"), dict)
        and isinstance(metadata.get("name"), str)
    )
