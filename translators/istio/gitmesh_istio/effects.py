"""Fields that istiod takes and that have no effect for the kind of Service on which they are laid.

- A headless Service is a cluster of type ORIGINAL_DST for sidecars: a request goes to the address that the
  client has chosen, whatever the subset, the ejected pods or the balancer (pilot/pkg/networking/core,
  convertResolution; envoyproxy/envoy#17552).
- An ExternalName Service is an alias since Istio 1.21: it has no cluster of its own, so its requests use that
  of the Service that it names (upgrade notes of 1.21; buildOutboundClusters). Where a route leads to it,
  istiod puts that Service in its place once, and only where it declares the port that the client asked for
  (pilot/pkg/networking/core/route, GetDestinationCluster; istio/istio#54310).
- With the balancer that passes through any Service is such a cluster of type ORIGINAL_DST.
- Routes are read on HTTP ports alone, and on a Service without a TCP port proxies see nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from msgspec.structs import replace

from gitmesh.model.connections import LoadBalancing, OutlierDetection
from gitmesh.model.facts import ClusterFacts, Mesh
from gitmesh.model.routes import Decided, Laid, Target
from gitmesh.model.services import Service, ServicePort
from gitmesh.model.traffic import CONNECTION_FIELDS, REQUEST_FIELDS
from gitmesh.model.units import RoutingUnit
from gitmesh_istio.kinds import FALSE, TRUE
from gitmesh_istio.names import cluster_domain, version_of
from gitmesh_istio.scope import Notes

BALANCED = "headlessIsBalanced"
"""Mesh.settings: "true" where istiod sends the endpoints of headless Services, too; else absent."""
OWN_CLUSTER = "externalNameHasCluster"
"""Mesh.settings: "true" where istiod was told that an ExternalName Service is no alias; else absent."""
_TOLD: Mapping[str, tuple[str, frozenset[str]]] = {
    BALANCED: ("PILOT_ENABLE_EDS_FOR_HEADLESS_SERVICES", TRUE),
    OWN_CLUSTER: ("ENABLE_EXTERNAL_NAME_ALIAS", FALSE),
}
"""The variable of istiod's environment, and the values that mean it (Go's strconv.ParseBool)."""
# From the second one on istiod does not read the variable any more.
_ALIASES_SINCE, _ALIASES_ALWAYS_SINCE = (1, 21, 0), (1, 31, 0)
_MOST_ALIASES = 8
# Ports that istiod takes for TCP where nothing names a protocol: there the server speaks first, so that
# waiting for a request to sniff would never end.
_TCP_BY_NUMBER = frozenset({25, 53, 3306, 27017})
_PASSES = LoadBalancing(algorithm="Passthrough")
_OF_REQUESTS = ("header", "cookie", "query_param")


def is_http(port: ServicePort) -> bool:
    """Whether Istio routes requests on this port; a port without a protocol is sniffed."""
    return port.http and not (port.protocol == "" and port.number in _TCP_BY_NUMBER)


def told(environment: Mapping[str, str]) -> Mapping[str, str]:
    """The settings that istiod's environment makes."""
    return {key: "true" for key, (name, values) in _TOLD.items() if environment.get(name) in values}


def inert(laid: Laid, meshes: Sequence[Mesh], facts: ClusterFacts) -> str:
    """Why a field can have no effect where it is laid, for the clients of some mesh; "" where it can."""
    if not any(port.seen for port in laid.ports):
        return f"proxies see nothing of it, as it has {_shown(laid.ports)}"
    if isinstance(laid.value, Target):
        return _unreached(laid, laid.value, meshes, facts)
    return _not_http(laid) or _of_alias(laid, meshes, facts) or _of_headless(laid, meshes)


def _shown(ports: Sequence[ServicePort]) -> str:
    listed = ", ".join(f"{port.number} ({port.protocol or 'tcp'})" for port in ports)
    return f"port {listed}" if listed else "no ports"


def _not_http(laid: Laid) -> str:
    if any(is_http(port) for port in laid.ports):
        return ""
    if laid.field in REQUEST_FIELDS:
        return f"Istio routes requests on HTTP ports alone, and it has {_shown(laid.ports)}"
    if isinstance(laid.value, LoadBalancing) and _by_requests(laid.value):
        return f"without requests there is nothing to hash, and it has {_shown(laid.ports)}"
    return ""


def _by_requests(balancing: LoadBalancing) -> bool:
    """Whether it is session affinity by something that only a request has, and nothing else."""
    by = balancing.consistent_hash
    return balancing.locality is None and any(getattr(by, name, None) is not None for name in _OF_REQUESTS)


def _of_alias(laid: Laid, meshes: Sequence[Mesh], facts: ClusterFacts) -> str:
    if laid.field not in CONNECTION_FIELDS or not _is_alias(laid.service, meshes):
        return ""
    instead = _instead(laid.service, meshes, facts)
    return f"an ExternalName Service is an alias without connections of its own; {instead}"


def _of_headless(laid: Laid, meshes: Sequence[Mesh]) -> str:
    """The balancer that passes through is what a headless Service has anyway."""
    if laid.field not in ("outlier_detection", "load_balancing") or laid.value == _PASSES:
        return ""
    if not _is_chosen_by_clients(laid.service, meshes):
        return ""
    return "it is headless, so a sidecar sends each request to the address that the client has chosen"


def _unreached(laid: Laid, target: Target, meshes: Sequence[Mesh], facts: ClusterFacts) -> str:
    """Why requests, or copies of them, do not reach a target as it is meant."""
    service, asked = target.service, {port.number for port in laid.ports}
    if not any(port.seen for port in service.ports if target.port in (0, port.number)):
        return f"proxies see nothing of it, as it has {_shown(service.ports)}"
    if _is_alias(service, meshes):
        return _past_alias(laid, target, meshes, facts)
    if not _is_chosen_by_clients(service, meshes):
        return ""
    chosen = "it is headless, so a sidecar sends each request to the address that the client has chosen"
    # An ORIGINAL_DST cluster takes the address that the request was sent to, and a copy was sent to none.
    if laid.field == "mirror":
        return f"{chosen}, and a copy has none"
    if target.subset:
        return f"{chosen}, whatever its subset"
    if service.key != laid.service.key:
        return f"{chosen}, which is one of {laid.service.namespace}/{laid.service.name}"
    return f"{chosen}, with its port" if target.port and asked != {target.port} else ""


def _past_alias(laid: Laid, target: Target, meshes: Sequence[Mesh], facts: ClusterFacts) -> str:
    """Why requests do not come through an alias: the cluster that their route names does not exist, so they
    are answered 503; or to the Service that it names as it is meant.
    """
    alias, instead = target.service, _instead(target.service, meshes, facts)
    if target.subset:
        return f"an ExternalName Service is an alias without subsets of its own; {instead}"
    asked = {port.number for port in laid.ports if is_http(port)}
    if lacking := asked - {port.number for port in alias.ports}:
        return f"an alias is resolved on its own ports alone, and it has no {_listed(lacking)}; {instead}"
    named = _named(alias, meshes, facts)
    # What is no Service here may be the host of a ServiceEntry, or a Service of another cluster of the mesh.
    if named is None:
        return ""
    full = f"{named.namespace}/{named.name}"
    if named.type == "ExternalName":
        return f"it names {full}, an alias too, and one alone is resolved; {instead}"
    if lacking := ({target.port} if target.port else asked) - {port.number for port in named.ports}:
        return f"Service {full}, which it names, has no {_listed(lacking)}"
    why = _unreached(laid, replace(target, service=named), meshes, facts)
    return f"it is an alias of {full}: {why}" if why else ""


def _listed(ports: Iterable[int]) -> str:
    return f"port {', '.join(map(str, sorted(ports)))}"


def _is_chosen_by_clients(service: Service, meshes: Sequence[Mesh]) -> bool:
    """Whether some mesh's sidecars leave the choice of a pod to the client."""
    return service.headless and any(mesh.settings.get(BALANCED) != "true" for mesh in meshes)


def _is_alias(service: Service, meshes: Sequence[Mesh]) -> bool:
    """Whether the Service is a mere alias in some mesh; of an unknown version today's behaviour counts."""
    return service.type == "ExternalName" and any(map(_aliases, meshes))


def _aliases(mesh: Mesh) -> bool:
    # Unknown: as today's versions do, which leave no choice.
    version = version_of(mesh.version) or _ALIASES_ALWAYS_SINCE
    return version >= _ALIASES_SINCE and (
        mesh.settings.get(OWN_CLUSTER) != "true" or version >= _ALIASES_ALWAYS_SINCE
    )


def _named(alias: Service, meshes: Sequence[Mesh], facts: ClusterFacts) -> Service | None:
    """The Service of this cluster that an alias names."""
    name, namespace, _, rest = (*alias.alias.split(".", 3), "", "", "", "")[:4]
    return facts.service_index.get((namespace, name)) if rest == cluster_domain(meshes) else None


def _instead(service: Service, meshes: Sequence[Mesh], facts: ClusterFacts) -> str:
    """What to select in place of an alias: what it leads to in the end."""
    found: Service | None = service
    # Aliases of aliases may lead round.
    for _ in range(_MOST_ALIASES):
        if found is None or found.type != "ExternalName":
            break
        found = _named(found, meshes, facts)
    if found is None or found.type == "ExternalName":
        return "it names no Service of this cluster"
    return f"select Service {found.namespace}/{found.name}, which it names"


def note_passed_through(unit: RoutingUnit, notes: Notes) -> None:
    """Note what has no effect on a cluster of type ORIGINAL_DST, which this algorithm makes of a Service's
    (cluster_traffic_policy.go, applyLoadBalancer)."""
    for settings in unit.settings.values():
        balancing = settings.get("load_balancing")
        value = balancing.value if balancing else None
        if balancing is None or not isinstance(value, LoadBalancing) or value.algorithm != "Passthrough":
            continue
        lost = [*(["subsets"] if unit.subsets else []), *(["outlierDetection"] if _ejects(settings) else [])]
        if lost:
            text = (
                "with Passthrough a sidecar sends each request to the address that the client has chosen, so"
                f" {' and '.join(lost)} can have no effect"
            )
            notes.add("GM303", text, balancing.origin)


def _ejects(settings: Mapping[str, Decided]) -> bool:
    outlier = settings.get("outlier_detection")
    return outlier is not None and isinstance(outlier.value, OutlierDetection)
