"""The world of the laws of the cycle: rules that commit, edit, break and restore. What must hold is in
test_cycle_laws.py.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import yaml
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from gitmesh.adapters.memory import MemoryCluster
from gitmesh.adapters.writing import StepError
from gitmesh.errors import ClusterError
from gitmesh.model.ledger import Stored
from gitmesh.model.objects import ObjectKey, decode
from gitmesh.model.plan import Live
from gitmesh.model.report import Report
from gitmesh.planning.options import Memo
from gitmesh.planning.ownership import ADOPT
from tests.belated import BelatedCluster
from tests.properties.history import (
    INSTANCE,
    INVALID,
    NAMES,
    POOL,
    Event,
    History,
    InOrder,
    corrupted,
    facts_of,
    forgotten,
)

WRITES = frozenset({"create", "update", "adopt", "delete"})
Place = tuple[str, ObjectKey]

clusters = st.sampled_from(NAMES)
sources = st.sampled_from(sorted(POOL))
picks = st.integers(min_value=0, max_value=1 << 16)


class Killed(BaseException):
    """The process dies inside a call of a port."""


class Recalled(BelatedCluster):
    """A belated cluster that keeps what it showed before, to be shown again where a test asks for that."""

    def __init__(self, name: str, **given: Any) -> None:
        super().__init__(name, **given)
        self.past: list[tuple[dict[ObjectKey, Live], Stored]] = []

    def recall(self, pick: int, *, lists: bool, ledger: bool) -> None:
        """Show one moment of before from now on; none is known right after the ledger was lost."""
        if self.past:
            objects, stored = self.past[pick % len(self.past)]
            self.listed, self.remembered = objects if lists else None, stored if ledger else None

    def be_up_to_date(self) -> None:
        """Show everything as it is, and keep that to be shown later."""
        self.listed = self.remembered = None
        stored = MemoryCluster(self.name)
        stored._ledger, stored._version = self._ledger, self._version
        self.past.append((dict(self.objects), stored.load(INSTANCE)))


class CycleWorld(RuleBasedStateMachine):
    """Two sources, two clusters in memory, and everything that can happen to them.

    `foreign` are the objects of others as they must stay, `ours` the uids of those that the product made.
    """

    def __init__(self) -> None:
        super().__init__()
        self.sources = {name: History(name) for name in sorted(POOL)}
        self.clusters = {
            name: Recalled(name, facts=facts_of(name), before=self._hook(name)) for name in NAMES
        }
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
        chosen = [d for n, d in enumerate(POOL[source]) if pick >> n & 1] or [
            POOL[source][pick % len(POOL[source])]
        ]
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
        """Somebody's object where ours may have to stand; `labelled`: with another object's marks of ours
        copied onto it (K28).
        """
        wanted = self._wanted_somewhere()
        if not wanted:
            return
        key = wanted[pick % len(wanted)]
        if key in self.clusters[name].objects:
            return
        copy = self.clusters[name].objects.get(wanted[(pick + 1) % len(wanted)])
        metadata: dict[str, Any] = {"name": key.name, "namespace": key.namespace, "annotations": {}}
        if labelled and copy is not None and copy.key != key:
            metadata |= {
                part: dict(decode(copy.body)["metadata"].get(part, {})) for part in ("labels", "annotations")
            }
        if consent:
            metadata["annotations"] |= {ADOPT: INSTANCE}
        spec = {"hosts": [f"{key.name}.shop.svc.cluster.local"]} if key.kind == "VirtualService" else {}
        self._foreign(
            (name, key),
            {"apiVersion": f"{key.group}/v1", "kind": key.kind, "metadata": metadata, "spec": spec},
        )

    def _wanted_somewhere(self) -> list[ObjectKey]:
        builds = (
            [result.build for result in self.report.clusters.values() if result.build] if self.report else []
        )
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
        self.clusters[name].past.clear()  # versions begin anew, which those of a real cluster never do

    @rule(name=clusters, pick=picks, lists=st.booleans(), ledger=st.booleans())
    def answer_from_before(self, name: str, pick: int, lists: bool, ledger: bool) -> None:
        """The next cycle reads what was there a while ago."""
        self.clusters[name].recall(pick, lists=lists, ledger=ledger)
        self.tick()

    @rule(name=clusters, extra=st.booleans())
    def service_comes_or_goes(self, name: str, extra: bool) -> None:
        self.clusters[name].current_facts = facts_of(name, "details") if extra else facts_of(name)

    def tick(self) -> None:
        """One cycle of the agent; the laws give it a body."""
        raise NotImplementedError
