"""Whoever adds a field to a policy is told of every place that must know it."""

from __future__ import annotations

from gitmesh.model.traffic import TrafficPolicySpec
from tests.places import PLACES, ROOT, lacking


class MadeUpSpec(TrafficPolicySpec):
    """A TrafficPolicy with a field that nobody else has heard of."""

    made_up: str | None = None


def test_every_field_is_known_wherever_it_must_be() -> None:
    assert lacking(TrafficPolicySpec) == []


def test_a_made_up_field_is_missed_in_each_of_these_places() -> None:
    assert lacking(MadeUpSpec) == [(place, "madeUp") for place in PLACES]


def test_contributing_lists_these_places() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    assert [place for place in PLACES if f"`{place}`" not in text] == []
    assert [place for place in PLACES if not (ROOT / place).is_file()] == []
