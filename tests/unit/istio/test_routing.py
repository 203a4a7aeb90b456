"""VirtualServices: matches, actions, order, and what Istio cannot say."""

from __future__ import annotations

import re
from typing import Any

import pytest

from gitmesh.model.base import Disabled
from gitmesh.model.conditions import NamedCondition, RequestMatch, SourceCondition, TextCondition
from gitmesh.model.facts import Mesh
from gitmesh.model.routes import Decided, Target
from gitmesh.model.services import ServicePort
from tests.unit.istio.units import (
    HOST,
    codes,
    http,
    only,
    origin,
    path,
    route,
    service,
    translated,
    unit,
)

CATCH_ALL = {"route": [{"destination": {"host": HOST}}]}


def named(name: str, form: Any, value: str = "", invert: bool = False) -> NamedCondition:
    return NamedCondition(name=name, condition=TextCondition(form=form, value=value), invert=invert)


def matches(match: RequestMatch) -> Any:
    return http(route(match, timeout="1s"))[0]["match"]


def test_object_has_service_name_and_full_host() -> None:
    fragment = only(translated(unit(route(path("exact", "/a"), timeout="1s"))), "VirtualService")
    assert (fragment.key.group, fragment.key.namespace, fragment.key.name) == (
        "networking.istio.io",
        "shop",
        "reviews",
    )
    assert fragment.spec["hosts"] == [HOST]
    assert fragment.version == "v1"
    assert "gateways" not in fragment.spec


def test_host_follows_cluster_domain() -> None:
    mesh = Mesh(translator="istio", name="istio", settings={"clusterDomain": "corp.example"})
    assert (
        http(route(timeout="1s"), meshes=[mesh])[0]["route"][0]["destination"]["host"]
        == "reviews.shop.svc.corp.example"
    )


def test_unmatched_requests_keep_flowing() -> None:
    assert http(route(path("exact", "/a"), timeout="1s"))[-1] == CATCH_ALL


SEVERAL = (
    ServicePort(number=80, protocol="http"),
    ServicePort(number=81, protocol="http"),
    ServicePort(number=9000, protocol="tcp"),
)


def to_port(number: int) -> dict[str, Any]:
    return {"route": [{"destination": {"host": HOST, "port": {"number": number}}}]}


def test_of_several_ports_the_requested_one_is_named_in_a_row_of_its_own() -> None:
    """Istio's analysis calls a destination without port an error there (IST0112); requests on tcp ports meet
    no row anyway.
    """
    rows = http(route(path("exact", "/a"), timeout="1s"), of=service(ports=SEVERAL))
    assert rows == [
        {"match": [{"uri": {"exact": "/a"}, "port": 80}], "timeout": "1s", **to_port(80)},
        {"match": [{"uri": {"exact": "/a"}, "port": 81}], "timeout": "1s", **to_port(81)},
        {"match": [{"port": 80}], **to_port(80)},
        {"match": [{"port": 81}], **to_port(81)},
    ]


def test_of_several_ports_a_row_for_one_leaves_the_others_to_the_catch_all() -> None:
    rows = http(route(RequestMatch(port=81), timeout="1s"), of=service(ports=SEVERAL))
    assert rows == [
        {"match": [{"port": 81}], "timeout": "1s", **to_port(81)},
        {"match": [{"port": 80}], **to_port(80)},
    ]


def test_of_several_ports_shares_and_copies_name_the_requested_one() -> None:
    other = Target(service=service("next", ports=SEVERAL))
    single = Target(service=service("single"))
    fields: dict[str, Any] = {
        "split": [{"destination": {"name": "next"}}, {"destination": {"name": "single"}}]
    }
    rows = http(route(targets=(other, single), **fields), of=service(ports=SEVERAL))
    named = [[share["destination"].get("port") for share in row["route"]] for row in rows]
    assert named == [[{"number": 80}, None], [{"number": 81}, None]]


@pytest.mark.parametrize(
    "action",
    [
        {"directResponse": {"status": 200}},
        {"split": [{"destination": {"name": "next", "port": 80}}]},
        {"mirror": [{"destination": {"name": "next", "port": 80}, "percent": 5}]},
    ],
    ids=lambda one: next(iter(one)),
)
def test_of_several_ports_every_row_names_its_own_whatever_it_does(action: dict[str, Any]) -> None:
    """A row that named none would be the only one that speaks of a port that comes anew: what it does not
    match would be 404 there.
    """
    named = Target(service=service("next"), port=80)
    targets = {"split": "targets", "mirror": "mirrors"}
    led = {role: (named,) for field, role in targets.items() if field in action}
    rows = http(route(path("exact", "/a"), **led, **action), of=service(ports=SEVERAL))
    assert {match["port"] for row in rows for match in row["match"]} == {80, 81}


def test_of_one_port_no_row_names_it_so_that_all_of_them_hold_on_a_port_that_comes_anew() -> None:
    own = Target(service=service(), subset=(("v", "1"),))
    rows = http(
        route(path("exact", "/a"), targets=(own,), split=[{"destination": {"name": "reviews"}}]),
        route(path("exact", "/b"), directResponse={"status": 200}),
    )
    assert not any("port" in match for row in rows for match in row.get("match", ()))
    shares = [share["destination"] for row in rows for share in row.get("route", ())]
    assert [share.keys() for share in shares] == [{"host", "subset"}, {"host"}]


def test_of_several_ports_no_row_follows_one_for_the_same_requests() -> None:
    rows = http(route(RequestMatch(port=81), timeout="1s"), route(timeout="2s"), of=service(ports=SEVERAL))
    assert [(row["match"], row["timeout"]) for row in rows] == [
        ([{"port": 81}], "1s"),
        ([{"port": 80}], "2s"),
    ]


def test_no_catch_all_after_a_row_for_everything() -> None:
    assert http(route(timeout="1s")) == [{"timeout": "1s", **CATCH_ALL}]


def test_order_of_rows_is_kept() -> None:
    rows = http(route(path("exact", "/z"), timeout="2s"), route(path("exact", "/a"), timeout="1s"))
    assert [row.get("timeout") for row in rows] == ["2s", "1s", None]


def test_neighbours_that_do_the_same_become_one_row() -> None:
    rows = http(
        route(path("exact", "/a"), timeout="1s"),
        route(path("exact", "/b"), timeout="1s"),
        route(path("exact", "/c"), timeout="2s"),
    )
    assert [len(row.get("match", ())) for row in rows] == [2, 1, 0]


def test_equal_rows_that_are_not_neighbours_stay_apart() -> None:
    rows = http(
        route(path("exact", "/a"), timeout="1s"),
        route(path("exact", "/b"), timeout="2s"),
        route(path("exact", "/c"), timeout="1s"),
    )
    assert len(rows) == 4


@pytest.mark.parametrize(
    ("form", "value", "expected"),
    [
        ("exact", "/foo", [{"uri": {"exact": "/foo"}}]),
        ("prefix", "/foo", [{"uri": {"exact": "/foo"}}, {"uri": {"prefix": "/foo/"}}]),
        ("prefix", "/foo/", [{"uri": {"exact": "/foo"}}, {"uri": {"prefix": "/foo/"}}]),
        ("prefix", "/", [{"uri": {"prefix": "/"}}]),
        ("stringPrefix", "/foo", [{"uri": {"prefix": "/foo"}}]),
        ("suffix", ".png", [{"uri": {"regex": r".*\.png"}}]),
        ("regex", "/a[0-9]+", [{"uri": {"regex": "/a[0-9]+"}}]),
    ],
)
def test_prefix_means_whole_segments(form: str, value: str, expected: Any) -> None:
    assert matches(path(form, value)) == expected


def test_ignore_case_of_exact_and_prefix() -> None:
    assert matches(path("exact", "/Foo", ignore_case=True)) == [
        {"uri": {"exact": "/Foo"}, "ignoreUriCase": True}
    ]


@pytest.mark.parametrize(
    ("form", "value", "expected"), [("regex", "/a.*", "(?i:/a.*)"), ("suffix", ".PNG", r"(?i:.*\.PNG)")]
)
def test_ignore_case_stands_in_the_expression_since_istio_ignores_the_flag_there(
    form: str, value: str, expected: str
) -> None:
    assert matches(path(form, value, ignore_case=True)) == [{"uri": {"regex": expected}}]


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        (named("x", "exact", "1"), {"headers": {"x": {"exact": "1"}}}),
        (named("x", "prefix", "1"), {"headers": {"x": {"prefix": "1"}}}),
        (named("x", "suffix", ".1"), {"headers": {"x": {"regex": r".*\.1"}}}),
        (named("x", "regex", "a|b"), {"headers": {"x": {"regex": "a|b"}}}),
        (named("x", "present"), {"headers": {"x": {}}}),
        (named("x", "exact", "1", invert=True), {"withoutHeaders": {"x": {"exact": "1"}}}),
        (named("x", "present", invert=True), {"withoutHeaders": {"x": {}}}),
    ],
)
def test_headers(condition: NamedCondition, expected: Any) -> None:
    assert matches(RequestMatch(headers=(condition,))) == [expected]


@pytest.mark.parametrize(
    "condition", [named("x", "regex", ".*", invert=True), named("x", "exact", "", invert=True)]
)
def test_absent_header_does_not_meet_a_condition_that_the_empty_value_meets(
    condition: NamedCondition,
) -> None:
    """istiod sets treat_missing_header_as_empty on withoutHeaders."""
    found = matches(RequestMatch(headers=(condition,)))
    value = {"regex": ".*"} if condition.condition.form == "regex" else {"exact": ""}
    assert found == [{"withoutHeaders": {"x": {}}}, {"headers": {"x": {}}, "withoutHeaders": {"x": value}}]


@pytest.mark.parametrize("name", ["uri", "scheme", "method", "authority"])
def test_header_names_that_istio_ignores(name: str) -> None:
    translation = translated(unit(route(RequestMatch(headers=(named(name, "exact", "1"),)), timeout="1s")))
    assert (codes(translation), bool(translation.held), translation.fragments) == (["GM301"], True, ())


def test_presence_goes_without_saying_beside_a_value() -> None:
    assert matches(RequestMatch(headers=(named("x", "prefix", "1"), named("x", "present")))) == [
        {"headers": {"x": {"prefix": "1"}}}
    ]


def test_two_conditions_on_one_header_cannot_be_said() -> None:
    match = RequestMatch(headers=(named("x", "prefix", "1"), named("x", "suffix", "2")))
    assert codes(translated(unit(route(match, timeout="1s")))) == ["GM301"]


def test_a_header_may_be_wanted_and_refused() -> None:
    match = RequestMatch(headers=(named("x", "prefix", "1"), named("x", "exact", "12", invert=True)))
    assert matches(match) == [{"headers": {"x": {"prefix": "1"}}, "withoutHeaders": {"x": {"exact": "12"}}}]


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        (named("q", "exact", "1"), {"exact": "1"}),
        (named("q", "regex", "a+"), {"regex": "a+"}),
        (named("q", "present"), {}),
    ],
)
def test_query(condition: NamedCondition, expected: Any) -> None:
    assert matches(RequestMatch(query=(condition,))) == [{"queryParams": {"q": expected}}]


def test_method_port_and_authority() -> None:
    match = RequestMatch(method="GET", port=80, authority=TextCondition(form="suffix", value=".example.com"))
    assert matches(match) == [
        {"method": {"exact": "GET"}, "port": 80, "authority": {"regex": r".*\.example\.com"}}
    ]


def test_sources_become_a_match_each_namespace() -> None:
    match = RequestMatch(source=SourceCondition(labels=(("app", "web"),), namespaces=("a", "b")))
    assert matches(match) == [{"sourceLabels": {"app": "web"}, "sourceNamespace": n} for n in ("a", "b")]


def test_a_row_for_some_clients_is_followed_by_the_catch_all() -> None:
    rows = http(route(RequestMatch(source=SourceCondition(namespaces=("a",))), timeout="1s"))
    assert rows[-1] == CATCH_ALL


def test_cross_product_of_matches_is_bounded() -> None:
    match = RequestMatch(
        path=TextCondition(form="prefix", value="/a"),
        source=SourceCondition(namespaces=tuple(f"n{i}" for i in range(129))),
    )
    assert codes(translated(unit(route(match, timeout="1s")))) == ["GM301"]


@pytest.mark.parametrize("protocol", ["", "http", "http2", "grpc", "grpc-web"])
def test_http_and_sniffed_ports_take_routes(protocol: str) -> None:
    assert http(route(timeout="1s"), of=service(ports=[ServicePort(number=80, protocol=protocol)]))


# --- rewrites


def rewritten(match: RequestMatch, new: str) -> list[tuple[Any, Any]]:
    rows = http(route(match, rewrite={"path": {"replacePrefixMatch": new}}))
    return [(m["uri"], row["rewrite"]["uri"]) for row in rows[:-1] for m in row["match"]]


@pytest.mark.parametrize(
    ("old", "new", "exact", "below"),
    [
        ("/foo", "/bar", "/bar", "/bar/"),
        ("/foo", "/", "/", "/"),
        ("/foo", "/bar/", "/bar/", "/bar/"),
        ("/foo/", "/bar", "/bar", "/bar/"),
    ],
)
def test_replaced_prefix_neither_doubles_nor_loses_a_slash(
    old: str, new: str, exact: str, below: str
) -> None:
    assert rewritten(path("prefix", old), new) == [({"exact": "/foo"}, exact), ({"prefix": "/foo/"}, below)]


def test_replaced_root_prefix() -> None:
    rows = http(route(path("prefix", "/"), rewrite={"path": {"replacePrefixMatch": "/bar"}}))
    assert rows[0]["match"] == [{"uri": {"prefix": "/"}}]
    assert rows[0]["rewrite"] == {"uri": "/bar/"}


def test_replaced_string_prefix_is_textual() -> None:
    assert rewritten(path("stringPrefix", "/foo"), "/bar") == [({"prefix": "/foo"}, "/bar")]


@pytest.mark.parametrize("match", [RequestMatch(), path("regex", "/a.*"), path("suffix", "x")])
def test_replace_prefix_needs_a_prefix(match: RequestMatch) -> None:
    translation = translated(unit(route(match, rewrite={"path": {"replacePrefixMatch": "/b"}})))
    assert (codes(translation), bool(translation.held)) == (["GM301"], True)


def test_replace_full_path_of_an_exact_match() -> None:
    assert http(route(path("exact", "/a"), rewrite={"path": {"replaceFullPath": "/b"}}))[0]["rewrite"] == {
        "uri": "/b"
    }


@pytest.mark.parametrize(
    "match", [RequestMatch(), path("prefix", "/"), path("stringPrefix", "/a"), path("regex", "/a.*")]
)
def test_replace_full_path_of_other_matches_replaces_all_of_it(match: RequestMatch) -> None:
    """rewrite.uri would replace the matched prefix only."""
    rewrite = http(route(match, rewrite={"path": {"replaceFullPath": "/b\\1"}}))[0]["rewrite"]
    found = rewrite["uriRegexRewrite"]
    assert re.sub(found["match"], found["rewrite"], "/any/path") == "/b\\1"


def test_rewrite_of_the_host() -> None:
    assert http(route(rewrite={"hostname": "other.example"}))[0]["rewrite"] == {"authority": "other.example"}


# --- answers


def test_redirect_always_writes_its_code() -> None:
    assert http(route(redirect={"port": 1}))[0] == {"redirect": {"port": 1, "redirectCode": 302}}


@pytest.mark.parametrize(
    ("redirect", "port"),
    [
        ({"hostname": "b.example"}, {"derivePort": "FROM_REQUEST_PORT"}),
        ({"hostname": "b.example:81"}, {}),
        ({"hostname": "b.example", "port": 81}, {"port": 81}),
        ({"scheme": "https"}, {}),
    ],
)
def test_redirect_to_another_host_keeps_the_requested_port(
    redirect: dict[str, Any], port: dict[str, Any]
) -> None:
    written = http(route(redirect=redirect))[0]["redirect"]
    assert {name: value for name, value in written.items() if name in ("port", "derivePort")} == port


def test_redirect_forms() -> None:
    row = http(
        route(
            redirect={"scheme": "https", "port": 8443, "path": {"replaceFullPath": "/n"}, "statusCode": 308}
        )
    )[0]
    assert row["redirect"] == {"scheme": "https", "port": 8443, "uri": "/n", "redirectCode": 308}


def test_direct_response() -> None:
    assert http(route(directResponse={"status": 503, "body": "no"}))[0] == {
        "directResponse": {"status": 503, "body": {"string": "no"}}
    }


@pytest.mark.parametrize("answer", [{"redirect": {"port": 1}}, {"directResponse": {"status": 503}}])
@pytest.mark.parametrize(
    "field",
    [
        {"timeout": "1s"},
        {"retries": {"attempts": 1}},
        {"rewrite": {"hostname": "x"}},
        {"mirror": [{"destination": {"name": "m"}, "percent": 1}]},
    ],
)
def test_what_has_no_meaning_beside_an_answer_is_left_out_and_said(answer: Any, field: Any) -> None:
    targets = [Target(service=service("m"))] if "mirror" in field else []
    translation = translated(unit(route(None, (), targets, **answer, **field)))
    assert codes(translation) == ["GM215"]
    assert len(only(translation, "VirtualService").spec["http"][0]) == 1


@pytest.mark.parametrize("answer", [{"redirect": {"port": 1}}, {"directResponse": {"status": 503}}])
def test_fault_beside_an_answer_is_refused(answer: Any) -> None:
    fault = {"abort": {"httpStatus": 500, "percent": 1}}
    assert codes(translated(unit(route(**answer, fault=fault)))) == ["GM301"]


# --- faults, timeouts, retries


def test_fault_percentages_are_always_written() -> None:
    fault = {"delay": {"fixed": "1500ms", "percent": 100}, "abort": {"httpStatus": 503, "percent": 0.5}}
    assert http(route(fault=fault))[0]["fault"] == {
        "delay": {"fixedDelay": "1.500s", "percentage": {"value": 100}},
        "abort": {"httpStatus": 503, "percentage": {"value": 0.5}},
    }


def test_a_fault_of_no_requests_is_no_fault() -> None:
    fault = {"delay": {"fixed": "1s", "percent": 0}, "abort": {"httpStatus": 503, "percent": 1}}
    assert list(http(route(fault=fault))[0]["fault"]) == ["abort"]
    assert "fault" not in http(route(fault={"delay": {"fixed": "1s", "percent": 0}}))[0]


def test_shares_below_one_in_a_million() -> None:
    assert codes(translated(unit(route(fault={"abort": {"httpStatus": 503, "percent": 0.00001}})))) == [
        "GM301"
    ]


@pytest.mark.parametrize("field", [{"timeout": "1s"}, {"retries": {"attempts": 1}}])
def test_timeout_and_retries_beside_a_fault(field: Any) -> None:
    translation = translated(unit(route(fault={"abort": {"httpStatus": 503, "percent": 1}}, **field)))
    assert (codes(translation), bool(translation.held)) == (["GM303"], False)


@pytest.mark.parametrize(
    ("text", "expected"), [("250ms", "0.250s"), ("90s", "90s"), ("1m30s", "90s"), ("1h", "3600s")]
)
def test_durations_are_in_protobufs_form(text: str, expected: str) -> None:
    assert http(route(timeout=text))[0]["timeout"] == expected


def test_no_retries_at_all_is_written_alone() -> None:
    assert http(route(retries={"attempts": 0}))[0]["retries"] == {"attempts": 0}


def test_retries() -> None:
    retries = {"attempts": 3, "perTryTimeout": "2s", "retryOn": ["reset", "5xx", "503"], "backoff": "25ms"}
    expected = {"attempts": 3, "perTryTimeout": "2s", "retryOn": "503,5xx,reset", "backoff": "0.025s"}
    assert http(route(retries=retries))[0]["retries"] == expected


def test_omitted_retry_on_leaves_istios_list() -> None:
    assert http(route(retries={"attempts": 3}))[0]["retries"] == {"attempts": 3}


def test_retry_on_a_status_without_a_name_is_refused_by_istiod() -> None:
    assert codes(translated(unit(route(retries={"attempts": 1, "retryOn": ["599"]})))) == ["GM301"]


def test_an_unknown_version_is_no_reason_to_refuse() -> None:
    assert http(
        route(retries={"attempts": 1, "backoff": "25ms"}), meshes=[Mesh(translator="istio", name="istio")]
    )


def test_disabled_fields_are_absent() -> None:
    row = route(timeout="1s")
    disabled = Decided(value=Disabled(disabled=True), origin=origin())
    both = type(row)(match=row.match, fields={**row.fields, "retries": disabled}, origins=row.origins)
    assert "retries" not in http(both)[0]


# --- splits, mirrors, headers, cors


def test_split_over_subsets_and_services() -> None:
    targets = [
        Target(service=service(), subset=(("version", "v1"),)),
        Target(service=service("other", "far"), port=81),
    ]
    split = [
        {"weight": 9, "destination": {"name": "reviews"}},
        {"weight": 1, "destination": {"name": "other"}},
    ]
    assert http(route(None, targets, split=split))[0]["route"] == [
        {"destination": {"host": HOST, "subset": "version-v1"}, "weight": 9},
        {"destination": {"host": "other.far.svc.cluster.local", "port": {"number": 81}}, "weight": 1},
    ]


def test_a_single_share_needs_no_weight() -> None:
    split = [{"weight": 7, "destination": {"name": "reviews"}}]
    assert http(route(None, [Target(service=service())], split=split))[0]["route"] == [
        {"destination": {"host": HOST}}
    ]


def test_mirror_percentages_are_always_written_and_none_is_left_out() -> None:
    mirror = [{"destination": {"name": "a"}, "percent": 100}, {"destination": {"name": "b"}, "percent": 0}]
    row = http(route(None, (), [Target(service=service("a")), Target(service=service("b"))], mirror=mirror))[
        0
    ]
    assert row["mirrors"] == [
        {"destination": {"host": "a.shop.svc.cluster.local"}, "percentage": {"value": 100}}
    ]
    assert "mirror" not in row


def test_headers_of_routes_and_shares() -> None:
    headers = {
        "request": {"set": {"X-A": "1"}, "add": {"x-b": "2"}, "remove": ["X-D", "x-c"]},
        "response": {"remove": ["server"]},
    }
    split = [
        {"destination": {"name": "reviews"}, "headers": {"request": {"set": {"v": "1"}}}},
        {"destination": {"name": "reviews"}},
    ]
    row = http(route(None, [Target(service=service())] * 2, split=split, headers=headers))[0]
    assert row["headers"] == {
        "request": {"set": {"x-a": "1"}, "add": {"x-b": "2"}, "remove": ["x-c", "x-d"]},
        "response": {"remove": ["server"]},
    }
    assert row["route"][0]["headers"] == {"request": {"set": {"v": "1"}}}


def test_header_changes_of_a_single_share_come_before_those_of_the_route_too() -> None:
    """Istio would make them last where there is one destination only."""
    split = [{"weight": 7, "destination": {"name": "reviews"}, "headers": {"request": {"set": {"v": "1"}}}}]
    alone = http(route(None, [Target(service=service())], split=split))[0]["route"]
    assert alone == [{"destination": {"host": HOST}, "headers": {"request": {"set": {"v": "1"}}}}]
    both = http(
        route(None, [Target(service=service())], split=split, headers={"request": {"set": {"v": "2"}}})
    )[0]["route"]
    assert both == [{**alone[0], "weight": 1}, {"destination": {"host": HOST}, "weight": 0}]


def test_percent_signs_in_header_values_stay_literal() -> None:
    """Envoy reads %REQ(...)% as a variable."""
    row = http(route(headers={"request": {"set": {"x": "100% of %REQ(cookie)%"}}}))[0]
    assert row["headers"]["request"]["set"]["x"] == "100%% of %%REQ(cookie)%%"


@pytest.mark.parametrize(
    "headers",
    [
        {"request": {"remove": ["host"]}},
        {"response": {"set": {"host": "x"}}},
        {"request": {"set": {"x": "a\x01"}}},
    ],
)
def test_header_changes_that_istiod_refuses(headers: Any) -> None:
    assert codes(translated(unit(route(headers=headers)))) == ["GM301"]


def test_host_is_rewritten_in_one_place_only() -> None:
    assert http(route(headers={"request": {"set": {"host": "x"}}}))
    both = route(headers={"request": {"set": {"host": "x"}}}, rewrite={"hostname": "y"})
    assert codes(translated(unit(both))) == ["GM301"]


def test_cors() -> None:
    cors = {
        "allowOrigins": [{"regex": ".*x"}, {"exact": "https://a"}],
        "allowMethods": ["POST", "GET"],
        "allowHeaders": ["X-B", "x-a"],
        "exposeHeaders": ["y"],
        "maxAge": "1h",
        "allowCredentials": True,
    }
    assert http(route(cors=cors))[0]["corsPolicy"] == {
        "allowOrigins": [{"exact": "https://a"}, {"regex": ".*x"}],
        "allowMethods": ["GET", "POST"],
        "allowHeaders": ["x-a", "x-b"],
        "exposeHeaders": ["y"],
        "maxAge": "3600s",
        "allowCredentials": True,
    }


def test_cors_methods_that_istiod_refuses() -> None:
    assert codes(
        translated(unit(route(cors={"allowOrigins": [{"exact": "*"}], "allowMethods": ["PURGE"]})))
    ) == ["GM301"]


# --- provenance and findings


def test_every_field_leads_back_to_its_policy() -> None:
    fragment = only(
        translated(unit(route(path("exact", "/a"), timeout="1s", retries={"attempts": 1}))), "VirtualService"
    )
    assert fragment.fields["spec.http[0].timeout"].field == "spec.timeout"
    assert fragment.fields["spec.http[0].retries"].field == "spec.retries"
    assert fragment.fields["spec.http[0].match[0]"].field == "spec.matches"
    assert fragment.policies == ("TrafficPolicy/shop/p",)


def test_findings_name_policy_line_and_field() -> None:
    found = translated(unit(route(redirect={"port": 1}, timeout="1s"))).diagnostics[0]
    assert (found.policy, found.field) == ("TrafficPolicy/shop/p", "spec.timeout")
    assert found.at == origin().at


def test_redirect_of_a_prefix() -> None:
    changed = route(path("prefix", "/a"), redirect={"path": {"replacePrefixMatch": "/b"}})
    newer = Mesh(translator="istio", name="istio", version="1.31.0")
    rows = http(changed, meshes=[newer])
    assert [(row["match"][0]["uri"], row["redirect"]) for row in rows[:2]] == [
        ({"exact": "/a"}, {"uri": "/b", "redirectCode": 302}),
        ({"prefix": "/a/"}, {"prefixRewrite": "/b/", "redirectCode": 302}),
    ]
