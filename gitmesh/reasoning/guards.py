"""Who may call what is behind a port of a Service, as a value to compare: the places that it comes from, and
the ports' numbers, make no difference.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator

from msgspec import Struct

from gitmesh.model.grants import Access, Caller, Operation
from gitmesh.model.services import Service
from gitmesh.model.units import MeshUnit
from gitmesh.model.workloads import Workload
from gitmesh.reasoning.aliases import answering
from gitmesh.reasoning.questions import Known, Pair, ServiceKey

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


class Guarding:
    """The guards of one cluster, each found once."""

    def __init__(self, known: Known) -> None:
        self.known = known
        self._guards: dict[tuple[ServiceKey, int], Guards] = {}

    def guards(self, service: Service, port: int) -> Guards:
        """What is behind a port of a Service."""
        place = (service.key, port)
        if place not in self._guards:
            self._guards[place] = self._find(service, port)
        return self._guards[place]

    def _find(self, service: Service, port: int) -> Guards:
        answers = answering(service, self.known.index.facts)
        # Endpoints that are made by hand are no pods, and nothing that we know of guards them.
        if answers is None or not answers.selector:
            return Guards(frozenset({OPEN}), frozenset(), False)
        pairs = {self._like(pair): pair for pair in self.known.behind(service, port)}.values()
        if not pairs:
            return self._without_pods(answers, port)
        held = any(
            self.known.holds_mesh(pair.workload.mesh)
            or any(self.known.holds(one.key, "access") for one, _ in pair.reached)
            for pair in pairs
        )
        found = {guard for pair in pairs for guard in self._behind(pair)}
        policies = {name for pair in pairs for name in self._policies(pair)}
        return Guards(frozenset(found), frozenset(policies), held)

    def _like(self, pair: Pair) -> object:
        """Equal for pods that are guarded alike: those of a Service mostly are."""
        workload = pair.workload
        seen = workload.guards(pair.number), self._spared(workload)
        return workload.mesh, seen, tuple((service.key, ports) for service, ports in pair.reached)

    def _spared(self, workload: Workload) -> bool:
        """Whether a default of Deny does not cover it, or may not."""
        mesh = self.known.meshes.get(workload.mesh)
        return mesh is not None and workload in (*mesh.gateways, *mesh.doubtful)

    def _without_pods(self, service: Service, port: int) -> Guards:
        """What would guard pods that are still to come, in any mesh of the cluster."""
        said = self.said(((service, frozenset({port})),))
        # Without a mesh nothing would guard them: None stands for that.
        meshes = tuple(self.known.meshes.values()) or (None,)
        found = frozenset(_guard(said, mesh, spared=False) for mesh in meshes)
        named = {name for _, access in said for name in _names(access)}
        defaults = {name for mesh in meshes if not _governed(said) for name in default_of(mesh)}
        return Guards(found, frozenset(named | defaults), self.known.holds(service.key, "access"))

    def _behind(self, pair: Pair) -> Iterator[Guard]:
        workload = pair.workload
        if not workload.mesh or not workload.guards(pair.number):
            yield OPEN
        else:
            mesh = self.known.meshes.get(workload.mesh)
            yield _guard(self.said(pair.reached), mesh, spared=self._spared(workload))

    def _policies(self, pair: Pair) -> Iterator[str]:
        said = self.said(pair.reached)
        yield from (name for _, access in said for name in _names(access))
        if not _governed(said):
            yield from default_of(self.known.meshes.get(pair.workload.mesh))

    def said(self, reached: Iterable[tuple[Service, frozenset[int]]]) -> list[tuple[frozenset[int], Access]]:
        """The decisions of these destinations, where there are some."""
        units = ((ports, self.known.access.get(service.key)) for service, ports in reached)
        return [(ports, unit.access) for ports, unit in units if unit]


def _governed(said: Iterable[tuple[frozenset[int], Access]]) -> bool:
    return any(access.governed for _, access in said)


def _names(access: Access) -> Iterator[str]:
    yield from (grant.origin.policy for grant in (*access.allows, *access.denies))


def default_of(mesh: MeshUnit | None) -> Iterator[str]:
    """The policy that says so, where the mesh denies by default."""
    decided = mesh.access_default if mesh else None
    if decided is not None and decided.value == "Deny":
        yield decided.origin.policy


def _guard(said: list[tuple[frozenset[int], Access]], mesh: MeshUnit | None, *, spared: bool) -> Guard:
    denies = frozenset(rule for ports, access in said for rule in _rules(access, ports, deny=True))
    allows: _Rules | None = None
    if _governed(said):
        allows = frozenset(rule for ports, access in said for rule in _rules(access, ports, deny=False))
    elif any(default_of(mesh)) and not spared:
        allows = frozenset(rule for ports, access in said for rule in _exempt(access, ports))
    # Who admits everybody to everything guards as little as who says nothing.
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
