"""What was discovered in a cluster. Facts hold no secrets and never the objects that GitMesh wrote."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import TypeAlias

from msgspec import Struct
from msgspec.structs import replace

from gitmesh.model.empty import no_items
from gitmesh.model.objects import ApiKind, ObjectKey
from gitmesh.model.services import Service
from gitmesh.model.strangers import ForeignGuard, Stranger
from gitmesh.model.workloads import Pairs, Workload

_Closing: TypeAlias = tuple[tuple[Stranger, Mapping[str, str]], ...]


class Mesh(Struct, frozen=True, kw_only=True):
    """A mesh in a cluster. `translator` is the plug-in that detected it; `name` is `istio` or
    `istio-<revision>`.

    `version` is the control plane's (e.g. 1.30.3, "" if unknown); `root_namespace` is where mesh-wide objects
    live. `takes` are the trust domains whose identities its proxies take in mTLS, () = of any. `settings` are
    further facts that only the translator reads, all strings. `presumed`: nothing tells which pods it serves,
    so it is taken for those that no other mesh knows, and for their callers.

    `assumed` and `unread` are what detection says of its own reading, for `discovery.continuity` alone, and
    empty in facts: the names of values that are the mesh's defaults because nothing says otherwise
    (`trust_domain`, `root_namespace`, keys of `settings`), and why its configuration could not be read ("" =
    it was).
    """

    translator: str
    name: str
    version: str = ""
    revision: str = ""
    namespace: str = ""
    root_namespace: str = ""
    trust_domain: str = ""
    takes: tuple[str, ...] = ()
    ambient: bool = False
    presumed: bool = False
    settings: Mapping[str, str] = {}
    assumed: tuple[str, ...] = ()
    unread: str = ""


class Caveat(Struct, frozen=True, kw_only=True, order=True):
    """What must be said of a reading of a cluster. `hold` is the id of the hold that it causes, "" where it
    causes none: what depends on the `mesh` ("" = on anything in the cluster) is then left as it is until the
    doubt ends, or while it is `approved`.
    """

    code: str
    text: str
    mesh: str = ""
    hold: str = ""
    hint: str = ""
    approved: bool = False

    @property
    def holds(self) -> bool:
        """Whether something is left as it is for it."""
        return bool(self.hold) and not self.approved


class Remembered(Struct, frozen=True, kw_only=True):
    """What is known of a cluster from before a reading, so that an absence is not taken for an order.

    `meshes` were there, with the values on which names of others depend; `kinds` had objects; `namespaces`
    have objects of ours; `held` are the ids of the holds of the last cycle, `approved` those whose facts
    somebody confirmed. `named` are the ROLLING_LABELS by which policies select pods, which are to be kept;
    `selectors` are those of strangers that name some, each with the namespace of its pods ("" = all).
    """

    meshes: tuple[Mesh, ...] = ()
    kinds: frozenset[str] = frozenset()
    namespaces: frozenset[str] = frozenset()
    held: frozenset[str] = frozenset()
    approved: frozenset[str] = frozenset()
    named: frozenset[str] = frozenset()
    selectors: frozenset[tuple[str, Pairs]] = frozenset()


NOTHING_REMEMBERED = Remembered()


class ClusterFacts(Struct, frozen=True, kw_only=True, dict=True):
    """Everything known of one cluster.

    `complete` is false where a part could not be read: what is missing is then unknown, not absent. `uid`
    identifies the cluster (kube-system's uid) so that a repointed configuration is noticed. `seen` are the
    kinds that had objects, of those whose sudden emptiness is not believed. `caveats` are what must be said
    of the reading, and what is held for it. `unusable` names objects that were left out, as no object can
    have their names. `strangers` are objects of a mesh that are not ours, by key. `digest` identifies the
    content; equal digests mean equal facts.
    """

    cluster: str
    uid: str = ""
    labels: Mapping[str, str] = no_items()
    complete: bool = True
    namespaces: Mapping[str, Mapping[str, str]] = {}
    services: tuple[Service, ...] = ()
    service_accounts: frozenset[tuple[str, str]] = frozenset()
    workloads: tuple[Workload, ...] = ()
    meshes: tuple[Mesh, ...] = ()
    kinds: tuple[ApiKind, ...] = ()
    seen: tuple[str, ...] = ()
    caveats: tuple[Caveat, ...] = ()
    unusable: tuple[str, ...] = ()
    strangers: tuple[Stranger, ...] = ()
    digest: str = ""

    @property
    def held(self) -> bool:
        """Whether nothing in the cluster can be decided."""
        return any(caveat.holds and not caveat.mesh for caveat in self.caveats)

    @cached_property
    def held_meshes(self) -> frozenset[str]:
        """The meshes of which nothing can be decided; all where the cluster is held."""
        if self.held:
            return frozenset(mesh.name for mesh in self.meshes)
        return frozenset(caveat.mesh for caveat in self.caveats if caveat.holds)

    @property
    def doubted(self) -> tuple[Mesh, ...]:
        """The meshes of which nothing can be decided."""
        return tuple(mesh for mesh in self.meshes if mesh.name in self.held_meshes)

    @cached_property
    def service_index(self) -> Mapping[tuple[str, str], Service]:
        """(namespace, name) -> Service."""
        return {service.key: service for service in self.services}

    @cached_property
    def is_ambient(self) -> bool:
        """Whether some pods of a mesh have no proxy of their own."""
        return bool(self.ambient_namespaces)

    @cached_property
    def proxied(self) -> tuple[tuple[str, str, bool], ...]:
        """(namespace, ServiceAccount, whether a gateway's) of the workloads with a proxy of their own, in a
        cluster where others have none, sorted; else empty."""
        # Where every pod of a mesh has a proxy of its own there is nothing to tell apart.
        if not self.is_ambient:
            return ()
        own = (w for w in self.workloads if w.mesh and w.dataplane == "sidecar")
        return tuple(sorted({(w.namespace, w.service_account, w.router) for w in own}))

    @cached_property
    def ambient_namespaces(self) -> tuple[str, ...]:
        """Where pods of a mesh have no proxy of their own, sorted."""
        found = {w.namespace for w in self.workloads if w.mesh and w.dataplane == "ambient"}
        return tuple(sorted(found))

    @cached_property
    def workloads_by_namespace(self) -> Mapping[str, tuple[Workload, ...]]:
        """namespace -> its workloads."""
        index: dict[str, list[Workload]] = {}
        for workload in self.workloads:
            index.setdefault(workload.namespace, []).append(workload)
        return {namespace: tuple(found) for namespace, found in index.items()}

    @cached_property
    def services_by_namespace(self) -> Mapping[str, tuple[Service, ...]]:
        """namespace -> its Services."""
        index: dict[str, list[Service]] = {}
        for service in self.services:
            index.setdefault(service.namespace, []).append(service)
        return {namespace: tuple(found) for namespace, found in index.items()}

    @cached_property
    def guards_by_namespace(self) -> Mapping[str, tuple[tuple[Stranger, ForeignGuard], ...]]:
        """namespace ("" = all) -> what strangers say of who may call its pods."""
        index: dict[str, list[tuple[Stranger, ForeignGuard]]] = {}
        for stranger in self.strangers:
            for guard in stranger.guards:
                index.setdefault(guard.namespace, []).append((stranger, guard))
        return {namespace: tuple(found) for namespace, found in index.items()}

    @cached_property
    def kind_index(self) -> Mapping[tuple[str, str], ApiKind]:
        """(group, kind) -> what the cluster serves of it."""
        return {(kind.group, kind.kind): kind for kind in self.kinds}

    @cached_property
    def _selecting_keys(self) -> Mapping[str, frozenset[str]]:
        """namespace -> the keys of labels by which its Services, and Allows of strangers, select."""
        return {
            namespace: frozenset(
                (
                    *(key for service in services for key in service.selector),
                    *(key for _, selector in self._closing(namespace) for key in selector),
                )
            )
            for namespace, services in self.services_by_namespace.items()
        }

    def _closing(self, namespace: str) -> _Closing:
        """Strangers' Allows that are about pods of the namespace, with their selectors, one of each."""
        found = self._closing_by_namespace
        # Of a namespace that none of them names, only what is about all namespaces is left.
        return found[namespace] if namespace in found else found[""]

    @cached_property
    def _closing_by_namespace(self) -> Mapping[str, _Closing]:
        index = self.guards_by_namespace
        everywhere = index.get("", ())
        found: dict[str, _Closing] = {}
        for namespace in {"", *index}:
            theirs = (*(index.get(namespace, ()) if namespace else ()), *everywhere)
            first: dict[tuple[Pairs, tuple[str, ...]], tuple[Stranger, Mapping[str, str]]] = {}
            for stranger, guard in theirs:
                if guard.action == "Allow":
                    # One of each selector: more of them close nothing more, and each is compared with every
                    # workload.
                    pods = tuple(sorted(guard.selector.items())), stranger.meshes
                    first.setdefault(pods, (stranger, guard.selector))
            found[namespace] = tuple(first.values())
        return found

    def closer(self, workload: Workload) -> ObjectKey | None:
        """A stranger's Allow that may select the pods: it closes every port that none admits."""
        theirs = self._closing(workload.namespace)
        return next(
            (
                stranger.key
                for stranger, selector in theirs
                if stranger.is_read_by(workload.mesh) and workload.may_carry(selector)
            ),
            None,
        )

    def telling(self, workload: Workload) -> Mapping[str, str]:
        """The labels by which the Services of its namespace, and strangers, tell the pods from others."""
        keys = self._selecting_keys.get(workload.namespace, frozenset())
        return {key: value for key, value in sorted(workload.labels.items()) if key in keys}

    def behind(self, service: Service) -> tuple[Workload, ...]:
        """The workloads, shape by shape, whose pods the Service selects; none without a selector."""
        # It selects no pods, since its endpoints are made by hand. Compared label by label it would select
        # them all, as nothing is asked for.
        if not service.selector:
            return ()
        wanted = service.selector.items()
        return tuple(
            w for w in self.workloads_by_namespace.get(service.namespace, ()) if wanted <= w.labels.items()
        )

    def mesh(self, name: str) -> Mesh | None:
        """The mesh of that name."""
        return next((mesh for mesh in self.meshes if mesh.name == name), None)

    def meshes_of(self, translator: str) -> tuple[Mesh, ...]:
        """The meshes that a translator writes for."""
        return tuple(mesh for mesh in self.meshes if mesh.translator == translator)


def meaning(facts: ClusterFacts) -> ClusterFacts:
    """Facts that decide alike are equal so: how many pods there are says no more than whether there are
    any.
    """
    # Autoscalers change the number all day; facts that are published for it would be a commit each time.
    counted = (replace(one, pods=min(one.pods, 1)) for one in facts.workloads)
    return replace(facts, workloads=tuple(counted), digest="")
