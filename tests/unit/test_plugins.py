"""Translators come through one door: what is none is refused by name, with everything that is wrong."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.metadata import EntryPoint
from typing import Any

import pytest

from gitmesh import plugins
from gitmesh.plugins import PluginError, faults, load_translators
from tests.fake_mesh import FakeMesh


class StrangersTranslator(FakeMesh):
    """Somebody else's translator."""

    name = "stranger"


GOOD = StrangersTranslator()


def installed(monkeypatch: pytest.MonkeyPatch, *entries: EntryPoint) -> None:
    def found(group: str) -> Iterable[EntryPoint]:
        assert group == plugins.GROUP
        return entries

    monkeypatch.setattr(plugins, "entry_points", found)


def entry(value: str, name: str = "stranger") -> EntryPoint:
    return EntryPoint(name=name, value=value, group=plugins.GROUP)


def test_a_strangers_translator_comes_through_the_same_door(monkeypatch: pytest.MonkeyPatch) -> None:
    installed(monkeypatch, entry("tests.unit.test_plugins:GOOD"))
    assert load_translators() == {"stranger": GOOD}


def test_one_that_does_not_load_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    installed(monkeypatch, entry("tests.no_such_module"))
    with pytest.raises(PluginError, match=r"stranger .*does not load: ModuleNotFoundError"):
        load_translators()


def test_one_that_is_none_is_named_with_all_that_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    installed(monkeypatch, entry("tests.unit.test_plugins"))
    with pytest.raises(PluginError, match=r"stranger .*is none: it lacks beside; .*it lacks verdict"):
        load_translators()


@pytest.mark.parametrize(
    ("member", "value", "told"),
    [
        ("name", 7, "name is not a text"),
        ("name", "other", "its name is not stranger, under which it is registered"),
        ("resources", ("Rule",), "resources is not a list of ApiKind"),
        ("homes", "istio-system", "homes is not a list of texts"),
        ("opt_out_keys", {"a"}, "opt_out_keys is not a frozenset of texts"),
        ("naming", frozenset({1}), "naming is not a frozenset of texts"),
        ("supports", None, "supports is not a table of features"),
        (
            "supports",
            {**FakeMesh.supports, "TrafficPolicy.colour": 1},
            "TrafficPolicy.colour, which is no feature",
        ),
        ("translate", None, "translate is no function"),
        ("translate", lambda unit: unit, "translate does not take (unit, meshes, facts)"),
    ],
)
def test_every_member_is_looked_at(member: str, value: Any, told: str) -> None:
    module = StrangersTranslator()
    setattr(module, member, value)
    assert any(told in one for one in faults("stranger", module))


def test_a_table_with_a_gap_is_refused() -> None:
    module = StrangersTranslator()
    table: Any = {
        name: support for name, support in FakeMesh.supports.items() if name != "TrafficPolicy.timeout"
    }
    module.supports = table
    assert list(faults("stranger", module)) == ["supports says nothing of TrafficPolicy.timeout"]
