"""Reports as versioned documents."""

from __future__ import annotations

import json

import pytest

from gitmesh.cli.output import as_json, as_yaml
from gitmesh.diagnostics import finding
from gitmesh.model.plan import Action
from gitmesh.model.report import Stage
from gitmesh.render.checks import Check, Level, checks_document, checks_text
from gitmesh.render.document import findings_document, objects_document, plan_document
from gitmesh.render.narrow import matches, narrowed, unmatched
from tests.unit.reports import change, cluster, error, outcome, report, timeout, unreachable


def test_a_plan_document_has_version_kind_summary_findings_and_changes() -> None:
    answer = plan_document(
        report(cluster("east", change(Action.UPDATE, timeout())), unreachable("west"), said=(error(),))
    )
    assert (answer["apiVersion"], answer["kind"], answer["instance"]) == (
        "gitmesh.io/v1alpha1",
        "Plan",
        "shop",
    )
    assert answer["summary"]["objects"]["update"] == 1
    assert answer["summary"]["unreachable"] == ["west"]
    east, west = answer["clusters"]
    assert west == {**west, "name": "west", "state": "Unreachable", "summary": None, "changes": []}
    assert east["changes"][0] == {
        "action": "update",
        "group": "networking.istio.io",
        "kind": "VirtualService",
        "namespace": "shop",
        "name": "reviews",
        "policies": ["TrafficPolicy/shop/reviews"],
        "origins": [_place()],
        "fields": [{"path": "spec.http[0].timeout", "live": "5s", "want": "10s", "origin": _place()}],
        "drift": False,
        "notes": [],
    }


def _place() -> dict[str, object]:
    where = {"source": "policies", "file": "policies/reviews.yaml", "line": 12, "column": 3}
    return {"policy": "TrafficPolicy/shop/reviews", "field": "spec.timeout", **where}


def test_a_finding_carries_everything_but_the_users_line() -> None:
    answer = findings_document(
        report(
            until=Stage.PARSE,
            said=(error(hint="write a number"), finding("GM501", "refused", cluster="west")),
        )
    )
    first, second = answer["findings"]
    assert first == {
        "code": "GM203",
        "name": "BadValue",
        "severity": "error",
        "message": "attempts must be a number",
        "source": "policies",
        "file": "policies/reviews.yaml",
        "line": 14,
        "column": 15,
        "policy": "TrafficPolicy/shop/reviews",
        "hint": "write a number",
    }
    assert (second["cluster"], "file" in second) == ("west", False)
    assert answer["summary"]["findings"] == {"error": 2, "warning": 0, "info": 0}


def test_what_others_said_is_a_field_of_its_own() -> None:
    [one] = findings_document(report(said=(finding("GM501", "no answer", detail="port 4711"),)))["findings"]
    assert (one["message"], one["detail"]) == ("no answer", "port 4711")


def test_json_and_yaml_say_the_same() -> None:
    import yaml

    answer = plan_document(report(cluster("east", change(Action.UPDATE, timeout("a: b", "\u2028\n- x")))))
    assert json.loads(as_json(answer)) == yaml.safe_load(as_yaml(answer)) == json.loads(json.dumps(answer))


def test_a_failed_write_is_in_the_document() -> None:
    done = cluster("east", change(Action.UPDATE), outcomes=(outcome(ok=False, message="refused"),))
    answer = plan_document(report(done, until=Stage.APPLY), "Report")
    assert answer["kind"] == "Report"
    assert answer["clusters"][0]["failures"][0]["message"] == "refused"
    assert answer["summary"]["failed"] == 1


def test_S12_documents_mask_credentials() -> None:
    field = timeout(
        {"authorization": "Bearer canary"},
        {"authorization": "Bearer other"},
        path="spec.http[0].headers.request.set",
    )
    answer = as_json(plan_document(report(cluster("east", change(Action.UPDATE, field)))))
    assert "canary" not in answer
    assert "***" in answer


def test_rendered_objects_lead_back_to_their_lines() -> None:
    answer = objects_document(report(cluster("east", change(Action.CREATE)), until=Stage.BUILD))
    item = answer["clusters"][0]["objects"][0]
    assert item["object"]["spec"] == {"hosts": ["reviews"]}
    assert item["origins"] == [_place()]


@pytest.mark.parametrize(
    ("glob", "meant"),
    [
        ("TrafficPolicy/shop/reviews", True),
        ("shop/reviews", True),
        ("reviews", True),
        ("*/reviews", True),
        ("rev*", True),
        ("shop", False),
        ("ratings", False),
        ("AccessPolicy/*", False),
    ],
)
def test_a_policy_is_meant_by_its_name_or_a_pattern(glob: str, meant: bool) -> None:
    assert matches("TrafficPolicy/shop/reviews", [glob]) is meant


def test_a_filter_counts_what_it_hides_and_never_hides_errors() -> None:
    other = "AccessPolicy/shop/web"
    said = (error("ours"), error("theirs", policy=other), finding("GM209", "selects nothing", policy=other))
    whole = report(
        cluster(
            "east", change(Action.UPDATE, timeout()), change(Action.CREATE, name="web", policies=(other,))
        ),
        said=said,
    )
    part = narrowed(whole, ["reviews"])
    assert [one.message for one in part.report.diagnostics] == ["ours", "theirs"]
    plan = part.report.clusters["east"].plan
    assert plan is not None
    assert [one.key.name for one in plan.changes] == ["reviews"]
    assert part.hidden == "hidden by --policy: 1 object, 1 finding"
    assert narrowed(whole, []).report is whole
    assert unmatched(whole, ["reviews", "nope", "no*"]) == {"nope": "", "no*": ""}
    near = unmatched(whole, ["review", "shop/wib", "access-policy/shop/web"])
    assert near == {
        "review": "did you mean reviews?",
        "shop/wib": "did you mean shop/web?",
        "access-policy/shop/web": "did you mean AccessPolicy/shop/web?",
    }


def test_checks_say_the_word_the_hint_and_the_totals() -> None:
    checks = [
        Check(level=Level.OK, subject="git", message="2.50.1"),
        Check(
            level=Level.DOWN, subject="cluster west", message="connection refused", hint="check the address"
        ),
    ]
    assert checks_text(checks).splitlines() == [
        "ok    git           2.50.1",
        "down  cluster west  connection refused",
        "      hint: check the address",
        "1 ok, 0 warnings, 1 failed",
    ]
    answer = checks_document(checks)
    assert answer["summary"] == {"ok": 1, "warn": 0, "fail": 0, "down": 1}
