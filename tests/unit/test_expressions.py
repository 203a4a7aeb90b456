"""Regular expressions: their cost is known before they are compiled, each is compiled once, and what proxies
refuse is refused.
"""

from __future__ import annotations

import pytest
import re2

from gitmesh.diagnostics import Diagnostic
from gitmesh.model import expressions
from gitmesh.model.expressions import MAX_PROGRAM, Malformed, TooLarge, compiled, weight
from gitmesh.parsing.parse import Cache, parse
from gitmesh.parsing.weighing import MAX_FILE_WEIGHT, MAX_REVISION_WEIGHT
from tests.factories import snapshot_of

HEAD = (
    "apiVersion: gitmesh.io/v1alpha1\nkind: TrafficPolicy\nmetadata: {name: a}\nspec:\n  destinations:"
    " [{name: reviews}]\n"
)
BIG = r"[\pL\pN]{15}"


def policy(*patterns: str, **path: str) -> str:
    """A policy with a match on each of the expressions; the first one is in line 8."""
    further = "".join(f", {name}: {value}" for name, value in path.items())
    return (
        HEAD
        + "  timeout: 5s\n  matches:\n"
        + "".join(f"  - {{path: {{regex: '{pattern}'{further}}}}}\n" for pattern in patterns)
    )


def found(*texts: str, cache: Cache | None = None) -> list[Diagnostic]:
    return list(parse(snapshot_of({f"p{n:03}.yaml": text for n, text in enumerate(texts)}), cache=cache)[1])


@pytest.fixture
def compilations(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every expression that is compiled from now on."""
    seen: list[str] = []
    compile_ = re2.compile

    def counted(pattern: str, options: object) -> object:
        seen.append(pattern)
        return compile_(pattern, options)

    monkeypatch.setattr(re2, "compile", counted)
    monkeypatch.setattr(expressions, "_COMPILED", type(expressions._COMPILED)())
    return seen


def program(pattern: str) -> int:
    options = re2.Options()
    options.max_mem = 64 << 20
    return int(re2.compile(pattern, options).programsize)


@pytest.mark.parametrize(
    "pattern",
    [
        r"/v1/users/[^/]+/orders/\d+",
        r"^(https?://)?([a-z0-9-]+\.)+example\.com$",
        r"[\pL\pN]{17}",
        r"(\pL{1,3}){1,10}",
        r"(((a{1,10}){1,10}){1,10})",
        r"(?i)k{200}",
        r"(?i)[\pL\pN]{20}",
        r".{1000}",
        r"[^é𝒜]{30}",
        r"\Qa.b\E+[[:^alpha:]]{10}",
        r"(?:\w{1,30}\.?){1,30}",
        "((((((((((a))))))))))",
        "a{2,}|b*|c?|d+",
        "é{100}",
        "",
    ],
)
def test_the_weight_is_never_below_the_program(pattern: str) -> None:
    assert program(pattern) <= weight(pattern)


@pytest.mark.parametrize(
    "pattern", [r"/v1/users/[^/]+/orders/\d+", r"[a-zA-Z0-9._-]{0,200}", r"/(en|de|fr)/.*", r"[^/]{64}"]
)
def test_the_weight_of_a_usual_expression_is_small(pattern: str) -> None:
    assert weight(pattern) <= 4 * program(pattern) + 110


@pytest.mark.parametrize(
    "pattern",
    [
        "(" * 200,
        ")" * 200,
        "[",
        "[a",
        "\\",
        "{3}",
        "a{",
        "(?",
        "(?P<",
        "\\p{",
        "\\Q",
        "a{99999999999999999999}",
    ],
)
def test_anything_can_be_weighed_and_malformed_ones_are_named(pattern: str) -> None:
    assert weight(pattern) > 0
    assert isinstance(compiled(pattern), Malformed) == bool(_error(pattern))


def _error(pattern: str) -> str:
    options = re2.Options()
    options.log_errors = False
    try:
        re2.compile(pattern, options)
    except re2.error as error:
        return str(error)
    return ""


@pytest.mark.parametrize("pattern", [r"[\pL\pN]{200}", r"\pL{64}", r"(?i)\pL{100}", r"(\pL{1,3}){1,10}"])
def test_what_proxies_refuse_is_refused_at_its_line(pattern: str) -> None:
    assert isinstance(compiled(pattern), TooLarge)
    (said,) = found(policy("/a", pattern))
    assert (said.code, said.at and said.at.line) == ("GM203", 9)
    assert f"more than {MAX_PROGRAM:,} instructions" in said.message


def test_the_largest_that_proxies_accept_is_accepted() -> None:
    assert 20_000 < program(r"[\pL\pN]{17}") < MAX_PROGRAM
    assert not found(policy(r"[\pL\pN]{17}", r".{1000}", r"(?:\w{1,30}\.?){1,30}"))


def test_case_makes_an_expression_larger() -> None:
    larger = r"[^a-z\n]{400}" + "[k-s]{990}" * 9 + "k{900}" * 3
    assert not found(policy(larger))
    (said,) = found(policy(larger, ignoreCase="true"))
    assert (said.code, said.at and said.at.line) == ("GM203", 8)


def test_one_expression_is_compiled_once_however_often_it_stands(compilations: list[str]) -> None:
    text = policy(*["/(a|b)/.*"] * 50)
    assert not found(text, text.replace("{name: a}", "{name: b}"))
    assert not found(text)
    assert compilations == ["/(a|b)/.*"]


def test_a_file_whose_expressions_cost_too_much_is_refused_at_the_costliest_before_any_is_compiled(
    compilations: list[str],
) -> None:
    some = [f"/{n}{BIG}" for n in range(MAX_FILE_WEIGHT // weight(BIG) + 1)]
    (said,) = found(policy(*some, BIG.replace("15", "16"), "/a"))
    assert (said.code, said.at and (said.at.line, said.at.column)) == ("GM103", (8 + len(some), 20))
    assert said.excerpt.strip().startswith("- {path: {regex: '[")
    assert "this is the costliest" in said.message
    assert compilations == []


def test_a_file_that_repeats_one_costly_expression_pays_once() -> None:
    assert not found(policy(*[BIG] * 200))


def test_thousands_of_small_ones_are_no_trouble() -> None:
    assert not found(policy(*[f"/{n}/.*" for n in range(5000)]))


def test_a_revision_is_refused_by_what_all_its_files_cost_whatever_was_parsed_before(
    compilations: list[str],
) -> None:
    each = MAX_FILE_WEIGHT // (weight(BIG) + 20)
    files = [
        policy(*[f"/{n:02}/{m:02}{BIG}" for m in range(each)]).replace("{name: a}", f"{{name: a{n}}}")
        for n in range(20)
    ]
    cache: Cache = {}
    (said,) = found(*files, cache=cache)
    assert (said.code, said.at and said.at.line) == ("GM103", 8)
    assert "of this revision make some" in said.message
    assert len(compilations) < MAX_REVISION_WEIGHT // weight(BIG) < 20 * each
    again = len(compilations)
    assert found(*files, cache=cache) == [said]
    assert len(compilations) == again
    assert not found(*files[:10], cache=cache)
