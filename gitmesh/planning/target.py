"""Which revision of each source is in force: the tip if it is good, else the last good one. Pure.

A ledger is evidence, no authority: whoever may write one cluster could name any commit in it, an unmerged one
among them. What it names counts only where the branch itself leads to it, or where we have recorded by
ourselves that we accepted it (docs/design.md#ledger).
"""

from __future__ import annotations

from functools import reduce
from typing import TYPE_CHECKING

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from gitmesh.model.ledger import Ledger
    from gitmesh.ports import Source


class Proven(Struct, frozen=True, kw_only=True):
    """`last` is the newest commit that was accepted ("" if none is known). Of the commits that ledgers name
    and that the branch does not lead to, `contested` are those that make it unsafe to go on, as nothing of
    our own says what was accepted; `ignored` count for nothing."""

    last: str = ""
    contested: tuple[str, ...] = ()
    ignored: tuple[str, ...] = ()


def evidence(
    source: Source, ledgers: Iterable[Ledger], mine: str, *, seen: bool, allow_rewind: bool
) -> Proven:
    """What is known to have been accepted of a source. `mine` is what this process accepted; `seen`: the
    branch was just read.

    A cluster that was away may know an older commit than this process does, so the newest counts
    (design law 3); where rewinds are allowed, the latest that was accepted. A record on disk may
    be older than what another machine accepted meanwhile: while the branch cannot be read it does not
    outweigh the ledgers.
    """
    recorded = mine or source.accepted()
    # Where history may be rewritten, descent proves nothing: our own record is all there is.
    if recorded and allow_rewind:
        return Proven(last=recorded)
    named = sorted({ledger.sources.get(source.name, "") for ledger in ledgers} - {"", recorded})
    proven = [commit for commit in named if source.leads_to(commit)]
    strange = tuple(commit for commit in named if commit not in proven)
    # A record on disk vouches only while the branch was read as well: another machine may have accepted
    # more since, and its ledger then names what this one has never seen.
    if strange and not (recorded if seen else mine):
        return Proven(contested=strange)
    return Proven(last=newest([recorded, *proven] if recorded else proven, source.descends), ignored=strange)


def newest(commits: Iterable[str], descends: Callable[[str, str], bool]) -> str:
    """The first commit, or one that comes after it; "" of none."""
    return reduce(lambda best, sha: sha if not best or descends(sha, best) else best, commits, "")


def is_forward(tip: str, accepted: str, descends: Callable[[str, str], bool], *, allow_rewind: bool) -> bool:
    """Whether a tip may replace the accepted commit (design law 3). A plain folder has no history."""
    return not tip or not accepted or tip == accepted or allow_rewind or descends(tip, accepted)
