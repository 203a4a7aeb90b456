"""What a unit asks of its mesh, and what of that the mesh does not have (docs/design.md#units): told at the
policy's line before translation. Called by translating; no I/O.

Only how requests go is held for it. What a mesh lacks for access its translator closes (security law).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from typing import TYPE_CHECKING, Any, TypeAlias

from msgspec import Struct

from gitmesh.diagnostics import Diagnostic
from gitmesh.model.base import Disabled
from gitmesh.model.conditions import RequestMatch, SourceCondition
from gitmesh.model.features import FEATURES, Support, Supports, support_of
from gitmesh.model.naming import camel
from gitmesh.model.policies import Origin
from gitmesh.model.routes import Decided, Route
from gitmesh.model.units import RoutingUnit
from gitmesh.model.workloads import Dataplane

if TYPE_CHECKING:
    from gitmesh.model.facts import ClusterFacts, Mesh
    from gitmesh.ports import Translator

_VERSION = re.compile(r"(\d+)\.(\d+)(?:\.(\d+))?")
_POLICY = "TrafficPolicy"
_IN_NONE = "GM301"
_MAIN: Dataplane = "sidecar"
"""The data plane that `Translator.supports` speaks of."""


Wish: TypeAlias = tuple[str, Origin]
"""A feature that a policy asks for, and where."""


class Lack(Struct, frozen=True, kw_only=True):
    """A feature that is not there, as a finding says it. `mesh` is the one that lacks it where it is for the
    proxies of those who are called, "" = it concerns every destination.
    """

    feature: str
    mesh: str = ""
    code: str
    text: str


Lacks: TypeAlias = Mapping[Dataplane, tuple[Lack, ...]]
"""What is lacking in the form that routing is written in for destinations of each data plane."""


def lacks(translator: Translator, meshes: Sequence[Mesh], facts: ClusterFacts) -> Lacks:
    """What of the features of routing the cluster's meshes do not have, none at all or not in this version or
    schema. A version or schema that is not known is no reason. What a further data plane has in no version
    the translator itself says.
    """

    def of(supports: Supports) -> Iterator[Lack]:
        for feature in FEATURES:
            if feature.startswith(f"{_POLICY}."):
                yield from _lacks(feature, support_of(supports, feature), translator, meshes, facts)

    others = {
        plane: tuple(one for one in of(supports) if one.code != _IN_NONE)
        for plane, supports in translator.other_planes.items()
    }
    return {_MAIN: tuple(of(translator.supports)), **others}


def form_of(unit: RoutingUnit, lacking: Lacks, meshes: Sequence[Mesh]) -> tuple[Lack, ...]:
    """What is lacking in the form in which the unit is written: that of a further data plane where some of
    the destination's pods are in it."""
    names = {mesh.name for mesh in meshes}
    planes = (one.dataplane for one in unit.workloads if one.mesh in names and one.dataplane != _MAIN)
    return lacking.get(next(planes, _MAIN), lacking[_MAIN])


def _lacks(
    feature: str, support: Support, translator: Translator, meshes: Sequence[Mesh], facts: ClusterFacts
) -> Iterator[Lack]:
    if support.level == "none":
        yield Lack(feature=feature, code=_IN_NONE, text=support.note)
        return
    needed = f"{translator.name.title()} {support.since}"
    for mesh in meshes:
        # An unknown version lets it through: a refusal would hold routing for a tag that cannot be read,
        # and what the API server does not know it refuses itself.
        if (version := _version(mesh.version)) and version < _version(support.since):
            text = f"{feature} needs {needed}; mesh {mesh.name} is {mesh.version}"
            # Clients may be in any mesh of the cluster, so what one of them cannot do no destination gets.
            where = mesh.name if support.side == "server" else ""
            yield Lack(feature=feature, mesh=where, code="GM302", text=text)
    kind, _, path = support.needs.partition(":")
    groups = {resource.kind: resource.group for resource in translator.resources}
    served = facts.kind_index.get((groups[kind], kind)) if kind else None
    if served is not None and not served.serves(path):
        text = f"{feature} needs {kind}.{path}, which the cluster's CRD does not have"
        yield Lack(feature=feature, code="GM302", text=text)


def _version(text: str) -> tuple[int, ...]:
    """The numbers of a version; none of what is no version."""
    match = _VERSION.match(text)
    return tuple(int(part or 0) for part in match.groups()) if match else ()


def unsupported(unit: RoutingUnit, lacking: Sequence[Lack]) -> tuple[Diagnostic, ...]:
    """A finding on each thing that the unit asks for in vain; `translating` adds cluster and mesh."""
    # Of several reasons the first is told.
    vain = {one.feature: one for one in reversed(lacking) if one.mesh in ("", *unit.meshes)}
    # A dict as an ordered set: a policy that is laid out in many rows is told once, at its line.
    found: dict[Diagnostic, None] = {}
    for feature, origin in wishes(unit) if vain else ():
        if feature in vain:
            found[origin.finding(vain[feature].code, vain[feature].text)] = None
    return tuple(found)


def wishes(unit: RoutingUnit) -> Iterator[Wish]:
    """Everything that the unit asks for, perhaps more than once."""
    yield from _of_matches(unit.routes)
    for route in unit.routes:
        for name, decided in route.fields.items():
            yield from _of_field(name, decided, route.match)
        yield from _of_subsets(route)
    for settings in unit.settings.values():
        for name, decided in settings.items():
            yield from _of_setting(name, decided)
    for origin in chain.from_iterable(subset.origins for subset in unit.subsets):
        yield _wish("split.destination.subset", origin)


def _wish(feature: str, origin: Origin) -> Wish:
    return f"{_POLICY}.{feature}", origin


def _of_matches(routes: Sequence[Route]) -> Iterator[Wish]:
    """What is asked of the conditions of each row, at the rules that have them."""
    asked = [(route.origins, dict(_of_match(route))) for route in routes]
    asks: dict[Origin, set[str]] = {}
    for origins, wanted in asked:
        for origin in origins:
            asks.setdefault(origin, set(wanted)).intersection_update(wanted)
    for origins, wanted in asked:
        for feature, greatest in wanted.items():
            # A row of an overlap has the conditions of all its rules: a rule asks for what all rows that it
            # takes part in have. Where that is none of them, the greatest is named.
            asking = [(feature, origin) for origin in origins if feature in asks[origin]]
            yield from asking or [(feature, greatest)]


def _of_match(route: Route) -> Iterator[Wish]:
    match = route.match
    origin = route.origins[0] if route.origins else min(one.origin for one in route.fields.values())
    given: Mapping[str, object] = {
        f"path.{match.path.form}" if match.path else "": match.path,
        "path.ignoreCase": match.path and match.path.ignore_case,
        "headers": match.headers,
        "headers.invert": any(one.invert for one in match.headers),
        "queryParams": match.query,
        "method": match.method,
        "port": match.port,
        "authority": match.authority,
    }
    yield from (_wish(f"matches.{name}", origin) for name, value in given.items() if value)
    yield from _of_sources(match.source, origin)


def _of_sources(source: SourceCondition, origin: Origin) -> Iterator[Wish]:
    given = {
        "labels": source.labels,
        "namespaces": source.namespaces,
        "serviceAccounts": source.service_accounts,
    }
    yield from (_wish(f"sources.{name}", origin) for name, value in given.items() if value)


def _of_field(name: str, decided: Decided, match: RequestMatch) -> Iterator[Wish]:
    value, origin = decided.value, decided.origin
    if isinstance(value, Disabled):
        return
    yield _wish(camel(name), origin)
    if name == "split":
        parts = _of_split(value)
    elif name in ("redirect", "rewrite"):
        parts = _of_path(name, value.path, match)
    else:
        parts = iter(["retries.backoff"] if name == "retries" and value.backoff is not None else [])
    yield from (_wish(part, origin) for part in parts)


def _of_split(targets: Sequence[Any]) -> Iterator[str]:
    if any(target.headers is not None for target in targets):
        yield "split.headers"
    if any(target.destination.port is not None for target in targets):
        yield "split.destination.port"


def _of_subsets(route: Route) -> Iterator[Wish]:
    """Where each stands, as the unit that must offer it says it, too: it is one wish."""
    for name, targets in (("split", route.targets), ("mirror", route.mirrors)):
        for number, target in enumerate(targets if name in route.fields else ()):
            if target.subset:
                parts = route.item_origins.get(name, ({},) * len(targets))[number]
                yield _wish(
                    "split.destination.subset",
                    parts.get("destination.subset", route.fields[name].origin),
                )


def _of_path(name: str, path: Any, match: RequestMatch) -> Iterator[str]:
    """Of an exact path, its prefix is all of it: whatever replaces it is one new path."""
    if path is None or (match.path is not None and match.path.form == "exact"):
        return
    if name == "redirect" and path.replace_prefix_match is not None:
        yield "redirect.path.replacePrefixMatch"
    if name == "rewrite" and path.replace_full_path is not None:
        yield "rewrite.path.replaceFullPath"


def _of_setting(name: str, decided: Decided) -> Iterator[Wish]:
    value, origin = decided.value, decided.origin
    # Looked at first, and though these clients have the mesh's own: others get it.
    if decided.fallback is not None:
        yield from _of_setting(name, decided.fallback)
    if isinstance(value, Disabled):
        return
    yield from _of_sources(decided.source, origin)
    if name != "load_balancing":
        yield _wish(camel(name), origin)
        return
    hashed = value.consistent_hash
    given = {
        "algorithm": value.algorithm,
        "consistentHash": hashed,
        "consistentHash.ringSize": hashed and hashed.ring_size,
        "locality": value.locality,
        "slowStart": value.slow_start,
    }
    yield from (_wish(f"loadBalancing.{part}", origin) for part, asked in given.items() if asked is not None)
