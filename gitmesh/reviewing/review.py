"""One review: both revisions through the one pipeline, with the same facts of every cluster."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from msgspec import Struct
from msgspec.structs import replace

from gitmesh.model.comparison import Comparison
from gitmesh.model.report import Report, Stage
from gitmesh.pipeline import quiet, run
from gitmesh.planning.options import Memo, Options
from gitmesh.ports import Fleet, Source, Translator
from gitmesh.reviewing.compare import compare


class Sides(Struct, frozen=True, kw_only=True):
    """The sources as they are at base, and as they are at head: the one that is compared, and the others as
    they stand.
    """

    base: Sequence[Source]
    head: Sequence[Source]


class Ground(Struct, frozen=True, kw_only=True):
    """What both revisions are judged by. `fleet` holds facts that do not move between two readings; `facts`
    tells people where they come from; `enforced` says of each configured cluster whether GitMesh writes it.
    """

    fleet: Fleet
    translators: Mapping[str, Translator]
    options: Options
    enforced: Mapping[str, bool]
    facts: str = ""


def review(
    sides: Sides,
    ground: Ground,
    *,
    clock: Callable[[], float],
    memo: Memo | None = None,
    progress: Callable[[str], None] = quiet,
) -> Comparison:
    """What changes from base to head. A revision with errors is no failure: it is what the comparison
    says.
    """
    # One for both sides: what does not differ between them is made once.
    shared = memo or Memo()
    options = replace(ground.options, review=True)

    def built(sources: Sequence[Source]) -> Report:
        return run(
            sources,
            ground.fleet,
            ground.translators,
            until=Stage.BUILD,
            options=options,
            memo=shared,
            clock=clock,
            progress=progress,
        )

    return compare(
        built(sides.base), built(sides.head), enforced=ground.enforced, facts=ground.facts, tick=clock
    )
