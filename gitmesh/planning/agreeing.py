"""Policies of several sources that contradict each other: whose revisions are to blame. For choosing."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from gitmesh.diagnostics import Diagnostic
    from gitmesh.planning.candidates import Candidate


def blamed_fallbacks(
    candidates: Iterable[Candidate], errors: Sequence[Diagnostic]
) -> list[tuple[Candidate, Diagnostic]]:
    """Older revisions in force that errors stand in, each with one of them."""
    blamed = {error.at.source: error for error in reversed(errors) if error.at is not None}
    fallen = [c for c in candidates if c.refused and c.chosen is not None]
    return [
        (candidate, blamed[candidate.source.name]) for candidate in fallen if candidate.source.name in blamed
    ]


def culprits(
    candidates: list[Candidate],
    said: Iterable[Diagnostic],
    contradictions: Callable[[Iterable[Candidate]], Iterable[Diagnostic]],
) -> list[Candidate]:
    """Whose tips to refuse: those that the findings stand in. But where that is a revision in force already,
    going back to it mends nothing, and the new tips without which there is no finding are to blame
    (docs/reliability.md P01: the owner never changes).
    """
    errors = [d for d in said if d.is_error and d.at is not None]
    blamed = {d.at.source for d in errors if d.at is not None}
    standing = [c for c in candidates if not c.refused]
    moved = [c for c in standing if not c.last or c.chosen is None or c.chosen.commit != c.last]
    if errors and not any(c.source.name in blamed for c in moved):
        without = {
            c.source.name: {d.sort_key() for d in contradictions(o for o in candidates if o is not c)}
            for c in moved
        }
        guilty = [c for c in moved if any(d.sort_key() not in without[c.source.name] for d in errors)]
        if guilty:
            return guilty
    return [c for c in moved if c.source.name in blamed] or [c for c in standing if c.source.name in blamed]
