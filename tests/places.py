"""The places that must know a field of a TrafficPolicy, for whoever adds one (CONTRIBUTING.md)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from gitmesh.model.features import FEATURES
from gitmesh.model.naming import camel
from gitmesh.model.traffic import CONNECTION_FIELDS, REQUEST_FIELDS, TrafficPolicySpec
from tests.contract.samples import SAMPLES
from tests.rendered import translators
from tests.soundness.unified_routing import CONNECTION, OTHERS, ROUTING

ROOT = Path(__file__).parents[1]
_SELECTING = frozenset({"destinations", "sources", "matches", "priority"})
"""Fields that say what a policy acts on, and decide nothing themselves."""
_READ = frozenset((*ROUTING, *OTHERS, *CONNECTION, "headers"))


def _has(names: Iterator[str] | tuple[str, ...] | Mapping[str, object], field: str) -> bool:
    feature = f"TrafficPolicy.{field}"
    return any(name == feature or name.startswith(f"{feature}.") for name in names)


def _in_page(page: str) -> Callable[[str], bool]:
    text = (ROOT / page).read_text(encoding="utf-8")
    return lambda field: f"`spec.{field}`" in text or f"TrafficPolicy.{field}" in text


def _decided(field: str) -> bool:
    return field in {camel(name) for name in (*REQUEST_FIELDS, *CONNECTION_FIELDS)}


PLACES: Mapping[str, Callable[[str], bool]] = {
    "gitmesh/model/traffic.py": _decided,
    "gitmesh/model/features.py": lambda field: _has(FEATURES, field),
    "translators/istio/gitmesh_istio/support.py": lambda field: all(
        _has(tuple(one.supports), field) for one in translators().values()
    ),
    "tests/contract/samples.py": lambda field: _has(tuple(SAMPLES), field),
    "tests/soundness/unified_routing.py": lambda field: field in _READ,
    "docs/kinds/trafficpolicy.md": _in_page("docs/kinds/trafficpolicy.md"),
    "docs/proof.md": _in_page("docs/proof.md"),
}
"""By file: whether it knows a field. The last two are printed, by `make docs` and from tests/e2e/cases."""


def lacking(model: type[TrafficPolicySpec]) -> list[tuple[str, str]]:
    """(file, field) wherever a field of the model is forgotten."""
    fields = [camel(name) for name in model.model_fields if name not in _SELECTING]
    return [(place, field) for field in fields for place, knows in PLACES.items() if not knows(field)]
