"""Lists in pages, read from the quorum: all of it or an exception, never a part."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias, TypeVar

from gitmesh.adapters.kube.client import Client, Request
from gitmesh.ports import ClusterError

T = TypeVar("T")
Take: TypeAlias = Callable[[Mapping[str, Any]], T | None]
PAGE = 500
JSON = "application/json"
_RESTARTS = 4


async def everything(client: Client, path: str, take: Take[T], *, page: int = PAGE, accept: str = JSON) -> list[T]:
    """What `take` makes of each item; None is left out. Items are reduced page by page, so that large lists stay small.

    A list that expires between two pages (410) starts again. Raises ClusterError.
    """
    for _ in range(_RESTARTS):
        found = await _once(client, path, take, page, accept)
        if found is not None:
            return found
    raise ClusterError(f"GET {path}: the list expired {_RESTARTS} times before its last page")


async def _once(client: Client, path: str, take: Take[T], page: int, accept: str) -> list[T] | None:
    """The whole list, or None if it expired on the way."""
    found: list[T] = []
    query = {"limit": str(page)}
    while True:
        answer = await client.send(Request(method="GET", path=path, query=query, accept=accept))
        if answer.status == 410:
            return None
        content = answer.json()
        items, metadata = content.get("items"), content.get("metadata")
        if not isinstance(items, list) or not isinstance(metadata, dict):
            raise ClusterError(f"GET {path}: the answer is no list")
        found += [made for item in items if isinstance(item, dict) and (made := take(item)) is not None]
        if not metadata.get("continue"):
            return found
        query = {"limit": str(page), "continue": str(metadata["continue"])}
