"""The counter of modules that a field runs through."""

from __future__ import annotations

import pytest

from tests.modules import main, modules_of


def test_the_way_of_a_field_leads_from_the_parser_to_its_translator() -> None:
    found = modules_of("TrafficPolicy.timeout")
    assert {"gitmesh.parsing.parse", "gitmesh.resolution.resolve", "gitmesh_istio.actions"} <= set(found)
    assert not [name for name in found if name.startswith("gitmesh.adapters")]
    assert "gitmesh_istio.security" not in found, "access is another field's way"


def test_an_unknown_field_is_a_mistake_of_the_user(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["TrafficPolicy.nonsense"]) == 3
    assert "no sample" in capsys.readouterr().err
