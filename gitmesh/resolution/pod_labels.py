"""Labels of pods that policies name: facts keep of those that controllers set anew only what is named."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from gitmesh.model.facts import ROLLING_LABELS
from gitmesh.model.kinds import Spec
from gitmesh.model.policies import Policy
from gitmesh.model.traffic import TrafficPolicySpec
from gitmesh.model.virtualmesh import VirtualMeshSpec


def rolling_labels(policies: Iterable[Policy]) -> frozenset[str]:
    """The keys of labels that controllers set anew, of those by which policies select pods."""
    return ROLLING_LABELS.intersection(key for policy in policies for key in _keys(policy.spec))


def _keys(spec: Spec) -> Iterator[str]:
    match spec:
        case TrafficPolicySpec():
            for item in spec.sources or ():
                yield from item.labels or ()
            for shares in (spec.split, spec.mirror):
                for share in shares if isinstance(shares, tuple) else ():
                    yield from share.destination.subset or ()
        case VirtualMeshSpec():
            for item in spec.gateways or ():
                yield from item.labels or ()
        case _:
            pass
