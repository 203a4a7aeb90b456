"""Random policies for the lab's bookshop and requests that tell them apart: the same for the same seed.

Restricted to what can be seen from outside in one answer (status, who answered, what the server saw), to what
Istio expresses exactly (no error, nothing narrowed or approximated), and to destinations that the lab does
not watch during changes (vault, lighthouse).

    policies, requests = random_case(7)
    disagreements(by_evaluator([*base, *policies], facts).expected(requests[0]), answer)

`by_calculator` in place of `by_evaluator` asks the calculator; `facts` are by cluster, as `gitmesh discover`
finds them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from random import Random
from typing import Any, TypeAlias

from tests.e2e.facts import world_facts
from tests.lab import wire
from tests.rendered import rendered
from tests.soundness.access_documents import as_files
from tests.soundness.expectations import (
    DELAY,
    Expectation,
    Oracle,
    Sending,
    by_calculator,
    by_evaluator,
    disagreements,
)
from tests.soundness.traffic_documents import DrawnTraffic, PolicyWords

Document: TypeAlias = dict[str, Any]
REQUESTS = 80
"""Requests of one case."""

_ATTEMPTS = 100
_UNCLEAR = frozenset({"GM303", "GM304", "GM307", "GM308", "GM309"})
"""Approximated, narrowed and the like: the mesh then does something else than the policies say, and says so.
"""

_DESTINATIONS: tuple[Document, ...] = (
    {"name": "reviews"},
    {"name": "reviews", "clusters": ["east"]},
    {"name": "ratings"},
    {"labels": {"app": "reviews"}},
    {"labels": {"app": "details"}},
    {"namespaces": ["office"]},
    {"namespaces": ["bookshop"], "clusters": ["west"]},
    {"clusters": ["west"]},
    {"name": "details", "clusters": ["east"]},
)
_CLIENTS: tuple[Document, ...] = (
    {"all": True},
    {"labels": {"app": "productpage"}},
    {"namespaces": ["bookshop"]},
    {"namespaces": ["office"]},
    {"clusters": ["east"]},
    {"clusters": ["west"], "labels": {"app": "productpage"}},
)
_REFERENCES: tuple[Document, ...] = (
    {"name": "reviews", "namespace": "bookshop", "port": 9080},
    {"name": "reviews", "namespace": "bookshop", "subset": {"version": "v1"}, "port": "http"},
    {"name": "reviews", "namespace": "bookshop", "subset": {"version": "v2"}, "port": 9080},
    {"name": "ratings", "namespace": "bookshop", "port": 9080},
)
_SINGLE: Mapping[str, Sequence[Any]] = {
    "timeout": ("200ms", "300ms", "30s"),
    "retries": ({"attempts": 0}, {"attempts": 1, "retryOn": ["connect-failure"]}),
    "fault": (
        {"abort": {"httpStatus": 418, "percent": 100}},
        {"abort": {"httpStatus": 500, "percent": 0}},
        {"delay": {"fixed": "20ms", "percent": 100}},
    ),
    "headers": (
        {"request": {"set": {"X-A": "1"}}},
        {"request": {"set": {"x-a": "2"}, "remove": ["x-b"]}},
        {"request": {"add": {"X-B": "50%"}}, "response": {"set": {"x-a": "3"}}},
        {"response": {"add": {"x-c": "1"}}},
    ),
}
WORDS = PolicyWords(
    destinations=_DESTINATIONS,
    sources=_CLIENTS,
    references=_REFERENCES,
    changes=_SINGLE["headers"],
    single=_SINGLE,
    connection={},
    authorities=(
        {"prefix": "reviews"},
        {"exact": "reviews:9080"},
        {"suffix": "bookshop:9080"},
        {"regex": "r.*:9080"},
    ),
    hostnames=("other.example", "reviews.bookshop"),
    percents=(0, 100),
    ports=(9080, "http"),
    namespaces=("bookshop",),
)
"""What TrafficPolicies say here; mirrors are drawn, but their copies are not looked at."""

_IDENTITIES: tuple[Document, ...] = (
    {"all": True},
    {"authenticated": True},
    {"serviceAccounts": [{"name": "productpage"}]},
    {"serviceAccounts": [{"name": "probe", "cluster": "east"}, {"name": "clerk", "namespace": "office"}]},
    {"namespaces": ["bookshop"]},
    {"namespaces": ["office"], "clusters": ["east"]},
    {"clusters": ["west"]},
    {"ipBlocks": ["10.0.0.0/8"]},
    {"ipBlocks": ["192.168.0.0/16"]},
    {"namespaces": ["bookshop"], "notIpBlocks": ["10.21.0.0/16"]},
)
_RULES: tuple[Document, ...] = (
    {"methods": ["GET"]},
    {"methods": ["POST"], "paths": ["/api*"]},
    {"paths": ["/api", "/new*"]},
    {"paths": ["*x"]},
    {"ports": ["http"]},
    {"ports": [9080], "headers": [{"name": "X-One", "exact": "a"}]},
    {"headers": [{"name": "x-two", "present": True, "invert": True}]},
    {"headers": [{"name": "x-a", "prefix": "1"}]},
    {"hosts": ["reviews", "ratings.bookshop"]},
)
_SENDERS = {
    "east": ("productpage", "productpage", "probe", "clerk", "plain"),
    "west": ("productpage", "plain"),
}
_RECEIVERS = {
    "east": (
        "reviews.bookshop:9080",
        "ratings.bookshop:9080",
        "details.bookshop:9080",
        "details-twin.bookshop:9080",
        "ledger.office:9080",
    ),
    "west": ("reviews.bookshop:9080", "ratings.bookshop:9080"),
}
_PATHS = ("/api", "/api/", "/api/x", "/apix", "/API/X/y", "/other.php", "/ap/x", "/new/x", "/")
_HEADERS: tuple[Mapping[str, str], ...] = (
    {},
    {},
    {"x-one": "a"},
    {"x-two": "ab", "x-one": "b"},
    {"x-a": "1", "x-b": "0"},
)


def random_case(seed: int) -> tuple[list[Document], list[Sending]]:
    """The policies of a seed and its requests: the first draw that the mesh expresses exactly."""
    random = Random(seed)
    for _ in range(_ATTEMPTS):
        policies = _policies(random)
        if _is_exact(policies):
            return policies, [_sending(random) for _ in range(REQUESTS)]
    raise AssertionError(f"seed {seed}: nothing in {_ATTEMPTS} draws can be expressed exactly")


def _policies(random: Random) -> list[Document]:
    traffic = DrawnTraffic(random, WORDS).sets(3)
    access = [_access(random, f"a{number}") for number in range(random.randrange(3))]
    return [*traffic, *access, _mesh(random, "east"), _mesh(random, "west")]


def _access(random: Random, name: str) -> Document:
    spec: Document = {
        "action": random.choice(("Allow", "Allow", "Deny")),
        "sources": [dict(random.choice(_IDENTITIES)) for _ in range(random.randint(1, 2))],
        "destinations": [dict(random.choice(_DESTINATIONS))],
    }
    if random.randrange(2):
        spec["rules"] = [dict(random.choice(_RULES)) for _ in range(random.randint(1, 2))]
    return _document("AccessPolicy", name, spec)


def _mesh(random: Random, cluster: str) -> Document:
    """Takes the place of the lab's own VirtualMesh of that cluster."""
    spec: Document = {
        "meshes": [{"cluster": cluster}],
        "mtls": {"mode": random.choice(("Permissive", "Permissive", "Strict"))},
    }
    if random.randrange(4) == 0:
        spec["accessDefault"] = "Deny"
        exempt = random.choice((None, {"ports": ["http"]}, {"sources": [{"namespaces": ["bookshop"]}]}))
        spec.update({"accessExempt": exempt} if exempt else {})
    return _document("VirtualMesh", cluster, spec)


def _document(kind: str, name: str, spec: Document) -> Document:
    return {
        "apiVersion": "gitmesh.io/v1alpha1",
        "kind": kind,
        "metadata": {"name": name, "namespace": "bookshop"},
        "spec": spec,
    }


def _is_exact(policies: Sequence[Document]) -> bool:
    found = rendered(as_files(policies), world_facts())
    held = any(built.holds for built in found.builds.values())
    return not held and not any(one.is_error or one.code in _UNCLEAR for one in found.findings)


def _sending(random: Random) -> Sending:
    cluster = random.choice(("east", "east", "west"))
    client, receiver = random.choice(_SENDERS[cluster]), random.choice(_RECEIVERS[cluster])
    if client in ("productpage", "probe") and random.randrange(2):
        receiver = receiver.replace(".bookshop", "")
    query = random.choice(("", "", "?q=1", "?Q=2&q="))
    delay = {DELAY: "1s"} if random.randrange(5) == 0 else {}
    return Sending(
        cluster=cluster,
        client=client,
        request=wire.WireRequest(
            url=f"http://{receiver}{random.choice(_PATHS)}{query}",
            method=random.choice(("GET", "GET", "POST")),
            headers={**random.choice(_HEADERS), **delay},
        ),
    )


__all__ = [
    "Expectation",
    "Oracle",
    "Sending",
    "by_calculator",
    "by_evaluator",
    "disagreements",
    "random_case",
]
