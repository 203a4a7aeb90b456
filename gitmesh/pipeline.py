"""The only place where the steps meet. Every entry point is a call of `run` with another `until`.

commit -> Snapshot -> Policies -> (+ Facts) -> Units -> Manifests -> (+ live, ledger) -> Plan -> Outcomes ->
Report
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, MutableMapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

from msgspec import Struct, field
from msgspec.structs import replace

from gitmesh.diagnostics import Diagnostic, finding, in_order
from gitmesh.discovery.naming import unusable_names
from gitmesh.errors import ClusterError
from gitmesh.model.config import PruneConfig
from gitmesh.model.facts import ClusterFacts, Remembered
from gitmesh.model.ledger import Ledger, Stored
from gitmesh.model.manifests import Build
from gitmesh.model.objects import ApiKind
from gitmesh.model.plan import Observed
from gitmesh.model.policies import Policy
from gitmesh.model.report import ClusterResult, Report, Stage, State
from gitmesh.model.virtualmesh import AdoptionSpec
from gitmesh.planning.build import build, dropped
from gitmesh.planning.choosing import choose
from gitmesh.planning.converge import Cycle, converge, kinds_of, lately
from gitmesh.planning.elsewhere import Elsewhere, OtherCluster
from gitmesh.planning.guard import Consent
from gitmesh.planning.remaining import remaining
from gitmesh.planning.remembering import known_elsewhere, known_meshes, remembered
from gitmesh.planning.revisions import Revisions, Terms, with_excerpts
from gitmesh.planning.strangers import asked_before, told_apart, whose
from gitmesh.planning.withheld import left, withheld
from gitmesh.ports import Cluster, Fleet, Publisher, Source, Translator
from gitmesh.reasoning.detours import detours
from gitmesh.reasoning.probes import cut_off
from gitmesh.reasoning.unfollowed import unfollowed
from gitmesh.resolution.resolve import resolve
from gitmesh.resolution.selection import rolling_labels
from gitmesh.status.bearing import in_states


class Options(Struct, frozen=True, kw_only=True):
    """What a run is asked to do, beside its inputs. `clusters` are all configured clusters with their labels.

    `review`: the tip itself is asked about, so its errors are the answer and no older revision takes its
    place. `only`: plan and apply these clusters only (empty = all); facts of the others are still read, as
    identities need them.
    """

    instance: str = "default"
    clusters: Mapping[str, Mapping[str, str]] = {}
    prune: PruneConfig = field(default_factory=PruneConfig)
    approve: frozenset[str] = frozenset()
    ignore: frozenset[str] = frozenset()
    allow_rewind: frozenset[str] = frozenset()
    review: bool = False
    only: frozenset[str] = frozenset()


class Memo(Struct):
    """What one process remembers between runs. All of it can be lost: only time is lost with it."""

    parsed: MutableMapping[Any, Any] = {}
    accepted: MutableMapping[str, str] = {}
    facts: MutableMapping[str, ClusterFacts] = {}
    ledgers: MutableMapping[str, Ledger] = {}
    resolved: MutableMapping[Any, Any] = {}
    built: MutableMapping[Any, Any] = {}
    desired: MutableMapping[str, Any] = {}
    clusters: MutableMapping[str, MutableMapping[Any, Any]] = {}

    def of(self, cluster: str) -> MutableMapping[Any, Any]:
        """The part of one cluster, so that clusters at work at the same time share nothing."""
        return self.clusters.setdefault(cluster, {})


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
        self.stored: dict[str, Stored] = {}
        self.observed: dict[str, Observed] = {}
        self.unreachable: set[str] = set()
        self.changed: set[str] = set()

    def report(self) -> Report:
        with self._phase("fetch", "reading the sources"):
            revisions = self._revisions()
        refused = self.options.review and any(result.refused for result in revisions.sources.values())
        if self.until is Stage.PARSE or refused:
            return self._finish(revisions, {})
        if not revisions.in_force:
            return self._finish(revisions, self._untouched(revisions))
        with self._phase("discover", "reading the clusters"):
            facts = self._facts(rolling_labels(revisions.policies))
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

    # --- the steps

    def _revisions(self) -> Revisions:
        if self.until >= Stage.PLAN:
            self.stored = self._asked(lambda cluster: cluster.load(self.options.instance))
        terms = Terms(
            clusters=self.options.clusters,
            ignore=self.options.ignore,
            allow_rewind=self.options.allow_rewind,
            review=self.options.review,
            approved=self._approved_everywhere(),
            consented=self.options.approve | frozenset(self.options.prune.approved),
            record=self.until is Stage.APPLY,
        )
        revisions = choose(
            self.sources, self._ledgers(), terms, parsed=self.memo.parsed, remembered=self.memo.accepted
        )
        self.diagnostics += revisions.diagnostics
        return revisions

    def _ledgers(self) -> list[Ledger]:
        return [found.ledger for found in self.stored.values()]

    def _approved_everywhere(self) -> frozenset[str]:
        """The holds of sources that count as ended: who may write one cluster decides nothing for the others,
        not even while those do not answer."""
        written = [name for name, cluster in self.fleet.clusters.items() if cluster.enforce]
        if not written or not self.stored.keys() >= set(written):
            return frozenset()
        return frozenset.intersection(*(self.stored[name].ledger.approved for name in written))

    def _asked(self, work: Callable[[Cluster], Any], names: frozenset[str] | None = None) -> dict[str, Any]:
        """Answers of the clusters at work; one that fails is reported once and not asked again in this
        cycle.
        """
        names = frozenset(self.fleet.clusters) if names is None else names
        answers = self.fleet.each(work, sorted(names - self.unreachable))
        for name, answer in answers.items():
            if isinstance(answer, ClusterError):
                self._leave_out(name, changed=answer.code == "GM506")
                text = f"cluster {name}: {answer}"
                self.diagnostics.append(
                    finding(answer.code, text, cluster=name, hint=answer.hint, detail=answer.detail)
                )
        return {name: answer for name, answer in answers.items() if not isinstance(answer, ClusterError)}

    def _facts(self, named: frozenset[str]) -> dict[str, ClusterFacts | None]:
        """Fresh facts; the last known ones of a cluster that does not answer; None where nothing was ever
        known.

        `named` are labels by which policies select pods. After a restart its meshes are what the ledgers of
        the others remember: enough to know whose identities are whose.
        """
        fresh: dict[str, ClusterFacts] = {}
        for name, facts in self._asked(partial(self._read, named)).items():
            pinned = self.stored[name].ledger.cluster_uid if name in self.stored else ""
            if pinned and facts.uid and pinned != facts.uid:
                self._leave_out(name, changed=True)
                text = (
                    f"cluster {name} is not the one it was: its identity is {facts.uid}, the ledger says"
                    f" {pinned}"
                )
                self.diagnostics.append(finding("GM506", text, cluster=name))
            else:  # what another cluster says of its callers is no word on this one's
                fresh[name] = facts
        whole = self._asked(
            lambda cluster: self._observed(cluster, named, fresh[cluster.name]), frozenset(fresh)
        )
        self.memo.facts.update(whole)
        for name in fresh.keys() - whole.keys():
            self.memo.facts.setdefault(name, fresh[name])
        for _, facts in sorted({**fresh, **whole}.items()):
            self.diagnostics += _caveats(facts)
        found = {
            name: self.memo.facts.get(name) or self._recalled(name) for name in sorted(self.fleet.clusters)
        }
        self.diagnostics += unusable_names(
            {name: facts for name, facts in found.items() if facts is not None}
        )
        return found

    def _leave_out(self, name: str, *, changed: bool) -> None:
        """Ask a cluster nothing more in this cycle: it does not answer, or it did and is another one than the
        ledger knows.
        """
        self.unreachable.add(name)
        if changed:
            self.changed.add(name)

    def _read(self, named: frozenset[str], cluster: Cluster) -> ClusterFacts:
        facts = cluster.facts(self._remembered(cluster, named))
        cluster.prefetch(self._kinds(facts))
        return facts

    def _observed(self, cluster: Cluster, named: frozenset[str], facts: ClusterFacts) -> ClusterFacts:
        """The facts with what others wrote among the live objects; these are read once a cycle."""
        observed = self.observed[cluster.name] = cluster.observe(self._kinds(facts))
        stored = self.stored.get(cluster.name) or whose(cluster, self.options.instance)
        asked, memo = self._remembered(cluster, named), self.memo.of(cluster.name)
        return told_apart(cluster, asked, facts, observed, stored, self.translators, memo)

    def _kinds(self, facts: ClusterFacts) -> tuple[ApiKind, ...]:
        stored = self.stored.get(facts.cluster)
        return kinds_of(facts, self.translators, stored.ledger if stored else None)

    def _remembered(self, cluster: Cluster, named: frozenset[str]) -> Remembered:
        """What is known of a cluster from before: by its ledger, or, where none is written, by this process;
        and what is named of its pods.
        """
        stored = self.stored.get(cluster.name)
        own = stored.ledger if stored and stored.version else self.memo.ledgers.get(cluster.name)
        known = remembered(cluster.name, own, self._ledgers())
        return replace(known, named=named, selectors=asked_before(self.memo.of(cluster.name)))

    def _is_planned(self, name: str) -> bool:
        """Whether this run compares the cluster with its build."""
        return (
            self.until >= Stage.PLAN
            and name in self.stored
            and (not self.options.only or name in self.options.only)
        )

    def _recalled(self, name: str) -> ClusterFacts | None:
        known = known_elsewhere(name, self._ledgers())
        return ClusterFacts(cluster=name, complete=False, meshes=known) if known else None

    def _builds(self, revisions: Revisions, facts: Mapping[str, ClusterFacts | None]) -> Mapping[str, Build]:
        """The desired objects; the last ones again while neither policies nor facts moved."""
        inputs = (*revisions.policies, *facts.values())
        found = self.memo.desired.get("last")
        if (
            found is None
            or len(found[0]) != len(inputs)
            or any(old is not new for old, new in zip(found[0], inputs, strict=True))
        ):
            found = self.memo.desired["last"] = (inputs, *self._build(revisions, facts))
        # Of a cluster that is another one than before, that is what is told.
        self.diagnostics += [
            one for one in found[2] if one.code != "GM216" or one.cluster not in self.changed
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
        all_said = (*resolution.diagnostics, *said, *_seen_together(builds, facts))
        if all(known is not None and known.complete for known in facts.values()):
            all_said = (*all_said, *dropped(revisions.policies, builds, [*self.diagnostics, *all_said]))
        return builds, (*all_said, *withheld(revisions.policies, builds, [*self.diagnostics, *all_said]))

    def _results(
        self, revisions: Revisions, facts: Mapping[str, ClusterFacts | None], builds: Mapping[str, Build]
    ) -> dict[str, ClusterResult]:
        results = {name: _unplanned(name, facts[name], builds.get(name)) for name in facts}
        wanted = frozenset(filter(self._is_planned, builds))
        for name, (result, said) in self._asked(self._converger(revisions, facts, builds), wanted).items():
            results[name] = result
            self.diagnostics += said
            if result.ledger is not None:
                self.memo.ledgers[name] = result.ledger
        self.diagnostics += left(revisions.policies, results, self.diagnostics)
        if not revisions.absent:  # else what is gone is not known
            self.diagnostics += remaining(revisions.homes.keys(), results, self.translators)
        results = dict(in_states(results, self.diagnostics))
        for name in self.unreachable:
            results[name] = replace(
                results[name], state=State.HELD if name in self.changed else State.UNREACHABLE
            )
        return dict(sorted(results.items()))

    def _untouched(self, revisions: Revisions) -> dict[str, ClusterResult]:
        """Without any revision in force the clusters are left exactly as they are."""
        waiting = State.HELD if revisions.lost else State.PENDING
        silent = self.unreachable - self.changed
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
                observed=None if name in self.unreachable else self.observed.get(name),
                stored=self.stored.get(name),
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
            consent=_consent(revisions, self.options),
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
            observed=self.observed,
            elsewhere=self._elsewhere(builds),
        )

        def work(cluster: Cluster) -> tuple[ClusterResult, tuple[Diagnostic, ...]]:
            return converge(
                cluster,
                _known(facts[cluster.name]),
                builds[cluster.name],
                self.stored[cluster.name],
                cycle,
                self.memo.of(cluster.name),
            )

        return work


def _seen_together(
    builds: Mapping[str, Build], facts: Mapping[str, ClusterFacts | None]
) -> Iterator[Diagnostic]:
    """What only all units of a cluster together show."""
    for name, built in builds.items():
        yield from detours(_known(facts[name]), built)
        yield from cut_off(_known(facts[name]), built)
        yield from unfollowed(_known(facts[name]), built)


def _known(facts: ClusterFacts | None) -> ClusterFacts:
    """Those of a cluster with a build, which exists only where facts do."""
    assert facts is not None
    return facts


def _caveats(facts: ClusterFacts) -> Iterator[Diagnostic]:
    """What must be said of a reading."""
    for one in facts.caveats:
        if not one.approved:
            yield finding(
                one.code, one.text, cluster=facts.cluster, mesh=one.mesh, hint=one.hint, hold=one.hold
            )


def _unplanned(name: str, facts: ClusterFacts | None, built: Build | None) -> ClusterResult:
    """A cluster for which nothing was planned in this run."""
    state = State.UNREACHABLE if facts is None else State.HELD if built and built.holds else State.PENDING
    return ClusterResult(name=name, state=state, facts=facts, build=built)


def _consent(revisions: Revisions, options: Options) -> Consent:
    terms = Terms(consented=options.approve | frozenset(options.prune.approved))
    agreed = any(map(terms.consents, revisions.accepted.values()))
    prune = options.prune
    return Consent(
        max_percent=prune.max_percent,
        protect=prune.protect,
        prune_approved=agreed,
        adoptions=_adoptions(revisions.policies),
    )


def _adoptions(policies: Sequence[Policy]) -> dict[str, str]:
    """Object id -> the Adoption that names it."""
    return {
        text: policy.id
        for policy in policies
        if isinstance(policy.spec, AdoptionSpec)
        for text in policy.spec.objects
    }
