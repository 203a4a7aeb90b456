"""Changes for which one write is not enough, or that wait a tick: what the translators say of them (design
law 2). Called by diff; no I/O.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from gitmesh.diagnostics import Diagnostic, finding
from gitmesh.model.objects import canonical, decode
from gitmesh.model.plan import Action, Change

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from gitmesh.model.objects import ObjectKey
    from gitmesh.planning.scenery import Scenery
    from gitmesh.ports import Step, Versions


class Staging:
    """The steps of one plan, and the findings on those that wait."""

    def __init__(self, scenery: Scenery) -> None:
        self.scenery = scenery
        self.diagnostics: list[Diagnostic] = []

    def steps(self, changed: Sequence[Change]) -> list[Change]:
        """The writes as they are carried out."""
        answers: dict[ObjectKey, tuple[Step, ...]] = {}
        for _, translator in sorted(self.scenery.translators.items()):
            mine = [change for change in changed if self.scenery.writers.get(change.key[:2]) is translator]
            if mine:
                pairs = {
                    c.key: (decode(c.before) if c.before else None, decode(c.body) if c.body else None)
                    for c in mine
                }
                answers.update(translator.steps(pairs, self._versions_of))
        return [step for change in changed for step in self._of(change, answers.get(change.key))]

    def _versions_of(self, group: str, kind: str) -> Iterator[Versions]:
        live, before = self.scenery.observed.live, self.scenery.before
        for key in sorted(key for key in live.keys() | before.keys() if key[:2] == (group, kind)):
            lives = (live.get(key), *before.get(key, ()))
            if any(lives):
                yield tuple(decode(one.body) if one else None for one in lives)

    def _of(self, change: Change, steps: Sequence[Step] | None) -> list[Change]:
        if steps is None:
            return [change]
        return [
            self._stepped(change, step, last=number == len(steps)) for number, step in enumerate(steps, 1)
        ]

    def _stepped(self, change: Change, step: Step, *, last: bool) -> Change:
        if step.spec is None:
            self._say(change, step)
            return replace(change, action=Action.KEEP, body=None, note=step.note, staged=True)
        body = canonical({**decode(change.body or change.before), "spec": step.spec})
        more = last and body != change.body
        if more:
            self._say(change, step)
        action = Action.UPDATE if change.action is Action.DELETE else change.action
        given = {"body": body, "phase": step.phase, "note": step.note, "staged": more}
        return replace(change, action=action, settled=step.settled, **given)

    def _say(self, change: Change, step: Step) -> None:
        self.diagnostics.append(staged(change, step.note, self.scenery.cluster))


def staged(row: Change, note: str, cluster: str) -> Diagnostic:
    """The finding on a change that takes more than one tick."""
    policy = row.policies[0] if row.policies else ""
    return finding("GM406", f"{row.key} in {cluster}: {note}", policy=policy, cluster=cluster)
