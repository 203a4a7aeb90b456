"""A cluster in memory: for tests, and for reviews that know a cluster only by its facts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import count

from gitmesh.adapters.writing import body_of, carry_out, check_step, live_object, lost_race, refuse_observed
from gitmesh.discovery.facts_codec import with_digest
from gitmesh.model.facts import NOTHING_REMEMBERED, ClusterFacts, Remembered
from gitmesh.model.ledger import Ledger, Stored
from gitmesh.model.objects import ApiKind, Body, ObjectKey
from gitmesh.model.plan import SETTLE, Action, Change, Live, Observed, Outcome, Plan
from gitmesh.planning.ledger_codec import encode_ledger, read_ledger


def key_of(body: Body) -> ObjectKey:
    """The identity of an object; a missing namespace stays "" (cluster-scoped)."""
    group = body["apiVersion"].rpartition("/")[0]
    metadata = body["metadata"]
    return ObjectKey(
        group=group, kind=body["kind"], namespace=metadata.get("namespace", ""), name=metadata["name"]
    )


def _nothing(_: str, __: ObjectKey | None) -> None:
    """No failure is injected."""


class MemoryCluster:
    """Satisfies `ports.Cluster`. `facts` are what `facts()` returns (`current_facts` changes them); `objects`
    are live already.

    `before(operation, key)` is called ahead of every operation (`facts`, `prefetch`, `observe`, `find`,
    `load`, `save`, and `create`, `update`, `adopt`, `delete` with the object's key); what it raises
    (ClusterError, StepError) is what the cluster answers.
    """

    def __init__(
        self,
        name: str,
        objects: Iterable[Body] = (),
        *,
        facts: ClusterFacts | None = None,
        enforce: bool = True,
        before: Callable[[str, ObjectKey | None], None] | None = None,
    ) -> None:
        self.name = name
        self.current_facts = facts or with_digest(ClusterFacts(cluster=name))
        self.labels: Mapping[str, str] = self.current_facts.labels
        self.enforce = enforce
        self.settle = SETTLE
        self.objects: dict[ObjectKey, Live] = {}
        self.time = 0.0
        self._before = before or _nothing
        self._uids = count(1)
        self._ledger = b""
        self._version = 0
        for body in objects:
            self.put(body)

    def put(self, body: Body) -> Live:
        """Make or replace an object as somebody else would; a replaced one keeps its uid."""
        key = key_of(body)
        known = self.objects.get(key)
        live = live_object(
            key, known.uid if known else f"00000000-0000-4000-8000-{next(self._uids):012x}", body
        )
        self.objects[key] = live
        return live

    # The port's signature.
    def facts(self, remembered: Remembered = NOTHING_REMEMBERED) -> ClusterFacts:  # noqa: ARG002
        """`current_facts`."""
        self._before("facts", None)
        return self.current_facts

    def prefetch(self, kinds: Sequence[ApiKind]) -> None:  # noqa: ARG002  the port's signature
        """Memory is not waited for."""
        self._before("prefetch", None)

    def observe(self, kinds: Sequence[ApiKind]) -> Observed:
        """Every object of these kinds."""
        self._before("observe", None)
        wanted = {(kind.group, kind.kind) for kind in kinds}
        live = {key: self.objects[key] for key in sorted(self.objects) if (key.group, key.kind) in wanted}
        return Observed(cluster=self.name, live=live)

    def find(self, keys: Sequence[ObjectKey]) -> dict[ObjectKey, Live]:
        """Those of them that are there."""
        self._before("find", None)
        return {key: self.objects[key] for key in keys if key in self.objects}

    def predict(self, plan: Plan) -> Plan:
        """The plan as it is: memory has no defaults."""
        return plan

    def apply(self, plan: Plan) -> tuple[Outcome, ...]:
        """Carry out the plan. Raises ClusterError in mode Observe."""
        if not plan.writes:
            return ()
        refuse_observed(self.name, self.enforce)
        return carry_out(plan, self._write)

    def _write(self, change: Change, expected: str) -> Live | None:
        self._before(change.action.value, change.key)
        check_step(change, expected, self.objects.get(change.key))
        if change.action is Action.DELETE:
            del self.objects[change.key]
            return None
        return self.put(body_of(change))

    def clock(self) -> float:
        """`time`, which a test moves."""
        return self.time

    def load(self, instance: str) -> Stored:
        """The ledger."""
        self._before("load", None)
        if not self._version:
            return Stored(ledger=Ledger(instance=instance))
        return read_ledger(self._ledger, instance, str(self._version))

    def save(self, ledger: Ledger, version: str) -> str:
        """Compare-and-set the ledger. Raises ClusterError on a lost race and in mode Observe."""
        self._before("save", None)
        refuse_observed(self.name, self.enforce)
        if version != (str(self._version) if self._version else ""):
            raise lost_race(f"of cluster {self.name}")
        self._ledger = encode_ledger(ledger)
        self._version += 1
        return str(self._version)
