"""A mesh with every way of deciding who may call, in the spec of one kind: a `server` closes by existing, as
Linkerd's Server does, unless it is open; `grants` add up and are for a server; `refuses` comes before both;
a `mode` of mTLS takes plain callers, or those with a name, or both, and the two first exclude each other.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from gitmesh.model.admission import Effect, Subject
from gitmesh.model.facts import Mesh
from gitmesh.model.links import Links, Ref
from gitmesh.model.objects import Body
from tests.fake_mesh import FakeMesh

OPEN, CLOSED = "open", "closed"
PLAIN, BOTH, NAMED = "plain", "both", "named"
"""Modes; names begin with a capital letter."""
_REFUSAL = {True: Effect.NARROWS, False: Effect.WIDENS}


class ClosingMesh(FakeMesh):
    """Its translator."""

    def decides(self, body: Body) -> Subject:
        spec = body["spec"]
        if "mode" in spec:
            return "trust"
        return "access" if spec.keys() & {"server", "grants", "refuses"} else "routing"

    def links(self, body: Body, meshes: Sequence[Mesh]) -> Links:
        spec, name = body["spec"], body["metadata"]["name"]
        if "server" in spec:
            return Links(provides=_hosts([name]))
        return Links(provides=_hosts(spec.get("provides", ())), uses=_hosts(spec.get("uses", ())))

    def effect(self, before: Body | None, after: Body | None) -> Effect:
        old, new = ((body or {}).get("spec", {}) for body in (before, after))
        given = {**old, **new}
        if "server" in given:
            return _of_server(old.get("server", OPEN), new.get("server", OPEN))
        if "mode" in given:
            return _of_mode(old.get("mode", BOTH), new.get("mode", BOTH))
        for name, narrows in (("refuses", True), ("grants", False)):
            if name in given:
                return _of_sets(set(old.get(name, ())), set(new.get(name, ())), narrows=narrows)
        return Effect.NEITHER

    def between(
        self, before: Body | None, after: Body | None, kept: frozenset[Ref]
    ) -> Mapping[str, Any] | None:
        old, new = ((body or {}).get("spec", {}) for body in (before, after))
        if "server" in {**old, **new} and (kept or not before):
            return {"server": OPEN}
        if {old.get("mode"), new.get("mode")} == {PLAIN, NAMED}:
            return {"mode": BOTH}
        first, last = set(old.get("refuses", ())), set(new.get("refuses", ()))
        return (
            {"refuses": sorted(first | last)} if before and after and first - last and last - first else None
        )


def _of_server(old: str, new: str) -> Effect:
    if old == new:
        return Effect.NEITHER
    return Effect.CLOSES if new == CLOSED else Effect.OPENS


def _of_mode(old: str, new: str) -> Effect:
    if old == new:
        return Effect.NEITHER
    return Effect.WIDENS if new == BOTH or (old, new) == (NAMED, PLAIN) else Effect.NARROWS


def _of_sets(old: set[str], new: set[str], *, narrows: bool) -> Effect:
    if old == new:
        return Effect.NEITHER
    if old <= new or new <= old:
        return _REFUSAL[narrows is (old <= new)]
    return Effect.BOTH


def _hosts(names: Iterable[str]) -> frozenset[Ref]:
    return frozenset(Ref(kind="host", name=name) for name in names)


def admits(specs: Iterable[Mapping[str, Any]], caller: str) -> bool:
    """What the mesh does with a caller: one that is named comes with mTLS where the mode takes it."""
    found = list(specs)
    mode = next((spec["mode"] for spec in found if "mode" in spec), BOTH)
    named = caller[:1].isupper()
    if (named and mode == PLAIN) or (not named and mode == NAMED):
        return False
    if any(caller in spec.get("refuses", ()) for spec in found):
        return False
    closed = any(spec.get("server") == CLOSED for spec in found)
    return not closed or any(caller in spec.get("grants", ()) for spec in found)
