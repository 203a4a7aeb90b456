"""Raw Kubernetes objects reduced to rows one at a time, so that lists of 60,000 stay small. Malformed parts
read as absent.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from sys import intern
from typing import Any, TypeVar

from gitmesh.discovery.crd import api_kind
from gitmesh.discovery.metadata import (
    NO_OWNER,
    gateway_of,
    name_of,
    namespace_of,
    owner_of,
    pairs,
    strings_of,
)
from gitmesh.discovery.podspecs import container, environment, telling
from gitmesh.discovery.rows import (
    AccountRow,
    ConfigRow,
    ControllerRow,
    GatewayRow,
    InjectorRow,
    NamespaceRow,
    NodeRow,
    PodRow,
    PodShape,
    Reduced,
    ValidatorRow,
)
from gitmesh.discovery.service_objects import alias_of, own_conditions, service_port
from gitmesh.model.empty import EMPTY
from gitmesh.model.objects import Body, listed, mapping, text
from gitmesh.model.services import Service
from gitmesh.ports import Translator

T = TypeVar("T")

_POOL_LIMIT = 50_000
_FINISHED = frozenset({"Succeeded", "Failed"})
# The second one of a pair is how nodes were labelled before Kubernetes 1.17.
_LOCALITY = (
    ("topology.kubernetes.io/region", "failure-domain.beta.kubernetes.io/region"),
    ("topology.kubernetes.io/zone", "failure-domain.beta.kubernetes.io/zone"),
    ("topology.istio.io/subzone",),
)


class Reducer:
    """Reduces the objects of one cluster. `translators` say which ConfigMaps and which groups of kinds
    matter.

    It remembers equal parts to share them; what it returns depends on the object alone.
    """

    def __init__(self, translators: Sequence[Translator]) -> None:
        self._wants = tuple(translator.configmaps for translator in translators)
        self._groups = frozenset(
            resource.group for translator in translators for resource in translator.resources
        )
        self._pool: dict[Any, Any] = {}

    def reduce(self, body: Body, group: str | None = None, kind: str | None = None) -> Reduced | None:
        """The row of an object, or None where facts need nothing of it. Items of a list carry no kind: give
        it then.
        """
        if group is None:
            group = text(body.get("apiVersion")).rpartition("/")[0]
        kind = kind or text(body.get("kind"))
        if (group, kind) not in _READERS:
            return None
        metadata = mapping(body.get("metadata"))
        if not text(metadata.get("name")):
            return None
        return _READERS[group, kind](self, body, metadata)

    def share(self, value: T) -> T:
        """An equal value seen before, or this one."""
        # Only sharing is lost: an agent runs for months, and labels of pods are never the same for long.
        if len(self._pool) > _POOL_LIMIT:
            self._pool.clear()
        shared: T = self._pool.setdefault(value, value)
        return shared

    def _wants_configmap(self, namespace: str, name: str) -> bool:
        """Whether some translator reads this ConfigMap."""
        return any(wants(namespace, name) for wants in self._wants)

    def _namespace(self, _: Body, metadata: Body) -> NamespaceRow:
        return NamespaceRow(
            name_of(metadata), self.share(pairs(metadata.get("labels"))), text(metadata.get("uid"))
        )

    def _account(self, _: Body, metadata: Body) -> AccountRow:
        return AccountRow(namespace_of(metadata), name_of(metadata))

    def _node(self, _: Body, metadata: Body) -> NodeRow | None:
        labels = mapping(metadata.get("labels"))
        parts = [
            next((text(labels.get(key)) for key in keys if text(labels.get(key))), "") for keys in _LOCALITY
        ]
        locality = "/".join(parts).rstrip("/")
        return NodeRow(name_of(metadata), intern(locality)) if locality else None

    def _configmap(self, body: Body, metadata: Body) -> ConfigRow | None:
        namespace, name = namespace_of(metadata), name_of(metadata)
        if not self._wants_configmap(namespace, name):
            return None
        kept = {"namespace": namespace, "name": name, "labels": dict(pairs(metadata.get("labels")))}
        return ConfigRow(namespace, name, {"metadata": kept, "data": dict(pairs(body.get("data")))})

    def _validator(self, body: Body, metadata: Body) -> ValidatorRow | None:
        webhooks = [
            # Addresses and certificates of who answers are nobody's business in facts, which are published.
            {key: value for key, value in webhook.items() if key != "clientConfig"}
            for webhook in listed(body.get("webhooks"))
        ]
        rules = [rule for webhook in webhooks for rule in listed(webhook.get("rules"))]
        if self._groups.isdisjoint(group for rule in rules for group in strings_of(rule.get("apiGroups"))):
            return None
        return ValidatorRow(
            name_of(metadata), {"metadata": {"name": name_of(metadata)}, "webhooks": webhooks}
        )

    def _injector(self, body: Body, metadata: Body) -> InjectorRow | None:
        rules = [rule for webhook in listed(body.get("webhooks")) for rule in listed(webhook.get("rules"))]
        # A webhook that is not called for pods injects no proxies.
        if not any({"pods", "*", "*/*"}.intersection(strings_of(rule.get("resources"))) for rule in rules):
            return None
        return InjectorRow(
            name_of(metadata),
            {"metadata": {"name": name_of(metadata), "labels": dict(pairs(metadata.get("labels")))}},
        )

    def _gateway(self, body: Body, metadata: Body) -> GatewayRow:
        status = mapping(body.get("status"))
        programmed = any(
            one.get("type") == "Programmed" and one.get("status") == "True"
            for one in listed(status.get("conditions"))
        )
        spec = mapping(body.get("spec"))
        kept = {
            "metadata": {
                "namespace": namespace_of(metadata),
                "name": name_of(metadata),
                "labels": dict(pairs(metadata.get("labels"))),
                "annotations": dict(filter(telling, pairs(metadata.get("annotations")))),
            },
            "spec": {
                "gatewayClassName": text(spec.get("gatewayClassName")),
                "addresses": bool(spec.get("addresses")),
            },
            "status": {"programmed": programmed, "addresses": bool(status.get("addresses"))},
        }
        return GatewayRow(namespace_of(metadata), name_of(metadata), programmed, kept)

    def _kind(self, body: Body, _: Body) -> Reduced | None:
        return api_kind(body, self._groups)

    def _service(self, body: Body, metadata: Body) -> Service:
        spec = mapping(body.get("spec"))
        return Service(
            namespace=namespace_of(metadata),
            name=name_of(metadata),
            labels=dict(pairs(metadata.get("labels"))),
            selector=dict(pairs(spec.get("selector"))),
            ports=self.share(tuple(filter(None, map(service_port, listed(spec.get("ports")))))),
            type=intern(text(spec.get("type")) or "ClusterIP"),
            headless=spec.get("clusterIP") == "None",
            alias=alias_of(spec),
            conditions=own_conditions(body) or EMPTY,
        )

    def _pod(self, body: Body, metadata: Body) -> PodRow | None:
        # Pods that have ended may stay for long, and neither call nor are called.
        if text(mapping(body.get("status")).get("phase")) in _FINISHED:
            return None
        spec = mapping(body.get("spec"))
        return PodRow(
            namespace_of(metadata),
            name_of(metadata),
            self.share(owner_of(metadata)),
            intern(text(spec.get("nodeName"))),
            self._shape(metadata, spec),
        )

    def _controller(self, kind: str, body: Body, metadata: Body) -> ControllerRow:
        template, owner = mapping(mapping(body.get("spec")).get("template")), owner_of(metadata)
        spec = mapping(template.get("spec"))
        return ControllerRow(
            kind,
            namespace_of(metadata),
            name_of(metadata),
            self.share(pairs(metadata.get("labels"))),
            owner,
            (
                None
                # An owned ReplicaSet says nothing that its Deployment does not, and old ones stay for
                # rollbacks.
                if kind == "ReplicaSet" and owner != NO_OWNER
                else self._shape(mapping(template.get("metadata")), spec)
            ),
            (
                self.share(tuple(map(environment, listed(spec.get("containers")))))
                # Control planes and ztunnels are of these kinds; environments of others may hold secrets
                # and are never read.
                if kind in ("Deployment", "DaemonSet")
                else ()
            ),
            gateway_of(metadata),
        )

    def _shape(self, metadata: Body, spec: Body) -> PodShape:
        return self.share(
            PodShape(
                self.share(pairs(metadata.get("labels"))),
                self.share(tuple(filter(telling, pairs(metadata.get("annotations"))))),
                intern(text(spec.get("serviceAccountName")) or text(spec.get("serviceAccount")) or "default"),
                tuple(self.share(container(c)) for c in listed(spec.get("containers"))),
                tuple(self.share(container(c)) for c in listed(spec.get("initContainers"))),
                spec.get("hostNetwork") is True,
            )
        )


_READERS: dict[tuple[str, str], Callable[[Reducer, Body, Body], Reduced | None]] = {
    ("", "Namespace"): Reducer._namespace,
    ("", "ServiceAccount"): Reducer._account,
    ("", "Node"): Reducer._node,
    ("", "ConfigMap"): Reducer._configmap,
    ("", "Service"): Reducer._service,
    ("", "Pod"): Reducer._pod,
    ("admissionregistration.k8s.io", "ValidatingWebhookConfiguration"): Reducer._validator,
    ("admissionregistration.k8s.io", "MutatingWebhookConfiguration"): Reducer._injector,
    ("apiextensions.k8s.io", "CustomResourceDefinition"): Reducer._kind,
    ("gateway.networking.k8s.io", "Gateway"): Reducer._gateway,
    ("apps", "Deployment"): lambda reducer, body, metadata: reducer._controller("Deployment", body, metadata),
    ("apps", "StatefulSet"): lambda reducer, body, metadata: reducer._controller(
        "StatefulSet", body, metadata
    ),
    ("apps", "DaemonSet"): lambda reducer, body, metadata: reducer._controller("DaemonSet", body, metadata),
    ("apps", "ReplicaSet"): lambda reducer, body, metadata: reducer._controller("ReplicaSet", body, metadata),
}
