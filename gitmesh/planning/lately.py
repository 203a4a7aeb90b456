"""What was written so lately that a proxy may still work by what was there before. In memory alone: it ends
with the time that proxies take to learn.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from collections.abc import MutableMapping, Sequence

    from gitmesh.model.objects import ObjectKey
    from gitmesh.model.plan import Live, Observed, Outcome
    from gitmesh.planning.converge import Cycle
    from gitmesh.ports import Cluster

Written: TypeAlias = "tuple[tuple[float, ObjectKey, Live | None], ...]"
"""(when, object, what it was before: None where it was not there)."""


def remember_writes(
    cluster: Cluster,
    outcomes: Sequence[Outcome],
    observed: Observed,
    cycle: Cycle,
    memo: MutableMapping[Any, Any],
) -> None:
    """Keep what was where we wrote, for as long as a proxy may work by it; also where something was perhaps
    written.
    """
    keys = sorted({outcome.key for outcome in outcomes})
    if keys:
        done = cycle.clock()
        memo["written"] = (
            *written_over(cluster, cycle.now, memo),
            *((done, key, observed.live.get(key)) for key in keys),
        )


def lately(
    cluster: Cluster, now: float, memo: MutableMapping[Any, Any]
) -> tuple[tuple[ObjectKey, Live | None], ...]:
    """Our objects there that a proxy may not know as they are, each as it was before."""
    return tuple((key, live) for _, key, live in written_over(cluster, now, memo))


def written_over(cluster: Cluster, now: float, memo: MutableMapping[Any, Any]) -> Written:
    """What was written over so lately that a proxy may not know, oldest first; the same tuple again while
    that is the same.
    """
    known: Written = memo.get("written", ())
    if any(now - at >= cluster.settle for at, _, _ in known):
        known = memo["written"] = tuple(row for row in known if now - row[0] < cluster.settle)
    return known
