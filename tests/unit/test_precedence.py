"""The order of rules, part by part (docs/concepts.md#precedence)."""

from __future__ import annotations

from typing import Any

import pytest

from gitmesh.model.matches import Match
from gitmesh.model.selectors import DestinationSelector, WorkloadSelector
from gitmesh.resolution.rules import Key, destination_form, precedence


def key(
    match: dict[str, Any] | None = None,
    source: dict[str, Any] | None = None,
    to: dict[str, Any] | None = None,
    priority: int = 0,
) -> Key:
    return precedence(
        priority,
        Match.model_validate(match) if match else None,
        WorkloadSelector.model_validate(source) if source else None,
        destination_form(DestinationSelector.model_validate(to or {"all": True})),
    )


HEADER = {"name": "a", "present": True}
MATCHES: list[dict[str, Any] | None] = [
    {"path": {"exact": "/"}},
    {"path": {"prefix": "/a/long"}},
    {"path": {"prefix": "/a"}},
    {"path": {"stringPrefix": "/a/longer/one"}},
    {"path": {"stringPrefix": "/a"}},
    {"path": {"suffix": ".a-very-long-suffix"}},
    {"path": {"regex": "/.*"}},
    {"headers": [HEADER, {"name": "b", "present": True}], "method": "GET"},
    {"headers": [HEADER], "queryParams": [HEADER]},
    {"headers": [HEADER], "method": "GET", "port": 80},
    {"queryParams": [HEADER]},
    {"method": "GET"},
    {"authority": {"exact": "a"}},
    {"port": 80},
    None,
]


def test_P17_parts_of_a_match_in_order() -> None:
    keys = [key(match) for match in MATCHES]
    assert keys == sorted(keys, reverse=True)
    assert len(set(keys)) == len(keys)


@pytest.mark.parametrize(
    "greatest_first",
    [
        [
            {"serviceAccounts": ["a"]},
            {"labels": {"a": "b"}},
            {"namespaces": ["a"]},
            {"clusters": ["a"]},
            {"all": True},
        ],
    ],
)
def test_source_forms_in_order(greatest_first: list[dict[str, Any]]) -> None:
    keys = [key(source=source) for source in greatest_first]
    assert keys == sorted(set(keys), reverse=True)
    assert key(source=None) == keys[-1]


def test_destination_forms_in_order() -> None:
    forms: list[dict[str, Any]] = [
        {"name": "a"},
        {"labels": {"a": "b"}},
        {"namespaces": ["a"]},
        {"clusters": ["a"]},
        {"all": True},
    ]
    keys = [key(to=form) for form in forms]
    assert keys == sorted(set(keys), reverse=True)


def test_P17_priority_comes_first_and_source_before_destination() -> None:
    assert key(None, priority=1) > key({"path": {"exact": "/"}})
    assert key(source={"clusters": ["a"]}) > key(to={"name": "a"})


def test_trailing_slash_and_case_do_not_count() -> None:
    assert (
        key({"path": {"prefix": "/a/"}})
        == key({"path": {"prefix": "/a"}})
        == key({"path": {"prefix": "/A", "ignoreCase": True}})
    )
