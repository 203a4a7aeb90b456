"""What Istio itself says of an object: messages and conditions of the status, and whether its silence means
anything.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import gitmesh_istio
import pytest
from gitmesh_istio.verdict import analysis, validation

from gitmesh.model.facts import Mesh
from gitmesh.model.objects import ObjectKey, canonical
from gitmesh.model.plan import Live
from gitmesh.model.report import MeshStatus, Verdict

KEY = ObjectKey(group="networking.istio.io", kind="VirtualService", namespace="shop", name="web")
ANSWERS = {"analysisInterval": "10000", "validation": "Fail"}
RULE = {
    "apiGroups": ["security.istio.io", "networking.istio.io"],
    "resources": ["*"],
    "operations": ["CREATE", "UPDATE"],
}


def live(status: Any = None, generation: int = 3) -> Live:
    return Live(
        key=KEY,
        uid="u",
        body=b"{}",
        generation=generation,
        status=canonical(status) if status is not None else b"",
    )


def mesh(name: str = "istio", **settings: str) -> Mesh:
    return Mesh(translator="istio", name=name, settings=settings)


def heard(status: Any = None, *meshes: Mesh) -> MeshStatus:
    return gitmesh_istio.verdict(live(status), meshes or (mesh(**ANSWERS),))


def message(level: str, code: str = "IST0101") -> dict[str, Any]:
    return {"level": level, "type": {"code": code}, "documentationUrl": f"https://istio.io/{code}"}


@pytest.mark.parametrize(
    ("messages", "verdict"),
    [
        ([message("WARNING")], Verdict.WARNED),
        ([message("Warning"), message("ERROR")], Verdict.REJECTED),
        ([message("INFO"), message("Error")], Verdict.REJECTED),
    ],
)
def test_the_worst_message_decides(messages: list[Any], verdict: Verdict) -> None:
    found = heard({"validationMessages": messages})
    assert (found.verdict, found.silence) == (verdict, None)


def test_the_code_the_name_and_the_link_are_told_and_only_those_of_the_worst_level() -> None:
    error = {**message("ERROR", "IST0106"), "type": {"code": "IST0106", "name": "SchemaValidationError"}}
    found = heard({"validationMessages": [message("WARNING", "IST0108"), error]})
    assert found.text == "IST0106 SchemaValidationError, https://istio.io/IST0106"
    assert found.reason == "IST0106 SchemaValidationError"


@pytest.mark.parametrize(
    ("reason", "known"),
    [("Invalid", "WaypointAccepted is False: Invalid"), ("at 10:31", "WaypointAccepted is False")],
)
def test_prose_of_a_condition_is_no_part_of_its_reason(reason: str, known: str) -> None:
    condition = {"type": "WaypointAccepted", "status": "False", "reason": reason, "message": "request 7f3a"}
    found = heard({"conditions": [condition]})
    assert found.reason == known
    assert found.text == f"WaypointAccepted is False: {reason} request 7f3a"


def test_the_same_reason_is_told_once() -> None:
    first, then = (
        {**message("ERROR"), "documentationUrl": f"https://istio.io/{number}"} for number in (1, 2)
    )
    assert heard({"validationMessages": [first, then]}).reason == "IST0101"


@pytest.mark.parametrize(
    "status", [None, {}, {"validationMessages": []}, {"validationMessages": [message("INFO")]}]
)
def test_nothing_against_it_is_silence_for_two_intervals(status: Any) -> None:
    assert heard(status) == MeshStatus(silence=20.0)


@pytest.mark.parametrize(
    ("observed", "verdict"),
    [
        ("3", Verdict.REJECTED),
        (3, Verdict.REJECTED),
        (None, Verdict.REJECTED),
        ("2", Verdict.UNKNOWN),
        (4, Verdict.UNKNOWN),
    ],
)
def test_messages_on_another_generation_say_nothing_of_this_one(observed: Any, verdict: Verdict) -> None:
    assert (
        heard({"observedGeneration": observed, "validationMessages": [message("ERROR")]}).verdict is verdict
    )


@pytest.mark.parametrize(
    ("condition", "verdict"),
    [
        ({"type": "WaypointAccepted", "status": "False", "reason": "Invalid"}, Verdict.REJECTED),
        ({"type": "ZtunnelAccepted", "status": "False", "reason": "PartiallyInvalid"}, Verdict.WARNED),
        (
            {"type": "ZtunnelAccepted", "status": "False", "reason": "Invalid", "observedGeneration": 2},
            Verdict.UNKNOWN,
        ),
        ({"type": "ZtunnelAccepted", "status": "True", "reason": "Accepted"}, Verdict.UNKNOWN),
        ({"type": "Reconciled", "status": "False", "reason": "Pending"}, Verdict.UNKNOWN),
    ],
)
def test_conditions_of_the_data_planes(condition: dict[str, Any], verdict: Verdict) -> None:
    assert heard({"conditions": [condition]}).verdict is verdict


@pytest.mark.parametrize(
    "status",
    [
        [],
        "text",
        {"validationMessages": "text", "conditions": 7},
        {
            "validationMessages": [None, "x", {"level": 3}, {"level": "ERR"}],
            "conditions": [[], {"type": ["WaypointAccepted"]}],
        },
        {"observedGeneration": ["3"], "validationMessages": [message("ERROR")]},
    ],
)
def test_a_status_of_any_shape_is_read(status: Any) -> None:
    assert heard(status).verdict is Verdict.UNKNOWN


@pytest.mark.parametrize("level", ["ERROR", "WARNING"])
def test_a_message_without_type_still_counts(level: str) -> None:
    assert heard({"validationMessages": [{"level": level, "type": "x"}]}).verdict is not Verdict.UNKNOWN


@pytest.mark.parametrize(
    "meshes",
    [
        (mesh(),),
        (mesh(validation="Fail"),),
        (mesh(analysisInterval="10000"),),
        (mesh(validation="Fail", analysisInterval="soon"),),
        (mesh(**ANSWERS), mesh("istio-old")),
        (Mesh(translator="other", name="other", settings=ANSWERS),),
    ],
)
def test_silence_means_nothing_where_nobody_would_object(meshes: tuple[Mesh, ...]) -> None:
    assert heard(None, *meshes) == MeshStatus()


def test_the_slowest_revision_decides_how_long_silence_must_last() -> None:
    assert (
        heard(None, mesh(**ANSWERS), mesh("istio-new", validation="Fail", analysisInterval="60000")).silence
        == 120.0
    )


def test_what_no_server_counts_is_never_accepted() -> None:
    assert gitmesh_istio.verdict(live(generation=0), (mesh(**ANSWERS),)) == MeshStatus()


@pytest.mark.parametrize(
    ("environment", "interval"),
    [
        ({}, None),
        ({"PILOT_ENABLE_ANALYSIS": "false"}, None),
        ({"PILOT_ENABLE_ANALYSIS": "yes"}, None),
        ({"PILOT_ENABLE_ANALYSIS": "true"}, "10000"),
        ({"PILOT_ENABLE_ANALYSIS": "1", "PILOT_ANALYSIS_INTERVAL": "30s"}, "30000"),
        ({"PILOT_ENABLE_ANALYSIS": "true", "PILOT_ANALYSIS_INTERVAL": "500ms"}, "10000"),
        ({"PILOT_ENABLE_ANALYSIS": "true", "PILOT_ANALYSIS_INTERVAL": "often"}, "10000"),
    ],
)
def test_the_interval_of_the_analysis(environment: Mapping[str, str], interval: str | None) -> None:
    assert analysis(environment) == ({"analysisInterval": interval} if interval else {})


def validator(**more: Any) -> dict[str, Any]:
    webhook = {"name": "validation.istio.io", "rules": [RULE], "failurePolicy": "Fail", **more}
    return {"metadata": {"name": "istiod-default-validator"}, "webhooks": [webhook]}


def expression(key: str, operator: str, *values: str) -> dict[str, Any]:
    return {"matchExpressions": [{"key": key, "operator": operator, "values": list(values)}]}


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"name": "rev.validation.istio.io"},
        {"namespaceSelector": {}, "objectSelector": {}},
        {"objectSelector": expression("istio.io/rev", "DoesNotExist")},
        {"objectSelector": expression("istio.io/rev", "NotIn", "canary")},
        {"rules": [{**RULE, "apiGroups": ["*"], "operations": ["*"]}]},
        {"rules": [{**RULE, "apiGroups": [group]} for group in ("networking.istio.io", "security.istio.io")]},
    ],
)
def test_a_webhook_that_nothing_of_ours_gets_past(more: dict[str, Any]) -> None:
    assert validation([validator(**more)]) == {"validation": "Fail"}


@pytest.mark.parametrize(
    "more",
    [
        {"failurePolicy": "Ignore"},
        {"name": "validation.gatekeeper.sh"},
        {"namespaceSelector": {"matchLabels": {"a": "b"}}},
        {"matchConditions": [{"name": "x", "expression": "false"}]},
        {"objectSelector": expression("istio.io/rev", "In", "default")},
        {"objectSelector": {"matchLabels": {"istio.io/rev": "default"}}},
        {"objectSelector": expression("app.kubernetes.io/managed-by", "NotIn", "gitmesh")},
        {"rules": [{**RULE, "apiGroups": ["networking.istio.io"]}]},
        {"rules": [{**RULE, "resources": ["virtualservices"]}]},
        {"rules": [{**RULE, "operations": ["UPDATE"]}]},
        {"rules": []},
    ],
)
def test_a_webhook_that_lets_something_of_ours_past(more: dict[str, Any]) -> None:
    assert validation([validator(**more)]) == {}
    assert validation([]) == {}
