"""What the house asks of its code (CONTRIBUTING.md, Habits)."""

from __future__ import annotations

from tests.house import any_in_a_thousand, classes_twice, comments_in_a_hundred, too_long, too_wide

MOST_ANY = 8.0
"""In a thousand lines. `Any` is for values that truly have any type, as those of other tools' documents."""

LEAST_COMMENTS = 2.9
"""In a hundred lines: reasons that the code cannot say. Never lower it; where it rises, raise this too."""
MOST_LONG = 2
"""Files over 300 lines: those of which every part is the one subject."""


def test_no_two_classes_have_one_name() -> None:
    assert classes_twice() == {}


def test_a_type_is_said_where_there_is_one() -> None:
    assert any_in_a_thousand() <= MOST_ANY


def test_reasons_are_given() -> None:
    assert comments_in_a_hundred() >= LEAST_COMMENTS


def test_lines_fit_a_screen_with_what_is_said_to_tools() -> None:
    assert too_wide() == []


def test_files_can_be_read_alone() -> None:
    assert len(too_long()) <= MOST_LONG
