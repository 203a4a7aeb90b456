"""What is told of others' objects that clients follow in place of ours, or that keep ours away."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import groupby

from gitmesh_gatewayapi import HTTP_ROUTE
from msgspec.structs import replace

from gitmesh.model.manifests import Fragment
from gitmesh.model.policies import Origin
from gitmesh.model.strangers import Override, Subject
from gitmesh.model.units import RoutingUnit
from gitmesh_istio.kinds import DESTINATION_RULE, VIRTUAL_SERVICE
from gitmesh_istio.scope import Notes
from gitmesh_istio.unseen import is_unseen

_MOST_NAMED = 5
_SUBJECTS: dict[str, Subject] = {
    VIRTUAL_SERVICE.kind: "routes",
    HTTP_ROUTE.kind: "routes",
    DESTINATION_RULE.kind: "settings",
}


def contested(made: Fragment, unit: RoutingUnit) -> Fragment:
    """The object with those beside which it is not created."""
    subject = _SUBJECTS[made.key.kind]
    texts = [
        f"{one.by} claims the host {one.host} of {made.key}"
        for one in unit.around.contenders
        if one.of == subject
    ]
    return replace(made, contested=tuple(texts)) if texts else made


def note_overrides(unit: RoutingUnit, notes: Notes) -> None:
    """Note, at each policy that it concerns, which clients follow what instead of ours."""
    # They come sorted (`Around.overrides`), which groupby needs.
    for (subject, service), found in groupby(unit.around.overrides, lambda one: (one.of, one.service)):
        theirs = list(found)
        for origin in _concerned(unit, subject, service):
            notes.add("GM401", _text(theirs, unit), origin, hint=_HINT)


_HINT = (
    "Ask whoever wrote it to remove it, or to keep it to what it means: clients of its namespace follow it."
)


def _concerned(unit: RoutingUnit, subject: Subject, service: tuple[str, str]) -> list[Origin]:
    """The first origin of each policy that routes the requests, or makes the connections."""
    found: list[Origin] = []
    if subject == "routes" or service != unit.service.key:
        found += [origin for route in unit.routes for origin in route.origins]
    else:
        found += [one.origin for settings in unit.settings.values() for one in settings.values()]
        found += [origin for subset in unit.subsets for origin in subset.origins]
    first: dict[str, Origin] = {}
    for origin in sorted(found):
        first.setdefault(origin.policy, origin)
    return [first[policy] for policy in sorted(first)]


def _text(theirs: list[Override], unit: RoutingUnit) -> str:
    service = "/".join(theirs[0].service)
    shown = "; ".join(_clause(one, unit) for one in theirs[:_MOST_NAMED])
    more = len(theirs) - _MOST_NAMED
    others = f"; and of {more} more namespaces others" if more > 0 else ""
    return f"for {service}, {shown}{others}"


def _clause(one: Override, unit: RoutingUnit) -> str:
    if one.of == "routes":
        return f"clients of namespace {one.namespace} follow {one.by}, which is not ours, in place of ours"
    text = f"{one.by}, which is not ours, stands before ours for clients of namespace {one.namespace}"
    lost = sorted(set(_unseen(one, unit)))
    return f"{text}, which do not find {', '.join(lost)} and are led to the whole Service" if lost else text


def _unseen(one: Override, unit: RoutingUnit) -> Iterator[str]:
    """Subsets that routes of ours lead to and that these clients do not find."""
    labels: Iterable[tuple[tuple[str, str], ...]] = (
        *(subset.labels for subset in unit.subsets if one.service == unit.service.key),
        *(
            target.subset
            for route in unit.routes
            for target in (*route.targets, *route.mirrors)
            if target.subset and target.service.key == one.service
        ),
    )
    for each in labels:
        if is_unseen(one.service, each, one):
            yield "subset " + ",".join(f"{key}={value}" for key, value in sorted(each))
