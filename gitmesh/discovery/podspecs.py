"""What facts keep of a pod's specification: containers with their named ports, arguments and probes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from sys import intern
from typing import Any

from gitmesh.discovery.metadata import strings_of
from gitmesh.discovery.rows import Container, NamedPort
from gitmesh.model.objects import Body, listed, mapping, text
from gitmesh.model.workloads import Pairs, Probe

_MAX_ANNOTATION = 1024
# Annotations that differ from pod to pod and say nothing of meshes: each pod would be a shape of its own.
_NOISE = ("kubectl.kubernetes.io/", "cni.projectcalico.org/", "k8s.v1.cni.cncf.io/")


_PROBES = ("livenessProbe", "readinessProbe", "startupProbe")
_HOOKS = ("postStart", "preStop")


def telling(annotation: tuple[str, str]) -> bool:
    """Whether an annotation may say something of a mesh."""
    key, value = annotation
    return len(value) <= _MAX_ANNOTATION and not key.startswith(_NOISE)


def container(body: Body) -> Container:
    """A container, or an init container, which with restartPolicy Always is a sidecar of Kubernetes' own."""
    strings = [*strings_of(body.get("command")), *strings_of(body.get("args"))]
    ports = tuple(_named_ports(listed(body.get("ports"))))
    numbers = {port.name: port.number for port in ports}
    return Container(
        intern(text(body.get("name"))),
        intern(text(body.get("image"))),
        tuple(intern(argument) for argument in strings),
        ports,
        body.get("restartPolicy") == "Always",
        tuple(sorted({probe for asked in _asked(body) if (probe := _probe(asked, numbers))})),
    )


def _asked(body: Body) -> Iterable[Body]:
    """What the kubelet asks a container: probes, and the hooks of its life, for which it is killed where they
    fail."""
    yield from (mapping(body.get(name)) for name in _PROBES)
    yield from (mapping(mapping(body.get("lifecycle")).get(name)) for name in _HOOKS)


def _probe(body: Body, ports: Mapping[str, int]) -> Probe | None:
    """One that asks the pod itself by HTTP or gRPC; None for any other, and where its port is not known."""
    asked, by_grpc = mapping(body.get("httpGet")), mapping(body.get("grpc"))
    port = (asked or by_grpc).get("port")
    number = ports.get(port) if isinstance(port, str) else port
    # A probe of another host does not come to the pod; `type`, as True would be port 1.
    if type(number) is not int or text(asked.get("host")):
        return None
    # Rules of meshes compare paths without query; an empty path is asked for as `/`.
    path = "" if not asked else text(asked.get("path")).partition("?")[0] or "/"
    return Probe(port=number, path=intern(path), grpc=not asked)


def _named_ports(ports: Iterable[Mapping[str, Any]]) -> Iterable[NamedPort]:
    for port in ports:
        number = port.get("containerPort")
        if text(port.get("name")) and type(number) is int:
            # Kubernetes, ContainerPort.protocol: TCP where none is given.
            yield NamedPort(intern(port["name"]), number, (text(port.get("protocol")) or "TCP") == "TCP")


def environment(container: Body) -> Pairs:
    """Literal environment variables."""
    return tuple(
        (intern(text(e.get("name"))), intern(text(e.get("value"))))
        for e in listed(container.get("env"))
        # References to Secrets and ConfigMaps have no value here.
        if text(e.get("value"))
    )
