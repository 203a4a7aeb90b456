"""Random small worlds: clusters with Services that share pods, controllers whose pods differ, named target
ports, pods without proxy, gateways, trust domains.
"""

from __future__ import annotations

from collections.abc import Mapping

from hypothesis import strategies as st

from gitmesh.model.facts import ClusterFacts, Mesh
from gitmesh.model.services import Service, ServicePort
from gitmesh.model.workloads import Workload
from tests.soundness.requests import AskedRequest, CallingPod

NAMESPACES = ("shop", "bank")
ACCOUNTS = ("default", "web")
_ROOT = "istio-system"
_PORTS = (
    ServicePort(number=80, name="http", target=8080, protocol="http"),
    ServicePort(number=80, name="http", target="web", protocol="http"),
    ServicePort(number=81, name="admin", target="admin", protocol="http"),
    ServicePort(number=82, name="any", target=8080),
    ServicePort(number=83, name="tcp", target=9090, protocol="tcp"),
    ServicePort(number=84, name="more", target=7070, protocol="grpc"),
)
_SELECTORS: tuple[Mapping[str, str], ...] = (
    {"app": "a"},
    {"app": "b"},
    {"tier": "x"},
    {"app": "a", "tier": "x"},
)
_NAMED: tuple[Mapping[str, int], ...] = (
    {},
    {"web": 8080},
    {"web": 9090},
    {"web": 8080, "admin": 9090},
    {"web": 9090, "admin": 8080},
    {"admin": 8080},
)

_workloads = st.builds(
    Workload,
    kind=st.just("Deployment"),
    namespace=st.sampled_from(("shop", "shop", "shop", "bank")),
    name=st.sampled_from(("one", "two", "three")),
    labels=st.fixed_dictionaries({"app": st.sampled_from("ab")}, optional={"tier": st.sampled_from("xy")}),
    service_account=st.sampled_from(ACCOUNTS),
    ports=st.sampled_from(_NAMED),
    mesh=st.sampled_from(("istio", "istio", "istio", "istio", "istio", "istio-next", "")),
    gateway=st.sampled_from((False, False, False, False, True)),
    pods=st.just(1),
)
_services = st.builds(
    Service,
    namespace=st.sampled_from(("shop", "shop", "shop", "bank")),
    name=st.sampled_from(("r", "s", "t")),
    labels=st.fixed_dictionaries({}, optional={"team": st.sampled_from(("red", "blue"))}),
    selector=st.sampled_from(_SELECTORS),
    ports=st.lists(st.sampled_from(_PORTS), min_size=1, max_size=2, unique_by=lambda port: port.number).map(
        tuple
    ),
)


def _proxied(workload: Workload, meshes: tuple[str, ...]) -> Workload:
    """Its mesh is one that the cluster has; a gateway has a proxy."""
    mesh = workload.mesh if workload.mesh in (*meshes, "") else "istio"
    fields = {
        name: getattr(workload, name)
        for name in ("kind", "namespace", "name", "labels", "service_account", "ports", "pods")
    }
    return Workload(**fields, mesh="istio" if workload.gateway else mesh, gateway=workload.gateway)


@st.composite
def clusters(draw: st.DrawFn, name: str, domains: tuple[str, ...]) -> ClusterFacts:
    """One cluster; sometimes its two revisions of Istio share a root namespace."""
    domain = draw(st.sampled_from(domains))
    names = draw(st.sampled_from((("istio",), ("istio",), ("istio",), ("istio", "istio-next"))))
    found = draw(st.lists(_workloads, min_size=1, max_size=3, unique_by=lambda w: w.shape))
    return ClusterFacts(
        cluster=name,
        labels={"region": name},
        meshes=tuple(
            Mesh(
                translator="istio",
                name=each,
                version="1.30.3",
                namespace=_ROOT,
                root_namespace=_ROOT,
                trust_domain=domain,
            )
            for each in names
        ),
        workloads=tuple(sorted((_proxied(w, names) for w in found), key=lambda w: w.shape)),
        services=tuple(
            sorted(
                draw(st.lists(_services, min_size=1, max_size=3, unique_by=lambda s: s.key)),
                key=lambda s: s.key,
            )
        ),
        service_accounts=frozenset((namespace, account) for namespace in NAMESPACES for account in ACCOUNTS),
    )


@st.composite
def worlds(draw: st.DrawFn) -> dict[str, ClusterFacts]:
    """One or two clusters, which may share a trust domain."""
    world = {"east": draw(clusters("east", ("cluster.local", "east.example")))}
    if draw(st.booleans()):
        world["west"] = draw(clusters("west", ("cluster.local", "east.example", "west.example")))
    return world


def clients(world: Mapping[str, ClusterFacts]) -> tuple[CallingPod, ...]:
    """Every account of every cluster, each from two addresses; one of a stranger's trust domain; one without
    identity.
    """
    found = []
    for cluster, facts in sorted(world.items()):
        domain = facts.meshes[0].trust_domain
        for namespace in NAMESPACES:
            found += [
                CallingPod(cluster=cluster, namespace=namespace, account=account, trust_domain=domain)
                for account in ACCOUNTS
            ]
        found.append(
            CallingPod(
                cluster=cluster, namespace="shop", account="web", trust_domain=domain, ip="192.168.7.1"
            )
        )
        found.append(CallingPod(cluster=cluster, namespace="shop", account="web", trust_domain=None))
        found.append(
            CallingPod(cluster=cluster, namespace="shop", account="web", trust_domain=None, ip="192.168.7.1")
        )
    found.append(
        CallingPod(cluster="elsewhere", namespace="shop", account="web", trust_domain="evil.example")
    )
    return tuple(found)


REQUESTS = (
    AskedRequest(path="/api/x", method="GET", host="r.shop"),
    AskedRequest(path="/api/x", method="POST", host="r.shop:80", headers={"x-team": "red"}),
    AskedRequest(path="/apix", method="POST", host="R.shop", headers={"x-team": "redder"}),
    AskedRequest(path="/api", method="GET", host="evil.r.shop", headers={"x-team": "blue-red"}),
    AskedRequest(path="/x.php", method="GET", host="r.shop:9999", headers={"x-team": ""}),
    AskedRequest(path="/API/x", method="get", host="s.shop"),
    AskedRequest(http=False),
)
PORTS = (8080, 9090, 7070, 15999)
"""Every container port that a Service of a world may reach, and one that none does."""
