"""The laws of reliability.md section 5 that a whole cycle must hold, over made-up histories: commits, faults, strangers, kills.

The machine runs the real pipeline with the real translator on clusters in memory. What the clusters should hold is asked
of a fresh process that sees only the revisions in force; every write and deletion is held to that answer.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule, run_state_machine_as_test

from gitmesh.adapters.memory import MemoryCluster
from gitmesh.adapters.writing import StepError
from gitmesh.model.ledger import Ledger
from gitmesh.model.manifests import Build
from gitmesh.model.objects import ObjectKey, decode
from gitmesh.model.plan import Action, Change, Live
from gitmesh.model.report import Report, Stage, State
from gitmesh.model.snapshot import Snapshot
from gitmesh.pipeline import Memo, run
from gitmesh.planning.diff import is_same
from gitmesh.planning.ownership import ADOPT, is_marked
from gitmesh.ports import ClusterError
from tests.factories import snapshot_of
from tests.properties.history import (
    INSTANCE,
    INVALID,
    NAMES,
    POOL,
    TRANSLATORS,
    Event,
    History,
    InOrder,
    corrupted,
    desired,
    facts_of,
    forgotten,
    ledger_of,
    options,
)

WRITES = frozenset({"create", "update", "adopt", "delete"})
TICK = 300.0
"""Seconds between two cycles, so long that corrections are never taken for a fight."""
QUIET_WITHIN = 3
"""Cycles after which a system without faults must be quiet (law 1)."""

clusters = st.sampled_from(NAMES)
sources = st.sampled_from(sorted(POOL))
picks = st.integers(min_value=0, max_value=1 << 16)
Place = tuple[str, ObjectKey]


class Killed(BaseException):
    """The process dies inside a call of a port."""


class Cycles(RuleBasedStateMachine):
    """Rules change the world; `tick` is the agent's cycle, and every check of a law stands beside it."""

    def __init__(self) -> None:
        super().__init__()
        self.sources = {name: History(name) for name in sorted(POOL)}
        self.clusters = {name: MemoryCluster(name, facts=facts_of(name), before=self._hook(name)) for name in NAMES}
        self.fleet = InOrder(self.clusters.values())
        self.memo = Memo()
        self.now = 0.0
        self.events: list[Event] = []
        self.foreign: dict[Place, Live] = {}
        self.ours: dict[Place, str] = {}
        self.away: set[str] = set()
        self.refusing: set[tuple[str, str]] = set()
        self.fuse: dict[str, int] = {}
        self.breaks: dict[str, int] = {}
        self.oracle: dict[Any, Any] = {}
        self.report: Report | None = None

    # --- the clusters as the product meets them

    def _hook(self, name: str) -> Callable[[str, ObjectKey | None], None]:
        def before(operation: str, key: ObjectKey | None) -> None:
            self._burn(name)
            if name in self.away:
                raise ClusterError(f"cluster {name} does not answer")
            if (name, operation) in self.refusing and key is not None:
                raise StepError(f"{operation} is refused")
            live = self.clusters[name].objects.get(key) if key else None
            self.events.append(Event(name, operation, key, live))

        return before

    def _burn(self, name: str) -> None:
        """Kill the process, or cut the connection, at the chosen call."""
        for fuses, error in ((self.fuse, Killed()), (self.breaks, ClusterError(f"cluster {name} went away"))):
            if name in fuses:
                fuses[name] -= 1
                if fuses[name] < 0:
                    del fuses[name]
                    raise error

    # --- git

    def _commit(self, source: str, pick: int) -> None:
        chosen = [d for n, d in enumerate(POOL[source]) if pick >> n & 1] or [POOL[source][pick % len(POOL[source])]]
        named = {(d["kind"], d["metadata"]["name"]): d for d in chosen}
        text = yaml.safe_dump_all(list(named.values()), sort_keys=False)
        self.sources[source].commit(text, good=True, names=[f"{kind}/shop/{name}" for kind, name in named])

    @initialize(first=picks, second=picks)
    def begin(self, first: int, second: int) -> None:
        self._commit("alpha", first)
        self._commit("beta", second)

    @rule(source=sources, pick=picks)
    def commit_valid(self, source: str, pick: int) -> None:
        self._commit(source, pick)

    @rule(source=sources, which=st.sampled_from(INVALID))
    def commit_invalid(self, source: str, which: str) -> None:
        self.sources[source].commit(which, good=False)

    @rule(source=sources, text=st.sampled_from(["", "# nothing\n"]))
    def commit_empty(self, source: str, text: str) -> None:
        self.sources[source].commit(text, good=False)

    @rule(source=sources, pick=picks)
    def rewind(self, source: str, pick: int) -> None:
        """The branch is moved to any older commit; what is committed next stands beside the old line."""
        shas = sorted(self.sources[source].commits)
        self.sources[source].tip = shas[pick % len(shas)]

    @rule(source=sources, down=st.booleans())
    def source_down_or_up(self, source: str, down: bool) -> None:
        self.sources[source].down = down

    @rule(source=sources, lost=st.booleans())
    def store_lost_or_found(self, source: str, lost: bool) -> None:
        self.sources[source].store_lost = lost

    # --- people and other tools in the clusters

    def _some(self, places: Mapping[Place, Any], pick: int) -> Place | None:
        found = sorted(places)
        return found[pick % len(found)] if found else None

    @rule(pick=picks)
    def drift_edit(self, pick: int) -> None:
        place = self._some(self.ours, pick)
        if place:
            body = decode(self.clusters[place[0]].objects[place[1]].body)
            body["spec"] = {**body.get("spec", {}), "exportTo": ["*"]} if pick % 3 else {}
            self.clusters[place[0]].put(body)

    @rule(pick=picks)
    def strip_marks(self, pick: int) -> None:
        """Without our marks the object is somebody's own from now on."""
        place = self._some(self.ours, pick)
        if place:
            body = decode(self.clusters[place[0]].objects[place[1]].body)
            body["metadata"].pop("labels" if pick % 2 else "annotations")
            self._foreign(place, body)

    @rule(pick=picks)
    def hand_delete(self, pick: int) -> None:
        place = self._some(self.ours, pick)
        if place:
            del self.clusters[place[0]].objects[place[1]], self.ours[place]

    @rule(name=clusters)
    def delete_everything(self, name: str) -> None:
        for place in [place for place in self.ours if place[0] == name]:
            del self.clusters[name].objects[place[1]], self.ours[place]

    @rule(pick=picks)
    def recreate_same_key(self, pick: int) -> None:
        """Deleted and made again with the same content, our marks on it: another object (K12)."""
        place = self._some(self.ours, pick)
        if place:
            body = decode(self.clusters[place[0]].objects.pop(place[1]).body)
            self._foreign(place, body)

    def _foreign(self, place: Place, body: Mapping[str, Any]) -> None:
        self.ours.pop(place, None)
        self.foreign[place] = self.clusters[place[0]].put(body)

    @rule(pick=picks, name=clusters, consent=st.booleans(), labelled=st.booleans())
    def foreign_create(self, pick: int, name: str, consent: bool, labelled: bool) -> None:
        """Somebody's object where ours may have to stand; `labelled`: with another object's marks of ours copied onto it (K28)."""
        wanted = self._wanted_somewhere()
        if not wanted:
            return
        key = wanted[pick % len(wanted)]
        if key in self.clusters[name].objects:
            return
        copy = self.clusters[name].objects.get(wanted[(pick + 1) % len(wanted)])
        metadata: dict[str, Any] = {"name": key.name, "namespace": key.namespace, "annotations": {}}
        if labelled and copy is not None and copy.key != key:
            metadata |= {part: dict(decode(copy.body)["metadata"].get(part, {})) for part in ("labels", "annotations")}
        if consent:
            metadata["annotations"] |= {ADOPT: INSTANCE}
        spec = {"hosts": [f"{key.name}.shop.svc.cluster.local"]} if key.kind == "VirtualService" else {}
        self._foreign((name, key), {"apiVersion": f"{key.group}/v1", "kind": key.kind, "metadata": metadata, "spec": spec})

    def _wanted_somewhere(self) -> list[ObjectKey]:
        builds = [result.build for result in self.report.clusters.values() if result.build] if self.report else []
        return sorted({key for built in builds for key in built.manifests})

    @rule(pick=picks)
    def foreign_delete(self, pick: int) -> None:
        place = self._some(self.foreign, pick)
        if place:
            del self.clusters[place[0]].objects[place[1]], self.foreign[place]

    # --- the world's failures

    @rule(name=clusters)
    def remove_or_restore_cluster(self, name: str) -> None:
        self.away ^= {name}

    @rule(name=clusters, operation=st.sampled_from(sorted(WRITES)))
    def refuse_or_allow_writes(self, name: str, operation: str) -> None:
        self.refusing ^= {(name, operation)}

    @rule(name=clusters, calls=st.integers(min_value=0, max_value=14))
    def cut_in_the_next_cycle(self, name: str, calls: int) -> None:
        self.breaks[name] = calls

    @rule(name=clusters, calls=st.integers(min_value=0, max_value=14))
    def kill_in_the_next_cycle(self, name: str, calls: int) -> None:
        self.fuse[name] = calls
        self.tick()

    @rule()
    def restart(self) -> None:
        self.memo = Memo()

    @rule(name=clusters, lose=st.sampled_from([forgotten, corrupted]))
    def lose_ledger(self, name: str, lose: Callable[[MemoryCluster], None]) -> None:
        lose(self.clusters[name])

    @rule(name=clusters, extra=st.booleans())
    def service_comes_or_goes(self, name: str, extra: bool) -> None:
        self.clusters[name].current_facts = facts_of(name, "details") if extra else facts_of(name)

    # --- the cycle, and what must be true of it

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
        self._check_acceptance(self.report, self._prior(ledgers, remembered))
        builds = self._oracle(self.report)
        self._check_writes(self.report, builds)
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

    def _prior(self, ledgers: Mapping[str, tuple[Ledger, bool]], remembered: Mapping[str, str]) -> dict[str, str]:
        """Source -> the newest commit that was accepted, as far as this process could know: from itself and the ledgers it read."""
        read = [ledgers[event.cluster][0] for event in self.events if event.operation == "load"]
        known = {name: [remembered.get(name, ""), *(ledger.sources.get(name, "") for ledger in read)] for name in self.sources}
        return {name: source.newest(known[name]) for name, source in self.sources.items()}

    def _let_go_of_lookalikes(self, ledgers: Mapping[str, tuple[Ledger, bool]]) -> None:
        """An object under our key with our very marks counts as ours while the ledger cannot tell: lost, or an intent."""
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
        return desired(list(self.sources.values()), accepted, {n: r.facts for n, r in report.clusters.items()}, self.oracle)

    def _check_acceptance(self, report: Report, prior: Mapping[str, str]) -> None:
        """Law 11, and law 5: what is in force was verified, and only ever moves forward."""
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

    def _check_writes(self, report: Report, builds: Mapping[str, Build]) -> None:
        """Laws 3, 4 and 5: every write is what the revisions in force say, every deletion is of ours and unwanted."""
        unsettled = any(not result.accepted for result in report.sources.values())
        for event in self.events:
            if event.operation not in WRITES:
                continue
            assert event.key is not None
            built = builds[event.cluster]
            assert event.key not in built.held
            if event.operation == "delete":
                assert not unsettled, "a deletion while a source has nothing in force"
                assert event.key not in built.manifests
                self._check_deletion(event)
            else:
                assert event.key in built.manifests or self._is_step(report, event)

    def _is_step(self, report: Report, event: Event) -> bool:
        plan = report.clusters[event.cluster].plan
        return plan is not None and any(c.key == event.key and c.note and c.action is Action.UPDATE for c in plan.writes)

    def _check_deletion(self, event: Event) -> None:
        if event.live is None:
            return
        assert event.key is not None
        assert (event.cluster, event.key) not in self.foreign, "a foreign object is deleted"
        assert is_marked(event.live, event.cluster, INSTANCE)

    def _follow(
        self, before: Mapping[str, dict[ObjectKey, Live]], report: Report | None, ledgers: Mapping[str, tuple[Ledger, bool]]
    ) -> None:
        """Law 3: what changed in the clusters is ours; foreign objects are as they were, but for those that were adopted."""
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
        """Law 8: after a cycle that ended, the ledger lists every object of ours that is live."""
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

    # --- laws 1, 2 and 8 when the faults stop

    @precondition(lambda self: self.report is not None)
    @rule()
    def quiesce(self) -> None:
        self._heal()
        for _ in range(QUIET_WITHIN):
            self.tick()
        quiet = self.report
        assert quiet is not None
        self._check_converged(quiet)
        self.tick()
        assert self.report is not None
        assert not [e for e in self.events if e.operation in WRITES | {"save"}], "a quiet cycle writes"
        assert _content(self.report) == _content(quiet)

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
                assert is_same(decode(manifest.body), decode(live[key].body)), f"{key} of {name} is not as it should be"
            self._check_nothing_left(name, report, built)

    def _check_newest_in_force(self, report: Report) -> None:
        for name, result in report.sources.items():
            source = self.sources[name]
            others = {n for other in self.sources.values() if other is not source for c in other.commits.values() for n in c.names}
            tip = source.commits[source.tip]
            if tip.good and not tip.names & others and not result.refused:
                assert result.accepted == source.tip

    def _in_use(self, changes: tuple[Change, ...], name: str) -> set[ObjectKey]:
        """Deletions that wait because a stranger's object still names what would go: staged, and said so."""
        assert self.report is not None
        staged = {change.key for change in changes if change.staged}
        said = [diagnostic.message for diagnostic in self.report.diagnostics if diagnostic.code == "GM406"]
        strangers = any(place[0] == name for place in self.foreign)
        return {key for key in staged if strangers and any(str(key) in message for message in said)}

    def _check_nothing_left(self, name: str, report: Report, built: Build) -> None:
        """What is ours and unwanted is gone, or its deletion waits for a reason that the report gives."""
        result = report.clusters[name]
        assert result.plan is not None
        waiting = {change.key for change in result.plan.prune_held} | self._in_use(result.plan.changes, name)
        settled = all(source.accepted for source in report.sources.values())
        for place in self.ours:
            if place[0] == name and settled and place[1] not in built.manifests and place[1] not in built.held:
                assert place[1] in waiting, f"{place[1]} of {name} is left behind"
        ledger, _ = ledger_of(self.clusters[name])
        phantoms = ledger.entries.keys() - self.clusters[name].objects.keys() - _blocked(result.plan.changes) - built.held
        assert not phantoms, f"the ledger of {name} lists what is not there: {sorted(phantoms)}"


def _blocked(changes: tuple[Change, ...]) -> set[ObjectKey]:
    return {change.key for change in changes if change.action in (Action.CONFLICT, Action.HELD)}


def _content(report: Report) -> tuple[Any, ...]:
    """Everything that a person would call the report."""
    return report.sources, report.policies, report.diagnostics, {n: (r.state, r.plan, r.build) for n, r in report.clusters.items()}


def test_laws_of_the_cycle() -> None:
    """Few examples at every run; `HYPOTHESIS_PROFILE=explore` looks long and elsewhere each time."""
    profile = settings.default
    assert profile is not None
    examples = 60 if profile.derandomize else 2000
    run_state_machine_as_test(Cycles, settings=settings(max_examples=examples, stateful_step_count=30, report_multiple_bugs=False))


# --- law 7


def _rendered(files: Mapping[str, str], order: tuple[str, ...]) -> tuple[dict[str, dict[ObjectKey, bytes]], set[tuple[str, str]]]:
    """Every object's bytes and every finding, for one arrangement of the same policies."""
    source = Arranged(files)
    fleet = InOrder(MemoryCluster(name, facts=facts_of(name, "details")) for name in order)
    report = run([source], fleet, TRANSLATORS, until=Stage.BUILD, options=options(), memo=Memo(), clock=lambda: 0.0)
    builds = {name: result.build for name, result in report.clusters.items() if result.build}
    bodies = {name: {key: manifest.body for key, manifest in built.manifests.items()} for name, built in builds.items()}
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


@given(picked=st.lists(st.sampled_from(range(len(POOL["alpha"]) + len(POOL["beta"]))), min_size=1, unique=True), shuffled=st.randoms())
@settings(max_examples=60, deadline=None)
def test_order_of_files_documents_keys_lists_and_clusters_changes_no_byte(picked: list[int], shuffled: Any) -> None:
    pool = [*POOL["alpha"], *POOL["beta"]]
    chosen = list({(d["kind"], d["metadata"]["name"]): d for d in (pool[n] for n in sorted(picked))}.values())
    one = {"all.yaml": yaml.safe_dump_all(chosen, sort_keys=False)}
    shuffled.shuffle(chosen)
    cut = shuffled.randint(0, len(chosen))
    parts = {"z/a.yaml": chosen[:cut], "b.yaml": chosen[cut:]}
    other = {name: yaml.safe_dump_all([_turned(d) for d in part], sort_keys=False) for name, part in parts.items() if part}
    assert _rendered(one, NAMES) == _rendered(other, NAMES[::-1])
