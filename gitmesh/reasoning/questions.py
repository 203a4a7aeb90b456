"""A request to ask about, and what is known of one cluster to answer it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from functools import cached_property
from types import MappingProxyType

from msgspec import Struct

from gitmesh.model.facts import ClusterFacts
from gitmesh.model.manifests import Build
from gitmesh.model.objects import ObjectKey
from gitmesh.model.services import Service
from gitmesh.model.strangers import ClientTls, ForeignGuard
from gitmesh.model.units import AccessUnit, Half, MeshUnit, RoutingUnit, Unit, UnitKey, half_key, mesh_key
from gitmesh.model.workloads import Shape, Workload
from gitmesh.reasoning.aliases import answering
from gitmesh.resolution.index import Index, targets
from gitmesh.resolution.matching import Request

# A tilde, since no name of a namespace or a ServiceAccount can have one.
NOBODY = "~"
"""A name that nothing in a cluster can have."""
ServiceKey = tuple[str, str]
"""(namespace, name)."""


class Client(Struct, frozen=True, kw_only=True):
    """Who calls. `trust_domain` None: it shows no identity; `mesh` "": it has no proxy, so nothing is routed
    for it; `router`: its proxy is a gateway's, which has routes of its own.

    `ip` "" means that the address is not known: what depends on it is then not decided.
    """

    namespace: str = ""
    service_account: str = ""
    trust_domain: str | None = None
    labels: Mapping[str, str] = {}
    mesh: str = ""
    router: bool = False
    ip: str = ""


class Approach(Struct, frozen=True, kw_only=True):
    """What facts tell of how clients come to pods without a proxy of their own: the `ambient` namespaces,
    where such pods are, and who calls by a `proxied` name, namespace and ServiceAccount of pods with a proxy.
    """

    ambient: frozenset[str]
    proxied: frozenset[tuple[str, str]]

    def by_own_proxy(self, client: Client) -> bool:
        """Whether pods with a proxy of their own call by the client's name; whether it is one, that does not
        say."""
        return (client.namespace, client.service_account) in self.proxied

    def told(self, client: Client) -> tuple[bool, bool, bool]:
        """All of a client that its way can hang on."""
        return bool(client.mesh), client.namespace in self.ambient, self.by_own_proxy(client)


class Question(Struct, frozen=True, kw_only=True):
    """A request of a client to a Service (namespace, name), `port` a Service port number. Header names in
    lower case, the path without query. `http` false: a connection in which proxies see no requests;
    `sniffed`: they may see one, or none. `sample`: it stands for others that policies do not tell apart; what
    strangers' conditions might is then not known.
    """

    client: Client
    service: ServiceKey
    port: int
    method: str = "GET"
    path: str = "/"
    query: Mapping[str, str] = {}
    headers: Mapping[str, str] = {}
    authority: str = ""
    http: bool = True
    sample: bool = False
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


Reached = tuple[tuple[Service, frozenset[int]], ...]
"""Services, each with some of its ports."""


class ForeignWords(Struct, frozen=True):
    """What the object `by` of a stranger says of pods; `sure`: it selects all of them."""

    by: ObjectKey
    guard: ForeignGuard
    sure: bool


def guards_of(workload: Workload, facts: ClusterFacts) -> Iterator[ForeignWords]:
    """What may select the workload's pods."""
    index = facts.guards_by_namespace
    for stranger, guard in (*index.get(workload.namespace, ()), *index.get("", ())):
        if stranger.is_read_by(workload.mesh) and workload.may_carry(guard.selector):
            yield ForeignWords(stranger.key, guard, guard.selector.items() <= workload.labels.items())


class Pair(Struct, frozen=True):
    """A container port of pods of one shape, and the Services that reach it, each with the Service ports by
    which it does. `closing` are other Services with these pods whose Allows close the port here because it is
    guarded on others, with the Service ports that have its number there: what they admit, they admit here.
    `denying` are all Services with these pods that deny something, with the Service ports that have the
    number on some of their pods: a Deny names pods and numbers, but no pairs. `spreading` are Services with
    these pods of which a Deny acts on every port, as its own are not known.
    `gateway` says whether a default of Deny spares the pods, None where that is in doubt. `foreign` is what
    strangers say of who may call them.
    """

    workload: Workload
    number: int
    reached: Reached
    closing: Reached
    gateway: bool | None
    denying: Reached = ()
    spreading: tuple[Service, ...] = ()
    foreign: tuple[ForeignWords, ...] = ()

    @property
    def ground(self) -> object:
        """All that a decision about these pods can hang on: equal for shapes that are decided alike."""
        workload = self.workload
        proxy = (workload.mesh, workload.dataplane, self.gateway, workload.guards(self.number))
        reached, closing, denying = (
            tuple((service.key, ports) for service, ports in found)
            for found in (self.reached, self.closing, self.denying)
        )
        spreading = tuple(service.key for service in self.spreading)
        foreign = tuple((one.by, one.sure) for one in self.foreign)
        return self.workload.key, self.number, proxy, reached, closing, denying, spreading, foreign


class Known:
    """One cluster: its facts, the units decided for it, and the keys of those that are held; `refused` are
    destinations that are held as their pods would refuse what policies ask for, `client_tls` what clients
    connect with where no policy says it."""

    def __init__(
        self,
        facts: ClusterFacts,
        units: Iterable[Unit],
        held: Collection[UnitKey],
        refused: Iterable[RoutingUnit] = (),
        client_tls: Mapping[ServiceKey, tuple[ClientTls, ...]] = MappingProxyType({}),
    ) -> None:
        here = facts.cluster
        # What is written here for destinations of other clusters may have the name of a Service of this one.
        found = [unit for unit in units if (key := unit.key) not in held and key.home == here]
        self.index = Index(facts)
        self.refused = {unit.service.key: unit for unit in refused}
        self.client_tls = client_tls
        self._held = frozenset(held)
        self.routing = {unit.service.key: unit for unit in found if isinstance(unit, RoutingUnit)}
        self.access = {unit.service.key: unit for unit in found if isinstance(unit, AccessUnit)}
        self.meshes = {unit.mesh.name: unit for unit in found if isinstance(unit, MeshUnit)}
        self._gateways: dict[Shape, bool | None] = {
            **{one.shape: None for unit in self.meshes.values() for one in unit.doubtful},
            **{one.shape: True for unit in self.meshes.values() for one in unit.gateways},
        }
        # Kept, since each is asked for again for every class of clients and requests.
        self._pairs: dict[tuple[Shape, int], Pair] = {}
        self._ports: dict[ServiceKey, Mapping[int, frozenset[int]]] = {}
        self._behind: dict[tuple[ServiceKey, int], tuple[Pair, ...]] = {}

    @classmethod
    def of(cls, facts: ClusterFacts, built: Build) -> Known:
        """What is known of a cluster as it was built."""
        return cls(facts, built.units, built.held_units, built.refused, built.client_tls)

    @cached_property
    def approach(self) -> Approach:
        """How clients come to pods without a proxy of their own."""
        facts = self.index.facts
        return Approach(
            ambient=frozenset(facts.ambient_namespaces),
            proxied=frozenset((namespace, account) for namespace, account, _ in facts.proxied),
        )

    @cached_property
    def shuts_out(self) -> bool:
        """Whether pods of some destination refuse a proxy ahead of Services: in most clusters none do."""
        return any(unit.around.shut for unit in self.access.values())

    def holds(self, service: ServiceKey, half: Half) -> bool:
        """Whether this half of the destination is held: its last good objects stay in force, whatever they
        say.
        """
        return half_key(half, self.index.facts.cluster, service) in self._held

    def takes(self, pair: Pair) -> tuple[str, ...]:
        """The trust domains whose identities the pods take in mTLS; () = of any."""
        mesh = self.index.facts.mesh(pair.workload.mesh)
        return mesh.takes if mesh and pair.workload.guards(pair.number) else ()

    def holds_mesh(self, name: str) -> bool:
        """Whether the mesh is held."""
        return mesh_key(self.index.facts.cluster, name) in self._held

    def behind(self, service: Service, port: int) -> tuple[Pair, ...]:
        """The (pods, container port) pairs behind a port of a Service, shape by shape; a named target may be
        none. Behind an alias are those of whom it stands for.
        """
        place = (service.key, port)
        if place not in self._behind:
            answers = answering(service, self.index.facts) or service
            found = [one for one in answers.ports if one.number == port]
            self._behind[place] = tuple(
                self.pair(workload, number)
                for one in found
                for workload in self.index.behind(answers)
                for number in sorted(targets(one, [workload]))
            )
        return self._behind[place]

    def pair(self, workload: Workload, number: int) -> Pair:
        """A container port of pods, whether or not a Service reaches it."""
        place = (workload.shape, number)
        if place not in self._pairs:
            services = [
                (one, frozenset(port.number for port in one.ports if number in targets(port, [workload])))
                for one in self.index.selecting(workload)
            ]
            reached = tuple((one, ports) for one, ports in services if ports)
            beside = (one for one, ports in services if not ports)
            closing = tuple(self._closing(beside, workload, number))
            gateway = self._gateways.get(workload.shape, False)
            denying = tuple(self._denying((one for one, _ in services), number))
            spreading = tuple(one for one, _ in services if self._spreads(one))
            foreign = tuple(guards_of(workload, self.index.facts))
            self._pairs[place] = Pair(
                workload, number, reached, closing, gateway, denying, spreading, foreign
            )
        return self._pairs[place]

    def _spreads(self, service: Service) -> bool:
        unit = self.access.get(service.key)
        return bool(unit and unit.access.spread)

    def _denying(self, services: Iterable[Service], number: int) -> Iterator[tuple[Service, frozenset[int]]]:
        for service in services:
            unit = self.access.get(service.key)
            if unit and unit.access.denies and (ports := self._having(unit).get(number)):
                yield service, ports

    def _having(self, unit: AccessUnit) -> Mapping[int, frozenset[int]]:
        """Container port -> the Service ports that have its number on some of the pods."""
        key = unit.service.key
        if key not in self._ports:
            found: dict[int, set[int]] = {}
            for port in unit.service.ports:
                for number in targets(port, unit.workloads):
                    found.setdefault(number, set()).add(port.number)
            self._ports[key] = {number: frozenset(ports) for number, ports in found.items()}
        return self._ports[key]

    def _closing(
        self, services: Iterable[Service], workload: Workload, number: int
    ) -> Iterator[tuple[Service, frozenset[int]]]:
        for service in services:
            unit = self.access.get(service.key)
            if unit and unit.access.closes(workload.labels, number):
                having = {} if number in unit.access.mixed else self._having(unit)
                yield service, having.get(number, frozenset())
