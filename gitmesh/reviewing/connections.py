"""The TLS that clients use to a destination, made weaker: without encryption, without an identity, or to
whoever answers.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import combinations
from typing import TypeAlias

from gitmesh.model.comparison import ProtectionChange
from gitmesh.model.conditions import RequestMatch
from gitmesh.model.connections import Tls
from gitmesh.model.routes import Decided
from gitmesh.model.units import RoutingUnit
from gitmesh.render.values import shown
from gitmesh.resolution.matching import conjunction, implies
from gitmesh.reviewing.requests import match_text

_RANKS: Mapping[str, int] = {"Disable": 0, "Simple": 1, "Mutual": 2, "MeshMutual": 2}
_OWN = 2
"""What the mesh does by itself: its mTLS, wherever both sides can."""
_Links: TypeAlias = tuple[tuple[RequestMatch, Decided], ...]
"""Clients, and what is decided for them; the first that means a client counts."""


_MOST_CLIENTS = 48
"""Of more kinds of clients those that several decisions mean are not looked at one by one."""


def connection_changes(
    subject: str, before: RoutingUnit | None, after: RoutingUnit | None
) -> Iterator[ProtectionChange]:
    """Clients of a destination whose connections are guarded less, by port (0 = all)."""
    was, now = before.settings if before else {}, after.settings if after else {}
    for port in sorted(was.keys() | now.keys()):
        old, new = (_links(side.get(port, side.get(0, {})).get("tls")) for side in (was, now))
        told: set[str] = set()
        for clients in _clients(old, new):
            had, gets = _meant(old, clients), _meant(new, clients)
            text = f"{_text(had)} -> {_text(gets)}"
            if _is_weaker(_tls(had), _tls(gets)) and text not in told:
                told.add(text)
                where = ", ".join(filter(None, (f"port {port}" if port else "", match_text(clients))))
                origins = tuple(sorted({one.origin for one in (had, gets) if one}))
                yield ProtectionChange(
                    subject=subject,
                    text=f"tls of its clients{where and f' ({where})'}: {text}",
                    weaker=True,
                    origins=origins,
                )


def _links(decided: Decided | None) -> _Links:
    found: list[tuple[RequestMatch, Decided]] = []
    while decided is not None:
        found.append((RequestMatch(source=decided.source), decided))
        decided = decided.fallback
    return tuple(found)


def _clients(old: _Links, new: _Links) -> Iterator[RequestMatch]:
    """Everybody, those whom each decision means, and those whom two mean; the least that can be said of
    them.
    """
    meant = dict.fromkeys([RequestMatch(), *(match for match, _ in (*old, *new))])
    yield from meant
    for one, other in combinations(meant, 2) if len(meant) <= _MOST_CLIENTS else ():
        both = conjunction(one, other)
        if isinstance(both, RequestMatch) and both not in meant:
            yield both


def _meant(links: _Links, clients: RequestMatch) -> Decided | None:
    return next((decided for match, decided in links if implies(clients, match)), None)


def _tls(decided: Decided | None) -> Tls | None:
    """None is the mesh's own."""
    return decided.value if decided is not None and isinstance(decided.value, Tls) else None


def _is_weaker(had: Tls | None, gets: Tls | None) -> bool:
    old, new = (_OWN if one is None else _RANKS[one.mode] for one in (had, gets))
    if old != new or had is None or gets is None:
        return new < old
    # The same mode guards less where less of the server is verified: no certificates, or more names that will
    # do.
    names = set(had.subject_alt_names or ())
    return bool(had.ca_certificates and not gets.ca_certificates) or bool(
        names and not names.issuperset(gets.subject_alt_names or ("",))
    )


def _text(decided: Decided | None) -> str:
    tls = _tls(decided)
    return (
        "(the mesh's own)"
        if tls is None
        else shown("tls", tls.model_dump(mode="json", by_alias=True, exclude_none=True))
    )
