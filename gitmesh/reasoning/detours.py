"""Requests that a split or a mirror leads to another Service, where other rules say who may call: the guard
of the Service that was called never sees them.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property

from msgspec import Struct

from gitmesh.diagnostics import Diagnostic, first_of
from gitmesh.model.facts import ClusterFacts
from gitmesh.model.grants import Access
from gitmesh.model.manifests import Build
from gitmesh.model.policies import Origin
from gitmesh.model.routes import Route, Target
from gitmesh.model.services import Service
from gitmesh.model.units import AccessUnit, MeshUnit, RoutingUnit, Unit
from gitmesh.reasoning.arriving import leads
from gitmesh.reasoning.guards import Guarding, default_of
from gitmesh.reasoning.population import population
from gitmesh.reasoning.questions import Client, Known, Question, ServiceKey
from gitmesh.reasoning.serving import served_by
from gitmesh.resolution.matching import source_holds

LED_ROUND = "GM221"
_MOST_NAMED = 8
# Clients that are looked at in all, to tell whether a line that means some of them leads anybody round.
_MOST_ASKED = 20_000


class Detour(Struct, frozen=True, order=True):
    """A line of a split or a mirror (`field`) that leads from one Service to another; `about` are the
    policies that guard one of them alone, `unknown`: what decides at one of them is held.
    """

    origin: Origin
    field: str
    called: ServiceKey
    led: ServiceKey
    about: tuple[str, ...]
    unknown: bool


def detours(facts: ClusterFacts, built: Build) -> tuple[Diagnostic, ...]:
    """The findings on the splits and mirrors of a cluster, at the lines that lead round."""
    leading = [unit for unit in built.units if isinstance(unit, RoutingUnit) and _leads_on(unit)]
    # Where nothing guards, nobody can be led round it: most clusters end here, without an index being made.
    if not leading or not (built.held_units or any(map(_guards, built.units))):
        return ()
    found_by = _Leading(Known.of(facts, built))
    found = {detour for unit in leading for detour in found_by.detours(unit.service.key)}
    by_line: dict[tuple[Origin, str], list[Detour]] = {}
    for detour in sorted(found):
        by_line.setdefault((detour.origin, detour.field), []).append(detour)
    return tuple(_told(detours, facts.cluster) for detours in by_line.values())


def led_round(key: ServiceKey, known: Known) -> tuple[Detour, ...]:
    """By which lines requests to a Service are led round, sorted."""
    return tuple(sorted({detour for detour in _Leading(known).detours(key) if detour.field == "split"}))


def _leads_on(unit: RoutingUnit) -> bool:
    targets = (target for route in unit.routes for target in (*route.targets, *route.mirrors))
    return any(target.service.key != unit.service.key for target in targets)


def _guards(unit: Unit) -> bool:
    """Whether it decides who may call at all."""
    return any(default_of(unit)) if isinstance(unit, MeshUnit) else isinstance(unit, AccessUnit)


class _Leading:
    """The lines of one cluster that lead from one Service to another."""

    def __init__(self, known: Known) -> None:
        self.known, self.guarding = known, Guarding(known)
        self._left = _MOST_ASKED

    def detours(self, key: ServiceKey) -> Iterator[Detour]:
        """The lines that lead round from a Service."""
        unit = self.known.routing.get(key)
        for route in unit.routes if unit else ():
            for field, targets in (("split", _shares(route)), ("mirror", _copies(route))):
                for target, origin in targets:
                    # A redirect answers the client at once: nothing is split or copied then.
                    if unit and target.service.key != key and "redirect" not in route.fields:
                        yield from self._of(unit.service, route, field, target, origin)

    def _of(
        self, service: Service, route: Route, field: str, target: Target, origin: Origin
    ) -> Iterator[Detour]:
        for port in service.ports:
            if port.http and route.match.port in (0, port.number):
                called = self.guarding.guards(service, port.number)
                led = self.guarding.guards(target.service, target.port or port.number)
                unknown = called.unknown or led.unknown
                if unknown or not (
                    led.found <= called.found or self._alike(service, route, target, port.number)
                ):
                    about = tuple(sorted(called.policies ^ led.policies))
                    yield Detour(origin, field, service.key, target.service.key, about, unknown)

    def _alike(self, service: Service, route: Route, target: Target, port: int) -> bool:
        """Whether the clients that the route means are known, and every one of them is answered alike at both
        ends, whatever it asks for.
        """
        source = route.match.source
        pairs = (*self.known.behind(service, port), *self.known.behind(target.service, target.port or port))
        said = self.guarding.said(reached for pair in pairs for reached in pair.reached)
        if not any((source.labels, source.namespaces, source.service_accounts)) or any(
            _of_requests(access) for _, access in said
        ):
            return False
        self._left -= len(self._clients)
        # Not looked at is not alike: a line too many is told rather than one too few.
        if self._left < 0:
            return False
        asked = [Question(client=one, service=service.key, port=port) for one in self._clients]
        meant = [one for one in asked if source_holds(source, one.request())]
        # If none of the known clients is meant, nothing is known of those that are.
        return bool(meant) and all(
            served_by(one, service, port, (), self.known).answer
            == served_by(one, target.service, target.port or port, target.subset, self.known).answer
            for one in meant
        )

    @cached_property
    def _clients(self) -> tuple[Client, ...]:
        """Those whose requests routes act on, one of each that nothing tells apart."""
        facts = self.known.index.facts
        clients = (one.client for one in population(facts.cluster, {facts.cluster: facts}))
        routed = (one for one in clients if one.mesh and not one.router)
        return tuple({_same(one): one for one in routed}.values())


def _same(client: Client) -> object:
    return client.namespace, client.service_account, client.mesh, frozenset(client.labels.items())


def _shares(route: Route) -> Iterator[tuple[Target, Origin]]:
    items = route.fields["split"].value if route.targets else ()
    placed = leads(route.targets, route.item_origins.get("split", ()))
    # A share of 0 leads nobody anywhere, and neither does a copy of 0 percent.
    yield from (lead for item, lead in zip(items, placed, strict=True) if item.weight)


def _copies(route: Route) -> Iterator[tuple[Target, Origin]]:
    items = route.fields["mirror"].value if route.mirrors else ()
    placed = leads(route.mirrors, route.item_origins.get("mirror", ()))
    yield from (lead for item, lead in zip(items, placed, strict=True) if item.percent)


def _of_requests(access: Access) -> bool:
    """Whether it looks at more than who calls from where, or at an address, which is not known."""
    grants = (*access.allows, *access.denies)
    return any(grant.operations for grant in grants) or any(
        caller.ip_blocks or caller.not_ip_blocks for grant in grants for caller in grant.callers
    )


def _told(detours: list[Detour], cluster: str) -> Diagnostic:
    first = detours[0]
    pairs = [f"{'/'.join(one.called)} to {'/'.join(one.led)}" for one in detours]
    what = "requests" if first.field == "split" else "copies of requests"
    about = sorted({name for one in detours for name in one.about})
    named = f": {', '.join(about[:_MOST_NAMED])} acts on one of the two alone" if about else ""
    text = f"{what} go from Service {first_of(pairs, _MOST_NAMED, ', from ')}, "
    if all(one.unknown for one in detours):
        text += "and whether both admit the same cannot be told while what decides there is held"
    else:
        text += f"where it is decided otherwise who may call{named}"
    return first.origin.finding(LED_ROUND, text, cluster=cluster)
