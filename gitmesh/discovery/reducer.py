"""Raw Kubernetes objects reduced to rows one at a time, so that lists of 60,000 stay small. Malformed parts
read as absent.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from sys import intern
from typing import Any, TypeVar

from gitmesh.discovery.crd import api_kind
from gitmesh.discovery.rows import (
    AccountRow,
    ConfigRow,
    Container,
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
from gitmesh.model.empty import EMPTY
from gitmesh.model.objects import Body, listed, mapping, text
from gitmesh.model.services import Service, ServicePort
from gitmesh.model.workloads import Pairs, Probe
from gitmesh.ports import Translator

T = TypeVar("T")

_POOL_LIMIT = 50_000
_MAX_ANNOTATION = 1024
_NOISE = ("kubectl.kubernetes.io/", "cni.projectcalico.org/", "k8s.v1.cni.cncf.io/")
"""Annotations that differ from pod to pod and say nothing of meshes."""
_FINISHED = frozenset({"Succeeded", "Failed"})
_LOCALITY = (
    ("topology.kubernetes.io/region", "failure-domain.beta.kubernetes.io/region"),
    ("topology.kubernetes.io/zone", "failure-domain.beta.kubernetes.io/zone"),
    ("topology.istio.io/subzone",),
)
_PROTOCOLS = frozenset(
    {
        "http",
        "http2",
        "https",
        "grpc",
        "grpc-web",
        "tls",
        "tcp",
        "udp",
        "sctp",
        "mongo",
        "mysql",
        "redis",
        "hbone",
    },
)
_APP_PROTOCOLS = {"kubernetes.io/h2c": "http2", "kubernetes.io/ws": "http", "kubernetes.io/wss": "https"}
"""Standard values of appProtocol (Kubernetes, Service, 'Application protocol')."""
_ANSWERS = frozenset({"True", "False", "Unknown"})
_TRANSPORTS = {"UDP": "udp", "SCTP": "sctp"}


_PROBES = ("livenessProbe", "readinessProbe", "startupProbe")

NO_OWNER = ("", "")


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
        if not any({"pods", "*", "*/*"}.intersection(strings_of(rule.get("resources"))) for rule in rules):
            return None
        return InjectorRow(
            name_of(metadata),
            {"metadata": {"name": name_of(metadata), "labels": dict(pairs(metadata.get("labels")))}},
        )

    def _gateway(self, body: Body, metadata: Body) -> GatewayRow:
        conditions = listed(mapping(body.get("status")).get("conditions"))
        programmed = any(
            one.get("type") == "Programmed" and one.get("status") == "True" for one in conditions
        )
        spec = mapping(body.get("spec"))
        kept = {
            "metadata": {
                "namespace": namespace_of(metadata),
                "name": name_of(metadata),
                "labels": dict(pairs(metadata.get("labels"))),
                "annotations": dict(filter(_telling, pairs(metadata.get("annotations")))),
            },
            "spec": {
                "gatewayClassName": text(spec.get("gatewayClassName")),
                "addresses": bool(spec.get("addresses")),
            },
            "status": {"programmed": programmed},
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
            ports=self.share(tuple(filter(None, map(_service_port, listed(spec.get("ports")))))),
            type=intern(text(spec.get("type")) or "ClusterIP"),
            headless=spec.get("clusterIP") == "None",
            alias=_alias(spec),
            conditions=_own_conditions(body) or EMPTY,
        )

    def _pod(self, body: Body, metadata: Body) -> PodRow | None:
        if text(mapping(body.get("status")).get("phase")) in _FINISHED:
            return None
        spec = mapping(body.get("spec"))
        return PodRow(
            namespace_of(metadata),
            name_of(metadata),
            self.share(_owner(metadata)),
            intern(text(spec.get("nodeName"))),
            self._shape(metadata, spec),
        )

    def _controller(self, kind: str, body: Body, metadata: Body) -> ControllerRow:
        template, owner = mapping(mapping(body.get("spec")).get("template")), _owner(metadata)
        spec = mapping(template.get("spec"))
        return ControllerRow(
            kind,
            namespace_of(metadata),
            name_of(metadata),
            self.share(pairs(metadata.get("labels"))),
            owner,
            (
                None
                if kind == "ReplicaSet" and owner != NO_OWNER
                else self._shape(mapping(template.get("metadata")), spec)
            ),
            (
                self.share(tuple(map(_env, listed(spec.get("containers")))))
                if kind in ("Deployment", "DaemonSet")
                else ()
            ),
            _gateway_of(metadata),
        )

    def _shape(self, metadata: Body, spec: Body) -> PodShape:
        return self.share(
            PodShape(
                self.share(pairs(metadata.get("labels"))),
                self.share(tuple(filter(_telling, pairs(metadata.get("annotations"))))),
                intern(text(spec.get("serviceAccountName")) or text(spec.get("serviceAccount")) or "default"),
                tuple(self.share(_container(c)) for c in listed(spec.get("containers"))),
                tuple(self.share(_container(c)) for c in listed(spec.get("initContainers"))),
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


def pairs(value: object) -> Pairs:
    """A mapping of strings, sorted."""
    items = mapping(value).items()
    return tuple(
        sorted((intern(key), intern(item)) for key, item in items if type(key) is str and type(item) is str)
    )


def name_of(metadata: Body) -> str:
    """metadata.name."""
    return intern(text(metadata.get("name")))


def namespace_of(metadata: Body) -> str:
    """metadata.namespace; objects of namespaced kinds that name none lie in `default`."""
    return intern(text(metadata.get("namespace")) or "default")


def _owner(metadata: Body) -> tuple[str, str]:
    """(kind, name) of the controller, or ("", "")."""
    for owner in listed(metadata.get("ownerReferences")):
        if owner.get("controller") is True:
            return intern(text(owner.get("kind"))), intern(text(owner.get("name")))
    return NO_OWNER


def _gateway_of(metadata: Body) -> str:
    """The Gateway that owns an object; its controller need not call itself one."""
    for owner in listed(metadata.get("ownerReferences")):
        if text(owner.get("kind")) == "Gateway" and text(owner.get("apiVersion")).startswith(
            "gateway.networking.k8s.io/"
        ):
            return intern(text(owner.get("name")))
    return ""


def _telling(annotation: tuple[str, str]) -> bool:
    key, value = annotation
    return len(value) <= _MAX_ANNOTATION and not key.startswith(_NOISE)


def _container(body: Body) -> Container:
    strings = [*strings_of(body.get("command")), *strings_of(body.get("args"))]
    ports = tuple(_named_ports(listed(body.get("ports"))))
    return Container(
        intern(text(body.get("name"))),
        intern(text(body.get("image"))),
        tuple(intern(argument) for argument in strings),
        ports,
        body.get("restartPolicy") == "Always",
        tuple(sorted({probe for name in _PROBES if (probe := _probe(mapping(body.get(name)), dict(ports)))})),
    )


def _probe(body: Body, ports: Mapping[str, int]) -> Probe | None:
    """One that asks the pod itself by HTTP or gRPC; None for any other, and where its port is not known."""
    asked, by_grpc = mapping(body.get("httpGet")), mapping(body.get("grpc"))
    port = (asked or by_grpc).get("port")
    number = ports.get(port) if isinstance(port, str) else port
    if type(number) is not int or text(asked.get("host")):
        return None
    path = "" if not asked else text(asked.get("path")).partition("?")[0] or "/"
    return Probe(port=number, path=intern(path), grpc=not asked)


def strings_of(value: object) -> list[str]:
    """The strings of a list; anything else is empty."""
    return [item for item in value if isinstance(item, str)] if isinstance(value, list) else []


def _named_ports(ports: Iterable[Mapping[str, Any]]) -> Iterable[tuple[str, int]]:
    for port in ports:
        number = port.get("containerPort")
        if text(port.get("name")) and type(number) is int:
            yield intern(port["name"]), number


def _env(container: Body) -> Pairs:
    """Literal environment variables; references to Secrets and ConfigMaps have no value here."""
    return tuple(
        (intern(text(e.get("name"))), intern(text(e.get("value"))))
        for e in listed(container.get("env"))
        if text(e.get("value"))
    )


def _alias(spec: Body) -> str:
    """The Service that an ExternalName Service names; a host elsewhere is an address, which facts leave
    out.
    """
    name = text(spec.get("externalName")).lower().rstrip(".")
    named = text(spec.get("type")) == "ExternalName" and name.split(".")[2:3] == ["svc"]
    return intern(name) if named else ""


def _service_port(port: Body) -> ServicePort | None:
    number, target = port.get("port"), port.get("targetPort")
    if type(number) is not int:
        return None
    wanted = target if type(target) in (int, str) and target else number
    return ServicePort(
        number=number, name=intern(text(port.get("name"))), target=wanted, protocol=_protocol(port)
    )


def _protocol(port: Body) -> str:
    """UDP and SCTP by transport; else appProtocol, else the name up to `-` (istio.io, 'Protocol
    Selection').
    """
    transport = _TRANSPORTS.get(text(port.get("protocol")))
    if transport:
        return transport
    app = text(port.get("appProtocol")).lower()
    if app:
        known = _APP_PROTOCOLS.get(app, app)
        return known if known in _PROTOCOLS else ""
    name = text(port.get("name")).lower()
    prefix = "grpc-web" if name == "grpc-web" or name.startswith("grpc-web-") else name.partition("-")[0]
    return prefix if prefix in _PROTOCOLS else ""


def _own_conditions(service: Body) -> dict[str, str]:
    """Type -> status of the conditions whose type has the domain of a controller before it."""
    conditions = listed(mapping(service.get("status")).get("conditions"))
    found = ((text(one.get("type")), text(one.get("status"))) for one in conditions)
    return {kind: status for kind, status in sorted(found) if "/" in kind and status in _ANSWERS}
