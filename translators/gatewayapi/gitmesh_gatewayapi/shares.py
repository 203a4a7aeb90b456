"""Header changes of a row and of the shares of its split, told apart so that their order does not matter.

Policies change a request by the share first; meshes apply the filters of a rule and of its backends in either
order.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeAlias

from gitmesh.model.requests import HeaderOps, Headers

Parted: TypeAlias = tuple[Headers | None, tuple[Headers | None, ...]]
"""What the rule changes, and what each of its shares does."""
_NOTHING = HeaderOps()


def parted(row: Headers | None, shares: Sequence[Headers | None]) -> Parted:
    """The same changes, no header's by both. What the row sets or removes, no share decides; what it adds to
    a header that a share changes, every share adds."""
    sides = [
        _parted(_side(row, side), [_side(share, side) for share in shares])
        for side in ("request", "response")
    ]
    (asked, of_request), (answered, of_response) = sides
    pairs = zip(of_request, of_response, strict=True)
    return _headers(asked, answered), tuple(_headers(request, response) for request, response in pairs)


def _side(headers: Headers | None, side: str) -> HeaderOps:
    found: HeaderOps | None = getattr(headers, side, None)
    return found or _NOTHING


def _parted(row: HeaderOps, shares: Sequence[HeaderOps]) -> tuple[HeaderOps, list[HeaderOps]]:
    decided = {*(row.set or ()), *(row.remove or ())}
    left = [_without(share, decided) for share in shares]
    touched = {
        name for share in left for name in (*(share.set or ()), *(share.add or ()), *(share.remove or ()))
    }
    # Adding is the one change that depends on what was there before: so it goes where the other change is
    # made.
    moved = {name: value for name, value in (row.add or {}).items() if name in touched}
    return _without(row, moved.keys() - decided), [_adding(share, moved) for share in left]


def _without(ops: HeaderOps, names: set[str]) -> HeaderOps:
    return HeaderOps(
        set=_kept(ops.set, names),
        add=_kept(ops.add, names),
        remove=tuple(name for name in ops.remove or () if name not in names) or None,
    )


def _kept(values: Mapping[str, str] | None, names: set[str]) -> dict[str, str] | None:
    return {name: value for name, value in (values or {}).items() if name not in names} or None


def _adding(ops: HeaderOps, more: Mapping[str, str]) -> HeaderOps:
    """What is done, and then something is added. Several values of one header are a list with commas (RFC
    9110, 5.3)."""
    new, added, removed = dict(ops.set or {}), dict(ops.add or {}), set(ops.remove or ())
    for name, value in more.items():
        if name in removed:
            removed.discard(name)
            new[name] = value
        elif name in new:
            new[name] = f"{new[name]}, {value}"
        else:
            added[name] = f"{added[name]}, {value}" if name in added else value
    return HeaderOps(set=new or None, add=added or None, remove=tuple(sorted(removed)) or None)


def _headers(request: HeaderOps, response: HeaderOps) -> Headers | None:
    found = {
        side: ops
        for side, ops in (("request", request), ("response", response))
        if ops.set or ops.add or ops.remove
    }
    return Headers(**found) if found else None
