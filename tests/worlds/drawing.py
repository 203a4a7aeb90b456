"""A world of a seed: a cluster with controllers whose pods differ, Services of many kinds over them, other
people's mesh objects, policies, and what happens to all of it. The same for the same seed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from random import Random
from typing import Any

from tests.worlds.objects import ROOT, Object, account, control_plane, istio, namespace, pod, policy, service
from tests.worlds.themes import theme

NAMESPACES = ("shop", "bank")
CLUSTER = "c1"
ACCOUNTS = ("default", "web")
INJECTED = "sidecar.istio.io/status"
"""The annotation in which the injector tells the revision of a pod's proxy."""
UNSEEN = "traffic.sidecar.istio.io/excludeInboundPorts"
"""The annotation of pods that keeps ports from their manner."""
LEFT_PROBES = "sidecar.istio.io/rewriteAppHTTPProbers"
"""The annotation with which the injector leaves the kubelet's probes as they are."""
MODE, USE = "istio.io/dataplane-mode", "istio.io/use-waypoint"
REVISIONS = ("blue", "green")
APPS = ("a", "b")
_PROBES: tuple[Object, ...] = (
    {"httpGet": {"path": "/ready", "port": 8080}},
    {"httpGet": {"path": "/ready", "port": "web"}},
    {"exec": {"command": ["true"]}},
)
_ROLES = ("leader", "follower")
_VERSIONS = ("v1", "v2")
MEMBERS = 3
_PORTS: tuple[Object, ...] = (
    {"name": "http", "port": 80, "targetPort": 8080},
    {"name": "http", "port": 80, "targetPort": "web"},
    {"name": "http-admin", "port": 81, "targetPort": "admin"},
    {"name": "tcp-peer", "port": 82, "targetPort": 7070},
    {"name": "amqp", "port": 83, "targetPort": 8080},
    {"name": "grpc-more", "port": 84, "targetPort": 7070},
    {"name": "dns", "port": 53, "targetPort": 5353, "protocol": "UDP"},
)
_NAMED: tuple[Mapping[str, int], ...] = (
    {"web": 8080, "admin": 9090},
    {"web": 8080},
    {"web": 9090, "admin": 8080},
    {},
)
_MODES = ("STRICT", "PERMISSIVE", "DISABLE")
_SHOWN: tuple[Object, ...] = ({}, {"exportTo": ["."]}, {"exportTo": ["shop"]}, {"exportTo": [".", "bank"]})
_SETTINGS = ("", "", "", "enableAutoMtls: false\n", "trustDomain: shop.example\n")


@dataclass(frozen=True)
class Manner:
    """How pods are in the mesh: the namespaces in `ambient`, whose Services are bound to waypoints, and, of
    several `revisions`, the one that injects in a namespace.
    """

    ambient: frozenset[str] = frozenset()
    revisions: Mapping[str, str] = field(default_factory=dict)

    def injected(self, namespace: str) -> bool:
        """Whether pods there get a proxy of their own."""
        return namespace not in self.ambient

    def written(self, namespace: str) -> dict[str, str]:
        """The annotation of a pod that was injected there."""
        revision = self.revisions.get(namespace)
        return {INJECTED: f'{{"revision":"{revision}"}}'} if revision else {}

    def bound(self, random: Random, namespace: str) -> dict[str, str]:
        """The labels by which a Service is bound to a waypoint, or not."""
        names = ("waypoint", "waypoint", "waypoint", "other", "missing", "none", "")
        name = random.choice(names) if namespace in self.ambient else ""
        return {USE: name} if name else {}


SIDECARS = Manner()


@dataclass(frozen=True)
class World:
    """A moment: everything that others have in the cluster, and the policies in force."""

    objects: tuple[Object, ...]
    policies: tuple[Object, ...]
    story: str = "as it began"
    manner: Manner = SIDECARS
    refused: str = ""
    """The name of an object that the cluster does not take at first."""


def plain(random: Random) -> World:
    """A cluster with one mesh of sidecars."""
    places = [namespace(ROOT), *(namespace(name, {"istio-injection": "enabled"}) for name in NAMESPACES)]
    accounts = [account(name, place) for place in NAMESPACES for name in ACCOUNTS]
    controllers = [part for app in APPS for part in controller(random, app)]
    services = [drawn_service(random, name) for name in ("r", "s", "t")[: random.randint(1, 3)]]
    others = [stranger(random, number) for number in range(random.choice((0, 0, 1, 1, 2)))]
    fixed = (*places, *control_plane(random.choice(_SETTINGS)), *accounts)
    objects, policies = theme(random)
    drawn = [] if policies else drawn_policies(random)
    return World((*fixed, *controllers, *services, *others, *objects), (*drawn, *policies))


# --- pods


def controller(random: Random, app: str, manner: Manner = SIDECARS) -> list[Object]:
    """The pods of one controller: a StatefulSet with roles, a Deployment in a rollout, or bare pods."""
    place = random.choice(("shop", "shop", "bank"))
    kind = random.choice(("StatefulSet", "Deployment", ""))
    ports = random.choice(_NAMED)
    rolling = random.choice(_NAMED) if random.randrange(3) == 0 else ports
    bare = random.randrange(8) == 0
    own = random.choice(ACCOUNTS)
    annotations = {UNSEEN: str(random.choice((8080, 9090)))} if random.randrange(10) == 0 else {}
    probe = random.choice(_PROBES) if random.randrange(8) == 0 else None
    annotations |= {LEFT_PROBES: "false"} if probe and random.randrange(4) else {}
    pods = []
    for number in range(random.randint(1, MEMBERS)):
        labels = {"app": app, **_labels(random, kind, app, number)}
        labels |= {} if manner.injected(place) or not bare else {MODE: "none"}
        owner = (kind, app) if kind == "StatefulSet" else ("ReplicaSet", f"{app}-5d9") if kind else ("", "")
        proxy = manner.injected(place) and (not bare or (number > 0 and bool(random.randrange(2))))
        given = rolling if number else ports
        pods.append(
            pod(
                f"{app}-{number}",
                place,
                labels,
                given,
                owner=owner,
                service_account=own,
                proxy=proxy,
                annotations={**annotations, **(manner.written(place) if proxy else {})},
                probe=probe,
            )
        )
    return pods


def _labels(random: Random, kind: str, app: str, number: int) -> dict[str, str]:
    if kind == "StatefulSet":
        name = {"statefulset.kubernetes.io/pod-name": f"{app}-{number}"}
        return {**name, **({"role": _ROLES[min(number, 1)]} if random.randrange(2) else {})}
    if kind == "Deployment":
        return {"pod-template-hash": "5d9", "version": random.choice(_VERSIONS)}
    return {"version": random.choice(_VERSIONS)} if random.randrange(2) else {}


# --- Services


def drawn_service(random: Random, name: str, manner: Manner = SIDECARS) -> Object:
    """A Service of any kind."""
    place = random.choice(("shop", "shop", "bank"))
    count = random.randint(1, 2)
    ports = {one["port"]: one for one in random.sample(_PORTS, count)}
    bound = manner.bound(random, place)
    form = random.randrange(12)
    if form == 0:
        return service(name, place, {}, [], type="ExternalName", externalName="db.example.com")
    if form == 1:
        return service(name, place, {}, list(ports.values()), labels=bound)
    headless: dict[str, Any] = {"clusterIP": "None"} if form == 2 else {}
    return service(name, place, _selector(random), list(ports.values()), labels=bound, **headless)


def _selector(random: Random) -> dict[str, str]:
    app = random.choice(APPS)
    more: tuple[dict[str, str], ...] = (
        {},
        {},
        {"role": random.choice(_ROLES)},
        {"version": random.choice(_VERSIONS)},
        {"statefulset.kubernetes.io/pod-name": f"{app}-{random.randrange(2)}"},
    )
    return {"app": app, **random.choice(more)}


# --- other people's objects


def stranger(random: Random, number: int) -> Object:
    """A mesh object of somebody else."""
    return random.choice((_foreign_access, _foreign_access, _foreign_mtls, _foreign_rule, _foreign_route))(
        random, f"theirs-{number}"
    )


def _foreign_access(random: Random, name: str) -> Object:
    place = random.choice((*NAMESPACES, ROOT))
    selector = random.choice(({}, {}, {"selector": {"matchLabels": _selector(random)}}))
    principal = f"cluster.local/ns/{random.choice(NAMESPACES)}/sa/{random.choice(ACCOUNTS)}"
    sources = random.choice(([], [{"source": {"principals": [principal]}}]))
    ports = random.choice(([], [{"operation": {"ports": ["8080"]}}]))
    rule = {**({"from": sources} if sources else {}), **({"to": ports} if ports else {})}
    action = random.choice(("ALLOW", "ALLOW", "DENY"))
    rules: dict[str, Any] = {} if random.randrange(3) == 0 else {"rules": [rule]}
    return istio("AuthorizationPolicy", name, place, {**selector, "action": action, **rules})


def _foreign_mtls(random: Random, _: str) -> Object:
    """One in a namespace at most: of several Istio takes the oldest, and no age is drawn."""
    spec: Object = {"mtls": {"mode": random.choice(_MODES)}}
    if random.randrange(2):
        spec |= {"selector": {"matchLabels": _selector(random)}}
        spec |= random.choice(({}, {"portLevelMtls": {"8080": {"mode": random.choice(_MODES)}}}))
    return istio("PeerAuthentication", "theirs-mtls", random.choice(NAMESPACES), spec)


def _host(random: Random) -> str:
    return f"{random.choice('rst')}.{random.choice(NAMESPACES)}.svc.cluster.local"


def _foreign_rule(random: Random, name: str) -> Object:
    host = random.choice((_host(random), f"*.{random.choice(NAMESPACES)}.svc.cluster.local", "*.local"))
    settings = random.choice(
        (
            {"trafficPolicy": {"tls": {"mode": "ISTIO_MUTUAL"}}},
            {"trafficPolicy": {"loadBalancer": {"simple": "RANDOM"}}},
            {"subsets": [{"name": "version-v1", "labels": {"version": "v1"}}]},
        )
    )
    shown = random.choice(_SHOWN)
    return istio(
        "DestinationRule", name, random.choice((*NAMESPACES, ROOT)), {"host": host, **settings, **shown}
    )


def _foreign_route(random: Random, name: str) -> Object:
    host = _host(random)
    shown = random.choice(_SHOWN)
    http = [{"route": [{"destination": {"host": host}}], "timeout": "6s"}]
    return istio("VirtualService", name, random.choice(NAMESPACES), {"hosts": [host], "http": http, **shown})


# --- policies


def _destination(random: Random) -> Object:
    return random.choice(
        (
            {"name": random.choice("rst"), "namespaces": [random.choice(NAMESPACES)]},
            {"name": random.choice("rst"), "namespaces": [random.choice(NAMESPACES)]},
            {"namespaces": [random.choice(NAMESPACES)]},
            {"all": True},
        )
    )


def _sources(random: Random) -> list[Object]:
    return [
        random.choice(
            (
                {
                    "serviceAccounts": [
                        {"name": random.choice(ACCOUNTS), "namespace": random.choice(NAMESPACES)}
                    ]
                },
                {"namespaces": [random.choice(NAMESPACES)]},
                {"authenticated": True},
                {"all": True},
            )
        )
    ]


def _rules(random: Random) -> Object:
    return random.choice(
        (
            {},
            {},
            {},
            {"rules": [{"methods": ["GET"]}]},
            {"rules": [{"paths": ["/api*"]}]},
            {"rules": [{"ports": [random.choice((80, 81, 82))]}]},
            {"rules": [{"ports": [random.choice((80, 83))], "methods": ["GET"]}]},
            {"rules": [{"methods": ["POST"]}, {"ports": [random.choice((80, 82))]}]},
        )
    )


def drawn_access(random: Random, name: str) -> Object:
    spec = {
        "action": random.choice(("Allow", "Allow", "Deny")),
        "sources": _sources(random),
        "destinations": [_destination(random)],
        **_rules(random),
    }
    for rule in spec.get("rules", ()) if spec["action"] == "Deny" else ():
        if rule.keys() - {"ports"} and random.randrange(2):
            rule["nonHTTP"] = random.choice(("Deny", "Ignore"))
    return policy("AccessPolicy", name, "shop", spec)


def _split(random: Random) -> Object:
    place = {"name": random.choice("rst"), "namespace": random.choice(NAMESPACES)}
    version = {"subset": {"version": random.choice(_VERSIONS)}}
    return {"split": [{"weight": 1, "destination": place | random.choice(({}, version))}]}


def _traffic(random: Random, name: str) -> Object:
    fields = random.choice(
        (
            {"timeout": "2s"},
            {"outlierDetection": {"consecutiveErrors": 3}},
            {"loadBalancing": {"algorithm": "Random"}},
            {"timeout": "3s", "retries": {"attempts": 1}},
            _split(random),
        )
    )
    more = {"priority": 1} if random.randrange(4) == 0 else {}
    return policy("TrafficPolicy", name, "shop", {"destinations": [_destination(random)], **fields, **more})


_EVERY_MESH: Object = {"selector": {"all": True}}


def drawn_mesh(random: Random, name: str = "all", of: Object = _EVERY_MESH) -> Object:
    spec: Object = {"meshes": [of]}
    mode, default = random.choice((None, "Strict", "Permissive")), random.choice((None, "Deny", "Allow"))
    default = default or (None if mode else "Allow")  # a VirtualMesh says something
    spec |= {"mtls": {"mode": mode}} if mode else {}
    spec |= {"accessDefault": default} if default else {}
    if default == "Deny" and random.randrange(2):
        ports = {"ports": [random.choice((80, "http", 82, "amqp"))]}
        spec["accessExempt"] = random.choice((ports, {"sources": _sources(random)}))
    return policy("VirtualMesh", name, ROOT, spec)


def _meshes(random: Random, manner: Manner) -> list[Object]:
    """One VirtualMesh of all meshes, or some for single revisions."""
    if not manner.revisions or random.randrange(4) == 0:
        return [drawn_mesh(random)]
    chosen = random.choice((REVISIONS, REVISIONS[:1], REVISIONS[1:]))
    return [drawn_mesh(random, name, {"cluster": CLUSTER, "name": f"istio-{name}"}) for name in chosen]


def drawn_policies(random: Random, manner: Manner = SIDECARS) -> list[Object]:
    """AccessPolicies, TrafficPolicies and VirtualMeshes, or some of them."""
    access = [drawn_access(random, f"access-{number}") for number in range(random.randint(0, 3))]
    traffic = [_traffic(random, f"traffic-{number}") for number in range(random.randint(0, 2))]
    wanted = manner.revisions or random.randrange(2) or not (access or traffic)
    return [*access, *traffic, *(_meshes(random, manner) if wanted else ())]
