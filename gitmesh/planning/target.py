"""Which revision of each source is in force: the tip if it is good, else the last good one. Pure."""

from __future__ import annotations

from functools import reduce
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from gitmesh.model.ledger import Ledger


def last_good(source: str, ledgers: Iterable[Ledger], descends: Callable[[str, str], bool], *, known: str = "") -> str:
    """The newest commit that any cluster's ledger accepted, or that is `known`; "" if none. A cluster that was down lags behind."""
    commits = sorted({known, *(ledger.sources.get(source, "") for ledger in ledgers)} - {""})
    return reduce(lambda best, sha: sha if not best or descends(sha, best) else best, commits, "")


def is_forward(tip: str, accepted: str, descends: Callable[[str, str], bool], *, allow_rewind: bool) -> bool:
    """Whether a tip may replace the accepted commit (design law 3). A plain folder has no history."""
    return not tip or not accepted or tip == accepted or allow_rewind or descends(tip, accepted)
