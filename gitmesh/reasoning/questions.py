"""A request to ask about, and what is known of one cluster to answer it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from msgspec import Struct
from msgspec.structs import replace

from gitmesh.model.facts import ClusterFacts, Service, Workload
from gitmesh.model.units import DestinationUnit, Half, MeshUnit, Unit, UnitKey
from gitmesh.resolution.index import Index, targets
from gitmesh.resolution.matching import Request

ServiceKey = tuple[str, str]
"""(namespace, name)."""


class Client(Struct, frozen=True, kw_only=True):
    """Who calls. `trust_domain` None: it shows no identity; `mesh` "": it has no proxy, so nothing is routed
    for it.

    `ip` "" means that the address is not known: what depends on it is then not decided.
    """

    namespace: str = ""
    service_account: str = ""
    trust_domain: str | None = None
    labels: Mapping[str, str] = {}
    mesh: str = ""
    ip: str = ""


class Question(Struct, frozen=True, kw_only=True):
    """A request of a client to a Service (namespace, name), `port` a Service port number. Header names in
    lower case, the path without query. `http` false: a connection in which proxies see no requests;
    `sniffed`: they may see one, or none."""

    client: Client
    service: ServiceKey
    port: int
    method: str = "GET"
    path: str = "/"
    query: Mapping[str, str] = {}
    headers: Mapping[str, str] = {}
    authority: str = ""
    http: bool = True
    sniffed: bool = False

    def request(self) -> Request:
        """As matches see it."""
        return Request(
            path=self.path,
            headers=self.headers,
            query=self.query,
            method=self.method,
            port=self.port,
            authority=self.authority,
            labels=self.client.labels,
            namespace=self.client.namespace,
            service_account=self.client.service_account,
        )


class Pair(Struct, frozen=True):
    """A container port of a workload's pods, and the Services that reach it, each with the Service ports by
    which it does.
    """

    workload: Workload
    number: int
    reached: tuple[tuple[Service, frozenset[int]], ...]


class Known:
    """One cluster: its facts, the units decided for it, and the keys of those that are held; `refused` are
    destinations that are held as their pods would refuse what policies ask for."""

    def __init__(
        self,
        facts: ClusterFacts,
        units: Iterable[Unit],
        held: Collection[UnitKey],
        refused: Iterable[DestinationUnit] = (),
    ) -> None:
        found = [unit for unit in units if unit.key not in held]
        self.index = Index(facts)
        self.refused = {unit.service.key: unit for unit in refused}
        self._held = frozenset(held)
        self.destinations = {
            unit.service.key: self._decided(unit) for unit in found if isinstance(unit, DestinationUnit)
        }
        self.meshes = {unit.mesh.name: unit for unit in found if isinstance(unit, MeshUnit)}
        self._pairs: dict[tuple[tuple[str, str, str], int], Pair] = {}

    def _decided(self, unit: DestinationUnit) -> DestinationUnit:
        """The unit without a half that is held."""
        if self.holds(unit.service.key, "routing"):
            unit = replace(unit, routes=(), settings={})
        return replace(unit, access=None) if self.holds(unit.service.key, "access") else unit

    def holds(self, service: ServiceKey, half: Half) -> bool:
        """Whether this half of the destination is held: its last good objects stay in force, whatever they
        say.
        """
        whole = UnitKey(kind="Destination", namespace=service[0], name=service[1])
        return whole in self._held or replace(whole, half=half) in self._held

    def holds_mesh(self, name: str) -> bool:
        """Whether the mesh is held."""
        return UnitKey(kind="Mesh", namespace="", name=name) in self._held

    def behind(self, service: Service, port: int) -> tuple[Pair, ...]:
        """The (workload, container port) pairs behind a port of a Service; a named target may be none."""
        found = [one for one in service.ports if one.number == port]
        workloads = self.index.behind(service)
        return tuple(
            self._pair(w, number) for one in found for w in workloads for number in sorted(targets(one, [w]))
        )

    def _pair(self, workload: Workload, number: int) -> Pair:
        place = (workload.key, number)
        if place not in self._pairs:
            services = sorted(self.index.services_of.get(workload.key, ()), key=lambda service: service.key)
            ports = (
                (s, frozenset(p.number for p in s.ports if number in targets(p, [workload])))
                for s in services
            )
            self._pairs[place] = Pair(
                workload, number, tuple((service, numbers) for service, numbers in ports if numbers)
            )
        return self._pairs[place]
