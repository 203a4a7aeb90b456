"""What all destinations are resolved from, and the memory that lets a small change cost little."""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, TypeAlias

from msgspec import Struct

from gitmesh.diagnostics import Diagnostic
from gitmesh.model.policies import Policy
from gitmesh.ports import Translator
from gitmesh.resolution.identities import Trust
from gitmesh.resolution.index import World
from gitmesh.resolution.rules import NO_PARTS, Parts, Slot
from gitmesh.resolution.selection import Selection
from gitmesh.resolution.virtualmeshes import Membership

ServiceKey: TypeAlias = tuple[str, str]
"""(namespace, name)."""


class FingerprintedPolicy(Struct, frozen=True, kw_only=True):
    """A policy and what must be equal for everything derived from it to be equal: content, and places for
    provenance. `extent` is what the rules of a TrafficPolicy count for on each destination."""

    policy: Policy
    token: tuple[str, str, str]
    slots: Mapping[Slot, Any] = {}
    parts: Parts = NO_PARTS
    extent: int = 0


Acting: TypeAlias = Mapping[ServiceKey, list[tuple[FingerprintedPolicy, int]]]
"""Service -> the policies that select it, by name, and the form by which each does."""


class ResolutionInput(Struct, frozen=True, kw_only=True):
    """`acting` is by cluster, `governed` the destinations there that an enforced Allow selects; `domains` are
    the trust domains of every mesh, on which the identities that `trust` finds depend. `crowded` are, by
    cluster, destinations with more rules than can be compared, which are not decided; `translators` say what
    has no effect on their meshes."""

    world: World
    trust: Trust
    marked: Mapping[str, FingerprintedPolicy]
    members: Membership
    selections: Mapping[str, Selection]
    acting: Mapping[str, Acting]
    governed: Mapping[str, frozenset[ServiceKey]]
    domains: tuple[Any, ...]
    crowded: Mapping[str, Mapping[ServiceKey, Diagnostic]] = {}
    translators: Mapping[str, Translator] = {}


def places(policy: Policy) -> str:
    """A hash of where everything of the policy stands: provenance is part of the output."""
    positions = policy.positions
    return sha256(
        repr((positions.source, positions.path, sorted(positions.values.items(), key=repr))).encode()
    ).hexdigest()


@dataclass(frozen=True, slots=True, eq=False)
class Same:
    """Equal to another only if both wrap the very same object."""

    value: object

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Same) and other.value is self.value

    def __hash__(self) -> int:
        return id(self.value)


class Remembered:
    """Results by place, valid while their inputs are equal; what is not asked for in a run is forgotten after
    it.
    """

    def __init__(self, memo: MutableMapping[Any, Any], name: str) -> None:
        self._old: Mapping[Any, tuple[Any, Any]] = memo.get(name, {})
        self._new: dict[Any, tuple[Any, Any]] = {}
        memo[name] = self._new

    def get(self, place: Any, inputs: Any) -> Any:
        """The result for these inputs, or None."""
        found = self._old.get(place)
        if found is None or found[0] != inputs:
            return None
        self._new[place] = found
        return found[1]

    def keep(self, place: Any) -> None:
        """Remember what is remembered here, though nobody asked for it in this run."""
        if place in self._old:
            self._new[place] = self._old[place]

    def put(self, place: Any, inputs: Any, value: Any) -> Any:
        """Remember and return the value."""
        self._new[place] = (inputs, value)
        return value
