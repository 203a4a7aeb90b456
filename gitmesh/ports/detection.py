"""What a translator is shown to find its meshes, and what it says of a pod."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from gitmesh.model.workloads import Dataplane

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gitmesh.model.objects import Body
    from gitmesh.model.workloads import PortRange, Probe


class PodFact(Struct, frozen=True, kw_only=True):
    """A pod as translators see it for detection: containers and initContainers as (name, image) pairs; `args`
    by their names, and so are the `probes` of each that come over the network, but for those by TCP.
    `host_network`: it has no network of its own, but that of its node.
    """

    namespace: str
    name: str
    labels: Mapping[str, str] = {}
    annotations: Mapping[str, str] = {}
    service_account: str = "default"
    containers: tuple[tuple[str, str], ...] = ()
    init_containers: tuple[tuple[str, str], ...] = ()
    args: Mapping[str, tuple[str, ...]] = {}
    probes: Mapping[str, tuple[Probe, ...]] = {}
    host_network: bool = False


class ControlObjects(Struct, frozen=True, kw_only=True):
    """What `detect` reads: Deployments and DaemonSets that may be control planes, ConfigMaps by (namespace,
    name), namespaces.

    Of ConfigMaps only those that a translator asks for are read; of the `refused` nothing is known, nor of
    objects of `unread` kinds. `validators` are the ValidatingWebhookConfigurations that name a group of a
    kind that a translator writes, `gateways` the Gateways of the Gateway API with what they ask for, and
    whether they are programmed and have addresses, `injectors` the MutatingWebhookConfigurations that are
    asked about pods. `homes` are the namespaces where a control plane of the mesh counts.
    """

    deployments: tuple[Body, ...] = ()
    daemonsets: tuple[Body, ...] = ()
    configmaps: Mapping[tuple[str, str], Body] = {}
    refused: frozenset[tuple[str, str]] = frozenset()
    unread: frozenset[str] = frozenset()
    namespaces: Mapping[str, Mapping[str, str]] = {}
    validators: tuple[Body, ...] = ()
    gateways: tuple[Body, ...] = ()
    injectors: tuple[Body, ...] = ()
    homes: tuple[str, ...] = ()


class Membership(Struct, frozen=True, kw_only=True):
    """Which mesh a pod is in, by which data plane, whether its proxy is a gateway or a native sidecar, the
    ports whose requests it does not see, and the kubelet's probes that come to it as any other client's
    requests do.
    """

    mesh: str
    dataplane: Dataplane = "sidecar"
    gateway: bool = False
    native_sidecar: bool = False
    unguarded: tuple[PortRange, ...] = ()
    probes: tuple[Probe, ...] = ()
