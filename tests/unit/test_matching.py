"""Conjunction, implication and overlap of request matches."""

from __future__ import annotations

import pytest

from gitmesh.model.conditions import NamedCondition, RequestMatch, SourceCondition, TextCondition
from gitmesh.resolution.matching import (
    Disjoint,
    Inexpressible,
    Request,
    conjunction,
    implies,
    matches,
    normal,
    overlaps,
)


def path(form: str, value: str, ignore_case: bool = False) -> RequestMatch:
    meant = TextCondition(form=form, value=value, ignore_case=ignore_case)  # type: ignore[arg-type]
    found = normal(RequestMatch(path=meant))
    assert isinstance(found, RequestMatch)
    return found


def header(form: str, value: str = "", invert: bool = False, name: str = "x") -> RequestMatch:
    condition = TextCondition(form=form, value=value)  # type: ignore[arg-type] # a test's word
    return RequestMatch(headers=(NamedCondition(name=name, condition=condition, invert=invert),))


@pytest.mark.parametrize(
    ("form", "value", "yes", "no"),
    [
        ("exact", "/foo", ["/foo"], ["/foo/", "/FOO"]),
        ("prefix", "/foo", ["/foo", "/foo/", "/foo/x"], ["/foobar", "/Foo"]),
        ("prefix", "/foo/", ["/foo", "/foo/x"], ["/foobar"]),
        ("prefix", "/", ["/", "/anything", "*"], []),
        ("stringPrefix", "/foo", ["/foo", "/foobar"], ["/fo"]),
        ("suffix", ".jpg", ["/a.jpg"], ["/a.jpgx"]),
        ("regex", "/v[0-9]+", ["/v1", "/v22"], ["/v1/x", "x/v1"]),
    ],
)
def test_path_forms_on_requests(form: str, value: str, yes: list[str], no: list[str]) -> None:
    match = path(form, value)
    assert [p for p in yes if not matches(match, Request(path=p))] == []
    assert [p for p in no if matches(match, Request(path=p))] == []


def test_ignore_case_on_requests() -> None:
    assert matches(path("prefix", "/Foo", True), Request(path="/fOO/x"))
    assert matches(path("regex", "/foo.*", True), Request(path="/FOO"))


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        (path("prefix", "/foo"), path("prefix", "/foo/bar"), path("prefix", "/foo/bar")),
        (path("prefix", "/foo"), path("stringPrefix", "/foo/b"), path("stringPrefix", "/foo/b")),
        (path("stringPrefix", "/fo"), path("prefix", "/foo"), path("prefix", "/foo")),
        (path("exact", "/a/b.jpg"), path("suffix", ".jpg"), path("exact", "/a/b.jpg")),
        (path("regex", "/a/[0-9]+"), path("prefix", "/a"), path("regex", "/a/[0-9]+")),
        (path("prefix", "/"), path("regex", "/a|/b"), path("regex", "/a|/b")),
        (path("exact", "/A"), path("exact", "/a", True), path("exact", "/A")),
    ],
)
def test_conjunction_of_paths(a: RequestMatch, b: RequestMatch, expected: RequestMatch) -> None:
    assert conjunction(a, b) == expected == conjunction(b, a)
    assert implies(expected, a)
    assert implies(expected, b)


@pytest.mark.parametrize(
    ("a", "b"),
    [
        (path("prefix", "/foo"), path("prefix", "/foobar")),
        (path("prefix", "/foo"), path("stringPrefix", "/foob")),
        (path("exact", "/a"), path("regex", "/b.*")),
        (path("regex", "/a.*"), path("prefix", "/b")),
        (path("suffix", ".jpg"), path("suffix", ".png")),
        (header("exact", "1"), header("exact", "1", invert=True)),
        (header("present"), header("present", invert=True)),
        (header("prefix", "ab"), header("prefix", "b")),
        (RequestMatch(method="GET"), RequestMatch(method="PUT")),
        (RequestMatch(port=80), RequestMatch(port=81)),
        (
            RequestMatch(source=SourceCondition(labels=(("a", "1"),))),
            RequestMatch(source=SourceCondition(labels=(("a", "2"),))),
        ),
        (
            RequestMatch(source=SourceCondition(namespaces=("a",))),
            RequestMatch(source=SourceCondition(namespaces=("b",))),
        ),
    ],
)
def test_P17_provably_disjoint(a: RequestMatch, b: RequestMatch) -> None:
    assert isinstance(conjunction(a, b), Disjoint)
    assert not overlaps(b, a)


@pytest.mark.parametrize(
    ("a", "b"),
    [
        (path("regex", "/a|/b"), path("prefix", "/c")),
        (path("regex", "(?i)/a.*"), path("prefix", "/A")),
        (path("regex", "/a*b"), path("prefix", "/b")),
        (path("regex", "/a.*"), path("regex", "/.*b")),
        (header("prefix", "ab"), header("regex", "a.*b")),
        (header("exact", "1", invert=True), header("exact", "2", invert=True)),
    ],
)
def test_never_called_disjoint_when_they_may_overlap(a: RequestMatch, b: RequestMatch) -> None:
    assert isinstance(conjunction(a, b), Inexpressible)
    assert overlaps(a, b)


def test_prefix_and_suffix_become_an_expression_with_overlaps() -> None:
    both = conjunction(path("stringPrefix", "/ab"), path("suffix", "bc"))
    assert isinstance(both, RequestMatch)
    accepted = {
        p: matches(both, Request(path=p)) for p in ("/abc", "/abbc", "/ab.bc", "/ab", "/abcd", "/xbc")
    }
    assert accepted == {
        "/abc": True,
        "/abbc": True,
        "/ab.bc": True,
        "/ab": False,
        "/abcd": False,
        "/xbc": False,
    }


def test_segment_prefix_and_suffix_keep_the_segment() -> None:
    both = conjunction(path("prefix", "/a.b"), path("suffix", ".b"))
    assert isinstance(both, RequestMatch)
    assert [p for p in ("/a.b", "/a.b/x.b", "/a.bx.b", "/axb/x.b") if matches(both, Request(path=p))] == [
        "/a.b",
        "/a.b/x.b",
    ]


def test_header_present_adds_nothing_to_another_condition() -> None:
    assert conjunction(header("present"), header("exact", "1")) == header("exact", "1")


def test_inverted_condition_is_met_by_absence() -> None:
    assert matches(header("exact", "1", invert=True), Request())
    assert implies(header("present", invert=True), header("exact", "1", invert=True))
    assert not implies(header("exact", "1", invert=True), header("present", invert=True))


def test_positive_condition_absorbs_an_inverted_one_that_it_excludes() -> None:
    assert conjunction(header("exact", "1"), header("exact", "2", invert=True)) == header("exact", "1")


def test_source_labels_merge_and_namespaces_intersect() -> None:
    a = RequestMatch(source=SourceCondition(labels=(("a", "1"),), namespaces=("n", "m")))
    b = RequestMatch(source=SourceCondition(labels=(("b", "2"),), namespaces=("m", "o")))
    both = conjunction(a, b)
    assert isinstance(both, RequestMatch)
    assert both.source == SourceCondition(labels=(("a", "1"), ("b", "2")), namespaces=("m",))
