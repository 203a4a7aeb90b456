"""Resolved units: what one destination or one mesh of one cluster must do, decided once for all meshes.

`resolve` makes them from policies and facts; translators and the calculator only read them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from msgspec import Struct
from msgspec.structs import replace

from gitmesh.model.empty import no_items
from gitmesh.model.facts import Mesh
from gitmesh.model.objects import ObjectKey
from gitmesh.model.policies import Origin
from gitmesh.model.services import Service, ServicePort
from gitmesh.model.strangers import ALONE, Around
from gitmesh.model.workloads import Workload

Half: TypeAlias = Literal["routing", "access"]
HALVES: tuple[Half, ...] = ("routing", "access")
"""Of a destination: how requests go to it, which is written where the callers are, and who may call, which is
written where the pods are. They are held apart, since an error in routing never holds access (api.md, What an
error holds back)."""


class UnitKey(Struct, frozen=True, kw_only=True, order=True):
    """Name of a unit: a half of a Service, or a mesh (namespace "", `name` of the mesh), which is of one
    piece.

    `home` is the cluster where the destination lives, `written` the one whose objects say it; they differ
    where callers of another cluster are told of it.
    """

    half: Literal["routing", "access", "mesh"]
    home: str
    written: str
    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}" if self.half != "mesh" else f"mesh {self.name}"


def half_key(half: Half, cluster: str, service: tuple[str, str]) -> UnitKey:
    """Of a half of a Service (namespace, name) that lives in the cluster and is written there."""
    return UnitKey(half=half, home=cluster, written=cluster, namespace=service[0], name=service[1])


class TextCondition(Struct, frozen=True, kw_only=True, order=True):
    """A condition on text. For paths `prefix` means whole segments and `stringPrefix` characters; for other
    text `prefix` means characters. `value` is "" for `present`."""

    form: Literal["exact", "prefix", "stringPrefix", "suffix", "regex", "present"]
    value: str = ""
    ignore_case: bool = False


class NamedCondition(Struct, frozen=True, kw_only=True, order=True):
    """A condition on one header or query parameter; `invert`: the request must not meet it (absent counts as
    not).
    """

    name: str
    condition: TextCondition
    invert: bool = False


class SourceCondition(Struct, frozen=True, kw_only=True, order=True):
    """Which clients inside this cluster: all that is given must hold. The cluster itself is already
    decided.
    """

    labels: tuple[tuple[str, str], ...] = ()
    namespaces: tuple[str, ...] = ()
    service_accounts: tuple[str, ...] = ()


class RequestMatch(Struct, frozen=True, kw_only=True, order=True):
    """A conjunction of conditions on a request; the empty one matches every request. `port` is a Service port
    number.
    """

    path: TextCondition | None = None
    headers: tuple[NamedCondition, ...] = ()
    query: tuple[NamedCondition, ...] = ()
    method: str = ""
    port: int = 0
    authority: TextCondition | None = None
    source: SourceCondition = SourceCondition()


class Decided(Struct, frozen=True, kw_only=True):
    """A decided value and where it comes from. For request and connection fields `value` is the policy
    model's value (e.g. `Retries`, int milliseconds for timeout, tuple of `SplitTarget`), with every reference
    resolved in `Route`. `parts` is where each part of a compound value stands, by its dotted path below the
    field as policies spell it. `source` and `fallback` are for connection fields: the value holds for these
    clients only (for request fields the route's match says it), for others the `fallback` is decided;
    `Disabled` leaves these clients the mesh's own.
    """

    value: Any
    origin: Origin
    parts: Mapping[str, Origin] = no_items()
    source: SourceCondition = SourceCondition()
    fallback: Decided | None = None


class Target(Struct, frozen=True, kw_only=True):
    """A resolved split or mirror destination: the Service, its port number (0 = the requested one) and the
    subset labels.
    """

    service: Service
    port: int = 0
    subset: tuple[tuple[str, str], ...] = ()


class Laid(Struct, frozen=True, kw_only=True):
    """A field of a TrafficPolicy where a policy lays it: on these ports of a Service, none if it has none.

    `field` is the policy model's name, `value` the model's value. Each item of `split` and `mirror` is laid
    by itself, too: its value is then the `Target` that it sends requests to.
    """

    field: str
    value: object
    service: Service
    ports: tuple[ServicePort, ...]


class Route(Struct, frozen=True, kw_only=True):
    """One row of a first-match list: requests that `match`, and the value of every field that some rule sets
    for them.

    `fields` uses the policy model's Python names. `headers` is already merged; its Decided.value is a
    `Headers` and its origin the greatest rule's. `targets` resolves `split` (same order) and `mirrors`
    resolves `mirror`. `origins` are all rules that take part, greatest first; `header_origins` says of each
    (side, name) who changes it. `item_origins` says of each item of `split` and `mirror`, in their order,
    where its parts stand, "" = the item.
    """

    match: RequestMatch
    fields: Mapping[str, Decided]
    targets: tuple[Target, ...] = ()
    mirrors: tuple[Target, ...] = ()
    origins: tuple[Origin, ...] = ()
    header_origins: Mapping[tuple[str, str], Origin] = no_items()
    item_origins: Mapping[str, tuple[Mapping[str, Origin], ...]] = no_items()


class Ended(Struct, frozen=True, kw_only=True):
    """A rule that leaves a field to the mesh (`{disabled: true}`) for the requests that it matches."""

    field: str
    match: RequestMatch
    origin: Origin


class Subset(Struct, frozen=True, kw_only=True):
    """Pod labels behind a Service that some split routes to; `origins` say which."""

    labels: tuple[tuple[str, str], ...]
    origins: tuple[Origin, ...] = ()


class Principal(Struct, frozen=True, kw_only=True):
    """A SPIFFE identity; "" means any. `spiffe://<trust_domain>/ns/<namespace>/sa/<service_account>`."""

    trust_domain: str = ""
    namespace: str = ""
    service_account: str = ""


class Caller(Struct, frozen=True, kw_only=True):
    """One identity item, resolved. `kind`: `all` = anybody, `authenticated` = any verified identity,
    `principals` = one of `principals`; `principals` with an empty tuple = nobody can be named (see
    `inexpressible`), `address` = address only. In every case ip_blocks / not_ip_blocks must hold too.

    `inexpressible` says, for people, what of the item could not be resolved to identities; a translator must
    then close.
    """

    kind: Literal["all", "authenticated", "principals", "address"]
    principals: tuple[Principal, ...] = ()
    ip_blocks: tuple[str, ...] = ()
    not_ip_blocks: tuple[str, ...] = ()
    inexpressible: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """Requests that one rule of an AccessPolicy means; empty = any. `ports` are Service port numbers,
    `targets` the workload port numbers behind them (empty = every governed port of the destination); paths
    and hosts in the policy's own `*` notation. `raw`: it means connections without requests, too, though it
    asks for what only a request has. `origin` is the rule; it takes no part in comparisons, as rules that say
    the same are one.
    """

    paths: tuple[str, ...] = ()
    methods: tuple[str, ...] = ()
    targets: tuple[int, ...] = ()
    hosts: tuple[str, ...] = ()
    headers: tuple[NamedCondition, ...] = ()
    ports: tuple[int, ...] = ()
    unresolved_ports: tuple[str, ...] = ()
    raw: bool = False
    origin: Origin | None = field(default=None, compare=False, repr=False)

    @property
    def asks_http(self) -> bool:
        """Whether it asks for what only a request has."""
        return bool(self.paths or self.methods or self.hosts or self.headers)


class Grant(Struct, frozen=True, kw_only=True):
    """One AccessPolicy on one destination: callers (OR) x operations (OR; empty = every request)."""

    callers: tuple[Caller, ...]
    operations: tuple[Operation, ...]
    origin: Origin


class Exemption(Struct, frozen=True, kw_only=True):
    """What a default of Deny does not cover on this destination. `ports` are Service port numbers, `targets`
    the workload ports behind them; empty = all of its ports; callers empty = anybody."""

    ports: tuple[int, ...] = ()
    targets: tuple[int, ...] = ()
    callers: tuple[Caller, ...] = ()
    origin: Origin


class PodsApart(Struct, frozen=True, kw_only=True):
    """Some pods of a destination, by `labels` that they all have, on which fewer ports are governed
    (`governed_ports`) than on all of its pods together: an Allow of another Service governs the others, or a
    stranger's closes others of the pods, and selects none of these."""

    labels: tuple[tuple[str, str], ...]
    governed_ports: tuple[int, ...] = ()


class Access(Struct, frozen=True, kw_only=True):
    """The access decision of one destination.

    `targets` are its workload port numbers. `governed_ports` are all workload ports, of these pods, that some
    enforced Allow governs, its own or that of another Service that can share the pods; the rest keeps
    `default`. `governed` says whether an Allow selects this destination. `mixed` are targets that only some
    of its workloads have, while the same number on another one is denied or governed apart: an Allow, which
    names pods and ports but no pairs, must not open it. `apart` are pods on which ports keep `default` that
    are guarded on others, or closed there by a stranger's Allow (`shut_by`), beside which nothing of ours
    opens more than it grants. `spoken` has, for each target, the ports of every Service that reach it or
    could; they need not say the same of what it carries.
    """

    allows: tuple[Grant, ...] = ()
    denies: tuple[Grant, ...] = ()
    governed: bool = False
    targets: tuple[int, ...] = ()
    unresolved_targets: tuple[str, ...] = ()
    governed_ports: tuple[int, ...] = ()
    default: Literal["Deny", "Allow", "MeshDefault"] = "MeshDefault"
    exempt: Exemption | None = None
    mixed: tuple[int, ...] = ()
    apart: tuple[PodsApart, ...] = ()
    shut_by: ObjectKey | None = None
    spoken: Mapping[int, tuple[ServicePort, ...]] = no_items()

    @property
    def spread(self) -> tuple[Grant, ...]:
        """Its Denies of which the port numbers are not all known, as they act: on every port of the pods."""
        found = (
            (grant, tuple(filter(self.spreads, grant.operations or (Operation(),)))) for grant in self.denies
        )
        return tuple(
            replace(grant, operations=tuple(dataclasses.replace(one, ports=()) for one in operations))
            for grant, operations in found
            if operations
        )

    def spreads(self, operation: Operation) -> bool:
        """Whether a Deny of these requests acts on every port of the pods: more must not be admitted, and
        which its own ports are is not known."""
        known = operation.targets and not operation.unresolved_ports
        return not known and bool(self.unresolved_targets or not self.targets)

    def closes(self, labels: Mapping[str, str], port: int) -> bool:
        """Whether pods of the destination with these labels are closed at a port that no Allow governs
        there: an Allow of this destination closes every port of its pods that it does not leave open."""
        if not self.governed or self.default == "Deny":
            return False
        if self.unresolved_targets:
            return True
        return (self.shut_by is not None or port in self.governed_ports) and not any(
            port not in part.governed_ports and all(labels.get(key) == value for key, value in part.labels)
            for part in self.apart
        )

    def without(self, policies: Collection[str]) -> Access:
        """The decision without what these policies grant, deny and exempt. A destination that one of their
        Allows selects stays governed, and so is one that a default closes: nothing is left there of what
        nobody grants any more.
        """
        exempt = self.exempt
        return replace(
            self,
            allows=tuple(
                replace(one, callers=(), operations=()) if one.origin.policy in policies else one
                for one in self.allows
            ),
            denies=tuple(one for one in self.denies if one.origin.policy not in policies),
            governed=self.governed or self.default == "Deny",
            exempt=None if exempt is not None and exempt.origin.policy in policies else exempt,
        )


class DestinationUnit(Struct, frozen=True, kw_only=True):
    """What both halves of a Service know of it. `home` is the cluster where it lives, `written` the one whose
    objects say it, and `workloads` are its pods.

    `meshes` names the meshes of its pods. `policies` are those behind the unit. `around` is what others wrote
    for the destination; it is no part of the decision, nor of its digest.
    """

    home: str
    written: str
    service: Service
    workloads: tuple[Workload, ...] = ()
    meshes: tuple[str, ...] = ()
    policies: tuple[str, ...] = ()
    digest: str = ""
    around: Around = ALONE


class RoutingUnit(DestinationUnit, frozen=True, kw_only=True):
    """How requests go to one Service: what clients' proxies do, in whichever mesh of the written cluster.

    `routes` is a first-match list, most specific first, without a catch-all for unmatched requests.
    `settings` maps a Service port number (0 = the whole destination) to connection fields; a port's settings
    already include those of the whole destination that it does not override. `ended` are the rules that leave
    fields to the mesh, greatest first: of a field that nothing decides for a request, the first one that
    means it is why.
    """

    routes: tuple[Route, ...] = ()
    settings: Mapping[int, Mapping[str, Decided]] = no_items()
    ended: tuple[Ended, ...] = ()
    subsets: tuple[Subset, ...] = ()

    @property
    def key(self) -> UnitKey:
        return _key_of(self, "routing")

    @property
    def is_silent(self) -> bool:
        """Whether it asks nothing of a mesh."""
        return not (self.routes or self.settings or self.subsets)


class AccessUnit(DestinationUnit, frozen=True, kw_only=True):
    """Who may call the pods of one Service: what proxies there admit, in the meshes of the pods.

    `sharing` are other Services that reach a pod's port which this one reaches too, each with whether an
    Allow selects it. `withheld` are policies whose part of the decision cannot be told for an error of
    theirs: it is decided as all the others say, and narrows at most.
    """

    access: Access
    sharing: tuple[tuple[Service, bool], ...] = ()
    withheld: tuple[str, ...] = ()

    @property
    def key(self) -> UnitKey:
        return _key_of(self, "access")


def _key_of(unit: DestinationUnit, half: Half) -> UnitKey:
    service = unit.service
    return UnitKey(
        half=half, home=unit.home, written=unit.written, namespace=service.namespace, name=service.name
    )


class RootReader(Struct, frozen=True, kw_only=True, order=True):
    """Another mesh that reads the root namespace of one, and so what is mesh-wide there. `alike`: the same
    VirtualMesh decides for both, so that one object is for both; `mtls` and `denied` say whether its
    VirtualMesh, whichever that is, wants a mode of mTLS and a default of Deny for it.
    """

    mesh: str
    alike: bool = False
    mtls: bool = False
    denied: bool = False


class MeshUnit(Struct, frozen=True, kw_only=True):
    """One mesh of one cluster, and what its VirtualMesh says of it. `gateways` are its gateway workloads,
    `doubtful` those that are set up as gateways and that neither a policy nor the cluster says to be some.

    `governed_ports` maps a workload's key to its ports that some enforced Allow governs, where there are any;
    `neighbours` are the other workloads with a proxy in the gateways' namespaces. An object for a gateway
    must not open either. Where some are doubtful, `vouched` are (namespace, ServiceAccount) of the gateways
    that the clusters of the VirtualMesh vouch for, in all of them. `readers` are the other meshes of its
    translator that share its root namespace.
    """

    cluster: str
    mesh: Mesh
    gateways: tuple[Workload, ...] = ()
    doubtful: tuple[Workload, ...] = ()
    governed_ports: Mapping[tuple[str, str, str], tuple[int, ...]] = {}
    neighbours: tuple[Workload, ...] = ()
    vouched: tuple[tuple[str, str], ...] = ()
    access_default: Decided | None = None
    mtls: Decided | None = None
    readers: tuple[RootReader, ...] = ()
    policies: tuple[str, ...] = ()
    digest: str = ""

    @property
    def key(self) -> UnitKey:
        return mesh_key(self.cluster, self.mesh.name)


def mesh_key(cluster: str, mesh: str) -> UnitKey:
    """Of a mesh of the cluster."""
    return UnitKey(half="mesh", home=cluster, written=cluster, namespace="", name=mesh)


Unit: TypeAlias = RoutingUnit | AccessUnit | MeshUnit
