"""The only place where the steps meet. Every entry point is a call of `run` with another `until`.

commit -> Snapshot -> Policies -> (+ Facts) -> Units -> Manifests -> (+ live, ledger) -> Plan -> Outcomes ->
Report
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from msgspec.structs import replace

from gitmesh.diagnostics import Diagnostic, in_order
from gitmesh.model.facts import ClusterFacts
from gitmesh.model.manifests import Build
from gitmesh.model.report import ClusterResult, Report, Stage, State
from gitmesh.planning.asking import FleetReading
from gitmesh.planning.build import build, dropped
from gitmesh.planning.choosing import choose
from gitmesh.planning.converge import Cycle, converge
from gitmesh.planning.elsewhere import Elsewhere, OtherCluster
from gitmesh.planning.guard import consent_of
from gitmesh.planning.lately import lately
from gitmesh.planning.options import Memo, Options
from gitmesh.planning.remaining import remaining
from gitmesh.planning.remembering import known_meshes
from gitmesh.planning.revisions import Revisions, Terms, with_excerpts
from gitmesh.planning.withheld import left, withheld
from gitmesh.ports import Cluster, Fleet, Publisher, Source, Translator
from gitmesh.reasoning.together import shown_together
from gitmesh.resolution.resolve import resolve
from gitmesh.resolution.selection import rolling_labels
from gitmesh.status.bearing import in_states


def quiet(_text: str) -> None:
    """Progress that nobody watches."""


def unknown_time() -> float:
    """Nobody tells the time."""
    return 0.0


def untold(_diagnostic: Diagnostic) -> None:
    """Findings that nobody wants before the report."""


def run(
    sources: Sequence[Source],
    fleet: Fleet,
    translators: Mapping[str, Translator],
    *,
    until: Stage,
    options: Options,
    memo: Memo,
    clock: Callable[[], float],
    wall: Callable[[], float] = unknown_time,
    publishers: Sequence[Publisher] = (),
    progress: Callable[[str], None] = quiet,
    tell: Callable[[Diagnostic], None] = untold,
) -> Report:
    """One cycle. Never raises for users' mistakes or the world's failures: both are findings in the report.

    `clock` is a monotonic clock in seconds; it decides durations, and when proxies have had the time to take
    up a write. `wall` is the time in seconds since the epoch (0 = not known), for the age of holds alone.
    `tell` hears each finding at the end of the step that made it.
    """
    cycle = _Run(sources, fleet, translators, until, options, memo, clock, wall, progress, tell)
    report = cycle.report()
    for publisher in publishers:
        report = publisher.publish(report)
    return report


class _Run:
    """One cycle's inputs, and what has been said and read so far."""

    def __init__(
        self,
        sources: Sequence[Source],
        fleet: Fleet,
        translators: Mapping[str, Translator],
        until: Stage,
        options: Options,
        memo: Memo,
        clock: Callable[[], float],
        wall: Callable[[], float],
        progress: Callable[[str], None],
        tell: Callable[[Diagnostic], None],
    ) -> None:
        self.wall = wall
        self.sources, self.fleet, self.translators = sources, fleet, translators
        self.until, self.options, self.memo, self.clock, self.progress, self.tell = (
            until,
            options,
            memo,
            clock,
            progress,
            tell,
        )
        self.diagnostics: list[Diagnostic] = []
        self.seconds: dict[str, float] = {}
        self.read = FleetReading(fleet, translators, options.instance, memo, self.diagnostics)

    def report(self) -> Report:
        with self._phase("fetch", "reading the sources"):
            revisions = self._revisions()
        # A review ends here: of a revision that is refused nothing would be written, so there is nothing to
        # compare.
        refused = self.options.review and any(result.refused for result in revisions.sources.values())
        if self.until is Stage.PARSE or refused:
            return self._finish(revisions, {})
        # Without policies in force the desired state is unknown, not empty: planned on, everything of ours
        # would be deleted.
        if not revisions.in_force:
            return self._finish(revisions, self._untouched(revisions))
        with self._phase("discover", "reading the clusters"):
            facts = self.read.facts(rolling_labels(revisions.policies))
        with self._phase("build", "translating the policies"):
            builds = self._builds(revisions, facts)
        with self._phase("converge", "comparing with the clusters"):
            results = self._results(revisions, facts, builds)
        return self._finish(revisions, results)

    def _finish(self, revisions: Revisions, results: Mapping[str, ClusterResult]) -> Report:
        return Report(
            instance=self.options.instance,
            until=self.until,
            sources=revisions.sources,
            policies=revisions.policies,
            clusters=results,
            diagnostics=with_excerpts(in_order(self.diagnostics), revisions.chosen),
            seconds=dict(self.seconds),
        )

    @contextmanager
    def _phase(self, name: str, text: str) -> Iterator[None]:
        self.progress(text)
        began, told = self.clock(), len(self.diagnostics)
        yield
        self.seconds[name] = self.clock() - began
        for diagnostic in self.diagnostics[told:]:
            self.tell(diagnostic)

    def _revisions(self) -> Revisions:
        if self.until >= Stage.PLAN:
            self.read.load()
        terms = Terms(
            clusters=self.options.clusters,
            ignore=self.options.ignore,
            allow_rewind=self.options.allow_rewind,
            review=self.options.review,
            approved=self.read.approved_everywhere(),
            consented=self.options.approve | frozenset(self.options.prune.approved),
            record=self.until is Stage.APPLY,
        )
        revisions = choose(
            self.sources, self.read.ledgers(), terms, parsed=self.memo.parsed, remembered=self.memo.accepted
        )
        self.diagnostics += revisions.diagnostics
        return revisions

    def _is_planned(self, name: str) -> bool:
        """Whether this run compares the cluster with its build."""
        return (
            self.until >= Stage.PLAN
            and name in self.read.stored
            and (not self.options.only or name in self.options.only)
        )

    def _builds(self, revisions: Revisions, facts: Mapping[str, ClusterFacts | None]) -> Mapping[str, Build]:
        """The desired objects; the last ones again while neither policies nor facts moved."""
        inputs = (*revisions.policies, *facts.values())
        found = self.memo.desired.get("last")
        if (
            found is None
            or len(found[0]) != len(inputs)
            # By identity: policies and facts are the same objects as long as they did not change, and
            # comparing them by value would cost as much as building.
            or any(old is not new for old, new in zip(found[0], inputs, strict=True))
        ):
            found = self.memo.desired["last"] = (inputs, *self._build(revisions, facts))
        # Of a cluster that is another one than before, that is what is told.
        self.diagnostics += [
            one for one in found[2] if one.code != "GM216" or one.cluster not in self.read.changed
        ]
        builds: Mapping[str, Build] = found[1]
        return builds

    def _build(
        self, revisions: Revisions, facts: Mapping[str, ClusterFacts | None]
    ) -> tuple[Mapping[str, Build], tuple[Diagnostic, ...]]:
        resolution = resolve(
            revisions.policies, facts, self.options.clusters, self.memo.resolved, self.translators
        )
        builds, said = build(resolution, facts, self.translators, self.options.instance, self.memo.built)
        together = (one for name in builds for one in shown_together(_known(facts[name]), builds[name]))
        all_said = (*resolution.diagnostics, *said, *together)
        # Where facts are missing, what has no object may have its Service in what was not read.
        if all(known is not None and known.complete for known in facts.values()):
            all_said = (*all_said, *dropped(revisions.policies, builds, [*self.diagnostics, *all_said]))
        return builds, (*all_said, *withheld(revisions.policies, builds, [*self.diagnostics, *all_said]))

    def _results(
        self, revisions: Revisions, facts: Mapping[str, ClusterFacts | None], builds: Mapping[str, Build]
    ) -> dict[str, ClusterResult]:
        results = {name: _unplanned(name, facts[name], builds.get(name)) for name in facts}
        wanted = frozenset(filter(self._is_planned, builds))
        for name, (result, said) in self.read.asked(
            self._converger(revisions, facts, builds), wanted
        ).items():
            results[name] = result
            self.diagnostics += said
            if result.ledger is not None:
                self.memo.ledgers[name] = result.ledger
        self.diagnostics += left(revisions.policies, results, self.diagnostics)
        if not revisions.absent:  # else what is gone is not known
            self.diagnostics += remaining(revisions.homes.keys(), results, self.translators)
        results = dict(in_states(results, self.diagnostics))
        # Last: such a cluster may have a build of its last facts, but nothing of it was written.
        for name in self.read.unreachable:
            results[name] = replace(
                results[name], state=State.HELD if name in self.read.changed else State.UNREACHABLE
            )
        return dict(sorted(results.items()))

    def _untouched(self, revisions: Revisions) -> dict[str, ClusterResult]:
        """Without any revision in force the clusters are left exactly as they are."""
        waiting = State.HELD if revisions.lost else State.PENDING
        silent = self.read.unreachable - self.read.changed
        states = {
            name: State.UNREACHABLE if name in silent else waiting for name in sorted(self.fleet.clusters)
        }
        return {name: ClusterResult(name=name, state=state) for name, state in states.items()}

    def _elsewhere(self, builds: Mapping[str, Build]) -> Elsewhere:
        """What the clusters are to each other, as this cycle read them."""
        now = self.clock()
        found = {
            name: OtherCluster(
                built=builds.get(name),
                observed=None if name in self.read.unreachable else self.read.observed.get(name),
                stored=self.read.stored.get(name),
                lately=lately(cluster, now, self.memo.of(name)),
            )
            for name, cluster in self.fleet.clusters.items()
        }
        return Elsewhere(clusters=found, translators=self.translators)

    def _converger(
        self, revisions: Revisions, facts: Mapping[str, ClusterFacts | None], builds: Mapping[str, Build]
    ) -> Callable[[Cluster], tuple[ClusterResult, tuple[Diagnostic, ...]]]:
        cycle = Cycle(
            translators=self.translators,
            revisions=revisions,
            consent=consent_of(revisions, self.options),
            apply=self.until is Stage.APPLY,
            now=self.clock(),
            clock=self.clock,
            wall=int(self.wall()),
            meshes={
                name: known_meshes(known, self.translators)
                for name, known in facts.items()
                if known is not None
            },
            holding=tuple(one for one in self.diagnostics if one.hold),
            observed=self.read.observed,
            elsewhere=self._elsewhere(builds),
        )

        def work(cluster: Cluster) -> tuple[ClusterResult, tuple[Diagnostic, ...]]:
            return converge(
                cluster,
                _known(facts[cluster.name]),
                builds[cluster.name],
                self.read.stored[cluster.name],
                cycle,
                self.memo.of(cluster.name),
            )

        return work


def _known(facts: ClusterFacts | None) -> ClusterFacts:
    """Those of a cluster with a build, which exists only where facts do."""
    assert facts is not None
    return facts


def _unplanned(name: str, facts: ClusterFacts | None, built: Build | None) -> ClusterResult:
    """A cluster for which nothing was planned in this run."""
    state = State.UNREACHABLE if facts is None else State.HELD if built and built.holds else State.PENDING
    return ClusterResult(name=name, state=state, facts=facts, build=built)
