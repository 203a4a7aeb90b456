"""Which of our objects decide who may call which pods, as they are and as they are to be, and so which of
them leave pods, and what comes there. Called by relieving; no I/O.

Pods are compared, and not destinations: a Service may have left the pods that its objects still guard.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping

from msgspec import Struct

from gitmesh.model.objects import ObjectKey
from gitmesh.model.workloads import Workload

Labels = Mapping[str, str]


class AboutPods(Struct, frozen=True, kw_only=True):
    """Objects of one namespace by the labels of the pods that they are about: ours that are `live`, and what
    is `wanted`. Of the live ones some are `refusals`, the others grants; `ready` are those that are as they
    are to be. `closed`: pods that no object is about are closed; `closing` comes to close all of them."""

    live: Mapping[ObjectKey, Labels]
    wanted: Mapping[ObjectKey, Labels]
    refusals: frozenset[ObjectKey]
    ready: frozenset[ObjectKey]
    closed: bool
    closing: frozenset[ObjectKey] = frozenset()


class Leave(Struct, frozen=True, kw_only=True):
    """What is missed at the pods that one object leaves: the `arrivals` that are to guard them and do not
    yet, and, for a refusal, the `grants` that leave with it."""

    arrivals: frozenset[ObjectKey] = frozenset()
    grants: frozenset[ObjectKey] = frozenset()


def leaves(about: AboutPods, pods: Iterable[Workload]) -> Mapping[ObjectKey, Leave]:
    """The objects that would leave pods open to whom these are to be closed, if they went first."""
    live, wanted = _Selecting(about.live), _Selecting(about.wanted)
    found: dict[ObjectKey, Leave] = defaultdict(Leave)
    for pod in pods:
        here, later = live.about(pod), wanted.about(pod)
        for key, leave in _leaving(about, here, later) if here - later else ():
            before = found[key]
            found[key] = Leave(arrivals=before.arrivals | leave.arrivals, grants=before.grants | leave.grants)
    return found


def joining(about: AboutPods, pods: Iterable[Workload]) -> frozenset[ObjectKey]:
    """What comes only to pods that a grant is about already, so that it closes none of them."""
    live, wanted = _Selecting(about.live), _Selecting(about.wanted)
    first = frozenset(key for pod in pods if live.about(pod) <= about.refusals for key in wanted.about(pod))
    return frozenset(about.wanted.keys() - about.live.keys() - first)


def _leaving(
    about: AboutPods, here: frozenset[ObjectKey], later: frozenset[ObjectKey]
) -> Iterator[tuple[ObjectKey, Leave]]:
    """What leaves one shape of pods, where something is missed then."""
    leaving = here - later
    grants = leaving.difference(about.refusals)
    arrivals = later.difference(about.ready) | about.closing
    for key in leaving & about.refusals if arrivals or grants else ():
        yield key, Leave(arrivals=arrivals, grants=grants)
    # Beside a grant that stays, or where all is closed anyway, nobody comes in who had to be granted it.
    if arrivals and not about.closed and (here & later) <= about.refusals:
        for key in grants:
            yield key, Leave(arrivals=arrivals)


def by_namespace(keys: Iterable[ObjectKey]) -> Mapping[str, frozenset[ObjectKey]]:
    """Namespace -> its objects."""
    found: dict[str, set[ObjectKey]] = defaultdict(set)
    for key in keys:
        found[key.namespace].add(key)
    return {place: frozenset(mine) for place, mine in found.items()}


class _Selecting:
    """Objects by the pods that they are about, found by one label each: a look at all of them for each pod
    would be quadratic."""

    def __init__(self, labels: Mapping[ObjectKey, Labels]) -> None:
        self._labels = labels
        self._by: dict[str, dict[str, list[ObjectKey]]] = defaultdict(lambda: defaultdict(list))
        for key, mine in labels.items():
            name = max(mine)  # any of them
            self._by[name][mine[name]].append(key)

    def about(self, pod: Workload) -> frozenset[ObjectKey]:
        """Those that may be about these pods."""
        # A label of which the value is not kept may have any.
        unknown = (keys for name in pod.dropped for keys in self._by.get(name, {}).values())
        known = (self._by.get(name, {}).get(value, ()) for name, value in pod.labels.items())
        return frozenset(
            key for keys in (*known, *unknown) for key in keys if pod.may_carry(self._labels[key])
        )
