"""What the clusters answer in one cycle: ledgers, facts and live objects, and who does not answer. Called by
pipeline; only the ports touch the world.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from gitmesh.diagnostics import Diagnostic, finding
from gitmesh.discovery.naming import unusable_names
from gitmesh.errors import ClusterError
from gitmesh.model.facts import ClusterFacts, Remembered
from gitmesh.planning.observing import kinds_of
from gitmesh.planning.remembering import known_elsewhere, remembered
from gitmesh.planning.strangers import asked_before, told_apart, whose

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from gitmesh.model.ledger import Ledger, Stored
    from gitmesh.model.objects import ApiKind
    from gitmesh.model.plan import Observed
    from gitmesh.planning.options import Memo
    from gitmesh.ports import Cluster, Fleet, Translator


class FleetReading:
    """What a cycle has read of the clusters so far. `stored` are their ledgers, `observed` is what is live
    there; `unreachable` are those that are asked nothing more, `changed` those among them that are another
    cluster than before. What there is to say of them is added to `said`.
    """

    def __init__(
        self,
        fleet: Fleet,
        translators: Mapping[str, Translator],
        instance: str,
        memo: Memo,
        said: list[Diagnostic],
    ) -> None:
        self.fleet, self.translators, self.instance, self.memo = fleet, translators, instance, memo
        self.said = said
        self.stored: dict[str, Stored] = {}
        self.observed: dict[str, Observed] = {}
        self.unreachable: set[str] = set()
        self.changed: set[str] = set()

    def load(self) -> None:
        """Read the ledgers."""
        self.stored = self.asked(lambda cluster: cluster.load(self.instance))

    def ledgers(self) -> list[Ledger]:
        """Those of the clusters that answer."""
        return [found.ledger for found in self.stored.values()]

    def approved_everywhere(self) -> frozenset[str]:
        """The holds of sources that count as ended: who may write one cluster decides nothing for the others,
        not even while those do not answer."""
        written = [name for name, cluster in self.fleet.clusters.items() if cluster.enforce]
        if not written or not self.stored.keys() >= set(written):
            return frozenset()
        return frozenset.intersection(*(self.stored[name].ledger.approved for name in written))

    def asked(self, work: Callable[[Cluster], Any], names: frozenset[str] | None = None) -> dict[str, Any]:
        """Answers of the clusters at work; one that fails is reported once and not asked again in this
        cycle.
        """
        names = frozenset(self.fleet.clusters) if names is None else names
        answers = self.fleet.each(work, sorted(names - self.unreachable))
        for name, answer in answers.items():
            if isinstance(answer, ClusterError):
                self._leave_out(name, changed=answer.code == "GM506")
                text = f"cluster {name}: {answer}"
                self.said.append(
                    finding(answer.code, text, cluster=name, hint=answer.hint, detail=answer.detail)
                )
        return {name: answer for name, answer in answers.items() if not isinstance(answer, ClusterError)}

    def facts(self, named: frozenset[str]) -> dict[str, ClusterFacts | None]:
        """Fresh facts; the last known ones of a cluster that does not answer; None where nothing was ever
        known.

        `named` are labels by which policies select pods. After a restart its meshes are what the ledgers of
        the others remember: enough to know whose identities are whose.
        """
        fresh: dict[str, ClusterFacts] = {}
        for name, facts in self.asked(partial(self._read, named)).items():
            pinned = self.stored[name].ledger.cluster_uid if name in self.stored else ""
            if pinned and facts.uid and pinned != facts.uid:
                self._leave_out(name, changed=True)
                text = (
                    f"cluster {name} is not the one it was: its identity is {facts.uid}, the ledger says"
                    f" {pinned}"
                )
                self.said.append(finding("GM506", text, cluster=name))
            else:  # what another cluster says of its callers is no word on this one's
                fresh[name] = facts
        whole = self.asked(
            lambda cluster: self._observed(cluster, named, fresh[cluster.name]), frozenset(fresh)
        )
        self.memo.facts.update(whole)
        for name in fresh.keys() - whole.keys():
            self.memo.facts.setdefault(name, fresh[name])
        for _, facts in sorted({**fresh, **whole}.items()):
            self.said += _caveats(facts)
        found = {
            name: self.memo.facts.get(name) or self._recalled(name) for name in sorted(self.fleet.clusters)
        }
        self.said += unusable_names({name: facts for name, facts in found.items() if facts is not None})
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
        stored = self.stored.get(cluster.name) or whose(cluster, self.instance)
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
        known = remembered(cluster.name, own, self.ledgers())
        return replace(known, named=named, selectors=asked_before(self.memo.of(cluster.name)))

    def _recalled(self, name: str) -> ClusterFacts | None:
        known = known_elsewhere(name, self.ledgers())
        return ClusterFacts(cluster=name, complete=False, meshes=known) if known else None


def _caveats(facts: ClusterFacts) -> Iterator[Diagnostic]:
    """What must be said of a reading."""
    for one in facts.caveats:
        if not one.approved:
            yield finding(
                one.code, one.text, cluster=facts.cluster, mesh=one.mesh, hint=one.hint, hold=one.hold
            )
