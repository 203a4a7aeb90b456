"""Random TrafficPolicies, as YAML gives them, and requests that tell them apart."""

from __future__ import annotations

import itertools
from typing import Any

from hypothesis import strategies as st

from tests.soundness.requests import Request

_paths = st.one_of(
    st.fixed_dictionaries({"exact": st.sampled_from(("/api", "/api/x"))}, optional={"ignoreCase": st.just(True)}),
    st.fixed_dictionaries({"prefix": st.sampled_from(("/api", "/", "/api/x"))}, optional={"ignoreCase": st.just(True)}),
    st.fixed_dictionaries({"stringPrefix": st.sampled_from(("/api", "/ap"))}, optional={"ignoreCase": st.just(True)}),
    st.fixed_dictionaries({"suffix": st.sampled_from(("x", ".php"))}),
    st.fixed_dictionaries({"regex": st.sampled_from(("/a.*", "/api"))}, optional={"ignoreCase": st.just(True)}),
)
_headers = st.builds(
    lambda name, form, more: {"name": name, **form, **more},
    st.sampled_from(("X-One", "x-two")),
    st.sampled_from(({"exact": "a"}, {"prefix": "a"}, {"suffix": "b"}, {"regex": "a?"}, {"present": True})),
    st.sampled_from(({}, {}, {"invert": True})),
)
_matches = st.fixed_dictionaries(
    {},
    optional={
        "path": _paths,
        "headers": st.lists(_headers, min_size=1, max_size=2, unique_by=lambda h: h["name"].lower()),
        "method": st.sampled_from(("GET", "POST")),
        "port": st.sampled_from((80, "http", 81)),
        "authority": st.sampled_from(({"exact": "r.shop"}, {"prefix": "r"}, {"suffix": "shop"})),
        "queryParams": st.just([{"name": "q", "exact": "1"}]),
    },
).filter(bool)
_fields = st.fixed_dictionaries(
    {},
    optional={
        "timeout": st.sampled_from(("1s", "2s", {"disabled": True})),
        "retries": st.sampled_from(({"attempts": 1}, {"attempts": 3}, {"disabled": True})),
        "directResponse": st.sampled_from(({"status": 418}, {"status": 503}, {"disabled": True})),
        "headers": st.sampled_from(({"request": {"set": {"X-A": "1"}}}, {"request": {"set": {"x-a": "2"}, "remove": ["x-b"]}})),
    },
).filter(bool)
_sources = st.sampled_from(
    ({"namespaces": ["shop"]}, {"labels": {"app": "a"}}, {"clusters": ["east"]}, {"labels": {"app": "b"}, "namespaces": ["shop"]})
)
_destinations = st.sampled_from(
    ({"all": True}, {"name": "r"}, {"namespaces": ["shop"]}, {"labels": {"team": "red"}}, {"clusters": ["east"]})
)


@st.composite
def traffic_policies(draw: st.DrawFn, name: str) -> dict[str, Any]:
    """One TrafficPolicy on Service shop/r."""
    spec: dict[str, Any] = {"destinations": draw(st.lists(_destinations, min_size=1, max_size=2)), **draw(_fields)}
    if draw(st.booleans()):
        spec["matches"] = draw(st.lists(_matches, min_size=1, max_size=2))
    if draw(st.integers(0, 3)) == 3:
        spec["sources"] = draw(st.lists(_sources, min_size=1, max_size=2))
    if draw(st.integers(0, 2)) == 2:
        spec["priority"] = draw(st.integers(0, 2))
    metadata = {"name": name, "namespace": "shop"}
    return {"apiVersion": "gitmesh.io/v1alpha1", "kind": "TrafficPolicy", "metadata": metadata, "spec": spec}


@st.composite
def traffic_sets(draw: st.DrawFn) -> list[dict[str, Any]]:
    """One to four of them."""
    return [draw(traffic_policies(f"t{number}")) for number in range(draw(st.integers(1, 4)))]


REQUESTS = tuple(
    Request(path=path, method=method, host=host, headers=headers, query=query)
    for path, (method, host), headers, query in itertools.product(
        ("/api", "/api/x", "/apix", "/API/X", "/other.php", "/ap/x"),
        (("GET", "r.shop"), ("POST", "r.shop.svc"), ("PUT", "alias.shop")),
        ({}, {"x-one": "a"}, {"x-two": "ab", "x-one": ""}, {"x-one": "b"}),
        ({}, {"q": "1"}),
    )
)
