"""Every changed field leads to its own line, and a field that a policy leaves to the mesh to the policy's."""

from __future__ import annotations

from collections.abc import Iterator
from types import UnionType
from typing import Any, Union, get_args, get_origin

import pytest
from gitmesh_istio import actions, destination
from gitmesh_istio.scope import part_origins

from gitmesh.diagnostics import Location
from gitmesh.model.base import Model
from gitmesh.model.connections import ConnectionPool, LoadBalancing, OutlierDetection, Tls
from gitmesh.model.manifests import Manifest
from gitmesh.model.objects import decode
from gitmesh.model.policies import Origin, Policy
from gitmesh.model.report import Report, Stage
from gitmesh.model.requests import Cors, DirectResponse, Fault, Redirect, Retries, Rewrite
from gitmesh.model.routes import Decided
from gitmesh.planning.build import build
from gitmesh.planning.fields import changes
from gitmesh.plugins import load_translators
from gitmesh.reasoning.routing import Routing, route
from gitmesh.render.answers import Answers
from gitmesh.render.routings import routings_document, routings_text
from gitmesh.resolution.resolve import resolve
from tests.asking import asked, known
from tests.factories import policies_of, shop, traffic, workload

HEAD = (
    "apiVersion: gitmesh.io/v1alpha1\nkind: TrafficPolicy\nmetadata: {name: canary, namespace: shop}\nspec:\n"
)
SPLIT = """\
  destinations: [{name: reviews}]
  split:
  - weight: 90
    destination:
      name: reviews
      subset: {version: v1}
  - weight: 10
    headers: {request: {set: {x-canary: "1"}}}
    destination:
      name: reviews
      subset: {version: v2}
  mirror:
  - percent: 0
    destination: {name: ratings}
  - percent: 5
    destination: {name: ratings}
"""


def built(*texts: str, kind: str = "VirtualService") -> Manifest:
    versions = [workload(name, labels={"app": "reviews", "version": name}) for name in ("v1", "v2")]
    facts = {"east": shop("east", *versions)}
    resolution = resolve(policies_of(*texts), facts, {"east": {}})
    builds, _ = build(resolution, facts, load_translators(), "shop", {})
    return next(
        one for key, one in builds["east"].manifests.items() if (key.kind, key.name) == (kind, "reviews")
    )


def lines(old: str, new: str, kind: str = "VirtualService") -> dict[str, int]:
    """Changed path below the spec -> the line of the new text that it leads to."""
    live, want = built(HEAD + old, kind=kind), built(HEAD + new, kind=kind)
    found = changes(decode(live.body), decode(want.body), {}, want.fields)
    return {change.path: change.origin.at.line for change in found if change.origin is not None}


def test_a_changed_weight_leads_to_its_own_line() -> None:
    assert lines(SPLIT, SPLIT.replace("weight: 10", "weight: 30")) == {"spec.http[0].route[1].weight": 11}
    assert lines(SPLIT, SPLIT.replace("weight: 90", "weight: 70")) == {"spec.http[0].route[0].weight": 7}
    both = lines(SPLIT, SPLIT.replace("weight: 90", "weight: 70").replace("weight: 10", "weight: 30"))
    assert both == {"spec.http[0].route[0].weight": 7, "spec.http[0].route[1].weight": 11}


def test_shares_that_stand_in_another_order_lead_to_their_lines_too() -> None:
    turned = (
        "  destinations: [{name: reviews}]\n  split:\n"
        + "  - {weight: 10, destination: {name: reviews, subset: {version: v2}}}\n"
        "  - {weight: 90, destination: {name: reviews, subset: {version: v1}}}\n"
    )
    assert lines(turned, turned.replace("weight: 10", "weight: 30")) == {"spec.http[0].route[1].weight": 7}
    assert lines(turned, turned.replace("weight: 90", "weight: 30")) == {"spec.http[0].route[0].weight": 8}


def test_headers_of_a_share_and_shares_of_a_mirror_lead_to_their_lines() -> None:
    found = lines(SPLIT, SPLIT.replace('x-canary: "1"', 'x-canary: "2"'))
    assert found == {"spec.http[0].route[1].headers.request.set.x-canary": 12}
    assert lines(SPLIT, SPLIT.replace("percent: 5", "percent: 6")) == {
        "spec.http[0].mirrors[0].percentage.value": 19
    }


def test_each_header_leads_to_the_policy_that_changes_it() -> None:
    broad = (
        HEAD.replace("canary", "all")
        + "  destinations: [{all: true}]\n  headers:\n    request:\n      set: {x-a: %s}\n"
    )
    narrow = HEAD + "  destinations: [{name: reviews}]\n  headers: {request: {set: {x-b: '1'}}}\n"
    live, want = built(narrow, broad % "a"), built(narrow, broad % "b")
    [change] = changes(decode(live.body), decode(want.body), {}, want.fields)
    assert (change.path, change.origin and change.origin.policy) == (
        "spec.http[0].headers.request.set.x-a",
        "TrafficPolicy/shop/all",
    )


def test_each_share_of_an_answer_has_its_own_line() -> None:
    versions = [workload(name, labels={"app": "reviews", "version": name}) for name in ("v1", "v2")]
    found = route(asked(), known(policies_of(HEAD + SPLIT), shop("east", *versions))["east"])
    assert [origin.at.line for origin in found.items["split"]] == [7, 11]
    assert [origin.field for origin in found.items["split"]] == ["spec.split[0]", "spec.split[1]"]
    text = routings_text(answers(found))
    assert "90 to shop/reviews version=v1" in text
    assert "spec.split[1] (p0.yaml:11:" in text


def answers(found: Routing) -> Answers[Routing]:
    return Answers(
        report=Report(instance="shop", until=Stage.BUILD),
        questions={"east": asked()},
        answers={"east": found},
    )


def answer(*policies: Policy, **request: Any) -> Routing:
    return route(asked(**request), known(policies, shop())["east"])


def test_a_field_that_a_policy_leaves_to_the_mesh_is_told_with_its_line() -> None:
    broad = traffic("broad", to=[{"all": True}], timeout="5s", connectionPool={"tcp": {"maxConnections": 1}})
    narrow = traffic(
        "narrow", timeout={"disabled": True}, connectionPool={"disabled": True}, headers={"disabled": True}
    )
    found = answer(broad, narrow)
    assert not {"timeout", "connection_pool"} & {*found.request, *found.connection}
    assert found.ended == {name: narrow.origin(name) for name in ("timeout", "connection_pool", "headers")}
    text = {line.split()[0]: line for line in routings_text(answers(found)).splitlines()[2:]}
    assert text["timeout"].split(maxsplit=1)[1].startswith("(the mesh's own, disabled by policy)")
    assert f"TrafficPolicy/shop/narrow spec.timeout ({narrow.at('timeout')})" in text["timeout"]
    assert text["retries"].split(maxsplit=1)[1].strip() == "(the mesh's own)"
    document = routings_document(answers(found))["clusters"][0]
    assert document["disabled"]["timeout"]["field"] == "spec.timeout"


def test_only_requests_that_the_rule_means_are_left_to_the_mesh_by_it() -> None:
    broad = traffic("broad", to=[{"all": True}], timeout="5s")
    narrow = traffic("narrow", matches=[{"path": {"prefix": "/raw"}}], timeout={"disabled": True})
    assert answer(broad, narrow, path="/raw/x").ended == {"timeout": narrow.origin("timeout")}
    assert answer(broad, narrow, path="/api").ended == {}
    assert answer(broad, narrow, path="/api").request["timeout"].value == 5000
    lesser = traffic("lesser", to=[{"all": True}], priority=-1, timeout={"disabled": True})
    assert answer(broad, lesser).ended == {}


def test_routing_that_is_left_to_the_mesh_stands_in_its_own_row() -> None:
    narrow = traffic("narrow", redirect={"disabled": True})
    found = answer(traffic("broad", to=[{"all": True}], redirect={"hostname": "x.example"}), narrow)
    assert found.ended == {"redirect": narrow.origin("redirect")}
    rows = [line.split()[0] for line in routings_text(answers(found)).splitlines()[2:]]
    assert "redirect" in rows
    assert "split" not in rows


COMPOUND = """\
  destinations: [{name: reviews}]
  retries:
    attempts: 2
    perTryTimeout: 1s
    retryOn: [5xx]
  fault:
    delay:
      fixed: 1s
      percent: 1
    abort:
      httpStatus: 503
      percent: 5
  cors:
    allowOrigins: [{exact: "https://a.example"}]
    allowMethods: [GET]
    maxAge: 60s
  rewrite:
    hostname: a.example
"""
CONNECTIONS = """\
  destinations: [{name: reviews}]
  outlierDetection:
    consecutiveErrors: 5
    interval: 1s
    maxEjectionPercent: 50
  connectionPool:
    tcp:
      maxConnections: 10
      keepalive:
        time: 60s
        probes: 3
    http:
      maxRequests: 20
      idleTimeout: 10s
  loadBalancing:
    consistentHash:
      cookie:
        name: who
        ttl: 60s
"""


@pytest.mark.parametrize(
    ("text", "kind"),
    [(COMPOUND, "VirtualService"), (CONNECTIONS, "DestinationRule")],
    ids=["a route", "a connection"],
)
def test_each_part_of_a_compound_field_leads_to_its_own_line(text: str, kind: str) -> None:
    """The kind: a value below a field led to the field's first line, which is another part's."""
    olds = {
        "1s": "2s",
        "60s": "90s",
        "10s": "20s",
        "[5xx]": "[reset]",
        "[GET]": "[PUT]",
        "a.example": "b.example",
        "who": "whom",
    }
    told = 0
    for number, line in enumerate(text.splitlines(), HEAD.count("\n") + 1):
        name, _, value = line.partition(": ")
        if not value or "destinations" in name:
            continue
        new = (
            f"{name}:"
            f" {olds.get(value) or (value.replace('a.ex', 'b.ex') if 'a.ex' in value else int(value) + 1)}"
        )
        assert set(lines(text, text.replace(line, new), kind).values()) == {number}, line
        told += 1
    assert told == sum(": " in line for line in text.splitlines()) - 1


def test_every_part_of_a_compound_field_is_known_to_the_translator() -> None:
    compound: dict[str, type[Model]] = {
        "retries": Retries,
        "fault": Fault,
        "cors": Cors,
        "rewrite": Rewrite,
        "redirect": Redirect,
    }
    compound |= {
        "direct_response": DirectResponse,
        "outlier_detection": OutlierDetection,
        "connection_pool": ConnectionPool,
    }
    compound |= {"load_balancing": LoadBalancing, "tls": Tls}
    spelt = {**actions.SPELT, **destination.SPELT}
    for name, model in compound.items():
        for part in leaves(model):
            origin = Origin(policy="p", field=part, at=Location(source="s", path="p", line=1, column=1))
            assert part_origins(spelt, name, Decided(value=None, origin=origin, parts={part: origin})), (
                f"{name}: {part}"
            )


def leaves(model: type[Model], path: str = "") -> Iterator[str]:
    """The dotted paths of a model's parts, as policies spell them."""
    for name, info in model.model_fields.items():
        forms = (
            get_args(info.annotation)
            if get_origin(info.annotation) in (Union, UnionType)
            else (info.annotation,)
        )
        inner = [one for one in forms if isinstance(one, type) and issubclass(one, Model)]
        spelt = f"{path}{info.alias or name}"
        yield from leaves(inner[0], f"{spelt}.") if inner else (spelt,)
