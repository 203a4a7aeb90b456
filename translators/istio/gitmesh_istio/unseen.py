"""Subsets that some clients do not find, as a DestinationRule of somebody else stands before ours for them: a
route to one would be 503. They are led to the whole Service instead, and nobody else is.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import TypeAlias

from msgspec.structs import replace

from gitmesh.model.requests import SplitTarget
from gitmesh.model.routes import Decided, Route, Target
from gitmesh.model.strangers import Around, NamedSubset, Override
from gitmesh_istio.names import Labels, subset_name

_Meant: TypeAlias = tuple[tuple[str, str], Labels]
"""(namespace, name) of a Service, and the labels of a subset of it."""


def without_unseen(route: Route, around: Around) -> Iterator[tuple[Sequence[str], Route]]:
    """Namespaces of clients, and the route as it must be for them, where they do not find all its subsets."""
    meant = {_meant(target) for target in (*route.targets, *route.mirrors) if target.subset}
    unseen: dict[str, set[_Meant]] = defaultdict(set)
    for one in around.overrides if meant else ():
        unseen[one.namespace] |= {labels for labels in meant if is_unseen(*labels, one)}
    groups: dict[frozenset[_Meant], list[str]] = defaultdict(list)
    for namespace, lacking in sorted(unseen.items()):
        groups[frozenset(lacking)].append(namespace)
    for alike, namespaces in groups.items():
        if alike:
            yield namespaces, _without(route, alike)


def is_unseen(service: tuple[str, str], labels: Labels, override: Override) -> bool:
    """Whether clients that follow the override do not find a subset as it is meant: by its name, with its
    labels.
    """
    if override.of != "settings" or override.service != service:
        return False
    wanted = NamedSubset(
        name=subset_name(labels), labels=tuple(f"{key}={value}" for key, value in sorted(labels))
    )
    return wanted not in override.subsets


def _meant(target: Target) -> _Meant:
    return target.service.key, target.subset


def _without(route: Route, unseen: frozenset[_Meant]) -> Route:
    """The route without the subsets that are not seen."""
    fields, items = dict(route.fields), dict(route.item_origins)
    targets, mirrors = route.targets, route.mirrors
    if any(_meant(target) in unseen for target in targets):
        # Shares go to the whole Service instead, and those that have become alike are merged.
        whole = [replace(one, subset=()) if _meant(one) in unseen else one for one in targets]
        fields["split"], targets = _merged(fields["split"], whole)
        # Alike shares were merged, so the places of the items do not count in the new list.
        items.pop("split", None)
    if any(_meant(target) in unseen for target in mirrors):
        # Copies are left out: they would reach pods that no policy means.
        kept = [number for number, one in enumerate(mirrors) if _meant(one) not in unseen]
        mirrored = fields.pop("mirror")
        mirrors = tuple(mirrors[number] for number in kept)
        items.pop("mirror", None)
        if kept:
            value = tuple(mirrored.value[number] for number in kept)
            fields["mirror"] = replace(mirrored, value=value, parts={})
    return replace(route, fields=fields, targets=targets, mirrors=mirrors, item_origins=items)


def _merged(split: Decided, targets: Iterable[Target]) -> tuple[Decided, tuple[Target, ...]]:
    shares: list[tuple[SplitTarget, Target]] = []
    for item, target in zip(split.value, targets, strict=True):
        place = next((n for n, one in enumerate(shares) if _alike(one, (item, target))), len(shares))
        weight = item.weight + (shares[place][0].weight if place < len(shares) else 0)
        shares[place : place + 1] = [(item.model_copy(update={"weight": weight}), target)]
    value = tuple(item for item, _ in shares)
    return replace(split, value=value, parts={}), tuple(target for _, target in shares)


def _alike(one: tuple[SplitTarget, Target], other: tuple[SplitTarget, Target]) -> bool:
    return one[1] == other[1] and one[0].headers == other[0].headers
