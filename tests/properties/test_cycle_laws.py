"""The laws of docs/design.md#laws that a whole cycle must hold, over made-up histories: commits, faults,
strangers, kills.

The machine runs the real pipeline with the real translator on clusters in memory. What the clusters should
hold is asked of a fresh process that sees only the revisions in force; every write and deletion is held to
that answer.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import invariant, precondition, rule, run_state_machine_as_test

from gitmesh.adapters.memory import MemoryCluster
from gitmesh.model.ledger import Ledger
from gitmesh.model.manifests import Build
from gitmesh.model.objects import ObjectKey, decode
from gitmesh.model.plan import Action, Change, Live
from gitmesh.model.report import Report, Stage, State
from gitmesh.model.snapshot import Snapshot
from gitmesh.pipeline import run
from gitmesh.planning.options import Memo
from gitmesh.planning.ownership import ADOPT, is_marked
from gitmesh.planning.rows import is_same
from tests.factories import snapshot_of
from tests.properties.cycle_world import WRITES, CycleWorld, Killed, Place
from tests.properties.history import (
    INSTANCE,
    NAMES,
    POOL,
    TRANSLATORS,
    Event,
    History,
    InOrder,
    desired,
    facts_of,
    ledger_of,
    options,
)

TICK = 300.0
"""Seconds between two cycles, so long that corrections are never taken for a fight."""
QUIET_WITHIN = 3
"""Cycles after which a system without faults must be as it should be."""
STAGES = 3
"""Further cycles for changes that go a step a cycle (design law 2), as long as the report says that they do.
"""


class Cycles(CycleWorld):
    """`tick` is the agent's cycle, and every check of a law stands beside it."""

    @rule()
    def tick(self) -> None:
        self.now += TICK
        self.events.clear()
        ledgers = {name: ledger_of(cluster) for name, cluster in self.clusters.items()}
        remembered = dict(self.memo.accepted)
        self._let_go_of_lookalikes(ledgers)
        objects = {name: dict(cluster.objects) for name, cluster in self.clusters.items()}
        try:
            self.report = self._cycle()
        except Killed:
            self._follow(objects, None, ledgers)
            self.memo = Memo()
            return
        finally:
            for cluster in self.clusters.values():
                cluster.be_up_to_date()
        self._check_acceptance(self.report, self._prior(ledgers, remembered))
        builds = self._oracle(self.report)
        self._check_writes(self.report, builds, ledgers)
        self._follow(objects, self.report, ledgers)
        self._check_no_orphan(self.report)

    def _cycle(self) -> Report:
        return run(
            tuple(self.sources.values()),
            self.fleet,
            TRANSLATORS,
            until=Stage.APPLY,
            options=options(),
            memo=self.memo,
            clock=lambda: self.now,
        )

    def _prior(
        self, ledgers: Mapping[str, tuple[Ledger, bool]], remembered: Mapping[str, str]
    ) -> dict[str, str]:
        """Source -> the newest commit that was accepted, as far as this process could know: from itself and
        the ledgers it read.
        """
        read = [ledgers[event.cluster][0] for event in self.events if event.operation == "load"]
        known = {
            name: [remembered.get(name, ""), *(ledger.sources.get(name, "") for ledger in read)]
            for name in self.sources
        }
        return {name: source.newest(known[name]) for name, source in self.sources.items()}

    def _let_go_of_lookalikes(self, ledgers: Mapping[str, tuple[Ledger, bool]]) -> None:
        """An object under our key with our very marks counts as ours while the ledger cannot tell: lost, or
        an intent.
        """
        for place, live in list(self.foreign.items()):
            ledger, readable = ledgers[place[0]]
            entry = ledger.entries.get(place[1])
            unknown = not readable or (entry is not None and entry.uid in ("", live.uid))
            if unknown and is_marked(live, place[0], INSTANCE):
                self.ours[place] = self.foreign.pop(place).uid

    def _oracle(self, report: Report) -> Mapping[str, Build]:
        accepted = {name: result.accepted for name, result in report.sources.items()}
        if not any(accepted.values()):
            return {}
        return desired(
            list(self.sources.values()),
            accepted,
            {n: r.facts for n, r in report.clusters.items()},
            self.oracle,
        )

    def _check_acceptance(self, report: Report, prior: Mapping[str, str]) -> None:
        """Design law 3: what is in force was verified, and only ever moves forward."""
        for name, result in report.sources.items():
            source = self.sources[name]
            if result.accepted:
                assert source.commits[result.accepted].good
                assert source.descends(result.accepted, prior[name]) or not prior[name]
            elif prior[name] and self._tip_is_no_help(name, prior[name]):
                assert source.store_lost, f"{name} forgot {prior[name]}"
        names = [policy.id for policy in report.policies]
        planned = any(result.plan for result in report.clusters.values())
        assert not planned or len(names) == len(set(names)), "one name from two sources"

    def _tip_is_no_help(self, name: str, prior: str) -> bool:
        source = self.sources[name]
        return source.down or not source.commits[source.tip].good or not source.descends(source.tip, prior)

    def _check_writes(
        self, report: Report, builds: Mapping[str, Build], ledgers: Mapping[str, tuple[Ledger, bool]]
    ) -> None:
        """Design laws 3 and 4: every write is what the revisions in force say, every deletion is of ours and
        unwanted. While a source has nothing in force, only what others alone made may go.
        """
        absent = {name for name, result in report.sources.items() if not result.accepted}
        for event in self.events:
            if event.operation not in WRITES:
                continue
            assert event.key is not None
            built = builds[event.cluster]
            assert event.key not in built.held
            if event.operation == "delete":
                entry = ledgers[event.cluster][0].entries.get(event.key)
                made_by = set(entry.sources) if entry else set()
                assert not absent or (made_by and not made_by & absent), "an absent source may want it"
                assert event.key not in built.manifests
                self._check_deletion(event)
            else:
                assert event.key in built.manifests or self._is_step(report, event)

    def _is_step(self, report: Report, event: Event) -> bool:
        plan = report.clusters[event.cluster].plan
        return plan is not None and any(
            c.key == event.key and c.note and c.action is Action.UPDATE for c in plan.writes
        )

    def _check_deletion(self, event: Event) -> None:
        if event.live is None:
            return
        assert event.key is not None
        assert (event.cluster, event.key) not in self.foreign, "a foreign object is deleted"
        assert is_marked(event.live, event.cluster, INSTANCE)

    def _follow(
        self,
        before: Mapping[str, dict[ObjectKey, Live]],
        report: Report | None,
        ledgers: Mapping[str, tuple[Ledger, bool]],
    ) -> None:
        """Design law 4: what changed in the clusters is ours; foreign objects are as they were, but for those
        that were adopted.
        """
        for name, cluster in self.clusters.items():
            for key in sorted({*before[name], *cluster.objects}):
                old, new = before[name].get(key), cluster.objects.get(key)
                if old is not new:
                    self._changed((name, key), old, new, ledgers[name][0])

    def _changed(self, place: Place, old: Live | None, new: Live | None, ledger: Ledger) -> None:
        adopted = old is not None and (old.annotations.get(ADOPT) == INSTANCE or self._may_be_named(place))
        assert place not in self.foreign or adopted, f"{place} is foreign and was changed"
        if new is None:
            assert place in self.ours
            entry = ledger.entries.get(place[1])
            assert entry is not None
            assert old is not None
            assert entry.uid in ("", old.uid)
            del self.ours[place]
            return
        assert is_marked(new, place[0], INSTANCE)
        assert old is None or old.uid == new.uid
        self.foreign.pop(place, None)
        self.ours[place] = new.uid

    def _may_be_named(self, place: Place) -> bool:
        return any(place[1].id(place[0]) in document["spec"].get("objects", ()) for document in POOL["alpha"])

    def _check_no_orphan(self, report: Report) -> None:
        """Design law 4: after a cycle that ended, the ledger lists every object of ours that is live."""
        for (name, key), uid in self.ours.items():
            result = report.clusters[name]
            if result.plan is None or result.state is State.UNREACHABLE:
                continue
            ledger, readable = ledger_of(self.clusters[name])
            assert readable
            assert key in ledger.entries, f"{key} of {name} is ours and nobody remembers it"
            assert ledger.entries[key].uid in ("", uid)

    @invariant()
    def foreign_objects_are_as_they_were(self) -> None:
        for (name, key), live in self.foreign.items():
            assert self.clusters[name].objects.get(key) is live

    # --- design laws 4 and 5 when the faults stop

    @precondition(lambda self: self.report is not None)
    @rule()
    def quiesce(self) -> None:
        self._heal()
        for number in range(QUIET_WITHIN + STAGES):
            if number < QUIET_WITHIN or self._is_staged():
                self.tick()
        assert self.report is not None
        self._check_converged(self.report)
        first, second = self._quiet_tick(), self._quiet_tick()
        assert _content(first) == _content(second)

    def _is_staged(self) -> bool:
        plans = (
            [result.plan for result in self.report.clusters.values() if result.plan] if self.report else []
        )
        return any(change.staged for plan in plans for change in plan.changes)

    def _quiet_tick(self) -> Report:
        """Design law 5: a cycle that finds everything as it should be asks, and writes nothing, not even the
        ledger.
        """
        self.tick()
        assert not [event for event in self.events if event.operation in WRITES | {"save"}], (
            "a quiet cycle writes"
        )
        assert self.report is not None
        return self.report

    def _heal(self) -> None:
        for source in self.sources.values():
            source.down = source.store_lost = False
        for faults in (self.away, self.refusing, self.fuse, self.breaks):
            faults.clear()

    def _check_converged(self, report: Report) -> None:
        self._check_newest_in_force(report)
        builds = self._oracle(report)
        for name, built in builds.items():
            result, live = report.clusters[name], self.clusters[name].objects
            assert result.plan is not None
            blocked = _blocked(result.plan.changes)
            for key, manifest in built.manifests.items():
                if key in built.held:
                    continue
                if key in blocked:
                    assert any(place[0] == name for place in self.foreign), "blocked by nobody"
                    continue
                assert is_same(decode(manifest.body), decode(live[key].body), manifest.forbidden), (
                    f"{key} of {name} is not as it should be"
                )
            self._check_nothing_left(name, report, built)

    def _check_newest_in_force(self, report: Report) -> None:
        for name, result in report.sources.items():
            source = self.sources[name]
            others = {
                n
                for other in self.sources.values()
                if other is not source
                for c in other.commits.values()
                for n in c.names
            }
            tip = source.commits[source.tip]
            if tip.good and not tip.names & others and not result.refused:
                assert result.accepted == source.tip

    def _check_nothing_left(self, name: str, report: Report, built: Build) -> None:
        """What is ours and unwanted is gone, or its deletion waits for a reason that the report gives."""
        result = report.clusters[name]
        assert result.plan is not None
        waiting = {change.key for change in result.plan.prune_held}
        # Steps of a change, and what may be for a destination that errors hold: without an entry who knows.
        told = " ".join(
            one.message
            for one in report.diagnostics
            if one.code in ("GM406", "GM414") and one.cluster == name
        )
        waiting |= {change.key for change in result.plan.changes if change.note and str(change.key) in told}
        # What a policy did stays while an error says that it names what is not there.
        wrong = {one.policy for one in report.diagnostics if one.is_error and one.policy}
        waiting |= {
            change.key
            for change in result.plan.changes
            if change.action is Action.HELD and any(policy in change.note for policy in wrong)
        }
        settled = all(source.accepted for source in report.sources.values())
        for place in self.ours:
            if (
                place[0] == name
                and settled
                and place[1] not in built.manifests
                and place[1] not in built.held
            ):
                assert place[1] in waiting, f"{place[1]} of {name} is left behind"
        ledger, _ = ledger_of(self.clusters[name])
        phantoms = (
            ledger.entries.keys()
            - self.clusters[name].objects.keys()
            - _blocked(result.plan.changes)
            - built.held
        )
        assert not phantoms, f"the ledger of {name} lists what is not there: {sorted(phantoms)}"


def _blocked(changes: tuple[Change, ...]) -> set[ObjectKey]:
    return {change.key for change in changes if change.action in (Action.CONFLICT, Action.HELD)}


def _content(report: Report) -> tuple[Any, ...]:
    """Everything that a person would call the report."""
    return (
        report.sources,
        report.policies,
        report.diagnostics,
        {n: (r.state, r.plan, r.build) for n, r in report.clusters.items()},
    )


def test_laws_of_the_cycle() -> None:
    """Few examples at every run; `HYPOTHESIS_PROFILE=explore` looks long and elsewhere each time."""
    profile = settings.default
    assert profile is not None
    examples = 60 if profile.derandomize else 2000
    run_state_machine_as_test(
        Cycles, settings=settings(max_examples=examples, stateful_step_count=30, report_multiple_bugs=False)
    )


# --- design law 8


def _rendered(
    files: Mapping[str, str], order: tuple[str, ...]
) -> tuple[dict[str, dict[ObjectKey, bytes]], set[tuple[str, str]]]:
    """Every object's bytes and every finding, for one arrangement of the same policies."""
    source = Arranged(files)
    fleet = InOrder(MemoryCluster(name, facts=facts_of(name, "details")) for name in order)
    report = run(
        [source], fleet, TRANSLATORS, until=Stage.BUILD, options=options(), memo=Memo(), clock=lambda: 0.0
    )
    builds = {name: result.build for name, result in report.clusters.items() if result.build}
    bodies = {
        name: {key: manifest.body for key, manifest in built.manifests.items()}
        for name, built in builds.items()
    }
    return bodies, {(d.code, d.cluster) for d in report.diagnostics}


class Arranged(History):
    """A source of one revision in any number of files."""

    def __init__(self, files: Mapping[str, str]) -> None:
        super().__init__("alpha")
        self.files = files

    def fetch(self) -> Snapshot:
        return snapshot_of(self.files, self.name, "c" * 40)


def _turned(value: Any) -> Any:
    """The same document with its keys in another order, and its set-like lists turned round."""
    if isinstance(value, dict):
        return {key: _turned(value[key]) for key in reversed(list(value))}
    return [_turned(item) for item in reversed(value)] if isinstance(value, list) else value


@given(
    picked=st.lists(st.sampled_from(range(len(POOL["alpha"]) + len(POOL["beta"]))), min_size=1, unique=True),
    shuffled=st.randoms(),
)
@settings(max_examples=60, deadline=None)
def test_order_of_files_documents_keys_lists_and_clusters_changes_no_byte(
    picked: list[int], shuffled: Any
) -> None:
    pool = [*POOL["alpha"], *POOL["beta"]]
    chosen = list({(d["kind"], d["metadata"]["name"]): d for d in (pool[n] for n in sorted(picked))}.values())
    one = {"all.yaml": yaml.safe_dump_all(chosen, sort_keys=False)}
    shuffled.shuffle(chosen)
    cut = shuffled.randint(0, len(chosen))
    parts = {"z/a.yaml": chosen[:cut], "b.yaml": chosen[cut:]}
    other = {
        name: yaml.safe_dump_all([_turned(d) for d in part], sort_keys=False)
        for name, part in parts.items()
        if part
    }
    assert _rendered(one, NAMES) == _rendered(other, NAMES[::-1])
