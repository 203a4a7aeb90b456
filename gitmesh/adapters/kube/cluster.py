"""A Kubernetes cluster as the core's port `Cluster`."""

from __future__ import annotations

from functools import cached_property, partial
from typing import TYPE_CHECKING, NamedTuple

from gitmesh import __version__
from gitmesh.adapters.kube.access import Rotated
from gitmesh.adapters.kube.client import KubeClient
from gitmesh.adapters.kube.credentials import in_cluster
from gitmesh.adapters.kube.kubeconfig import read_kubeconfig
from gitmesh.adapters.kube.live import LiveObjects, Reading
from gitmesh.adapters.kube.recognition import Recognition
from gitmesh.adapters.kube.store import LedgerStore
from gitmesh.adapters.kube.together import Ahead
from gitmesh.adapters.writing import refuse_observed
from gitmesh.diagnostics import Diagnostic, Severity, finding
from gitmesh.model.facts import NOTHING_REMEMBERED
from gitmesh.model.plan import SETTLE, Action, Observed

if TYPE_CHECKING:  # a configuration that is given was imported already
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from gitmesh.adapters.kube.facts import FactReader
    from gitmesh.adapters.kube.predict import Predictor
    from gitmesh.adapters.kube.rights import Right
    from gitmesh.discovery.controlplanes import Homes
    from gitmesh.errors import ClusterError
    from gitmesh.model.config_clusters import ClusterConfig
    from gitmesh.model.facts import ClusterFacts, Remembered
    from gitmesh.model.ledger import Ledger, Stored
    from gitmesh.model.objects import ApiKind, ObjectKey
    from gitmesh.model.plan import Live, Outcome, Plan
    from gitmesh.ports import Translator


class _Begun(NamedTuple):
    """A reading that `prefetch` began."""

    kinds: tuple[ApiKind, ...]
    reading: Ahead[Reading]


class KubeCluster:
    """One cluster behind one client. Its methods are called from one thread at a time; each may raise
    ClusterError.
    """

    def __init__(
        self,
        name: str,
        client: KubeClient,
        translators: Sequence[Translator],
        *,
        labels: Mapping[str, str] | None = None,
        enforce: bool = True,
        settle: float = SETTLE,
        control_planes: Homes | None = None,
    ) -> None:
        self.name = name
        self.labels: Mapping[str, str] = dict(labels or {})
        self.enforce = enforce
        self.settle = settle
        self.client = client
        self._translators = tuple(translators)
        self._control_planes = control_planes
        self._live = LiveObjects(client)
        self._store = LedgerStore(client)
        self._kinds: dict[tuple[str, str], ApiKind] = {}
        self._recognition = Recognition(client)
        self._is_fresh = False
        self._faults: tuple[Diagnostic, ...] = ()
        self._findings: tuple[Diagnostic, ...] = ()
        self._leaving: frozenset[str] = frozenset()
        self._observed: Observed | None = None
        self._known: ClusterFacts | None = None
        self._begun: _Begun | None = None

    # What follows is imported at its first use: most cycles of most clusters write nothing, and then loading
    # it is most of the work.

    @cached_property
    def _facts(self) -> FactReader:
        from gitmesh.adapters.kube.facts import FactReader

        return FactReader(self.client, self.name, self.labels, self._translators, self._control_planes)

    @cached_property
    def _predictor(self) -> Predictor:
        from gitmesh.adapters.kube.predict import Predictor

        return Predictor(self.client, self._live)

    def facts(self, remembered: Remembered = NOTHING_REMEMBERED) -> ClusterFacts:
        """What lives there. Findings on kinds that may not be read come with the next `observe`."""
        if not self._is_fresh:
            self._refresh()
        self._is_fresh = False
        facts, said = self._facts.read(remembered)
        self._recognition.is_here(facts.uid)
        self._findings = (*self._faults, *said)
        self._leaving = self._facts.leaving
        self._known = facts
        return facts

    def _refresh(self) -> None:
        """Take up what others changed in the files that lead to the cluster. Raises ClusterError, where they
        lead to another one too.
        """
        fault = self.client.refresh()
        self._recognition.check()
        self._faults = (_outdated(self.name, fault),) if fault else ()

    def prefetch(self, kinds: Sequence[ApiKind]) -> None:
        """Begin to read every live object of these kinds, in a thread."""
        self._drop()
        self._begun = _Begun(tuple(kinds), Ahead(partial(self._live.read, kinds)))

    def observe(self, kinds: Sequence[ApiKind]) -> Observed:
        """Every live object of these kinds, from the quorum; the same value again while nothing changed.

        The first answer after `prefetch` is what that read.
        """
        live, missing = self._read(kinds)
        self._kinds = {
            (kind.group, kind.kind): kind for kind in kinds if (kind.group, kind.kind) not in missing
        }
        last = self._observed
        more = (missing, self._leaving, self._findings)
        if last is None or not _same(last, live, more):
            last = Observed(
                cluster=self.name,
                live=live,
                missing_kinds=missing,
                leaving=self._leaving,
                diagnostics=self._findings,
            )
            self._observed = last
        return last

    def find(self, keys: Sequence[ObjectKey]) -> dict[ObjectKey, Live]:
        """Those of these objects that are there, each read from the quorum."""
        served = self._kinds
        return self._live.find([(served[key[:2]], key) for key in keys if key[:2] in served])

    def _read(self, kinds: Sequence[ApiKind]) -> Reading:
        begun = self._begun
        if begun is None or begun.kinds != tuple(kinds):
            self._drop()
            return self._live.read(kinds)
        self._begun = None
        return begun.reading.result()

    def _drop(self) -> None:
        """Wait for a reading that nobody asked for any more, whatever it brings."""
        if self._begun is not None:
            # One reading at a time may be at work.
            self._begun.reading.wait()
            self._begun = None

    def predict(self, plan: Plan) -> Plan:
        """The plan without the updates that a dry run shows to change nothing. Observed clusters are asked
        nothing.
        """
        asks = self.enforce and any(change.action is Action.UPDATE for change in plan.writes)
        return self._predictor.predict(plan, self._kinds) if asks else plan

    def apply(self, plan: Plan) -> tuple[Outcome, ...]:
        """Carry out the plan's writes. Raises ClusterError only where the cluster is merely observed."""
        refuse_observed(self.name, self.enforce)
        from gitmesh.adapters.kube.apply import Applier

        return Applier(self.client, self._kinds, self._live, self.settle).apply(plan)

    def clock(self) -> float:
        """The API server's clock, which dates its objects too."""
        return self.client.clock()

    def load(self, instance: str) -> Stored:
        """The ledger of an instance."""
        self._refresh()
        # A cycle begins here, and `facts` then comes by the same way.
        self._is_fresh = True
        return self._store.load(instance)

    def save(self, ledger: Ledger, version: str) -> str:
        """Compare-and-set the ledger; its new version."""
        refuse_observed(self.name, self.enforce)
        return self._store.save(ledger, version)

    def rights(self, instance: str) -> tuple[Right, ...]:
        """The rights that this cluster's mode needs, each with whether we have it. For `gitmesh check`.

        Which settings of meshes are read, and which kinds the meshes need, is known after `facts`.
        """
        from gitmesh.adapters.kube.rights import ask, needed

        known = self._known
        resources = [
            kind for one in self._translators for kind in (one.writes(known) if known else one.resources)
        ]
        return ask(
            self.client, needed(resources, self._facts.configmaps, instance=instance, enforce=self.enforce)
        )

    def close(self) -> None:
        """Close connections."""
        self.client.close()


def connect(
    config: ClusterConfig, translators: Sequence[Translator], *, folder: Path, environment: Mapping[str, str]
) -> KubeCluster:
    """The cluster of a configuration; nothing is read or sent yet. Relative paths start in `folder`."""
    client = KubeClient(
        _access(config, folder, environment),
        timeout=config.timeout / 1000,
        user_agent=f"gitmesh/{__version__}",
    )
    return KubeCluster(
        config.name,
        client,
        translators,
        labels=config.labels,
        enforce=config.enforce,
        settle=config.settle_seconds,
        control_planes=config.control_planes,
    )


def _access(config: ClusterConfig, folder: Path, environment: Mapping[str, str]) -> Rotated:
    if config.kubeconfig is None:
        return Rotated(partial(in_cluster, environment))
    chosen = config.kubeconfig
    path = folder / chosen.path
    return Rotated(partial(read_kubeconfig, path, context=chosen.context, allow_exec=chosen.allow_exec), path)


def _outdated(name: str, fault: ClusterError) -> Diagnostic:
    text = f"cluster {name}: {fault}; what was read last serves on"
    return finding(
        fault.code, text, cluster=name, severity=Severity.WARNING, hint=fault.hint, detail=fault.detail
    )


def _same(last: Observed, live: Mapping[ObjectKey, Live], more: tuple[object, ...]) -> bool:
    """Whether a reading equals the last one: unchanged objects are identical values. `more` are the kinds
    that are missing, the namespaces that are being deleted, and the findings."""
    return (
        (last.missing_kinds, last.leaving, last.diagnostics) == more
        and last.live.keys() == live.keys()
        and all(last.live[key] is found for key, found in live.items())
    )
