"""Lists in pages, read from the quorum: all of it or an exception, never a part."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from threading import Lock
from typing import Any, TypeAlias, TypeVar

from gitmesh.adapters.kube.client import Answer, Client, Request
from gitmesh.adapters.kube.together import Ahead
from gitmesh.errors import ClusterError

T = TypeVar("T")
Take: TypeAlias = Callable[[Mapping[str, Any]], T | None]
PAGE = 500
JSON = "application/json"
_RESTARTS = 4
_REDUCING = Lock()
"""Held by who reduces a page: one decoded page at a time is in memory, however many lists are read at once."""


def everything(client: Client, path: str, take: Take[T], *, page: int = PAGE, accept: str = JSON) -> list[T]:
    """What `take` makes of each item; None is left out. Items are reduced page by page, so that large lists stay small.

    A list that expires between two pages (410) starts again. Raises ClusterError.
    """
    for _ in range(_RESTARTS):
        found = _once(client, path, take, page, accept)
        if found is not None:
            return found
    raise ClusterError(f"GET {path}: the list expired {_RESTARTS} times before its last page")


def _once(client: Client, path: str, take: Take[T], page: int, accept: str) -> list[T] | None:
    """The whole list, or None if it expired on the way. The server makes a page while the one before is reduced."""
    found: list[T] = []
    first = Request(method="GET", path=path, query={"limit": str(page)}, accept=accept)
    answer = client.send(first)
    while answer.status != 410:
        with _REDUCING:
            items, more = _page(path, answer)
            following = Ahead(partial(client.send, replace(first, query={**first.query, "continue": more}))) if more else None
            found += [made for item in items if isinstance(item, dict) and (made := take(item)) is not None]
        if following is None:
            return found
        answer = following.result()
    return None


def _page(path: str, answer: Answer) -> tuple[list[Any], str]:
    """The items of an answer, and the token of the next page, "" where there is none."""
    content = answer.json()
    items, metadata = content.get("items"), content.get("metadata")
    if not isinstance(items, list) or not isinstance(metadata, dict):
        raise ClusterError(f"GET {path}: the answer is no list")
    return items, str(metadata.get("continue") or "")
