"""The counter of modules that a field runs through."""

from __future__ import annotations

import pytest

from tests.modules import course_of, main

MOST_HANDLING, MOST_ON_THE_WAY = 15, 26
"""A field that goes through more rooms is harder to follow: these may fall, and rise only with a reason."""


def test_the_way_of_a_field_leads_from_the_parser_to_its_translator() -> None:
    found = course_of("TrafficPolicy.timeout")
    assert {"gitmesh.parsing.nodes", "gitmesh_istio.actions"} <= set(found.handling)
    assert {"gitmesh.parsing.parse", "gitmesh.resolution.resolve"} <= set(found.leading)
    every = (*found.handling, *found.leading, *found.others)
    assert not [name for name in every if name.startswith("gitmesh.adapters")]
    assert "gitmesh_istio.security" not in every, "access is another field's way"


def test_what_never_looks_at_the_field_is_no_stop_of_it() -> None:
    selection = "gitmesh.resolution.selection"
    assert selection in course_of("TrafficPolicy.timeout").others
    selecting = course_of("TrafficPolicy.sources.labels")
    assert selection in {*selecting.handling, *selecting.leading}


def test_one_field_stays_in_few_rooms() -> None:
    found = course_of("TrafficPolicy.timeout")
    assert len(found.handling) <= MOST_HANDLING
    assert len(found.handling) + len(found.leading) <= MOST_ON_THE_WAY


def test_an_unknown_field_is_a_mistake_of_the_user(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["TrafficPolicy.nonsense"]) == 3
    assert "no sample" in capsys.readouterr().err
