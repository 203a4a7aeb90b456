"""Lists in pages, read from the quorum: all of it or an exception, never a part."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from functools import partial
from threading import Lock
from typing import Any, TypeAlias, TypeVar

from msgspec.structs import replace

from gitmesh.adapters.kube.client import Answer, Client, Request
from gitmesh.adapters.kube.together import Ahead
from gitmesh.errors import ClusterError

T = TypeVar("T")
Take: TypeAlias = Callable[[Mapping[str, Any]], T | None]
PAGE = 500
JSON = "application/json"
_RESTARTS = 4
_MOST_PAGES = 2000
_MOST_TIMES = 2
"""A whole list has so many times the deadline of a request: a server that always has one page more must come to an end."""
_REDUCING = Lock()
"""Held by who reduces a page: one decoded page at a time is in memory, however many lists are read at once."""


def everything(client: Client, path: str, take: Take[T], *, page: int = PAGE, accept: str = JSON) -> list[T]:
    """What `take` makes of each item; None is left out. Items are reduced page by page, so that large lists stay small.

    A list that expires between two pages (410) starts again. Raises ClusterError, also where it has not ended in time.
    """
    seconds = _MOST_TIMES * client.timeout
    end = time.monotonic() + seconds

    def send(request: Request) -> Answer:
        if time.monotonic() > end:
            raise ClusterError(f"GET {path}: the list did not end within {seconds:g} s, twice the deadline of a request")
        return client.send(request)

    for _ in range(_RESTARTS):
        found = _once(send, path, take, page, accept)
        if found is not None:
            return found
    raise ClusterError(f"GET {path}: the list expired {_RESTARTS} times before its last page")


def _once(send: Callable[[Request], Answer], path: str, take: Take[T], page: int, accept: str) -> list[T] | None:
    """The whole list, or None if it expired on the way. The server makes a page while the one before is reduced."""
    found: list[T] = []
    first = Request(method="GET", path=path, query={"limit": str(page)}, accept=accept)
    answer = send(first)
    for _ in range(_MOST_PAGES):
        if answer.status == 410:
            return None
        with _REDUCING:
            items, more = _page(path, answer)
            following = Ahead(partial(send, replace(first, query={**first.query, "continue": more}))) if more else None
            found += [made for item in items if (made := take(item)) is not None]
            del items  # before the next page is decoded
        if following is None:
            return found
        answer = following.result()
    raise ClusterError(f"GET {path}: the list has no end, {_MOST_PAGES} pages were read")


def _page(path: str, answer: Answer) -> tuple[list[Any], str]:
    """The items of an answer, and the token of the next page, "" where there is none. One that is no object spoils the list: left
    out, it would look deleted."""
    content = answer.json()
    items, metadata = content.get("items"), content.get("metadata")
    if not isinstance(items, list) or not isinstance(metadata, dict) or not all(map(_is_object, items)):
        raise ClusterError(f"GET {path}: the answer is no list")
    return items, str(metadata.get("continue") or "")


def _is_object(item: Any) -> bool:
    return isinstance(item, dict) and isinstance(metadata := item.get("metadata"), dict) and isinstance(metadata.get("name"), str)
