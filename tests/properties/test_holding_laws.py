"""Laws of held units over histories in which policies, names and what is held change, and ledgers of an older
version are taken over: what is a held unit's stays; all else comes to what is wanted."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from msgspec import Struct

from gitmesh.model.objects import ObjectKey
from gitmesh.planning.options import Memo
from tests.properties.history import ledger_of
from tests.unit.test_holding import Renaming, older
from tests.unit.test_pipeline import PipelineWorld, slow

SERVICES = ("ratings", "reviews", "s00")
ALWAYS = "s01"
"""Always acted on: a revision without policies changes nothing."""


class HoldingMoment(Struct, frozen=True):
    """One cycle: Services that policies act on, those whose routing is held, what ends the names of objects,
    and whether the ledger was left by an older version."""

    acting: frozenset[str]
    held: frozenset[str]
    suffix: str
    older: bool


_SOME = st.frozensets(st.sampled_from(SERVICES))
MOMENTS = st.lists(
    st.builds(HoldingMoment, _SOME, _SOME, st.sampled_from(["", "-a", "-b"]), st.booleans()),
    min_size=1,
    max_size=6,
)


def _of(world: PipelineWorld, service: str) -> dict[ObjectKey, bytes]:
    """The live objects that were written for a Service."""
    return {key: one.body for key, one in world.east.objects.items() if key.name.split("-")[0] == service}


def _play(world: PipelineWorld, moment: HoldingMoment) -> None:
    commit = world.commit(*(slow(f"p-{name}", name) for name in sorted({ALWAYS, *moment.acting})))
    world.mesh.suffix, world.mesh.held, world.memo = moment.suffix, moment.held, Memo()
    world.run(approve=frozenset({commit}))


@given(MOMENTS)
def test_what_is_a_held_units_stays_and_all_else_comes_to_what_is_wanted(
    moments: list[HoldingMoment],
) -> None:
    world = PipelineWorld(mesh=Renaming())
    _play(world, HoldingMoment(frozenset(), frozenset(), "", False))
    for moment in moments:
        before = {name: _of(world, name) for name in SERVICES}
        if moment.older:
            older(world)
        _play(world, moment)
        holding = moment.held & moment.acting
        for name in SERVICES:
            wanted = {f"{name}{moment.suffix}"} if name in moment.acting else set()
            found = _of(world, name)
            if name in holding:
                assert found == before[name]
            elif moment.older and holding:
                assert wanted <= {key.name for key in found} <= wanted | {key.name for key in before[name]}
            else:
                assert {key.name for key in found} - _unknown(world) == wanted


def _unknown(world: PipelineWorld) -> set[str]:
    """Objects of which it is still not known whose they are."""
    entries = ledger_of(world.east)[0].entries
    return {key.name for key, entry in entries.items() if not entry.units}
