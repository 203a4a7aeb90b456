"""`gitmesh who-can`, `can` with '*', and --expect, from the command line to the answer."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from msgspec.structs import replace

from gitmesh.discovery.facts_codec import dump_facts
from gitmesh.model.report import Report, Stage
from gitmesh.model.services import ServicePort
from gitmesh.model.strangers import ForeignGuard, ForeignRule, Stranger
from gitmesh.reasoning.answers import Answer
from gitmesh.reasoning.table import AccessRow
from gitmesh.render.access import AccessTable, access_text
from gitmesh.render.answers import Answers
from gitmesh.render.paint import ansi
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
"""
HTTP = (ServicePort(number=80, name="http", target=8080, protocol="http"),)
TWO = (*HTTP, ServicePort(number=9090, name="admin", target=9090, protocol="http"))
EAST = facts(
    "east",
    service(ports=HTTP),
    workload(),
    service("ratings", ports=TWO),
    workload("ratings"),
    workload("page", service_account="page"),
    workload("cron", mesh=""),
    service_accounts=frozenset({("shop", "default"), ("shop", "page")}),
)
WEST = facts("west", service(ports=HTTP), workload(), service_accounts=frozenset({("shop", "default")}))
ALL = ForeignRule()
RULE = "AccessPolicy/shop/page-reads spec.rules[0] (policies/shop.yaml:8:5)"


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    """Ask with a folder of policies and saved facts, without configuration: (exit code, stdout, stderr)."""
    (tmp_path / "policies").mkdir()
    (tmp_path / "policies" / "shop.yaml").write_text(POLICIES)
    (tmp_path / "facts.yaml").write_text(yaml.safe_dump(dump_facts({"east": EAST, "west": WEST})))
    in_folder = runner(tmp_path, capsys, monkeypatch)

    def call(*words: str) -> tuple[int, str, str]:
        ends, options = (words[:2], words[2:]) if words[0] == "who-can" else (words[:3], words[3:])
        return in_folder(*ends, "policies", "--facts", "facts.yaml", *options)

    return call


def rows(text: str) -> list[str]:
    return [" ".join(line.split()) for line in text.splitlines()]


def test_who_can_tells_callers_and_requests_and_the_lines(run: Run) -> None:
    code, out, _ = run("who-can", "reviews")
    assert code == 0
    assert rows(out) == [
        "east: * -> shop/reviews",
        "ANSWER CALLERS PORTS REQUESTS BY",
        f"Allowed shop/page 80 GET {RULE}",
        "west: * -> shop/reviews",
        "ANSWER CALLERS PORTS REQUESTS BY",
        f"Allowed shop/page@east 80 GET {RULE}",
    ]


def test_what_strangers_say_of_the_pods_is_in_the_answer(run: Run, tmp_path: Path) -> None:
    """Their selectors are mappings, which have no hash."""
    closed = Stranger(
        group="security.istio.io",
        kind="AuthorizationPolicy",
        namespace="shop",
        name="no-page",
        guards=(ForeignGuard(action="Deny", namespace="shop", selector={"app": "reviews"}, rules=(ALL,)),),
    )
    world = {"east": replace(EAST, strangers=(closed,)), "west": WEST}
    (tmp_path / "facts.yaml").write_text(yaml.safe_dump(dump_facts(world)))
    code, out, err = run("who-can", "reviews", "--denied", "--cluster", "east")
    assert code == 0, err
    assert "AuthorizationPolicy shop/no-page" in out
    code, out, err = run("can", "page", "*", "--cluster", "east")
    assert code == 0, err
    assert "which is not ours, refuses it" in out


def test_can_of_everybody_is_the_same(run: Run) -> None:
    assert run("can", "*", "reviews") == run("who-can", "reviews")


def test_the_others_are_denied(run: Run) -> None:
    _, out, _ = run("who-can", "reviews", "--denied", "--cluster", "east")
    assert rows(out)[2:] == [
        "Denied shop/cron without identity, shop/default, 80 all no Allow admits it",
        "anybody else, without identity",
        "Denied shop/page 80 any method but GET no Allow admits it",
    ]


def test_callers_of_clusters_that_are_not_shown_are_callers_all_the_same(run: Run) -> None:
    assert "shop/page@east" in run("who-can", "reviews", "--cluster", "west")[1]


def test_everything_that_a_client_can_call(run: Run) -> None:
    code, out, _ = run("can", "page", "*")
    assert code == 0
    assert rows(out) == [
        "east: shop/page -> *",
        "ANSWER DESTINATION PORTS REQUESTS BY",
        "Allowed shop/ratings 80,9090 all no policy selects it, and no VirtualMesh says otherwise",
        f"Allowed shop/reviews 80 GET {RULE}",
        "Denied shop/reviews 80 any method but GET no Allow admits it",
    ]


def test_one_request_of_everybody(run: Run) -> None:
    assert rows(run("who-can", "reviews", "--method", "DELETE")[1])[1] == "none"
    assert (
        rows(run("who-can", "reviews", "--method", "get", "--path", "/x")[1])[2]
        == f"Allowed shop/page 80 GET /x {RULE}"
    )


def test_one_port(run: Run) -> None:
    assert rows(run("who-can", "ratings:admin")[1])[2].startswith("Allowed anybody 9090 all")
    assert rows(run("can", "*", "ratings", "--port", "80")[1])[2].startswith("Allowed anybody 80 all")


def test_tables_as_documents(run: Run) -> None:
    code, out, _ = run("who-can", "reviews", "-o", "json")
    found = json.loads(out)
    assert (code, found["kind"]) == (0, "Access")
    (row,) = found["clusters"][0]["rows"]
    assert (row["answer"], row["callers"], row["requests"]) == ("Allowed", ["shop/page"], ["GET"])
    assert row["destination"] == {"namespace": "shop", "name": "reviews", "ports": [80]}
    assert (row["deciding"][0]["file"], row["deciding"][0]["line"]) == ("policies/shop.yaml", 8)
    assert (
        yaml.safe_load(run("can", "page", "*", "-o", "yaml")[1])["clusters"][0]["rows"][0]["destination"][
            "name"
        ]
        == "ratings"
    )


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("can", "page", "reviews", "--expect", "allowed"), 0),
        (("can", "page", "reviews", "--expect", "denied"), 1),
        (("can", "anonymous", "reviews", "--expect", "denied"), 0),
        (("can", "anonymous", "reviews", "--expect", "allowed", "-o", "json"), 1),
        (("who-can", "reviews", "--expect", "denied"), 1),
        (("who-can", "reviews", "--method", "DELETE", "--expect", "denied"), 0),
        (("who-can", "ratings", "--expect", "allowed"), 0),
        (("who-can", "reviews", "--expect", "allowed"), 1),
        (("can", "*", "reviews", "--method", "DELETE", "--expect", "denied"), 0),
        (("can", "page", "*", "--expect", "allowed"), 1),
    ],
)
def test_expect_is_a_gate(run: Run, words: tuple[str, ...], code: int) -> None:
    found, out, _ = run(*words)
    assert found == code
    assert out


def test_what_is_not_known_is_not_what_was_expected(run: Run, tmp_path: Path) -> None:
    (tmp_path / "policies" / "shop.yaml").write_text(
        POLICIES.replace("sources:", "sources: [{ipBlocks: [10.0.0.0/8]}] #")
    )
    assert run("can", "page", "reviews", "--expect", "allowed")[0] == 1
    assert run("can", "page", "reviews", "--expect", "allowed", "--from-ip", "10.1.1.1")[0] == 0
    assert "anybody from 10.0.0.0/8" in run("who-can", "reviews")[1]


def test_errors_are_worse_than_another_answer(run: Run, tmp_path: Path) -> None:
    (tmp_path / "policies" / "shop.yaml").write_text(POLICIES.replace("methods: [GET]", "ports: [nope]"))
    code, out, err = run("who-can", "reviews", "--expect", "allowed")
    assert code == 2
    assert "Unknown" in out
    assert "GM208" in err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("who-can", "rewiews"), "did you mean reviews?"),
        (("who-can", "ratings:metrics"), "has no port metrics"),
        (("can", "paeg", "*"), "did you mean page?"),
        (("can", "*", "reviews", "--from-ip", "10.0.0.1"), "--from-ip goes with a client"),
        (("who-can", "reviews", "--expect", "maybe"), "maybe"),
        (("who-can", "reviews", "--path", "x"), "begins with /"),
    ],
)
def test_a_mistake_is_wrong_usage(run: Run, words: tuple[str, ...], said: str) -> None:
    code, out, err = run(*words)
    assert (code, out) == (3, "")
    assert said in err


def test_names_cannot_move_a_cursor_nor_reorder_what_is_read() -> None:
    evil = "shop/\x1b[2J\u202ew"
    row = AccessRow(
        service=("shop", evil),
        answer=Answer.ALLOWED,
        ports=(80,),
        callers=(evil,),
        requests=(f"/{evil}",),
        why=(evil,),
    )
    report = Report(instance="", until=Stage.BUILD)
    for table in (
        AccessTable(rows=(row,)),
        AccessTable(rows=(row,), destination=evil),
        AccessTable(rows=(), caller=evil),
    ):
        told = access_text(Answers(report=report, questions={}, answers={"east": table}))
        assert "\\x1b[2J\\u202e" in told
        assert not {"\x1b", "\u202e"} & set(told)


def test_many_callers_are_all_named_and_go_on_in_the_next_line() -> None:
    names = tuple(f"shop/caller-number-{number}" for number in range(9))
    row = AccessRow(
        service=("shop", "r"),
        answer=Answer.DENIED,
        ports=(80, 81),
        callers=names,
        requests=("GET", "/x"),
        why=("so",),
    )
    told = access_text(
        Answers(
            report=Report(instance="", until=Stage.BUILD),
            questions={},
            answers={"east": AccessTable(rows=(row,))},
        )
    )
    assert all(name in told for name in names)
    assert max(map(len, told.splitlines())) < 100


def test_colour_is_for_the_answer_alone() -> None:
    row = AccessRow(
        service=("shop", "r"),
        answer=Answer.DENIED,
        ports=(80,),
        callers=("a", "b"),
        requests=("GET", "PUT"),
        why=("so",),
    )
    told = access_text(
        Answers(
            report=Report(instance="", until=Stage.BUILD),
            questions={},
            answers={"east": AccessTable(rows=(row,))},
        ),
        ansi,
    )
    assert "\x1b[1;31mDenied\x1b[0m" in told
    assert told.count("Denied") == 1
