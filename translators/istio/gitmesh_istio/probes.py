"""The kubelet's probes that reach a pod's proxy as the kubelet sends them, in plain text and without an
identity.

The injector sends probes by HTTP and gRPC to its agent instead, unless a pod's annotation or its own settings
say otherwise (istio.io, 'Health Checking of Istio Services'). One by TCP it may leave as it is: the proxy
takes every connection, so such a probe succeeds whatever is decided.
"""

from __future__ import annotations

from collections.abc import Mapping

from gitmesh.model.facts import Mesh
from gitmesh.model.objects import mapping, text
from gitmesh.model.workloads import Probe
from gitmesh.ports import PodFact
from gitmesh_istio.kinds import FALSE, TRUE
from gitmesh_istio.names import version_of
from gitmesh_istio.reading import settings_of

PROXY = "istio-proxy"
INJECTOR = "istio-sidecar-injector"
"""ConfigMap with the injector's settings; that of a revision ends in its name."""
_ANNOTATION = "sidecar.istio.io/rewriteAppHTTPProbers"
_INJECTED = "sidecar.istio.io/status"
_LEFT = "leavesProbes"
"""Mesh.settings: "true" where the injector leaves probes as they are unless a pod asks otherwise."""
_AGENT_PORTS = frozenset({15020, 15021})
_GRPC_SINCE = (1, 18, 0)


def probe_settings(configmaps: Mapping[tuple[str, str], object], namespace: str, mesh: str) -> dict[str, str]:
    """What the injector of a mesh says of probes, as far as its settings were read."""
    name = INJECTOR + mesh.removeprefix("istio")
    values = settings_of(mapping(mapping(configmaps.get((namespace, name))).get("data")).get("values"))
    said = mapping(mapping(values).get("sidecarInjectorWebhook")).get("rewriteAppHTTPProbe")
    return {_LEFT: "true"} if said is False else {}


def plain_probes(pod: PodFact, mesh: Mesh) -> tuple[Probe, ...]:
    """The probes of the pod's containers that its agent does not answer."""
    found = {
        probe
        for container, probes in pod.probes.items()
        for probe in probes
        if container != PROXY and probe.port not in _AGENT_PORTS and not _rewritten(probe, pod, mesh)
    }
    return tuple(sorted(found))


def _rewritten(probe: Probe, pod: PodFact, mesh: Mesh) -> bool:
    """Whether the pod shows a probe that the injector changes. What it has changed leads to the agent's
    port; so where it was at work, a probe that leads elsewhere was left as it is.
    """
    asked = text(pod.annotations.get(_ANNOTATION))
    if asked in FALSE or _INJECTED in pod.annotations:
        return False
    if probe.grpc and (version_of(mesh.version) or _GRPC_SINCE) < _GRPC_SINCE:
        return False
    # No sidecar was injected yet: what the injector will do is all that is known.
    return asked in TRUE or _LEFT not in mesh.settings
