"""From the sources to the policies in force: the tips where they are good, the last good revisions where they are not.

Static errors refuse a source's whole revision (api.md, What an error holds back). Called by pipeline only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec import Struct
from msgspec.structs import replace

from gitmesh.diagnostics import Diagnostic, Location, finding
from gitmesh.errors import SourceError
from gitmesh.model.report import SourceResult
from gitmesh.parsing.parse import duplicates, parse
from gitmesh.planning.target import is_forward, last_good
from gitmesh.resolution.check import check

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, MutableMapping, Sequence

    from gitmesh.model.ledger import Ledger
    from gitmesh.model.policies import Policy
    from gitmesh.model.snapshot import Snapshot
    from gitmesh.ports import Source


class Revisions(Struct, frozen=True, kw_only=True):
    """What the sources say together.

    `settled` is false where a source has nothing in force: its objects are unknown, so nothing may be deleted.
    `lost` is true where a last good revision cannot be read any more, or two of them claim one name: then nothing may be
    planned, and nothing new is accepted.
    """

    policies: tuple[Policy, ...] = ()
    sources: Mapping[str, SourceResult] = {}
    snapshots: Mapping[str, Snapshot] = {}
    diagnostics: tuple[Diagnostic, ...] = ()
    settled: bool = True
    lost: bool = False

    @property
    def in_force(self) -> bool:
        """Whether any revision is: an instance that never read a good one has no opinion on any object."""
        return not self.lost and any(not result.refused or result.accepted for result in self.sources.values())

    @property
    def accepted(self) -> Mapping[str, str]:
        """Source -> commit in force."""
        return {name: result.accepted for name, result in self.sources.items()}


class _Candidate(Struct):
    """One source on its way to a decision."""

    source: Source
    last: str
    tip: Snapshot | None = None
    chosen: Snapshot | None = None
    policies: tuple[Policy, ...] = ()
    refused: bool = False
    lost: bool = False


def choose(
    sources: Sequence[Source],
    ledgers: Iterable[Ledger],
    *,
    clusters: Mapping[str, Mapping[str, str]],
    ignore: frozenset[str],
    allow_rewind: frozenset[str],
    review: bool,
    parsed: MutableMapping[Any, Any],
    remembered: MutableMapping[str, str],
) -> Revisions:
    """Fetch every source and decide which of its revisions is in force.

    In a review the tip is what is asked about: its errors are reported and nothing takes its place. `remembered`
    is the last good commit of each source in this process, for clusters that keep no ledger.
    """
    ledgers = tuple(ledgers)
    said: list[Diagnostic] = []
    candidates = [_Candidate(source, _last(source, ledgers, remembered, allow_rewind)) for source in sources]
    for candidate in candidates:
        said += _tip(candidate, allow_rewind, ignore, parsed, review)
    said += _agree(candidates, clusters, ignore, parsed, review)
    decided = _decided(candidates, said)
    if not decided.lost:
        remembered.update({c.source.name: c.chosen.commit for c in candidates if c.chosen is not None and not c.refused})
    return decided


def _last(source: Source, ledgers: tuple[Ledger, ...], remembered: Mapping[str, str], allow_rewind: frozenset[str]) -> str:
    """The last good commit. A cluster that was away may know an older one than this process does, so the newest counts
    (reliability, property 11); where rewinds are allowed, the latest that was accepted."""
    mine = remembered.get(source.name, "")
    if mine and source.name in allow_rewind:
        return mine
    return last_good(source.name, ledgers, source.descends, known=mine)


def _tip(
    candidate: _Candidate, allow_rewind: frozenset[str], ignore: frozenset[str], parsed: MutableMapping[Any, Any], review: bool
) -> list[Diagnostic]:
    """Fetch and parse the tip; refuse it where it cannot be in force."""
    source = candidate.source
    here = _whole(source.name)
    try:
        tip = candidate.tip = source.fetch()
    except SourceError as error:
        said = [finding("GM601", str(error), at=here)]
        return said + _fall_back(candidate, ignore, parsed, review)
    if not review and not is_forward(tip.commit, candidate.last, source.descends, allow_rewind=source.name in allow_rewind):
        text = f"the tip {tip.commit[:12]} does not descend from the accepted {candidate.last[:12]}"
        return [finding("GM602", text, at=here), *_fall_back(candidate, ignore, parsed, review)]
    candidate.policies, said_of_tip = parse(tip, ignore=ignore, cache=parsed)
    candidate.chosen = tip
    said = list(said_of_tip)
    if any(diagnostic.is_error for diagnostic in said):
        said += _refuse(candidate, ignore, parsed, review)
    return said


def _refuse(candidate: _Candidate, ignore: frozenset[str], parsed: MutableMapping[Any, Any], review: bool) -> list[Diagnostic]:
    candidate.refused = True
    name, tip = candidate.source.name, candidate.tip
    if review or tip is None:
        return []
    instead = f"{candidate.last[:12]} stays in force" if candidate.last else "nothing was in force before, so nothing is applied"
    here = _whole(name)
    refusal = finding("GM605", f"revision {tip.commit[:12] or 'of the folder'} is refused; {instead}", at=here)
    return [refusal, *_fall_back(candidate, ignore, parsed, review)]


def _fall_back(candidate: _Candidate, ignore: frozenset[str], parsed: MutableMapping[Any, Any], review: bool) -> list[Diagnostic]:
    """Put the last good revision in force. Its findings were reported when it was the tip."""
    candidate.refused, candidate.chosen, candidate.policies = True, None, ()
    if review or not candidate.last:
        return []
    name = candidate.source.name
    try:
        candidate.chosen = candidate.source.read(candidate.last)
    except SourceError as error:
        candidate.lost = True
        text = f"the last good revision {candidate.last[:12]} cannot be read: {error}"
        return [finding("GM606", text, at=_whole(name))]
    candidate.policies, _ = parse(candidate.chosen, ignore=ignore, cache=parsed)
    return []


def _agree(
    candidates: list[_Candidate],
    clusters: Mapping[str, Mapping[str, str]],
    ignore: frozenset[str],
    parsed: MutableMapping[Any, Any],
    review: bool,
) -> list[Diagnostic]:
    """Checks across policies: refuse the tips that break them, until what is left agrees."""

    def contradictions(members: Iterable[_Candidate]) -> tuple[Diagnostic, ...]:
        policies = [policy for candidate in members for policy in candidate.policies]
        return (*duplicates(policies), *check(policies, clusters))

    reported: list[Diagnostic] = []
    while True:
        said = contradictions(candidates)
        culprits = _culprits(candidates, said, contradictions)
        if not culprits:
            return [*reported, *(d for d in said if not d.is_error or review)]
        reported += [d for d in said if d.is_error]
        for candidate in culprits:
            reported += _refuse(candidate, ignore, parsed, review)


def _culprits(
    candidates: list[_Candidate], said: Iterable[Diagnostic], contradictions: Callable[[Iterable[_Candidate]], Iterable[Diagnostic]]
) -> list[_Candidate]:
    """Whose tips to refuse: those that the findings stand in. But where that is a revision in force already, going back to it
    mends nothing, and the new tips without which there is no finding are to blame (reliability P01: the owner never changes)."""
    errors = [d for d in said if d.is_error and d.at is not None]
    blamed = {d.at.source for d in errors if d.at is not None}
    standing = [c for c in candidates if not c.refused]
    moved = [c for c in standing if not c.last or c.chosen is None or c.chosen.commit != c.last]
    if errors and not any(c.source.name in blamed for c in moved):
        without = {c.source.name: {d.sort_key() for d in contradictions(o for o in candidates if o is not c)} for c in moved}
        guilty = [c for c in moved if any(d.sort_key() not in without[c.source.name] for d in errors)]
        if guilty:
            return guilty
    return [c for c in moved if c.source.name in blamed] or [c for c in standing if c.source.name in blamed]


def _whole(source: str) -> Location:
    """A source as a whole, for findings that no line is to blame for."""
    return Location(source=source, path="", line=0, column=0)


def _decided(candidates: list[_Candidate], said: list[Diagnostic]) -> Revisions:
    policies = sorted((p for c in candidates for p in c.policies), key=lambda p: (p.kind, p.namespace, p.name, str(p.location)))
    lost = any(candidate.lost for candidate in candidates) or bool(duplicates(policies))
    results = {
        candidate.source.name: SourceResult(
            name=candidate.source.name,
            seen=candidate.tip.commit if candidate.tip else "",
            accepted=candidate.last if lost else candidate.chosen.commit if candidate.chosen else "",
            refused=candidate.refused,
            unavailable=candidate.tip is None,
        )
        for candidate in candidates
    }
    return Revisions(
        policies=tuple(policies),
        sources=results,
        snapshots={c.source.name: c.tip for c in candidates if c.tip is not None},
        diagnostics=tuple(said),
        settled=all(candidate.chosen is not None for candidate in candidates),
        lost=lost,
    )


def with_excerpts(diagnostics: Iterable[Diagnostic], snapshots: Mapping[str, Snapshot]) -> tuple[Diagnostic, ...]:
    """Give each finding the line of the file that it points to, for a terminal's caret."""
    lines: dict[tuple[str, str], list[str]] = {}
    files = {(name, file.path): file for name, snapshot in snapshots.items() for file in snapshot.files}

    def excerpt(at: Location | None) -> str:
        file = files.get((at.source, at.path)) if at else None
        if at is None or file is None:
            return ""
        if (at.source, at.path) not in lines:
            lines[at.source, at.path] = file.content.decode("utf-8", "replace").split("\n")
        found = lines[at.source, at.path]
        return found[at.line - 1].rstrip("\r") if at.line <= len(found) else ""

    return tuple(replace(d, excerpt=excerpt(d.at)) if d.at and not d.excerpt else d for d in diagnostics)
