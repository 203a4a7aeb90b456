"""What a finding says of the state of its policy and of its cluster."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from msgspec.structs import replace

from gitmesh.diagnostics import Diagnostic
from gitmesh.model.report import ClusterResult, State, worst

_STATES: Mapping[str, State] = {
    "GM208": State.PENDING,
    "GM216": State.PENDING,
    "GM406": State.PENDING,
    "GM507": State.PENDING,
    "GM312": State.HELD,
    "GM314": State.HELD,
    "GM401": State.HELD,
    "GM417": State.HELD,
}
"""Findings that say of themselves, whatever their severity, that a policy is not in force as it stands: until
something comes, or as long as something is in its way."""
IDLE = frozenset({"GM209", "GM211", "GM215", "GM305"})
"""Findings that a selector finds nothing, or nothing that the policy can act on, or that others decide all of
it."""
_BY_GROUP: Mapping[str, State] = {
    "1": State.INVALID,
    "2": State.HELD,
    "3": State.HELD,
    "4": State.HELD,
    "5": State.FAILED,
    "6": State.INVALID,
}
"""State that an error of a group of codes puts a policy into (first digit of the code)."""


def state_of(diagnostic: Diagnostic) -> State | None:
    """The state that a finding puts its policy and its cluster into; None for one that holds nothing back."""
    # Before its code and severity: what a doubt is about stays as it was, whatever raised it.
    if diagnostic.hold:
        return State.HELD
    # Also an error: that something refuses to go is no failure of what was asked for.
    if diagnostic.pending:
        return State.PENDING
    if diagnostic.code in _STATES:
        return _STATES[diagnostic.code]
    if not diagnostic.is_error:
        return None
    # Of no cluster in particular: the policy is wrong by itself, wherever it goes.
    static = diagnostic.code.startswith("GM2") and not diagnostic.cluster
    # Of one cluster: not the source is wrong there, but what is live cannot be made as it says.
    kept = diagnostic.code.startswith("GM6") and diagnostic.cluster
    return State.INVALID if static else State.HELD if kept else _BY_GROUP[diagnostic.code[2]]


def in_states(
    results: Mapping[str, ClusterResult], said: Iterable[Diagnostic]
) -> Mapping[str, ClusterResult]:
    """The clusters, each in the worst state of itself and of its parts: what a finding of any step keeps from
    being in force is not in force, also where every object is as it is wanted. One that was compared with
    nothing keeps the state that says so."""
    found: dict[str, set[State]] = {}
    for one in said:
        if state := state_of(one):
            found.setdefault(one.cluster, set()).add(state)
    return {
        name: replace(result, state=worst([result.state, *found[name]]))
        # Without a plan nothing was compared, and its own state says why.
        if name in found and result.plan
        else result
        for name, result in results.items()
    }


def idle_policies(said: Iterable[Diagnostic]) -> Mapping[str, frozenset[str]]:
    """The policies of which findings say that they act on nothing, somewhere or at all -> the codes."""
    found: dict[str, set[str]] = {}
    for one in said:
        if one.code in IDLE:
            found.setdefault(one.policy, set()).add(one.code)
    return {policy: frozenset(codes) for policy, codes in found.items()}
