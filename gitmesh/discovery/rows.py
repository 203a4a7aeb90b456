"""The little of Kubernetes objects that facts are made of. `reducer` makes these rows, `discover` makes facts
of them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any, TypeAlias

from msgspec import Struct

from gitmesh.model.objects import ApiKind, Body
from gitmesh.model.services import Service
from gitmesh.model.workloads import Pairs, Probe


class NamespaceRow(Struct, frozen=True):
    """A Namespace with its labels."""

    name: str
    labels: Pairs
    uid: str


class AccountRow(Struct, frozen=True):
    """A ServiceAccount."""

    namespace: str
    name: str


class NodeRow(Struct, frozen=True):
    """A Node's locality: `region/zone/subzone`, shorter where parts are unknown, never empty."""

    name: str
    locality: str


class ConfigRow(Struct, frozen=True):
    """A ConfigMap that a translator reads; the body holds metadata and data only."""

    namespace: str
    name: str
    body: Body


class ValidatorRow(Struct, frozen=True):
    """A ValidatingWebhookConfiguration that names a group of kinds that translators write; the body holds
    metadata and webhooks, without the address and the certificates of the one who answers."""

    name: str
    body: Body


class InjectorRow(Struct, frozen=True):
    """A MutatingWebhookConfiguration that is asked about pods; the body holds metadata only."""

    name: str
    body: Body


class GatewayRow(Struct, frozen=True):
    """A Gateway of the Gateway API; `programmed` as its controller says (GEP-1364, condition Programmed). The
    body holds metadata, its class, whether it asks for addresses, whether it has any, and that condition."""

    namespace: str
    name: str
    programmed: bool
    body: Body


class NamedPort(Struct, frozen=True):
    """A port of a container that has a name; `tcp` where its protocol is TCP, as proxies alone see it."""

    name: str
    number: int
    tcp: bool = True


class Container(Struct, frozen=True):
    """A container or init container; `sidecar` marks a native sidecar (an init container that always
    restarts).
    """

    name: str
    image: str
    args: tuple[str, ...] = ()
    ports: tuple[NamedPort, ...] = ()
    sidecar: bool = False
    probes: tuple[Probe, ...] = ()


class PodShape(Struct, frozen=True):
    """What pods of one template have in common; equal shapes are one object in memory."""

    labels: Pairs
    annotations: Pairs
    service_account: str
    containers: tuple[Container, ...]
    init_containers: tuple[Container, ...]
    host_network: bool


class PodRow(Struct, frozen=True):
    """A Pod that runs or will run; `owner` is its controller's (kind, name), ("", "") for a bare pod."""

    namespace: str
    name: str
    owner: tuple[str, str]
    node: str
    shape: PodShape


class ControllerRow(Struct, frozen=True):
    """A Deployment, StatefulSet, DaemonSet or ReplicaSet. `template` is None for a ReplicaSet that something
    owns.

    `env` holds the literal environment of control plane candidates, container by container. `gateway` names
    the Gateway of the Gateway API that owns it.
    """

    kind: str
    namespace: str
    name: str
    labels: Pairs
    owner: tuple[str, str]
    template: PodShape | None
    env: tuple[Pairs, ...] = ()
    gateway: str = ""


Reduced: TypeAlias = (
    NamespaceRow
    | AccountRow
    | NodeRow
    | ConfigRow
    | ValidatorRow
    | InjectorRow
    | GatewayRow
    | PodRow
    | ControllerRow
    | Service
    | ApiKind
)

FACT_KINDS: tuple[tuple[str, str, str, str, bool], ...] = (
    ("", "v1", "namespaces", "Namespace", False),
    ("", "v1", "services", "Service", True),
    ("", "v1", "serviceaccounts", "ServiceAccount", True),
    ("", "v1", "pods", "Pod", True),
    ("", "v1", "nodes", "Node", False),
    ("", "v1", "configmaps", "ConfigMap", True),
    ("apps", "v1", "deployments", "Deployment", True),
    ("apps", "v1", "statefulsets", "StatefulSet", True),
    ("apps", "v1", "daemonsets", "DaemonSet", True),
    ("apps", "v1", "replicasets", "ReplicaSet", True),
    (
        "admissionregistration.k8s.io",
        "v1",
        "validatingwebhookconfigurations",
        "ValidatingWebhookConfiguration",
        False,
    ),
    (
        "admissionregistration.k8s.io",
        "v1",
        "mutatingwebhookconfigurations",
        "MutatingWebhookConfiguration",
        False,
    ),
    ("gateway.networking.k8s.io", "v1", "gateways", "Gateway", True),
    ("apiextensions.k8s.io", "v1", "customresourcedefinitions", "CustomResourceDefinition", False),
)
"""(group, version, plural, kind, namespaced) of everything that facts are made of. EndpointSlices hold only
addresses and Jobs are named by their pods, so neither is read."""


class Rows(Struct):
    """Rows by kind."""

    namespaces: list[NamespaceRow] = []
    accounts: list[AccountRow] = []
    nodes: list[NodeRow] = []
    configs: list[ConfigRow] = []
    validators: list[ValidatorRow] = []
    injectors: list[InjectorRow] = []
    gateways: list[GatewayRow] = []
    pods: list[PodRow] = []
    controllers: list[ControllerRow] = []
    services: list[Service] = []
    kinds: list[ApiKind] = []

    @classmethod
    def of(cls, rows: Iterable[Reduced]) -> Rows:
        """The rows, sorted out."""
        found = cls()
        places: dict[type, list[Any]] = {
            NamespaceRow: found.namespaces,
            AccountRow: found.accounts,
            NodeRow: found.nodes,
            ConfigRow: found.configs,
            ValidatorRow: found.validators,
            InjectorRow: found.injectors,
            GatewayRow: found.gateways,
            PodRow: found.pods,
            ControllerRow: found.controllers,
            Service: found.services,
            ApiKind: found.kinds,
        }
        for row in rows:
            places[type(row)].append(row)
        return found

    def counts(self) -> Mapping[str, int]:
        """How many objects there are of the kinds whose sudden emptiness is not believed."""
        counted: dict[str, list[Any]] = {
            "Namespace": self.namespaces,
            "Pod": self.pods,
            "Service": self.services,
            "ServiceAccount": self.accounts,
        }
        return {kind: len(rows) for kind, rows in counted.items()}

    def pods_in(self, namespaces: Collection[str]) -> frozenset[str]:
        """Those of the namespaces that have pods."""
        return (
            frozenset(row.namespace for row in self.pods if row.namespace in namespaces)
            if namespaces
            else frozenset()
        )
