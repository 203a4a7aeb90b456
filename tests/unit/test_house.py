"""What the house asks of its code (CONTRIBUTING.md, Habits)."""

from __future__ import annotations

from tests.house import any_in_a_thousand, classes_twice

MOST_ANY = 8.0
"""In a thousand lines. `Any` is for values that truly have any type, as those of other tools' documents."""


def test_no_two_classes_have_one_name() -> None:
    assert classes_twice() == {}


def test_a_type_is_said_where_there_is_one() -> None:
    assert any_in_a_thousand() <= MOST_ANY
