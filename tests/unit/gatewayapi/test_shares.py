"""Header changes of a row and of its shares: whichever the mesh applies first, the outcome is the same."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias

import pytest
from gitmesh_gatewayapi.shares import parted
from hypothesis import given
from hypothesis import strategies as st

from gitmesh.model.requests import HeaderOps, Headers

Ops: TypeAlias = Mapping[str, Any]
NAMES = ("a", "b", "c")


def headers(request: Ops) -> Headers | None:
    return Headers(request=HeaderOps.model_validate(request)) if request else None


def after(sent: Mapping[str, str], steps: Iterable[Headers | None]) -> dict[str, str]:
    """The request's headers after these changes."""
    found = dict(sent)
    for step in steps:
        ops = step.request if step and step.request else HeaderOps()
        found |= ops.set or {}
        for name, value in (ops.add or {}).items():
            found[name] = f"{found[name]}, {value}" if name in found else value
        found = {name: value for name, value in found.items() if name not in (ops.remove or ())}
    return found


@st.composite
def changes(draw: st.DrawFn, value: str) -> Ops:
    found: dict[str, Any] = {}
    for name in NAMES:
        kind = draw(st.sampled_from(("", "set", "add", "remove")))
        if kind == "remove":
            found.setdefault("remove", []).append(name)
        elif kind:
            found.setdefault(kind, {})[name] = value
    return found


@given(changes("row"), st.lists(changes("share"), min_size=1, max_size=2), st.booleans())
def test_the_order_of_filters_does_not_matter(row: Ops, shares: list[Ops], sent: bool) -> None:
    given_headers = dict.fromkeys(NAMES, "client") if sent else {}
    own, of_shares = parted(headers(row), [headers(share) for share in shares])
    for share, change in zip(shares, of_shares, strict=True):
        wanted = after(given_headers, [headers(share), headers(row)])
        assert after(given_headers, [own, change]) == wanted
        assert after(given_headers, [change, own]) == wanted


@pytest.mark.parametrize("row", [{"set": {"a": "1"}}, {"add": {"a": "1"}}, {"remove": ["a"]}])
def test_other_headers_stay_where_they_are(row: Ops) -> None:
    share = headers({"set": {"b": "2"}})
    assert parted(headers(row), [share, None]) == (headers(row), (share, None))
