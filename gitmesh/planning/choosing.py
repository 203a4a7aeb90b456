"""From the sources to the policies in force: the tips where they are good, the last good revisions where they
are not.

Static errors refuse a source's whole revision (docs/concepts.md#what-an-error-holds). Called by pipeline
only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gitmesh.diagnostics import Diagnostic, Severity, finding
from gitmesh.errors import GoneError, SourceError
from gitmesh.parsing.parse import duplicates, parse
from gitmesh.planning.agreeing import blamed_fallbacks, culprits
from gitmesh.planning.candidates import VACANT, Candidate, vacancy, vacancy_hold, whole
from gitmesh.planning.revisions import Revisions, Terms, with_excerpts
from gitmesh.planning.target import Proven, evidence, is_forward
from gitmesh.resolution.check import check

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, MutableMapping, Sequence

    from gitmesh.model.ledger import Ledger
    from gitmesh.model.snapshot import Snapshot
    from gitmesh.ports import Source


def choose(
    sources: Sequence[Source],
    ledgers: Iterable[Ledger],
    terms: Terms,
    *,
    parsed: MutableMapping[Any, Any],
    remembered: MutableMapping[str, str],
) -> Revisions:
    """Fetch every source and decide which of its revisions is in force.

    `remembered` is what was accepted of each source in this process, for clusters that keep no ledger.
    """
    return _Choice(sources, tuple(ledgers), terms, parsed, remembered).revisions()


class _Choice:
    """One decision over all sources, and what was said on the way."""

    def __init__(
        self,
        sources: Sequence[Source],
        ledgers: tuple[Ledger, ...],
        terms: Terms,
        parsed: MutableMapping[Any, Any],
        remembered: MutableMapping[str, str],
    ) -> None:
        self.candidates = [Candidate(source) for source in sources]
        self.ledgers, self.terms, self.parsed, self.remembered = ledgers, terms, parsed, remembered
        self.diagnostics: list[Diagnostic] = []
        self.approved: dict[str, str] = {}

    def revisions(self) -> Revisions:
        for candidate in self.candidates:
            self._tip(candidate)
        self._agree()
        for candidate in self.candidates:
            self._tell_refused(candidate)
            self._accept(candidate)
        return self._decided()

    def _tip(self, candidate: Candidate) -> None:
        """Fetch and parse the tip; refuse it where it cannot be in force."""
        source, terms = candidate.source, self.terms
        try:
            candidate.tip = source.fetch()
        except SourceError as error:
            self._say("GM601", str(error), source, detail=error.detail, hint=error.hint)
        rewinds = source.name in terms.allow_rewind
        tip, mine = candidate.tip, self.remembered.get(source.name, "")
        known = evidence(source, self.ledgers, mine, seen=tip is not None, allow_rewind=rewinds)
        if tip is not None and not tip.commit:
            # A folder is no later state of anything: ledgers name what is of a repository that was before.
            known = Proven()
        candidate.last = known.last
        if tip is not None and not terms.review:
            self._ignore(known, source)
        if tip is None:
            self._fall_back(candidate)
        elif not terms.review and known.contested and not rewinds:
            candidate.refused = True
            self._contest(known, source)
        elif not terms.review and not is_forward(
            tip.commit, candidate.last, source.descends, allow_rewind=rewinds
        ):
            self._say(
                "GM602",
                f"the tip {tip.commit[:12]} does not descend from the accepted {candidate.last[:12]}",
                source,
            )
            self._fall_back(candidate)
        else:
            self._consider(candidate, tip)

    def _contest(self, known: Proven, source: Source) -> None:
        """What ledgers say that the branch does not bear out, for which the tip is held."""
        for commit in known.contested:
            text = (
                f"a ledger says that {commit[:12]} was accepted, which the branch does not lead to, and no"
                " record here bears it out"
            )
            self._say("GM606", f"{text}: the branch or the ledger was rewritten, and the tip is held", source)

    def _ignore(self, known: Proven, source: Source) -> None:
        """What ledgers say that the record here does not bear out either."""
        for commit in known.ignored:
            text = (
                f"a ledger says that {commit[:12]} was accepted, which neither the branch nor the record here"
                " bears out"
            )
            self._say("GM606", f"{text}; it counts for nothing", source, warning=True)

    def _consider(self, candidate: Candidate, tip: Snapshot) -> None:
        """Put the tip in force, unless it is wrong in itself."""
        said = self._take(candidate, tip)
        self.diagnostics += with_excerpts(said, self._chosen)
        if any(diagnostic.is_error for diagnostic in said):
            self._refuse(candidate)

    def _take(self, candidate: Candidate, snapshot: Snapshot) -> list[Diagnostic]:
        """Choose a revision; everything that is wrong in it."""
        candidate.chosen = snapshot
        candidate.policies, said = parse(snapshot, ignore=self.terms.ignore, cache=self.parsed)
        empty = [] if any(one.is_error for one in said) else self._vacant(candidate, snapshot)
        candidate.vacant = tuple(path for path, _ in empty)
        return [*said, *(diagnostic for _, diagnostic in empty)]

    def _vacant(self, candidate: Candidate, snapshot: Snapshot) -> list[tuple[str, Diagnostic]]:
        """Configured paths without a policy in them: a folder that is missing is no order to delete what came
        from it.
        """
        homes = {policy.location.path for policy in candidate.policies}
        found = []
        for path, files in (snapshot.paths or {"": tuple(file.path for file in snapshot.files)}).items():
            if not homes.isdisjoint(files):
                continue
            hold = vacancy_hold(snapshot.source, path)
            # A review holds nothing, so there is nothing yet that anybody could approve.
            diagnostic = vacancy(snapshot, path, bool(files), "" if self.terms.review else hold)
            if self.terms.consents(snapshot.commit) or hold in self.terms.approved:
                self.approved[hold] = diagnostic.message
            else:
                found.append((path, diagnostic))
        return found

    def _refuse(self, candidate: Candidate) -> None:
        candidate.refused = True
        if self.terms.review or candidate.tip is None:
            return
        candidate.wrong = True
        self._fall_back(candidate)

    def _tell_refused(self, candidate: Candidate) -> None:
        """Say of a tip that is wrong what is in force in its place, once that is decided."""
        if candidate.tip is None or not candidate.wrong:
            return
        if not candidate.tip.commit:
            text = (
                "the folder is refused as it is; it has no older revision to go back to, so what is live"
                " stays as it is"
            )
            self._say("GM605", text, candidate.source)
            return
        text = f"revision {candidate.tip.commit[:12]} is refused; {_instead(candidate, candidate.tip)}"
        self._say("GM605", text, candidate.source)

    def _fall_back(self, candidate: Candidate) -> None:
        """Put the last good revision in force, if it still is one: a ledger's word alone makes none."""
        candidate.refused = True
        candidate.withdraw()
        if self.terms.review or not candidate.last:
            candidate.lost = self._was_a_folder(candidate)
            return
        try:
            snapshot = candidate.source.read(candidate.last)
        except SourceError as error:
            candidate.lost = True
            text = f"the last good revision {candidate.last[:12]} cannot be read: {error}"
            if isinstance(error, GoneError) or candidate.tip is not None:
                self._say("GM606", text, candidate.source, detail=error.detail)
            return
        wrong = next(
            (one for one in self._take(candidate, snapshot) if one.is_error and one.code != VACANT), None
        )
        if wrong is not None:
            self._disown(candidate, wrong)

    def _was_a_folder(self, candidate: Candidate) -> bool:
        """Whether a plain folder was in force before, which nobody can read again as it was."""
        tip, name = candidate.tip, candidate.source.name
        return tip is not None and not tip.commit and any(name in ledger.sources for ledger in self.ledgers)

    def _disown(self, candidate: Candidate, wrong: Diagnostic) -> None:
        """A last good revision that today's checks refuse is in force no more; what is live stays."""
        candidate.withdraw()
        candidate.lost = True
        text = (
            f"the last good revision {candidate.last[:12]} does not pass the checks of today ({wrong.code} at"
            f" {wrong.at or 'the whole'})"
        )
        self._say(
            "GM606", f"{text}, so nothing of this source is in force", candidate.source, detail=wrong.message
        )

    def _agree(self) -> None:
        """Checks across policies: refuse the tips that break them, until what is left agrees."""
        while True:
            said = self._contradictions(self.candidates)
            guilty = culprits(self.candidates, said, self._contradictions)
            errors = [one for one in said if one.is_error]
            if guilty:
                self.diagnostics += with_excerpts(errors, self._chosen)
                for candidate in guilty:
                    self._refuse(candidate)
            elif not self.terms.review and (fallen := blamed_fallbacks(self.candidates, errors)):
                for candidate, wrong in fallen:
                    self._disown(candidate, wrong)
            else:
                self.diagnostics += said if self.terms.review else [one for one in said if not one.is_error]
                return

    @property
    def _chosen(self) -> Mapping[str, Snapshot]:
        """The revisions whose policies are looked at now. Findings on a tip keep its lines: where it is
        refused, the same lines of what is in force instead may say something else."""
        return {one.source.name: one.chosen for one in self.candidates if one.chosen is not None}

    def _contradictions(self, members: Iterable[Candidate]) -> tuple[Diagnostic, ...]:
        policies = [policy for candidate in members for policy in candidate.policies]
        return (*duplicates(policies), *check(policies, self.terms.clusters))

    def _accept(self, candidate: Candidate) -> None:
        """Remember what is in force, in this process and, where clusters are written, in the source's own
        record.
        """
        chosen, source = candidate.chosen, candidate.source
        if chosen is None or candidate.refused:
            return
        self.remembered[source.name] = chosen.commit
        if not self.terms.record:
            return
        try:
            source.accept(chosen.commit)
        except SourceError as error:
            self._say(
                "GM601",
                f"that {chosen.commit[:12]} was accepted could not be recorded: {error}",
                source,
                warning=True,
            )

    def _say(
        self, code: str, text: str, source: Source, *, detail: str = "", hint: str = "", warning: bool = False
    ) -> None:
        severity = Severity.WARNING if warning else None
        self.diagnostics.append(
            finding(code, text, at=whole(source.name), detail=detail, hint=hint, severity=severity)
        )

    def _decided(self) -> Revisions:
        candidates = self.candidates
        policies = sorted(
            (p for c in candidates for p in c.policies),
            key=lambda p: (p.kind, p.namespace, p.name, str(p.location)),
        )
        return Revisions(
            policies=tuple(policies),
            sources={candidate.source.name: candidate.result for candidate in candidates},
            chosen=self._chosen,
            diagnostics=tuple(self.diagnostics),
            absent=frozenset(
                c.source.name for c in candidates if c.chosen is None or (c.refused and c.vacant)
            ),
            lost=any(candidate.lost for candidate in candidates),
            in_force=any(candidate.chosen is not None for candidate in candidates),
            approved=self.approved,
        )


def _instead(candidate: Candidate, tip: Snapshot) -> str:
    """What is in force in place of a tip that is wrong."""
    if not candidate.last:
        return "nothing was in force before, so nothing is applied"
    if candidate.chosen is None or not candidate.policies:
        return "nothing of this source is in force"
    # The very revision that was good before, where the configuration has a wrong path since.
    same = candidate.last == tip.commit
    return "what it says elsewhere stays in force" if same else f"{candidate.last[:12]} stays in force"
