"""What is printed of a comparison, and the exit code that it ends with."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gitmesh.cli import console, options
from gitmesh.cli.comparing import Compared
from gitmesh.cli.exits import CLEAN, DIFFERENT, FAILED, FINDINGS, fails

if TYPE_CHECKING:
    from gitmesh.model.comparison import Comparison


def answer(
    found: Compared,
    form: str,
    *,
    color: bool | None,
    fail_on: str,
    full: bool = False,
    access_only: bool = False,
) -> int:
    """Print the comparison, or what is left of it where only access was asked for; the exit code."""
    from gitmesh.cli import annotating
    from gitmesh.cli.output import dumped
    from gitmesh.render.comment import comparison_markdown
    from gitmesh.render.comparisons import comparison_document, comparison_text

    if form == "text":
        paint = console.paint_for(color)
        console.data(
            comparison_text(
                found.comparison, drift=found.drift, full=full, access_only=access_only, paint=paint
            ),
            paint,
        )
    elif form in options.ANNOTATIONS:
        annotating.show(found.comparison.appeared, form, found.sources)
    elif form == "markdown":
        console.data(
            comparison_markdown(
                found.comparison,
                limit=COMMENT_ROOM,
                whole="`gitmesh diff --base` with `-o json`",
                drift=found.drift,
            )
        )
    else:
        console.document(dumped(comparison_document(found.comparison, drift=found.drift), form))
    return exit_code_of(found.comparison, fail_on)


COMMENT_ROOM = 65_536
"""Characters of a comment that every forge takes."""


def exit_code_of(found: Comparison, fail_on: str) -> int:
    """3 where a cluster is unknown or the base could not be read, 2 for errors of head, 1 where something
    changes, else 0.
    """
    # First of all, since of what is unknown nobody can say that nothing changes.
    if any(one.unknown for one in found.clusters.values()):
        return FAILED
    if fails((*found.appeared, *found.standing), fail_on):
        return FINDINGS
    return DIFFERENT if any(one.changes for one in found.clusters.values()) else CLEAN
