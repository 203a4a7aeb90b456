"""Resolved units: what one destination or one mesh of one cluster must do, decided once for all meshes.

`resolve` makes them from policies and facts; translators and the calculator only read them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, TypeAlias

from msgspec import Struct

from gitmesh.model.empty import no_items
from gitmesh.model.facts import Mesh
from gitmesh.model.grants import Access
from gitmesh.model.routes import Decided, Ended, Route, Subset
from gitmesh.model.services import Service
from gitmesh.model.strangers import ALONE, Around
from gitmesh.model.workloads import Workload

Half: TypeAlias = Literal["routing", "access"]
HALVES: tuple[Half, ...] = ("routing", "access")
"""Of a destination: how requests go to it, which is written where the callers are, and who may call, which is
written where the pods are. They are held apart, since an error in routing never holds access
(docs/concepts.md#what-an-error-holds)."""


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
