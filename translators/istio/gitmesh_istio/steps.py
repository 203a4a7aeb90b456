"""Changes of access and mTLS that one write would make wider in between (design law 2).

A mode is what a revision reads in an object: one that is labelled for another revision says nothing to it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TypeAlias

from gitmesh.model.manifests import Phase
from gitmesh.model.objects import Body, ObjectKey, canonical, mapping, text
from gitmesh.ports import Step, Versions
from gitmesh_istio.kinds import AUTHORIZATION_POLICY, PEER_AUTHENTICATION, REVISION
from gitmesh_istio.meshwide import DEFAULT_DENY
from gitmesh_istio.reading import mode_of, namespace_of, rules_of, spec_of

Changed: TypeAlias = Mapping[ObjectKey, tuple[Body | None, Body | None]]
KnownOf: TypeAlias = Callable[[str, str], Iterable[Versions]]
Modes: TypeAlias = Mapping[tuple[ObjectKey, str], frozenset[str]]
"""Of an object, by the revision that reads it; "" is every one that no label names."""

_DENY, _ALLOW = "-deny", "-allow"
_WIDEST = "PERMISSIVE"
_OPPOSITE = {"STRICT": "DISABLE", "DISABLE": "STRICT"}


def steps(changed: Changed, known: KnownOf) -> dict[ObjectKey, tuple[Step, ...]]:
    """The writes of changed objects for which one is not enough, or must wait a tick."""
    modes = _modes(changed, known)
    answers = (
        (key, _steps(key, before, after, changed, modes)) for key, (before, after) in sorted(changed.items())
    )
    return {key: found for key, found in answers if found}


def _steps(
    key: ObjectKey,
    before: Body | None,
    after: Body | None,
    changed: Changed,
    modes: Modes,
) -> tuple[Step, ...]:
    if key.kind == PEER_AUTHENTICATION.kind and after is not None:
        return _mode_steps(key, after, changed, modes)
    if key.kind == AUTHORIZATION_POLICY.kind and _passes_permissive(changed, modes):
        return (Step(phase=Phase.DENY, spec=None, note="waits until the mode of mTLS has changed"),)
    if before is None or after is None:
        return ()
    is_deny = key.kind == AUTHORIZATION_POLICY.kind and key.name.endswith(_DENY)
    return _deny_both(key, before, after, changed) if is_deny else ()


def _deny_both(key: ObjectKey, before: Body, after: Body, changed: Changed) -> tuple[Step, ...]:
    """Where Deny and Allow of one workload both change: Deny := old and new, then Allow := new, then Deny :=
    new.

    Other Services may share its pods, the mesh-wide default may change too, and deletions come last: unless
    it is its own Allow alone that is written, Deny := new waits a tick.
    """
    allow = ObjectKey(
        group=key.group, kind=key.kind, namespace=key.namespace, name=key.name.removesuffix(_DENY) + _ALLOW
    )
    others = [
        other
        for other, pair in sorted(changed.items())
        if other != key and _tightens(other, *pair, key.namespace)
    ]
    both = {canonical(rule): rule for rule in (*rules_of(before), *rules_of(after))}
    if not others or len(both) == len({canonical(rule) for rule in rules_of(after)}):
        return ()
    spec = {**after["spec"], "rules": [both[rule] for rule in sorted(both)]}
    first = Step(
        phase=Phase.DENY,
        spec=spec,
        note="denies the old and the new requests until what is allowed has changed",
    )
    if others != [allow] or changed[allow][1] is None:
        return (first,)
    return (
        first,
        Step(
            phase=Phase.ROUTE,
            spec=after["spec"],
            note="the Allow has changed; only the new requests are denied",
        ),
    )


def _tightens(key: ObjectKey, before: Body | None, after: Body | None, namespace: str) -> bool:
    """Whether what a Deny gives up may be denied by this change instead. A Deny that only loses rules, or
    goes, denies nothing new.
    """
    if key.kind != AUTHORIZATION_POLICY.kind or (key.namespace != namespace and key.name != DEFAULT_DENY):
        return False
    if not key.name.endswith(_DENY) or key.name == DEFAULT_DENY:
        return True
    old = {canonical(rule) for rule in rules_of(before)}
    return after is not None and not {canonical(rule) for rule in rules_of(after)} <= old


def _mode_steps(key: ObjectKey, after: Body, changed: Changed, modes: Modes) -> tuple[Step, ...]:
    """PERMISSIVE is the widest mode: it shows identities, which DISABLE does not, and admits plaintext, which
    STRICT does not.

    So it is left before access changes, and entered a tick after it has, deletions included. Between DISABLE
    and STRICT both must be taken for as long as a client or a server may still work by the mode before, as
    they learn of a mode at different times; on the way to STRICT it is access that waits.
    """
    before = changed[key][0]
    read = [
        (_mode(before, revision), _mode(after, revision), known)
        for (mine, revision), known in sorted(modes.items(), key=lambda item: item[0])
        if mine == key
    ]
    turned = [(old, new) for old, new, known in read if _OPPOSITE.get(new) in known]
    if _waits(read, turned) and not _passes_permissive(changed, modes) and _changes_access(changed):
        return (
            Step(
                phase=Phase.TRUST,
                spec=None,
                note=f"{_WIDEST} admits more, so it waits until access has changed",
            ),
        )
    if not turned:
        return ()
    old, new = min(turned, key=lambda pair: pair[0] == _WIDEST)
    if old == _WIDEST:
        return (
            Step(
                phase=Phase.TRUST,
                spec=None,
                note=f"{_WIDEST} stays until the proxies have left {_OPPOSITE[new]}",
            ),
        )
    note = f"from {old} to {new} through {_WIDEST}, a step a tick"
    return (Step(phase=Phase.TRUST, spec={**after["spec"], "mtls": {"mode": _WIDEST}}, note=note),)


def _waits(read: Sequence[tuple[str, str, frozenset[str]]], turned: Sequence[tuple[str, str]]) -> bool:
    """Whether some revision enters the widest mode with the next write, and none leaves it: what closes never
    waits.
    """
    if turned:
        return any(old != _WIDEST for old, _ in turned)
    changed = [(old, new) for old, new, _ in read if _WIDEST in (old, new) and old != new]
    return bool(changed) and all(new == _WIDEST for _, new in changed)


def _changes_access(changed: Changed) -> bool:
    return any(key.kind == AUTHORIZATION_POLICY.kind for key in changed)


def _passes_permissive(changed: Changed, modes: Modes) -> bool:
    """Whether mTLS is on its way from none to strict, so that plaintext is still admitted, and is not meant
    to be.
    """
    return any(
        _mode(changed[key][1], revision) == "STRICT" and "DISABLE" in known
        for (key, revision), known in modes.items()
    )


def _modes(changed: Changed, known: KnownOf) -> Modes:
    """What proxies may work by until they have learnt of a mode that is written."""
    bodies = {
        key: [before]
        for key, (before, after) in changed.items()
        if key.kind == PEER_AUTHENTICATION.kind and after is not None
    }
    for versions in known(PEER_AUTHENTICATION.group, PEER_AUTHENTICATION.kind) if bodies else ():
        place = next((namespace_of(body), body["metadata"]["name"]) for body in versions if body)
        for key, found in bodies.items():
            found += versions if place == (key.namespace, key.name) else ()
    return {
        (key, revision): frozenset(_mode(body, revision) for body in found)
        for key, found in bodies.items()
        for revision in {"", *map(_revision, (*found, changed[key][1]))}
    }


def _mode(body: Body | None, revision: str) -> str:
    """The mode of an object for who reads it, or of the mesh where there is none."""
    if body is None or _revision(body) not in ("", revision):
        return _WIDEST
    return mode_of(spec_of(body).get("mtls"))


def _revision(body: Body | None) -> str:
    """The revision that alone reads an object; "" where all do."""
    return text(mapping(mapping(mapping(body).get("metadata")).get("labels")).get(REVISION))
