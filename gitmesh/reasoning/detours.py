"""Requests that a split or a mirror leads to another Service, where other rules say who may call: the guard
of the Service that was called never sees them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator

from msgspec import Struct

from gitmesh.diagnostics import Diagnostic, finding
from gitmesh.model.facts import ClusterFacts, Service
from gitmesh.model.manifests import Build
from gitmesh.model.policies import Origin
from gitmesh.model.units import Access, Caller, DestinationUnit, MeshUnit, Operation, Route, Target
from gitmesh.reasoning.arriving import leads
from gitmesh.reasoning.population import population
from gitmesh.reasoning.questions import Known, Pair, Question, ServiceKey
from gitmesh.reasoning.serving import served_by
from gitmesh.resolution.matching import source_holds

LED_ROUND = "GM221"
_MOST_NAMED = 8

_Rules = frozenset[tuple[frozenset[Caller], Operation]]


class Guard(Struct, frozen=True):
    """Who may call some pods at a port, whatever the places that it comes from. `allows` None: everybody;
    `disabled`: nobody shows an identity there.
    """

    allows: _Rules | None = None
    denies: _Rules = frozenset()
    disabled: bool = False


OPEN = Guard()


class Guards(Struct, frozen=True):
    """The guards of what is behind a port of a Service, and the policies that they come from; `unknown`:
    something that decides there is held.
    """

    found: frozenset[Guard]
    policies: frozenset[str]
    unknown: bool


class _Detour(Struct, frozen=True, order=True):
    origin: Origin
    field: str
    called: ServiceKey
    led: ServiceKey
    about: tuple[str, ...]
    unknown: bool


def detours(facts: ClusterFacts, built: Build) -> tuple[Diagnostic, ...]:
    """The findings on the splits and mirrors of a cluster, at the lines that lead round."""
    leading = [
        unit for unit in built.units if isinstance(unit, DestinationUnit) and any(map(_goes_on, unit.routes))
    ]
    if not leading:
        return ()
    known = _Guarding(Known(facts, built.units, built.held_units))
    found = {
        detour
        for unit in leading
        if (decided := known.known.destinations.get(unit.service.key))
        for detour in known.detours(decided)
    }
    by_line: dict[tuple[Origin, str], list[_Detour]] = {}
    for detour in sorted(found):
        by_line.setdefault((detour.origin, detour.field), []).append(detour)
    return tuple(_told(detours, facts.cluster) for detours in by_line.values())


def _goes_on(route: Route) -> bool:
    return bool(route.targets or route.mirrors)


class _Guarding:
    """The guards of one cluster, each found once."""

    def __init__(self, known: Known) -> None:
        self.known = known
        self._guards: dict[tuple[ServiceKey, int], Guards] = {}

    def detours(self, unit: DestinationUnit) -> Iterator[_Detour]:
        for route in unit.routes:
            for field, targets in (("split", _shares(route)), ("mirror", _copies(route))):
                for target, origin in targets:
                    if target.service.key != unit.service.key and "redirect" not in route.fields:
                        yield from self._of(unit.service, route, field, target, origin)

    def _of(
        self, service: Service, route: Route, field: str, target: Target, origin: Origin
    ) -> Iterator[_Detour]:
        for port in service.ports:
            if port.http and route.match.port in (0, port.number):
                called = self.guards(service, port.number)
                led = self.guards(target.service, target.port or port.number)
                unknown = called.unknown or led.unknown
                if unknown or not (
                    led.found <= called.found or self._alike(service, route, target, port.number)
                ):
                    about = tuple(sorted(called.policies ^ led.policies))
                    yield _Detour(origin, field, service.key, target.service.key, about, unknown)

    def guards(self, service: Service, port: int) -> Guards:
        """What is behind a port of a Service."""
        place = (service.key, port)
        if place not in self._guards:
            self._guards[place] = self._find(service, port)
        return self._guards[place]

    def _find(self, service: Service, port: int) -> Guards:
        if not service.selector:
            return Guards(frozenset({OPEN}), frozenset(), False)
        pairs = self.known.behind(service, port)
        if not pairs:
            return self._without_pods(service, port)
        held = any(
            self.known.holds_mesh(pair.workload.mesh)
            or any(self.known.holds(one.key, "access") for one, _ in pair.reached)
            for pair in pairs
        )
        found = {guard for pair in pairs for guard in self._behind(pair)}
        policies = {name for pair in pairs for name in self._policies(pair)}
        return Guards(frozenset(found), frozenset(policies), held)

    def _without_pods(self, service: Service, port: int) -> Guards:
        """What would guard pods that are still to come, in any mesh of the cluster."""
        said = self._said(((service, frozenset({port})),))
        meshes = tuple(self.known.meshes.values()) or (None,)
        found = frozenset(_guard(said, mesh, spared=False) for mesh in meshes)
        named = {name for _, access in said for name in _names(access)}
        defaults = {name for mesh in meshes if not _governed(said) for name in _default(mesh)}
        return Guards(found, frozenset(named | defaults), self.known.holds(service.key, "access"))

    def _behind(self, pair: Pair) -> Iterator[Guard]:
        workload = pair.workload
        if not workload.mesh or not workload.guards(pair.number):
            yield OPEN
        else:
            mesh = self.known.meshes.get(workload.mesh)
            spared = mesh is not None and workload in (*mesh.gateways, *mesh.doubtful)
            yield _guard(self._said(pair.reached), mesh, spared=spared)

    def _policies(self, pair: Pair) -> Iterator[str]:
        said = self._said(pair.reached)
        yield from (name for _, access in said for name in _names(access))
        if not _governed(said):
            yield from _default(self.known.meshes.get(pair.workload.mesh))

    def _said(self, reached: Iterable[tuple[Service, frozenset[int]]]) -> list[tuple[frozenset[int], Access]]:
        units = ((ports, self.known.destinations.get(service.key)) for service, ports in reached)
        return [(ports, unit.access) for ports, unit in units if unit and unit.access]

    def _alike(self, service: Service, route: Route, target: Target, port: int) -> bool:
        """Whether the clients that the route means are known, and every one of them is answered alike at both
        ends, whatever it asks for.
        """
        source = route.match.source
        pairs = (*self.known.behind(service, port), *self.known.behind(target.service, target.port or port))
        said = self._said(reached for pair in pairs for reached in pair.reached)
        if not any((source.labels, source.namespaces, source.service_accounts)) or any(
            _of_requests(access) for _, access in said
        ):
            return False
        facts = self.known.index.facts
        clients = [one.client for one in population(facts.cluster, {facts.cluster: facts})]
        asked = [Question(client=one, service=service.key, port=port) for one in clients if one.mesh]
        meant = [one for one in asked if not one.client.router and source_holds(source, one.request())]
        return bool(meant) and all(
            served_by(one, service, port, (), self.known).answer
            == served_by(one, target.service, target.port or port, target.subset, self.known).answer
            for one in meant
        )


def _shares(route: Route) -> Iterator[tuple[Target, Origin]]:
    items = route.fields["split"].value if route.targets else ()
    placed = leads(route.targets, route.item_origins.get("split", ()))
    yield from (lead for item, lead in zip(items, placed, strict=True) if item.weight)


def _copies(route: Route) -> Iterator[tuple[Target, Origin]]:
    items = route.fields["mirror"].value if route.mirrors else ()
    placed = leads(route.mirrors, route.item_origins.get("mirror", ()))
    yield from (lead for item, lead in zip(items, placed, strict=True) if item.percent)


def _governed(said: Iterable[tuple[frozenset[int], Access]]) -> bool:
    return any(access.governed for _, access in said)


def _names(access: Access) -> Iterator[str]:
    yield from (grant.origin.policy for grant in (*access.allows, *access.denies))


def _default(mesh: MeshUnit | None) -> Iterator[str]:
    decided = mesh.access_default if mesh else None
    if decided is not None and decided.value == "Deny":
        yield decided.origin.policy


def _of_requests(access: Access) -> bool:
    """Whether it looks at more than who calls from where, or at an address, which is not known."""
    grants = (*access.allows, *access.denies)
    return any(grant.operations for grant in grants) or any(
        caller.ip_blocks or caller.not_ip_blocks for grant in grants for caller in grant.callers
    )


def _guard(said: list[tuple[frozenset[int], Access]], mesh: MeshUnit | None, *, spared: bool) -> Guard:
    denies = frozenset(rule for ports, access in said for rule in _rules(access, ports, deny=True))
    allows: _Rules | None = None
    if _governed(said):
        allows = frozenset(rule for ports, access in said for rule in _rules(access, ports, deny=False))
    elif any(_default(mesh)) and not spared:
        allows = frozenset(rule for ports, access in said for rule in _exempt(access, ports))
    if allows is not None and (frozenset({Caller(kind="all")}), Operation()) in allows:
        allows = None
    guarded = allows is not None or bool(denies)
    disabled = guarded and mesh is not None and mesh.mtls is not None and mesh.mtls.value.mode == "Disabled"
    return Guard(allows, denies, disabled)


def _rules(
    access: Access, ports: frozenset[int], *, deny: bool
) -> Iterator[tuple[frozenset[Caller], Operation]]:
    """What is said of these Service ports: which they are is no difference."""
    for grant in access.denies if deny else access.allows:
        for one in grant.operations or (Operation(),):
            if not one.ports or ports & set(one.ports):
                rest = dataclasses.replace(one, ports=(), targets=(), unresolved_ports=(), origin=None)
                callers = frozenset(grant.callers)
                everybody = Caller(kind="all")
                yield (frozenset({everybody}) if everybody in callers else callers), rest


def _exempt(access: Access, ports: frozenset[int]) -> Iterator[tuple[frozenset[Caller], Operation]]:
    exempt = access.exempt
    if exempt is not None and (not exempt.ports or ports & set(exempt.ports)):
        yield frozenset(exempt.callers or (Caller(kind="all"),)), Operation()


def _told(detours: list[_Detour], cluster: str) -> Diagnostic:
    first = detours[0]
    pairs = [f"{'/'.join(one.called)} to {'/'.join(one.led)}" for one in detours]
    more = f" and {len(pairs) - _MOST_NAMED} more" if len(pairs) > _MOST_NAMED else ""
    what = "requests" if first.field == "split" else "copies of requests"
    about = sorted({name for one in detours for name in one.about})
    named = f": {', '.join(about[:_MOST_NAMED])} acts on one of the two alone" if about else ""
    text = f"{what} go from Service {', from '.join(pairs[:_MOST_NAMED])}{more}, "
    if all(one.unknown for one in detours):
        text += "and whether both admit the same cannot be told while what decides there is held"
    else:
        text += f"where it is decided otherwise who may call{named}"
    return finding(
        LED_ROUND,
        text,
        at=first.origin.at,
        policy=first.origin.policy,
        field=first.origin.field,
        cluster=cluster,
    )
