"""What objects of a mesh are to each other: what one offers, another relies on."""

from __future__ import annotations

from typing import Literal, TypeAlias

from msgspec import Struct

RefKind: TypeAlias = Literal["subset", "host", "port", "gateway", "identity", "grant"]


class Ref(Struct, frozen=True, kw_only=True, order=True):
    """Something that objects name. `name` is unique among those of its kind and owner; `of` is the full name
    of the owner (a subset's or port's host), "" where it has none. `cluster` is the one that offers it to
    all clusters, "" = it is known in its own alone."""

    kind: RefKind
    of: str = ""
    name: str
    cluster: str = ""

    def __str__(self) -> str:
        named = f"{self.kind} {self.name}{f' of {self.of}' if self.of else ''}"
        return f"{named} in cluster {self.cluster}" if self.cluster else named


class Links(Struct, frozen=True, kw_only=True):
    """What one object provides, and what it sends requests to and so uses: without it they would fail."""

    provides: frozenset[Ref] = frozenset()
    uses: frozenset[Ref] = frozenset()

    def __bool__(self) -> bool:
        return bool(self.provides or self.uses)


UNLINKED = Links()
