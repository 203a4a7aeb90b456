"""What a mesh says of a route: each controller that reads it writes conditions for each parent (GEP-1364).

Who they are is not known, so every one that answers counts: one that takes the route is enough. A route of
which nobody says anything is read by nobody, and stays Unknown. A ReferenceGrant has no status.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from gitmesh.model.facts import Mesh
from gitmesh.model.objects import decode, listed, mapping, text
from gitmesh.model.plan import Live
from gitmesh.model.report import MeshStatus, Verdict

_ROUTING = ("Accepted", "ResolvedRefs")
_PARTLY = "PartiallyInvalid"
_WORD = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,63}\Z")
"""A reason as Kubernetes' conventions have them; anything else is prose."""


def verdict(live: Live, meshes: Sequence[Mesh]) -> MeshStatus:  # noqa: ARG001 - the port gives them
    """The best answer of any controller about the newest generation."""
    status = mapping(decode(live.status)) if live.status else {}
    answers = [
        answer
        for parent in listed(status.get("parents"))
        # Of a parent that is a Gateway a gateway's controller speaks, not a mesh.
        if mapping(parent.get("parentRef")).get("kind") == "Service" and (answer := _answer(parent, live))
    ]
    return min(answers, key=_rank, default=MeshStatus())


_ORDER = (Verdict.ACCEPTED, Verdict.WARNED, Verdict.REJECTED)


def _rank(answer: MeshStatus) -> tuple[int, str]:
    return _ORDER.index(answer.verdict), answer.reason


def _answer(parent: Mapping[str, Any], live: Live) -> MeshStatus | None:
    """Of one controller; None while it has not answered for this generation."""
    said = {text(one.get("type")): one for one in listed(parent.get("conditions")) if _is_current(one, live)}
    refusing = [kind for kind in _ROUTING if said.get(kind, {}).get("status") == "False"]
    partly = said.get(_PARTLY, {}).get("status") == "True"
    if refusing or partly:
        facts = [_fact(kind, said[kind]) for kind in refusing or [_PARTLY]]
        words = [text(said[kind].get("message")) for kind in refusing or [_PARTLY]]
        return MeshStatus(
            verdict=Verdict.REJECTED if refusing else Verdict.WARNED,
            reason="; ".join(facts),
            text="; ".join(" ".join(filter(None, one)) for one in zip(facts, words, strict=True)),
        )
    # Silence about one of them is no word yet: a controller may write them one after the other.
    taken = all(said.get(kind, {}).get("status") == "True" for kind in _ROUTING)
    return MeshStatus(verdict=Verdict.ACCEPTED) if taken else None


def _fact(kind: str, condition: Mapping[str, Any]) -> str:
    status, reason = text(condition.get("status")), text(condition.get("reason"))
    return f"{kind} is {status}: {reason}" if _WORD.match(reason) else f"{kind} is {status}"


def _is_current(condition: Mapping[str, Any], live: Live) -> bool:
    """Whether it is about this generation; one that names none is."""
    return str(condition.get("observedGeneration") or live.generation) == str(live.generation)
