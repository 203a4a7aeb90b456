"""First-match lists against a brute-force reading of docs/concepts.md#precedence, and the laws of the match
algebra.
"""

from __future__ import annotations

import itertools
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from gitmesh.model.base import Disabled
from gitmesh.model.conditions import NamedCondition, RequestMatch, SourceCondition, TextCondition
from gitmesh.model.policies import Policy
from gitmesh.model.traffic import ROUTING_FIELDS, TrafficPolicySpec
from gitmesh.model.units import RoutingUnit
from gitmesh.resolution.matching import Disjoint, Request, conjunction, implies, matches, normal
from gitmesh.resolution.resolve import Resolution, resolve
from tests.factories import shop, traffic

PATHS = (
    "/",
    "/a",
    "/A",
    "/a/",
    "/ab",
    "/a/b",
    "/a/b.jpg",
    "/ab.jpg",
    "/b",
    "/a/b/c",
    "/x.jpg",
    "/.jpg",
    "/a.jpg",
)
VALUES: tuple[str | None, ...] = (None, "u", "U", "uv", "vu", "v")
REQUESTS = [
    Request(path=path, headers={} if x is None else {"x": x}, method=method, port=port, namespace=namespace)
    for path, x, method, port, namespace in itertools.product(
        PATHS, VALUES, ("GET", "PUT"), (80, 81), ("shop", "web")
    )
]

path_values = st.sampled_from(["/", "/a", "/ab", "/a/b", "/a/", "/A", "/b", "/a/b.jpg"])
text_values = st.sampled_from(["u", "v", "uv", "U"])
path_conditions = st.one_of(
    st.builds(
        TextCondition,
        form=st.sampled_from(["exact", "prefix", "stringPrefix"]),
        value=path_values,
        ignore_case=st.booleans(),
    ),
    st.builds(
        TextCondition,
        form=st.just("suffix"),
        value=st.sampled_from([".jpg", "b", "b.jpg", "/", "/b.jpg"]),
        ignore_case=st.booleans(),
    ),
    st.builds(
        TextCondition,
        form=st.just("regex"),
        value=st.sampled_from(["/a.*", "/ab?", "/a/[bc].*", "/a|/b", "/(?i)A", r"/a/b\.jpg", "/b+"]),
        ignore_case=st.booleans(),
    ),
)
text_conditions = st.one_of(
    st.builds(TextCondition, form=st.sampled_from(["exact", "prefix", "suffix"]), value=text_values),
    st.builds(TextCondition, form=st.just("regex"), value=st.sampled_from(["u.*", "u|v", ".*v", "u+"])),
    st.just(TextCondition(form="present")),
)
header_conditions = st.builds(
    NamedCondition, name=st.just("x"), condition=text_conditions, invert=st.booleans()
)
sources = st.builds(SourceCondition, namespaces=st.sampled_from([(), ("shop",), ("web",), ("shop", "web")]))
raw_matches = st.builds(
    RequestMatch,
    path=st.none() | path_conditions,
    headers=st.lists(header_conditions, max_size=2).map(tuple),
    method=st.sampled_from(["", "GET", "PUT"]),
    port=st.sampled_from([0, 80, 81]),
    source=sources,
)


def _accepted(match: RequestMatch) -> set[int]:
    return {number for number, request in enumerate(REQUESTS) if matches(match, request)}


@given(raw_matches)
def test_normal_form_means_the_same(match: RequestMatch) -> None:
    same = normal(match)
    if isinstance(same, Disjoint):
        assert not _accepted(match)
    elif isinstance(same, RequestMatch):
        assert _accepted(same) == _accepted(match)


@given(raw_matches, raw_matches)
@settings(max_examples=400, deadline=None)
def test_conjunction_and_implication_are_sound(first: RequestMatch, second: RequestMatch) -> None:
    a, b = normal(first), normal(second)
    if not isinstance(a, RequestMatch) or not isinstance(b, RequestMatch):
        return
    assert implies(a, a)
    if implies(a, b):
        assert _accepted(a) <= _accepted(b)
    both = conjunction(a, b)
    if isinstance(both, Disjoint):
        assert not _accepted(a) & _accepted(b)
    elif isinstance(both, RequestMatch):
        assert _accepted(both) == _accepted(a) & _accepted(b)


@given(raw_matches, raw_matches)
@settings(max_examples=300, deadline=None)
def test_conjunction_is_symmetric_in_kind(first: RequestMatch, second: RequestMatch) -> None:
    a, b = normal(first), normal(second)
    if isinstance(a, RequestMatch) and isinstance(b, RequestMatch):
        one, other = conjunction(a, b), conjunction(b, a)
        assert type(one) is type(other)
        if isinstance(one, RequestMatch) and isinstance(other, RequestMatch):
            assert _accepted(one) == _accepted(other)


# --- whole policies

match_specs = st.fixed_dictionaries(
    {},
    optional={
        "path": st.one_of(
            st.sampled_from([{"exact": p} for p in ("/a", "/a/b", "/b")]),
            st.sampled_from([{"prefix": p} for p in ("/", "/a", "/a/b")]),
            st.sampled_from([{"stringPrefix": p} for p in ("/a", "/ab")]),
            st.just({"suffix": ".jpg"}),
        ),
        "headers": st.sampled_from(
            [
                [{"name": "x", "exact": "u"}],
                [{"name": "X", "prefix": "u"}],
                [{"name": "x", "present": True, "invert": True}],
            ]
        ),
        "method": st.sampled_from(["GET", "PUT"]),
        "port": st.sampled_from([80, "other"]),
    },
).filter(bool)
field_specs: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {},
    optional={
        "timeout": st.sampled_from(["1s", "2s", {"disabled": True}]),
        "retries": st.sampled_from([{"attempts": 1}, {"attempts": 2}]),
        "rewrite": st.just({"hostname": "new.example"}),
        "headers": st.sampled_from(
            [
                {"request": {"set": {"h": "1"}}},
                {"request": {"add": {"H": "2", "i": "2"}}},
                {"response": {"remove": ["h"]}},
                {"disabled": True},
            ]
        ),
    },
)
routings: st.SearchStrategy[dict[str, Any]] = st.sampled_from(
    [
        {},
        {"split": [{"destination": {"name": "ratings"}}]},
        {"redirect": {"hostname": "away.example"}},
        {"directResponse": {"disabled": True}},
    ]
)


@st.composite
def _policies(draw: st.DrawFn) -> list[Policy]:
    made = []
    for number in range(draw(st.integers(1, 5))):
        fields: dict[str, Any] = {**draw(field_specs), **draw(routings)} or {"timeout": "9s"}
        matches_ = draw(st.lists(match_specs, min_size=1, max_size=2) | st.none())
        sources_ = draw(
            st.sampled_from(
                [None, [{"namespaces": ["shop"]}], [{"namespaces": ["web"]}, {"labels": {"app": "a"}}]]
            )
        )
        destinations: list[dict[str, Any]] = draw(
            st.sampled_from([[{"name": "reviews"}], [{"labels": {"app": "reviews"}}], [{"all": True}]])
        )
        spec: dict[str, Any] = {"priority": draw(st.integers(0, 1)), **fields}
        spec |= {"matches": matches_} if matches_ else {}
        spec |= {"sources": sources_} if sources_ else {}
        made.append(traffic(f"p{number}", destinations, **spec))
    return made


def _world() -> Any:
    from gitmesh.model.services import ServicePort
    from tests.factories import facts, service, workload

    ports = (
        ServicePort(number=80, name="http", target=8080),
        ServicePort(number=81, name="other", target=8081),
    )
    return {
        "east": facts(
            "east", service(ports=ports), workload(), service("ratings", ports=ports), workload("ratings")
        )
    }


def _resolved(policies: list[Policy]) -> Resolution:
    return resolve(policies, _world(), {"east": {}})


def _brute(policies: list[Policy], request: Request) -> dict[str, Any]:
    """Written from docs/concepts.md#precedence alone: walk the matching rules from the greatest to the least;
    the first that sets a field decides.
    """
    rules = []
    for policy in policies:
        spec = policy.spec
        assert isinstance(spec, TrafficPolicySpec)
        for match in spec.matches or (None,):
            for source in spec.sources or (None,):
                if _meets(match, request) and _from(source, request):
                    rules.append((_rank(spec, match, source), spec))
    decided: dict[str, Any] = {}
    closed = False
    for _, spec in sorted(rules, key=lambda rule: rule[0], reverse=True):
        for name in ("timeout", "retries", "rewrite"):
            if getattr(spec, name) is not None:
                decided.setdefault(name, getattr(spec, name))
        for name in ROUTING_FIELDS:
            if getattr(spec, name) is not None:
                decided.setdefault("routing", (name, getattr(spec, name)))
        if isinstance(spec.headers, Disabled):
            closed = True
        elif spec.headers is not None and not closed:
            for side in ("request", "response"):
                ops = getattr(spec.headers, side)
                if ops:
                    for header in {*(ops.set or ()), *(ops.add or ()), *(ops.remove or ())}:
                        value = (
                            (ops.set or {}).get(header),
                            (ops.add or {}).get(header),
                            header in (ops.remove or ()),
                        )
                        decided.setdefault(f"{side} {header}", value)
    routing = decided.pop("routing", None)
    if routing and not isinstance(routing[1], Disabled):
        decided[routing[0]] = routing[1]
    return {name: value for name, value in decided.items() if not isinstance(value, Disabled)}


def _meets(match: Any, request: Request) -> bool:
    if match is None:
        return True
    path = match.path
    if path is not None:
        text = request.path
        ok = (
            text == path.exact
            if path.exact
            else (
                (path.prefix == "/" or text == path.prefix or text.startswith(path.prefix + "/"))
                if path.prefix
                else text.startswith(path.string_prefix)
                if path.string_prefix
                else text.endswith(path.suffix)
            )
        )
        if not ok:
            return False
    for header in match.headers or ():
        value = request.headers.get(header.name)
        met = value is not None and (
            value == header.exact
            if header.exact
            else value.startswith(header.prefix)
            if header.prefix
            else True
        )
        if met == header.invert:
            return False
    return match.method in (None, request.method) and match.port in (
        None,
        request.port,
        {80: "http", 81: "other"}[request.port],
    )


def _from(source: Any, request: Request) -> bool:
    if source is None:
        return True
    labels_ok = all(request.labels.get(k) == v for k, v in (source.labels or {}).items())
    return labels_ok and (source.namespaces is None or request.namespace in source.namespaces)


def _rank(spec: TrafficPolicySpec, match: Any, source: Any) -> tuple[int, ...]:
    item = spec.destinations[0]
    path = match.path if match else None
    forms = (0, 0)
    if path:
        forms = (
            (5, 0)
            if path.exact
            else (
                (4, len(path.prefix))
                if path.prefix
                else (3, len(path.string_prefix))
                if path.string_prefix
                else (2, 0)
            )
        )
    return (
        spec.priority,
        *forms,
        len(match.headers or ()) if match else 0,
        len(match.query_params or ()) if match else 0,
        int(bool(match and match.method)),
        int(bool(match and match.authority)),
        int(bool(match and match.port)),
        0 if source is None else 3 if source.labels else 2,
        4 if item.name else 3 if item.labels else 0,
    )


def _listed(unit: RoutingUnit | None, request: Request) -> dict[str, Any]:
    for route in unit.routes if unit else ():
        if matches(route.match, request):
            fields = {name: decided.value for name, decided in route.fields.items()}
            headers = fields.pop("headers", None)
            for side in ("request", "response"):
                ops: Any = getattr(headers, side, None)
                for header in {*(ops.set or ()), *(ops.add or ()), *(ops.remove or ())} if ops else ():
                    value = (
                        (ops.set or {}).get(header),
                        (ops.add or {}).get(header),
                        header in (ops.remove or ()),
                    )
                    fields[f"{side} {header}"] = value
            return fields
    return {}


def _reviews(resolution: Resolution) -> RoutingUnit | None:
    found = [
        u for u in resolution.units["east"] if isinstance(u, RoutingUnit) and u.service.name == "reviews"
    ]
    return found[0] if found else None


_SAMPLE = [
    Request(path=p, headers={} if x is None else {"x": x}, method=m, port=port, namespace=n, labels=labels)
    for p, x, m, port, n, labels in itertools.product(
        ("/", "/a", "/ab", "/a/b", "/a/b.jpg", "/b", "/x.jpg"),
        (None, "u", "uv", "v"),
        ("GET", "PUT"),
        (80, 81),
        ("shop", "web"),
        ({}, {"app": "a"}),
    )
]


@given(_policies())
@settings(max_examples=300, deadline=None)
def test_P17_first_match_list_answers_as_precedence_says(policies: list[Policy]) -> None:
    resolution = _resolved(policies)
    if resolution.held["east"]:
        assert {d.code for d in resolution.diagnostics if d.is_error} <= {"GM210", "GM301", "GM218"}
        return
    unit = _reviews(resolution)
    for request in _SAMPLE:
        assert _listed(unit, request) == _brute(policies, request), request


@given(_policies(), st.randoms(use_true_random=False))
@settings(max_examples=100, deadline=None)
def test_P17_order_of_policies_and_matches_changes_nothing(policies: list[Policy], random: Any) -> None:
    shuffled = list(policies)
    random.shuffle(shuffled)
    assert repr(_resolved(shuffled)) == repr(_resolved(policies))


def test_the_sample_is_not_vacuous() -> None:
    timeout = traffic("t", timeout="1s", matches=[{"path": {"prefix": "/a"}}])
    unit = _reviews(resolve([timeout], {"east": shop()}, {"east": {}}))
    assert _listed(unit, Request(path="/a/b")) == {"timeout": 1000}
    assert _listed(unit, Request(path="/ab")) == {}
