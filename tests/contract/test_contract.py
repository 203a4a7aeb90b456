"""Every installed translator keeps every clause of the contract, and so do honest ones of other meshes, be it
one that only routes; one that lies is found out by the clause that it breaks."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from gitmesh.model.features import FEATURES
from gitmesh.plugins import load_translators
from gitmesh.ports import Translator
from tests.contract.clauses import CLAUSES
from tests.contract.honest_mesh import LIARS, HonestMesh, RoutingMesh
from tests.contract.owning import OWNERS, OWNING_LIARS
from tests.contract.samples import SAMPLES
from tests.contract.scene import Subject

TRANSLATORS: dict[str, Translator] = {
    **load_translators(),
    "honest": HonestMesh(),
    "router": RoutingMesh(),
    **{mesh.name: mesh for mesh in OWNERS},
}
FOUND_OUT = (*LIARS, *OWNING_LIARS)


def test_every_feature_has_a_sample() -> None:
    assert set(FEATURES) == set(SAMPLES)


@pytest.mark.parametrize("clause", CLAUSES.values(), ids=CLAUSES)
@pytest.mark.parametrize("translator", TRANSLATORS.values(), ids=TRANSLATORS)
def test_every_clause_is_kept(translator: Translator, clause: Callable[[Subject], None]) -> None:
    clause(Subject(translator))


@pytest.mark.parametrize(("liar", "clause"), FOUND_OUT, ids=lambda one: getattr(one, "__name__", one))
def test_who_lies_is_found_out(liar: type[HonestMesh], clause: str) -> None:
    with pytest.raises((AssertionError, KeyError)):
        CLAUSES[clause](Subject(liar()))


def test_every_clause_finds_somebody_out() -> None:
    assert {clause for _, clause in FOUND_OUT} == set(CLAUSES)
