"""Reports as comments: nothing inside is markup, and the size cap holds."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gitmesh.diagnostics import finding
from gitmesh.model.plan import Action
from gitmesh.model.report import Stage
from gitmesh.render.escape import fenced, markdown
from gitmesh.render.markdown import BUDGET, report_markdown
from tests.unit.reports import change, cluster, error, key, report, timeout, unreachable

HOSTILE = [
    "@org/all",
    "```\n# gotcha\n```",
    "](javascript:alert)",
    "<img src=//e/>",
    "Fixes #1",
    "\n/approve",
    "<!-- gitmesh -->",
    "https://evil.example/x",
    "www.evil.example",
    "a | b",
    "GH-12",
    "&#64;org",
]


@pytest.mark.parametrize("text", HOSTILE)
def test_S10_hostile_text_stays_text(text: str) -> None:
    comment = report_markdown(
        report(
            cluster("east", change(Action.UPDATE, timeout("5s", text), note=text)),
            said=(error(text, hint=text),),
        )
    )
    outside = re.sub(r"(?ms)^(`{3,})diff\n.*?^\1$", "", comment)
    ours = re.sub(r"</?(details|summary)>", "", outside)
    assert "<" not in ours
    assert not re.search(r"(?<![\\`])`(?!gitmesh diff -o json`|\.)", ours)
    assert not re.search(r"@|(?<!&)#\d|(?<!\\)\]\(|://|www\.|GH-", re.sub(r"^#+ ", "", ours, flags=re.M))
    assert not re.search(r"^/", comment, flags=re.M)


@given(st.text(max_size=200))
def test_S10_a_fence_is_longer_than_any_run_of_backticks_inside(text: str) -> None:
    fence = fenced(text).split("\n", 1)[0]
    assert set(fence) == {"`"}
    assert fence not in text


@given(st.text(max_size=200))
def test_S10_escaped_text_holds_no_active_character(text: str) -> None:
    safe = re.sub(r"\\.|&(amp|lt|gt|#\d+);", "", markdown(text))
    assert not set(safe) & set("<>&@#`*_[]()|\n\r")


def test_the_summary_comes_first_and_names_every_cluster() -> None:
    comment = report_markdown(report(cluster("east", change(Action.CREATE)), unreachable("west")))
    lines = comment.splitlines()
    assert lines[0].startswith(
        "### GitMesh: 1 to create, 0 to change, 0 to delete, 0 unchanged in 1 cluster; 1 cluster did not"
        " answer"
    )
    assert "| east | istio 1.30.3 | 1 | 0 | 0 | 0 | 0 | 0 | Synced | 0 errors, 0 warnings |" in lines
    assert "| west | unknown | ? | ? | ? | ? | ? | ? | Unreachable | 0 errors, 0 warnings |" in lines


def test_an_object_that_changes_alike_in_two_clusters_is_told_once() -> None:
    comment = report_markdown(
        report(*(cluster(name, change(Action.UPDATE, timeout())) for name in ("east", "west")))
    )
    assert comment.count("<details>") == 1
    assert "<summary>east, west: VirtualService shop/reviews (\\~)</summary>" in comment
    assert "- spec.http[0].timeout: 5s\n+ spec.http[0].timeout: 10s" in comment


def test_S07_a_comment_stays_under_the_cap_and_says_what_was_cut() -> None:
    changes = [
        change(
            Action.UPDATE,
            *(timeout("x" * 100, "y" * 100, path=f"spec.f{i}") for i in range(20)),
            name=f"s{n}",
        )
        for n in range(300)
    ]
    said = tuple(error("m" * 500, line=line) for line in range(1, 300))
    comment = report_markdown(report(cluster("east", *changes), said=said))
    assert len(comment) <= BUDGET
    assert comment.count("<details>") == comment.count("</details>") > 0
    shown_objects, shown_findings = comment.count("<details>"), comment.count("- **error**")
    assert f"Cut to fit a comment: {299 - shown_findings} findings, {300 - shown_objects} objects." in comment
    assert comment.count("```") % 2 == 0


@pytest.mark.parametrize("count", [100, 5000])
def test_of_findings_that_do_not_fit_errors_stay(count: int) -> None:
    doubts = tuple(finding("GM209", "m" * 500, at=error(line=line).at) for line in range(1, count))
    comment = report_markdown(report(cluster("east"), said=(*doubts, error("the one error", line=9999))))
    assert len(comment) <= BUDGET
    shown = re.findall(r"^- .* (GM\d+) ", comment, flags=re.M)
    assert shown[:2] == ["GM203", "GM209"]
    assert (
        f"Cut to fit a comment: {count - len(shown)} findings. The whole plan: `gitmesh diff -o json`."
        in comment
    )


def test_many_clusters_do_not_break_the_cap() -> None:
    comment = report_markdown(
        report(
            *(cluster(f"c{n}" + "x" * 50, change(Action.UPDATE, timeout("a", str(n)))) for n in range(1000))
        )
    )
    assert len(comment) <= BUDGET


def test_findings_alone_for_a_run_that_only_parsed() -> None:
    comment = report_markdown(report(until=Stage.PARSE, said=(error(),)))
    assert comment.splitlines()[0] == "### GitMesh: checked 1 policy in 1 file: 1 error, 0 warnings"
    assert "- **error** GM203 BadValue policies/reviews.yaml:14:15: attempts must be a number" in comment


def test_credentials_are_masked() -> None:
    field = timeout("Bearer canary", "Bearer other", path="spec.http[0].headers.request.set.authorization")
    comment = report_markdown(report(cluster("east", change(Action.UPDATE, field))))
    assert "canary" not in comment
    assert str(key()) in comment
