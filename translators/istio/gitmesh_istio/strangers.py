"""Somebody else's object -> what facts keep of it: whom it is for, who sees it, and what it does. No values
that may be secrets, and no addresses: that there are conditions on headers, claims and addresses is kept.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from gitmesh_gatewayapi import GRPC_ROUTE, HTTP_ROUTE, parents_of
from msgspec.structs import replace

from gitmesh.model.facts import Mesh
from gitmesh.model.objects import Body, ObjectKey, listed, mapping, text
from gitmesh.model.strangers import (
    EVERYBODY,
    ForeignGuard,
    ForeignOperation,
    ForeignRule,
    ForeignSource,
    GuardAhead,
    NamedSubset,
    Stranger,
)
from gitmesh_istio.callers import trust_domains
from gitmesh_istio.exports import shown_to
from gitmesh_istio.kinds import AUTHORIZATION_POLICY, DESTINATION_RULE, PEER_AUTHENTICATION, VIRTUAL_SERVICE
from gitmesh_istio.meshwide import root_of
from gitmesh_istio.names import DEFAULT_DOMAIN, cluster_domain, full_host, host
from gitmesh_istio.readers import readers
from gitmesh_istio.reading import is_on_trial, mode_of, selector_of, spec_of, targets_of

_ACTIONS = {"ALLOW": "Allow", "DENY": "Deny", "CUSTOM": "Ask"}
_MODES = {"STRICT": "Strict", "PERMISSIVE": "Permissive", "DISABLE": "Disabled"}
# What the API server takes for a port's number; an int of any length comes out of YAML.
_PORTS = range(1, 65536)
# Of a full principal behind its trust domain: ns/<namespace>/sa/<account>.
_PARTS = 4


def reduced(key: ObjectKey, body: Body, meshes: Sequence[Mesh]) -> Stranger | None:
    """An object as facts keep it; None where it does nothing to anybody's clients or pods in the mesh."""
    read = readers(mapping(mapping(body.get("metadata")).get("labels")), meshes)
    found = _read(key, body, [mesh for mesh in meshes if not read or mesh.name in read])
    return replace(found, meshes=read) if found and read else found


def _read(key: ObjectKey, body: Body, meshes: Sequence[Mesh]) -> Stranger | None:
    """What the meshes read in it that do."""
    spec = spec_of(body)
    match key.kind:
        case VIRTUAL_SERVICE.kind:
            return _virtual_service(key, spec, meshes)
        case DESTINATION_RULE.kind:
            return _destination_rule(key, spec, meshes)
        case HTTP_ROUTE.kind | GRPC_ROUTE.kind:
            return _gateway_route(key, spec, meshes)
        case AUTHORIZATION_POLICY.kind:
            guard = _authorization(body, spec, meshes)
            targets = targets_of(spec)
            return _guarding_ahead(key, guard, targets) if targets else _guarding(key, guard, meshes)
        case PEER_AUTHENTICATION.kind:
            return _guarding(key, _authentication(spec), meshes)
        case _:
            return None


def _virtual_service(key: ObjectKey, spec: Mapping[str, object], meshes: Sequence[Mesh]) -> Stranger | None:
    """Only sidecars are clients here; gateways take a VirtualService that names them."""
    gateways = _strings(spec.get("gateways"))
    shown = shown_to(key.kind, spec, key.namespace, meshes)
    hosts = _full(_strings(spec.get("hosts")), key, meshes)
    # virtual_service.proto, gateways: the word `mesh` means all sidecars, and is the default only where
    # nothing else is named.
    if not hosts or not shown or (gateways and "mesh" not in gateways):
        return None
    return Stranger(**key._asdict(), hosts=hosts, shown=shown)


def _gateway_route(key: ObjectKey, spec: Mapping[str, object], meshes: Sequence[Mesh]) -> Stranger | None:
    """What has Services as parents. Of those of other namespaces it is shown to its own clients alone, which
    is told apart where it is looked up (GEP-1294, consumer routes)."""
    parents, domain = parents_of(spec, key.namespace), cluster_domain(meshes)
    hosts = tuple(sorted({host(*parent, domain) for parent in parents}))
    return Stranger(**key._asdict(), hosts=hosts, shown=(EVERYBODY,)) if hosts else None


def _destination_rule(key: ObjectKey, spec: Mapping[str, object], meshes: Sequence[Mesh]) -> Stranger | None:
    shown = shown_to(key.kind, spec, key.namespace, meshes)
    hosts = _full([text(spec.get("host"))], key, meshes)
    if not hosts or not shown:
        return None
    policy = mapping(spec.get("trafficPolicy"))
    return Stranger(
        **key._asdict(),
        hosts=hosts,
        shown=shown,
        clients=_labels(mapping(spec.get("workloadSelector")).get("matchLabels")),
        subsets=tuple(sorted(_subset(one) for one in listed(spec.get("subsets")))),
        # Names of what is set and no values: facts are published, and a value may be a secret's name or an
        # address.
        sets=tuple(sorted(str(name) for name, value in policy.items() if value)),
        tls=_tls(policy),
        port_tls=_port_tls(policy),
    )


def _port_tls(policy: Mapping[str, object]) -> Mapping[str, str]:
    found: dict[str, str] = {}
    for level in listed(policy.get("portLevelSettings")):
        number = mapping(level.get("port")).get("number")
        # True is an int, too.
        if type(number) is int and number in _PORTS and _tls(level) != _tls(policy):
            found.setdefault(str(number), _tls(level))
    return dict(sorted(found.items()))


def _tls(policy: Mapping[str, object]) -> str:
    return text(mapping(policy.get("tls")).get("mode"))


def _subset(subset: Mapping[str, object]) -> NamedSubset:
    labels = _labels(subset.get("labels"))
    return NamedSubset(name=text(subset.get("name")), labels=tuple(f"{k}={v}" for k, v in labels.items()))


def _full(hosts: Iterable[str], key: ObjectKey, meshes: Sequence[Mesh]) -> tuple[str, ...]:
    domain = cluster_domain(meshes)
    return tuple(sorted({full_host(host, key.namespace, domain) for host in hosts if host}))


def _guarding(key: ObjectKey, guard: ForeignGuard | None, meshes: Sequence[Mesh]) -> Stranger | None:
    """What lies in a root namespace is about all pods; a mode of mTLS there only without a selector."""
    if guard is None:
        return None
    everywhere = key.namespace in {root_of(mesh) for mesh in meshes}
    if everywhere and guard.action == "Mtls" and guard.selector:
        return None
    placed = ForeignGuard(
        action=guard.action,
        namespace="" if everywhere else key.namespace,
        selector=guard.selector,
        rules=guard.rules,
        mode=guard.mode,
        ports=guard.ports,
    )
    return Stranger(**key._asdict(), guards=(placed,))


def _guarding_ahead(
    key: ObjectKey, guard: ForeignGuard | None, targets: Sequence[Mapping[str, object]]
) -> Stranger | None:
    """What it says at waypoints, by the Services that it names. Which ones a Gateway or a GatewayClass serves
    hangs on labels, so that these may mean any."""
    if guard is None:
        return None
    named = {(key.namespace, text(one.get("name"))) for one in targets if one.get("kind") == "Service"}
    broad = any(one.get("kind") in ("Gateway", "GatewayClass") for one in targets)
    if not named and not broad:
        return None
    services = () if broad else tuple(sorted(named))
    return Stranger(**key._asdict(), ahead=(GuardAhead(guard=guard, services=services),))


def _authentication(spec: Mapping[str, object]) -> ForeignGuard | None:
    ports = {str(port): mode_of(part) for port, part in mapping(spec.get("portLevelMtls")).items()}
    known = {port: _MODES[mode] for port, mode in sorted(ports.items()) if mode in _MODES}
    selector = _labels(selector_of(spec))
    mode = _MODES.get(mode_of(spec.get("mtls")), "")
    if not mode and not known:
        return None
    # Ports are told of pods alone: without a selector Istio takes none.
    return ForeignGuard(action="Mtls", selector=selector, mode=mode, ports=known if selector else {})


def _authorization(body: Body, spec: Mapping[str, object], meshes: Sequence[Mesh]) -> ForeignGuard | None:
    """None for one that is on trial, or only logs."""
    annotations = mapping(mapping(body.get("metadata")).get("annotations"))
    action = _ACTIONS.get(text(spec.get("action")) or "ALLOW")
    if action is None or is_on_trial(annotations):
        return None
    names = _Names(meshes, at_nodes=not targets_of(spec) and any(mesh.ambient for mesh in meshes))
    rules = tuple(_rule(rule, names) for rule in listed(spec.get("rules")))
    return ForeignGuard(action=action, selector=_labels(selector_of(spec)), rules=rules)


class _Names:
    """The names under which the meshes know their own callers: a mesh takes a full principal of one of its
    own trust domains, or of `cluster.local`, for one of all of them (pilot/pkg/security/trustdomain).
    Ztunnels take it as it is written; `at_nodes`: they may read it, too.
    """

    def __init__(self, meshes: Sequence[Mesh], *, at_nodes: bool) -> None:
        own = [trust_domains(mesh) for mesh in meshes]
        self._domains = tuple(dict.fromkeys(name for names in own for name in names))
        self._agree = len({frozenset(names) for names in own}) <= 1
        # istio/ztunnel#1260: by another name than the pods' own, sidecars mean them and ztunnels do not.
        shown = {mesh.trust_domain for mesh in meshes}
        self._unshared = {*self._domains, DEFAULT_DOMAIN} - shown if at_nodes else set[str]()

    def meant(self, principals: Sequence[str]) -> tuple[tuple[str, ...], bool]:
        """The principals that are meant, and whether everybody who reads them means the same."""
        found: dict[str, None] = {}
        agree = True
        for one in principals:
            domain, *rest = one.split("/")
            own = len(rest) == _PARTS and domain in (*self._domains, DEFAULT_DOMAIN)
            agree = agree and (not own or (self._agree and domain not in self._unshared))
            found |= dict.fromkeys("/".join((name, *rest)) for name in (self._domains if own else (domain,)))
        return tuple(found), agree


def _rule(rule: Mapping[str, object], names: _Names) -> ForeignRule:
    return ForeignRule(
        sources=tuple(_source(mapping(one.get("source")), names) for one in listed(rule.get("from"))),
        operations=tuple(_operation(mapping(one.get("operation"))) for one in listed(rule.get("to"))),
        # Conditions are not kept, as values may be of headers or claims; what is not known may hold or not.
        unsure=bool(rule.get("when")),
    )


_SOURCE = {
    "principals": "principals",
    "notPrincipals": "no_principals",
    "namespaces": "namespaces",
    "notNamespaces": "no_namespaces",
}
_OPERATION = {
    "ports": "ports",
    "notPorts": "no_ports",
    "methods": "methods",
    "notMethods": "no_methods",
    "paths": "paths",
    "notPaths": "no_paths",
    "hosts": "hosts",
    "notHosts": "no_hosts",
}


def _source(given: Mapping[str, object], names: _Names) -> ForeignSource:
    known = {ours: tuple(_strings(given[name])) for name, ours in _SOURCE.items() if name in given}
    unsure = bool(given.keys() - _SOURCE.keys())
    for field in {"principals", "no_principals"} & known.keys():
        known[field], agree = names.meant(known[field])
        unsure = unsure or not agree
    return ForeignSource(**known, unsure=unsure)


def _operation(given: Mapping[str, object]) -> ForeignOperation:
    return ForeignOperation(
        **{ours: tuple(_strings(given[name])) for name, ours in _OPERATION.items() if name in given}
    )


def _strings(value: object) -> list[str]:
    return [item for item in value if isinstance(item, str)] if isinstance(value, list) else []


def _labels(value: object) -> dict[str, str]:
    return {key: item for key, item in sorted(mapping(value).items()) if isinstance(item, str)}
