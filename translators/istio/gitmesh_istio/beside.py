"""Our AuthorizationPolicies beside those of others. ALLOW objects add up, and one of them closes every port
that none admits: so what ours admits only to leave other ports as they were would open them where somebody
else has closed them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from msgspec import Struct

from gitmesh.model.facts import ClusterFacts, Mesh
from gitmesh.model.manifests import Manifest
from gitmesh.model.objects import Body, ObjectKey, decode
from gitmesh.model.plan import Live
from gitmesh.model.workloads import Workload
from gitmesh.ports import Aside
from gitmesh_istio.kinds import AUTHORIZATION_POLICY
from gitmesh_istio.meshwide import GATEWAY_SUFFIX, root_of
from gitmesh_istio.readers import readers
from gitmesh_istio.reading import is_enforced_allow, rules_of, selector_of, spec_of, targets_of

Rule = Mapping[str, Any]
_DIGITS = 5
"""Of a port's number, at most."""


class _Closing(Struct, frozen=True):
    """An ALLOW object of somebody else, the labels of the pods that it selects, and the meshes that read it
    (none named = all)."""

    key: ObjectKey
    selector: Mapping[str, str]
    meshes: tuple[str, ...]


def beside(
    ours: Mapping[ObjectKey, Manifest], others: Sequence[Live], meshes: Sequence[Mesh], facts: ClusterFacts
) -> Mapping[ObjectKey, Aside]:
    """Ours without what they admit beyond grants, where an ALLOW object of somebody else selects the same
    pods.
    """
    closing = _closing(others, meshes)
    roots = frozenset(root_of(mesh) for mesh in meshes)
    if not closing:
        return {}
    found: dict[ObjectKey, Aside] = {}
    for key, manifest in ours.items():
        near = (
            [one for place in {key.namespace, *roots} for one in closing.get(place, ())]
            if _is_allow(key)
            else []
        )
        if near and (aside := _aside(key, decode(manifest.body), near, facts)):
            found[key] = aside
    return found


def _is_allow(key: ObjectKey) -> bool:
    return key.kind == AUTHORIZATION_POLICY.kind and (
        key.name.endswith("-allow") or key.name.endswith(GATEWAY_SUFFIX)
    )


def _closing(others: Iterable[Live], meshes: Sequence[Mesh]) -> Mapping[str, list[_Closing]]:
    """Namespace -> the ALLOW objects in it that are enforced."""
    found: dict[str, list[_Closing]] = defaultdict(list)
    for live in others:
        if live.key.kind == AUTHORIZATION_POLICY.kind and is_enforced_allow(live):
            selector = selector_of(spec_of(decode(live.body)))
            closing = _Closing(live.key, selector, readers(live.labels, meshes))
            found[live.key.namespace].append(closing)
    return found


def _aside(key: ObjectKey, body: Body, near: Sequence[_Closing], facts: ClusterFacts) -> Aside | None:
    spec = spec_of(body)
    # What stands at waypoints no ALLOW closes that selects pods.
    rules = [] if targets_of(spec) else rules_of(body)
    # Only what leaves ports as they were is taken out: what the policies grant is theirs to grant.
    kept = [rule for rule in rules if not is_rest(rule)]
    if len(kept) == len(rules):
        return None
    selector = selector_of(spec)
    pods = [w for w in facts.workloads_by_namespace.get(key.namespace, ()) if w.may_carry(selector)]
    by = next(
        (one.key for one in sorted(near, key=lambda one: one.key) if _meet(one, selector, pods)),
        None,
    )
    if by is None:
        return None
    if key.name.endswith(GATEWAY_SUFFIX):
        return Aside(
            by=by,
            spec=None,
            text=(
                "it closes the gateway already but for what it admits, which a default of Deny leaves as"
                " it is"
            ),
        )
    without = {name: value for name, value in spec.items() if name != "rules"}
    narrowed = {**without, "rules": kept} if kept else without
    return Aside(by=by, spec=narrowed, text="ports that no policy of ours guards stay as it leaves them")


def _meet(theirs: _Closing, ours: Mapping[str, str], pods: Sequence[Workload]) -> bool:
    """Whether some pod may be selected by both. Where there is no pod yet, one may come that is."""
    if pods:
        # Pods that are in no mesh yet may come to be in that one.
        read = (pod for pod in pods if not theirs.meshes or pod.mesh in ("", *theirs.meshes))
        return any(pod.may_carry(theirs.selector) for pod in read)
    return all(ours.get(key, value) == value for key, value in theirs.selector.items())


def is_rest(rule: Rule) -> bool:
    """Whether a rule of ours admits everybody on every port but some: what leaves unguarded ports as they
    were.
    """
    if not rule:
        return True
    match rule:
        case {"to": [{"operation": operation}], **rest} if not rest:
            named = isinstance(operation, Mapping) and operation.keys() == {"notPorts"}
            # A live one may have been changed to anything.
            return named and _are_ports(operation["notPorts"])
    return False


def _are_ports(value: object) -> bool:
    return isinstance(value, list) and all(
        isinstance(port, str) and port.isascii() and port.isdecimal() and len(port) <= _DIGITS
        for port in value
    )


def guarded(body: Body) -> Mapping[str, str] | None:
    """The labels of the pods that an AuthorizationPolicy selects."""
    return (selector_of(spec_of(body)) or None) if body.get("kind") == AUTHORIZATION_POLICY.kind else None
