"""`gitmesh can` and `gitmesh route`, from the command line to the answer."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from gitmesh.discovery.facts_codec import dump_facts
from gitmesh.model.services import ServicePort
from tests.factories import facts, service, workload
from tests.unit.commandline import Run, runner

POLICIES = """\
apiVersion: gitmesh.io/v1alpha1
kind: AccessPolicy
metadata: {name: page-reads, namespace: shop}
spec:
  sources: [{serviceAccounts: [{name: page}]}]
  destinations: [{name: reviews}]
  rules:
  - methods: [GET]
---
apiVersion: gitmesh.io/v1alpha1
kind: TrafficPolicy
metadata: {name: reviews, namespace: shop}
spec:
  destinations: [{name: reviews}]
  matches:
  - {path: {prefix: /api}, queryParams: [{name: q, exact: "1"}]}
  timeout: 250ms
  headers: {request: {set: {x-api-key: hunter2}, remove: [x-b]}}
"""
PORTS = (
    ServicePort(number=9080, name="http", target=8080),
    ServicePort(number=9090, name="admin", target=9090),
)
EAST = facts(
    "east",
    service(),
    workload(),
    service("two", ports=PORTS),
    workload("page-v1", service_account="page", labels={"app": "page"}),
    workload("plain", mesh="", service_account="page"),
    workload("page-v1", "bank", service_account="teller"),
    service_accounts=frozenset({("shop", "default"), ("shop", "page")}),
)
WEST = facts("west", service(), workload())


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    """Ask with a folder of policies and saved facts, without configuration: (exit code, stdout, stderr)."""
    (tmp_path / "policies").mkdir()
    (tmp_path / "policies" / "shop.yaml").write_text(POLICIES)
    (tmp_path / "facts.yaml").write_text(yaml.safe_dump(dump_facts({"east": EAST, "west": WEST})))
    in_folder = runner(tmp_path, capsys, monkeypatch)
    return lambda command, source, to, *more: in_folder(
        command, source, to, "policies", "--facts", "facts.yaml", *more
    )


def document(run: Run, *arguments: str) -> Any:
    code, out, _ = run(*arguments, "-o", "json")
    assert code == 0
    return json.loads(out)


def test_can_names_the_rule_that_admits(run: Run) -> None:
    code, out, _ = run("can", "shop/page-v1", "reviews", "--method", "get", "--path", "/api?q=1")
    assert (code, out) == (
        0,
        (
            "east: Allowed  shop/page -> shop/reviews:80 GET /api\n"
            "  an Allow admits it  (reviews:8080)\n"
            "    AccessPolicy/shop/page-reads spec.rules[0] (policies/shop.yaml:8:5)\n"
        ),
    )


def test_the_answer_is_output_and_no_exit_code(run: Run) -> None:
    code, out, _ = run("can", "serviceaccount:shop/page", "shop/reviews:80", "--method", "DELETE")
    assert code == 0
    assert out.startswith("east: Denied")
    assert (
        "tried AccessPolicy/shop/page-reads spec (policies/shop.yaml:5:3): none of its rules means this"
        " request" in out
    )


def test_clusters_that_say_the_same_are_told_once(run: Run) -> None:
    assert run("can", "anonymous", "reviews")[1].startswith(
        "east, west: Denied  a client without identity -> shop/reviews:80"
    )
    assert run("can", "anonymous", "reviews", "--cluster", "w*")[1].startswith("west: Denied")


def test_a_workload_without_proxy_shows_no_identity(run: Run) -> None:
    assert run("can", "shop/plain", "reviews")[1].startswith("east: Denied  shop/page without identity")


def test_can_as_a_document(run: Run) -> None:
    found = document(
        run, "can", "shop/page-v1", "reviews", "--header", "X-Api-Key=hunter2", "--from-ip", "10.0.0.1"
    )
    (east,) = found["clusters"]
    assert (found["kind"], east["name"], east["answer"]) == ("Admission", "east", "Allowed")
    assert east["client"] == {
        "namespace": "shop",
        "serviceAccount": "page",
        "identity": True,
        "ip": "10.0.0.1",
    }
    assert east["request"]["authority"] == "reviews"
    assert east["request"]["headers"] == {"x-api-key": "***"}
    (pod,) = east["pods"]
    assert (pod["basis"], pod["deciding"][0]["file"], pod["deciding"][0]["line"]) == (
        "Allow",
        "policies/shop.yaml",
        8,
    )


def test_route_tells_every_field_with_its_line(run: Run) -> None:
    code, out, _ = run("route", "shop/page-v1", "reviews", "--path", "/api/x", "--query", "q=1")
    rows = {line.split()[0]: " ".join(line.split()[1:]) for line in out.splitlines()[2:]}
    assert code == 0
    assert rows["timeout"] == "250ms TrafficPolicy/shop/reviews spec.timeout (policies/shop.yaml:17:12)"
    assert rows["split"] == rows["connectionPool"] == "(the mesh's own)"
    assert '{"x-api-key":{"set":"***"}}' in out
    assert '{"x-b":{"remove":true}}' in out
    assert "(the mesh's own)" in run("route", "shop/page-v1", "reviews")[1]
    assert "250ms" not in run("route", "shop/page-v1", "reviews", "--path", "/api/x")[1]


def test_route_as_a_document(run: Run) -> None:
    (east,) = document(run, "route", "page", "reviews", "--path", "/api?q=1")["clusters"]
    assert (east["found"], east["fields"]["timeout"]["value"]) == ("Decided", "250ms")
    assert east["request"]["path"] == "/api"
    assert east["fields"]["headers"]["value"]["request"] == {"set": {"x-api-key": "***"}, "remove": ["x-b"]}
    assert [(one["side"], one["name"], one["line"]) for one in east["headers"]] == [
        ("request", "x-api-key", 18),
        ("request", "x-b", 18),
    ]
    assert (
        document(run, "route", "anonymous", "reviews", "--cluster", "east")["clusters"][0]["found"]
        == "NoProxy"
    )


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("page", "rewiews"), "there is no Service rewiews in east, west; did you mean reviews?"),
        (
            ("paeg", "reviews"),
            "there is no workload or ServiceAccount paeg in east, west; did you mean page?",
        ),
        (("shop/page-v2", "reviews"), "did you mean shop/page-v1?"),
        (("page-v1", "reviews"), "page-v1 may be bank/page-v1 or shop/page-v1 in cluster east; say which"),
        (
            ("page", "two"),
            "shop/two of cluster east has several ports, name one; there is 9080 http, 9090 admin",
        ),
        (("page", "two:metrics"), "has no port metrics"),
        (("page", "two:9080", "--port", "admin"), "twice"),
        (("page", "reviews", "--cluster", "west"), "there is no workload or ServiceAccount page in west"),
        (("page", "reviews", "--path", "api"), "begins with /"),
        (("page", "reviews", "--header", "x-a"), "NAME=VALUE"),
        (("page", "reviews", "--from-ip", "10.0.0.300"), "not an address"),
    ],
)
def test_a_mistake_is_wrong_usage_and_says_how_to_do_it(
    run: Run, arguments: tuple[str, ...], said: str
) -> None:
    for command in ("can", "route"):
        code, out, err = run(command, *arguments)
        assert (code, out) == (3, "")
        assert said in err


def test_no_cluster_has_both(run: Run, tmp_path: Path) -> None:
    (tmp_path / "facts.yaml").write_text(
        yaml.safe_dump(
            dump_facts({"east": facts("east", service()), "west": facts("west", workload("page"))})
        )
    )
    code, _, err = run("can", "page", "reviews")
    assert code == 3
    assert "page is in west, reviews in east" in err


def test_errors_are_told_and_end_with_2(run: Run, tmp_path: Path) -> None:
    (tmp_path / "policies" / "bad.yaml").write_text(POLICIES.replace("timeout:", "timout:"))
    code, out, err = run("can", "page", "reviews")
    assert (code, out) == (2, "")
    assert "GM202" in err


def test_what_errors_hold_is_unknown(run: Run, tmp_path: Path) -> None:
    (tmp_path / "policies" / "shop.yaml").write_text(POLICIES.replace("methods: [GET]", "ports: [nope]"))
    code, out, err = run("can", "shop/page-v1", "reviews")
    assert code == 2
    assert out.startswith("east: Unknown")
    assert "GM208" in err


@pytest.mark.parametrize(
    "given",
    [
        ("--header", "=x"),
        ("--header", "end user=x"),
        ("--header", "a=b\r\nX: y"),
        ("--method", ""),
        ("--method", "A B"),
    ],
)
def test_what_no_request_can_say_is_wrong_usage(run: Run, given: tuple[str, str]) -> None:
    code, out, err = run("can", "page", "reviews", *given)
    assert (code, out) == (3, "")
    assert given[0] in err


def test_a_port_that_is_no_number_is_a_name_that_nothing_has(run: Run) -> None:
    code, _, err = run("can", "page", "reviews:²")
    assert code == 3
    assert "has no port ²" in err


@pytest.mark.parametrize("name", ["reviews.shop", "reviews.shop.svc", "reviews.shop.svc.cluster.local"])
def test_a_service_may_be_named_as_clients_call_it(run: Run, name: str) -> None:
    assert run("can", "page", name)[0] == 0
