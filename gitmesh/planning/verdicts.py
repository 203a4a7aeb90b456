"""What the meshes say of our objects: what was refused, what they warn of or call an error, and what they let
stand.

A verdict is about the content that we want. An object that still differs from it, or was only just written,
has none yet. No state of its own: when content was written stands on the object, and what was said of that
write in the ledger, so an agent that restarts, and one that runs a single time, come to the same answers.
"""

from __future__ import annotations

from functools import cached_property
from math import inf
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from gitmesh.diagnostics import Diagnostic, finding
from gitmesh.model.plan import Action, Live, Observed, Outcome, Plan
from gitmesh.model.report import MeshStatus, Verdict
from gitmesh.planning.electing import Writers
from gitmesh.planning.ownership import blame

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, MutableMapping

    from gitmesh.model.ledger import Ledger
    from gitmesh.model.manifests import Build
    from gitmesh.model.objects import ObjectKey
    from gitmesh.ports import Translator

REFUSED = "GM505"
"""The code of a write that the schema, a rule or a webhook refused. What may pass at the next attempt has it
too, and is retryable.
"""
TAKEN_WITH_WARNING = "the API server took it with a warning"
_LONGEST = 512
_CODES: Mapping[Verdict, str] = {Verdict.REJECTED: "GM511", Verdict.WARNED: "GM512"}
_UNKNOWN, _ACCEPTED = (Verdict.UNKNOWN, ""), (Verdict.ACCEPTED, "")


class Evidence(Struct, frozen=True, kw_only=True):
    """What verdicts are made of: one cycle's inputs, its plan and outcomes, and the ledger after them."""

    built: Build
    observed: Observed
    plan: Plan
    outcomes: tuple[Outcome, ...]
    ledger: Ledger

    def is_same(self, other: Evidence) -> bool:
        """Whether nothing moved: the very same values."""
        pairs = (
            (self.built, other.built),
            (self.observed, other.observed),
            (self.plan, other.plan),
            (self.ledger, other.ledger),
        )
        return not self.outcomes and not other.outcomes and all(one is two for one, two in pairs)


class Verdicts(Struct, frozen=True, kw_only=True):
    """`of` answers for each wanted object that is there or was refused. At `due`, by the cluster's clock, an
    answer changes though nothing else does (inf = never)."""

    of: Mapping[ObjectKey, tuple[Verdict, str]]
    findings: tuple[Diagnostic, ...]
    due: float


_NOBODY = Verdicts(of={}, findings=(), due=inf)


def verdicts(
    evidence: Evidence,
    translators: Mapping[str, Translator],
    clock: Callable[[], float] | None,
    memo: MutableMapping[Any, Any],
) -> Verdicts:
    """The verdicts at the time of the cluster's own clock (None = nothing runs there); the last ones again
    while nothing moved.
    """
    # A directory cluster has no mesh behind it: silence there is no consent.
    if clock is None:
        return _NOBODY
    found = memo.get("verdicts")
    # Nothing moved, but time may have turned a silence into consent.
    if found is not None and evidence.is_same(found[0]) and clock() < found[1].due:
        last: Verdicts = found[1]
        return last
    made = _Judge(evidence, translators, clock, memo).verdicts()
    memo["verdicts"] = (evidence, made)
    return made


class _Judge:
    """The evidence, indexed by object. What was heard of an object is remembered for as long as neither it
    nor the meshes moved.
    """

    def __init__(
        self,
        evidence: Evidence,
        translators: Mapping[str, Translator],
        clock: Callable[[], float],
        memo: MutableMapping[Any, Any],
    ) -> None:
        self.built, self.live, self.ledger, self.clock = (
            evidence.built,
            evidence.observed.live,
            evidence.ledger,
            clock,
        )
        self.writers = Writers(translators, self.built.meshes, self.ledger.entries, self.built.manifests)
        self.refused = {o.key: o.message for o in evidence.outcomes if _is_refusal(o)}
        self.written = {outcome.key for outcome in evidence.outcomes if outcome.ok}
        self.unsettled = {
            change.key
            for change in evidence.plan.changes
            if change.action is not Action.KEEP or change.staged
        }
        meshes, heard = memo.get("heard", ((), {}))
        self.known: Mapping[ObjectKey, tuple[Live, MeshStatus]] = heard if meshes == self.built.meshes else {}
        self.heard: dict[ObjectKey, tuple[Live, MeshStatus]] = {}
        memo["heard"] = (self.built.meshes, self.heard)
        self.findings: list[Diagnostic] = []
        self.due = inf

    @cached_property
    def now(self) -> float:
        """One time for all; asked for only where something is still silent."""
        return self.clock()

    def verdicts(self) -> Verdicts:
        wanted = (
            key
            for key in self.built.manifests
            if key in self.live or key in self.written or key in self.refused
        )
        of = {key: self._of(key) for key in wanted}
        return Verdicts(of=of, findings=tuple(self.findings), due=self.due)

    def _of(self, key: ObjectKey) -> tuple[Verdict, str]:
        # The refusal first: what the object's status says is about the content that was there before.
        if key in self.refused:
            return Verdict.REJECTED, self.refused[key]
        # A status read before this write is about other content; only the answer to the write itself
        # counts.
        if key in self.written:
            return self._warned(key) or _UNKNOWN
        if key in self.unsettled:
            return _UNKNOWN
        live = self.live[key]
        heard = self._heard(live)
        if heard.verdict in _CODES:
            self._say(
                _CODES[heard.verdict],
                key,
                brief(heard.reason) or "the status of the object says so",
                heard.text,
            )
        warned = self._warned(key)
        if warned and heard.verdict is not Verdict.REJECTED:
            return warned
        return (
            self._silent(live, heard.silence)
            if heard.verdict is Verdict.UNKNOWN
            else (heard.verdict, brief(heard.text))
        )

    def _silent(self, live: Live, seconds: float | None) -> tuple[Verdict, str]:
        """Nothing was said against it: after a while that is consent, where there is somebody who would
        object.
        """
        # By the time that stands on the object and not by ours, so that a restart does not begin to wait
        # anew.
        if seconds is None or not live.written:
            return _UNKNOWN
        end = live.written + seconds
        if self.now >= end:
            return _ACCEPTED
        self.due = min(self.due, end)
        return _UNKNOWN

    def _warned(self, key: ObjectKey) -> tuple[Verdict, str] | None:
        """What the cluster said when it took the last write."""
        entry = self.ledger.entries.get(key)
        if entry is None or not entry.warnings:
            return None
        words = "; ".join(entry.warnings)
        self._say("GM510", key, TAKEN_WITH_WARNING, words)
        return Verdict.WARNED, brief(words)

    def _heard(self, live: Live) -> MeshStatus:
        found = self.known.get(live.key)
        if found is None or found[0] is not live:
            found = (live, self.writers[live.key].verdict(live, self.built.meshes))
        self.heard[live.key] = found
        return found[1]

    def _say(self, code: str, key: ObjectKey, text: str, words: str) -> None:
        """A finding at the line of the policy behind an object: what is known, and the words of whoever says
        so as its detail.
        """
        manifest, cluster = self.built.manifests[key], self.built.cluster
        behind = blame(manifest.policies, manifest.fields.values())
        mesh = self.built.mesh_of(manifest)
        said = finding(
            code, f"{key} in {cluster}: {text}", cluster=cluster, mesh=mesh, detail=brief(words), **behind
        )
        self.findings.append(said)


def _is_refusal(outcome: Outcome) -> bool:
    return (
        not outcome.ok
        and not outcome.retryable
        and outcome.code == REFUSED
        and outcome.action is not Action.DELETE
    )


def brief(text: str) -> str:
    """A mesh's words as one printable line."""
    line = " ".join("".join(ch if ch.isprintable() else " " for ch in text[: 4 * _LONGEST]).split())
    return line if len(line) <= _LONGEST else f"{line[: _LONGEST - 3]}..."
