"""One source on its way to a decision, and the paths of it that hold no policy. Called by choosing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from gitmesh.diagnostics import Diagnostic, Location, finding, hold_id
from gitmesh.model.report import SourceResult

if TYPE_CHECKING:
    from gitmesh.model.policies import Policy
    from gitmesh.model.snapshot import Snapshot
    from gitmesh.ports import Source

VACANT = "GM110"
"""Of a configured path without a policy in it."""


class Candidate(Struct):
    """One source on its way to a decision. `vacant` are the configured paths that the chosen revision has
    nothing in; `wrong`: the tip was looked at and refused for what it says."""

    source: Source
    last: str = ""
    tip: Snapshot | None = None
    chosen: Snapshot | None = None
    policies: tuple[Policy, ...] = ()
    vacant: tuple[str, ...] = ()
    refused: bool = False
    wrong: bool = False
    lost: bool = False

    def withdraw(self) -> None:
        """Have nothing of the source in force."""
        self.chosen, self.policies, self.vacant = None, (), ()

    @property
    def result(self) -> SourceResult:
        """What was decided of the source, for the report."""
        return SourceResult(
            name=self.source.name,
            seen=self.tip.commit if self.tip else "",
            accepted=self.chosen.commit if self.chosen else "",
            refused=self.refused,
            unavailable=self.tip is None,
        )


def vacancy_hold(source: str, path: str) -> str:
    """The id of the hold for a path that holds no policy."""
    return hold_id(source, "vacant", path)


def vacancy(snapshot: Snapshot, path: str, has_files: bool, hold: str) -> Diagnostic:
    """The finding on a path that holds no policy, with the hold that ends it; "" where nothing is held."""
    where = f"path {path}" if path else "the whole of it"
    commit = f"commit {snapshot.commit[:12]}" if snapshot.commit else "the folder"
    what = (
        "holds no policy, though there are files in it"
        if has_files
        else "is not there, or holds no policy file"
    )
    consent = (
        f", or, where its policies are to go, gitmesh sync --approve-prune {snapshot.commit[:12]}"
        if snapshot.commit
        else ""
    )
    return finding(
        VACANT,
        f"source {snapshot.source}: {where} {what} in {commit}",
        at=whole(snapshot.source),
        hint=f"Put it back, or take it out of the source's paths{consent}",
        hold=hold,
    )


def whole(source: str) -> Location:
    """A source as a whole, for findings that no line is to blame for."""
    return Location(source=source, path="", line=0, column=0)
