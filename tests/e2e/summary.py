"""The figures of a run of the suite: what is printed at its end, and what can be written as JSON."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from tests.e2e.stage import ArrivedChange
from tests.e2e.worlds.trying import TriedForReal, summed, sums

FILE_VARIABLE = "GITMESH_E2E_SUMMARY"
"""Environment variable that names the file to write the figures to."""


@dataclass
class SuiteSummary:
    """What the suite has done so far. `generated` are requests under random policies; `worlds` those that
    stood in the lab.
    """

    cases: int = 0
    requests: int = 0
    generated: int = 0
    disagreements: int = 0
    effects: list[ArrivedChange] = field(default_factory=list)
    worlds: list[TriedForReal] = field(default_factory=list)

    def figures(self) -> dict[str, Any]:
        """All figures; seconds are rounded to hundredths."""
        streamed = [one for effect in self.effects for one in effect.streamed]
        sent = {
            admitted: sum(one.tally.sent for one in streamed if one.watch.admitted is admitted)
            for admitted in (True, False)
        }
        return {
            "cases": self.cases,
            "requests": self.requests,
            "generatedRequests": self.generated,
            "disagreements": self.disagreements,
            "changes": len(self.effects),
            "commitToEffectSeconds": {
                name: _spread(getattr(effect.seconds, name) for effect in self.effects)
                for name in ("fetch", "apply", "proxies", "total")
            },
            "streamed": {
                "mustGetThrough": sent[True],
                "lost": sum(one.lost for one in streamed),
                "mustNotGetThrough": sent[False],
                "forbidden": sum(one.forbidden for one in streamed),
            },
            "worlds": {
                name: dict(counts)
                for name, counts in zip(("asked", "leftOut"), sums(self.worlds), strict=True)
            },
        }

    def text(self) -> str:
        """The figures for people."""
        said = self.figures()
        sent = f"requests {said['requests']} and {said['generatedRequests']} generated"
        lines = [f"cases {said['cases']}, {sent}, disagreements {said['disagreements']}"]
        for name, spread in said["commitToEffectSeconds"].items():
            lines.append(
                f"commit to effect, {name}: median {spread['median']:.2f} s, worst {spread['worst']:.2f} s"
            )
        streams = said["streamed"]
        lines.append(
            f"during {said['changes']} changes: {streams['lost']} of {streams['mustGetThrough']} requests"
            " lost"
        )
        lines.append(
            f"during {said['changes']} changes: {streams['forbidden']} of {streams['mustNotGetThrough']}"
            " forbidden ones through"
        )
        return "\n".join([*lines, *([summed(self.worlds)] if self.worlds else [])])

    def json(self) -> str:
        """The figures for programs."""
        return json.dumps(self.figures(), indent=2) + "\n"


def _spread(seconds: Iterable[float]) -> dict[str, float]:
    known = list(seconds) or [0.0]
    return {"median": round(statistics.median(known), 2), "worst": round(max(known), 2)}
