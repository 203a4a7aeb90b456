"""What stays of policies that are all gone, since what it is for is held (design law 1): the findings that
hold it are on other policies, and name neither the object nor whom it goes on to admit. Called by pipeline;
no I/O.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gitmesh.diagnostics import Diagnostic, Severity, finding, first_of
from gitmesh.model.admission import Effect
from gitmesh.model.objects import decode
from gitmesh.model.plan import Action
from gitmesh.model.units import MeshUnit
from gitmesh.planning.electing import Writers
from gitmesh.planning.ownership import policies_known

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from gitmesh.model.ledger import Entry
    from gitmesh.model.manifests import Build
    from gitmesh.model.plan import Change
    from gitmesh.model.report import ClusterResult
    from gitmesh.ports import Translator

_MOST_NAMED = 5


def remaining(
    in_force: Collection[str], results: Mapping[str, ClusterResult], translators: Mapping[str, Translator]
) -> Iterator[Diagnostic]:
    """A finding on each held object that is live and that no policy `in_force` is behind. Of a cluster that
    is in doubt that is said already."""
    for result in results.values():
        if result.plan and result.build and result.ledger and not result.build.doubtful:
            entries, built = result.ledger.entries, result.build
            writers = Writers(translators, built.meshes, entries, built.manifests)
            for change in (one for one in result.plan.changes if _is_held(one, built)):
                behind = policies_known(change.policies, entries.get(change.key))
                if behind.isdisjoint(in_force):
                    admits = _may_admit(change, built, writers)
                    yield _told(change, behind, entries.get(change.key), built, admits=admits)


def _is_held(change: Change, built: Build) -> bool:
    is_wanted = change.key in built.manifests or change.key in built.stays
    return change.action is Action.HELD and change.key in built.held and bool(change.before) and not is_wanted


def _may_admit(change: Change, built: Build, writers: Writers) -> bool:
    """Whether it may admit callers whom nobody admits: only a default of Deny refuses them."""
    refuses = any(
        isinstance(unit, MeshUnit) and unit.access_default and unit.access_default.value == "Deny"
        for unit in built.units
    )
    return (
        refuses
        and change.decides == "access"
        and writers[change.key].effect(None, decode(change.before)) is not Effect.NARROWS
    )


def _told(
    change: Change, behind: Collection[str], entry: Entry | None, built: Build, *, admits: bool
) -> Diagnostic:
    text = (
        f"{change.key} in {built.cluster} stays as it is, though what it comes from is gone"
        f" ({first_of(sorted(behind), _MOST_NAMED)}): {_held_for(change, entry, built)}"
    )
    text += "; it may admit callers whom no policy admits" if admits else ""
    severity = Severity.ERROR if admits else None
    return finding("GM414", text, cluster=built.cluster, severity=severity)


def _held_for(change: Change, entry: Entry | None, built: Build) -> str:
    """What is held, of which it is, or may be."""
    if mine := sorted({str(unit) for unit in (entry.units if entry else ()) if unit in built.held_units}):
        return f"errors hold {first_of(mine, _MOST_NAMED)}"
    maybe = sorted({str(unit) for unit in built.held_units if unit.namespace == change.key.namespace})
    return f"it is not known what it is for, and errors hold {first_of(maybe, _MOST_NAMED)}"
