"""How far a count may be from its expectation before chance is no explanation: exact binomial bounds."""

from __future__ import annotations

import math

FALSE_ALARM = 1e-6
"""How often a row of shares may fail although every share is as it should be."""


def binomial_bounds(trials: int, share: float, false_alarm: float = FALSE_ALARM) -> tuple[int, int]:
    """The least and the most successes of `trials` that are believed of a probability `share` (0-1).

    Each side is wrong with at most half of `false_alarm`, summed from the exact distribution.
    """
    weights = [_probability(trials, count, share) for count in range(trials + 1)]
    return _cut(weights, false_alarm / 2), trials - _cut(weights[::-1], false_alarm / 2)


def _probability(trials: int, count: int, share: float) -> float:
    if share in (0.0, 1.0):
        return float(count == trials * share)
    ways = math.lgamma(trials + 1) - math.lgamma(count + 1) - math.lgamma(trials - count + 1)
    return math.exp(ways + count * math.log(share) + (trials - count) * math.log1p(-share))


def _cut(weights: list[float], most: float) -> int:
    """How many of the first counts are together rarer than `most`."""
    total = 0.0
    for count, weight in enumerate(weights):
        total += weight
        if total > most:
            return count
    return len(weights)
