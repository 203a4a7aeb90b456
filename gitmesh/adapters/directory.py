"""A tree of YAML files, read and written as if it were a live cluster: for trying GitMesh, and to hand
manifests to Argo CD or Flux.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from msgspec.structs import replace

from gitmesh.adapters.contents import Reader, uid_of
from gitmesh.adapters.files import STATE, locked, path_of, read_inside, write_inside
from gitmesh.adapters.tree import Tree
from gitmesh.adapters.treewriter import Writer
from gitmesh.adapters.writing import lost_race, refuse_observed, version_of
from gitmesh.diagnostics import Diagnostic, finding, in_order
from gitmesh.discovery.controlplanes import Homes, homes_of
from gitmesh.discovery.discover import assemble, cluster_uid
from gitmesh.discovery.reducer import Reducer
from gitmesh.errors import ClusterError
from gitmesh.model.facts import NOTHING_REMEMBERED, ClusterFacts, Remembered
from gitmesh.model.ledger import Ledger, Stored
from gitmesh.model.objects import ApiKind, ObjectKey
from gitmesh.model.plan import SETTLE, Action, Live, Observed, Outcome, Plan
from gitmesh.planning.ledger_codec import FutureLedgerError, encode_ledger, read_ledger
from gitmesh.ports import Translator

_LEDGER = f"{STATE}/ledger.yaml"


class DirectoryCluster:
    """Satisfies `ports.Cluster`. Not for use by several threads at once; other processes are kept out by a
    lock.

    Any layout of YAML or JSON files is read; names that begin with a dot are not. A kind that a translator
    writes is served even if no CustomResourceDefinition lies in the tree: its schema is then unknown.
    """

    def __init__(
        self,
        name: str,
        root: Path,
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
        self._root = root
        self._translators = tuple(translators)
        self._homes = homes_of(self._translators, control_planes)
        watched = {
            (r.group, r.kind): r.namespaced for translator in translators for r in translator.resources
        }
        self._tree = Tree(root, Reader(Reducer(translators).reduce, watched))
        self._just_read = False
        self._facts: tuple[tuple[int, Remembered], ClusterFacts] | None = None
        self._stored: tuple[str, str, Stored] | None = None
        self._observed: tuple[int, frozenset[tuple[str, str]], Observed] | None = None

    def facts(self, remembered: Remembered = NOTHING_REMEMBERED) -> ClusterFacts:
        """What the files say; the same object while none of it changed. Raises ClusterError for a missing
        directory.
        """
        self._refresh()
        self._just_read = True
        inputs = (self._tree.facts_generation, remembered)
        if self._facts is None or self._facts[0] != inputs:
            self._facts = (inputs, self._assemble(remembered))
        return self._facts[1]

    def prefetch(self, kinds: Sequence[ApiKind]) -> None:
        """`facts` has read all files already."""

    def observe(self, kinds: Sequence[ApiKind]) -> Observed:
        """Every object of these kinds. Files that cannot be read are findings, and the facts are then
        incomplete.
        """
        # A cycle asks for facts and then for objects: both answers are of one reading.
        if self._watch(kinds) or not self._just_read:
            self._refresh()
        self._just_read = False
        wanted = frozenset((kind.group, kind.kind) for kind in kinds)
        known = self._observed
        if known is None or known[:2] != (self._tree.generation, wanted):
            known = self._observed = (self._tree.generation, wanted, self._observe(wanted))
        return known[2]

    def find(self, keys: Sequence[ObjectKey]) -> dict[ObjectKey, Live]:
        """Those of them that `observe` read."""
        # Not read again: the folder was read in this cycle, and there is no server whose answer could be
        # newer.
        return {key: self._tree.homes[key][0][1] for key in keys if key in self._tree.homes}

    def predict(self, plan: Plan) -> Plan:
        """The plan as it is: files have no defaults."""
        return plan

    def apply(self, plan: Plan) -> tuple[Outcome, ...]:
        """Write the plan. Raises ClusterError before any write for a name that is no name, and in mode
        Observe.
        """
        if not plan.writes:
            return ()
        refuse_observed(self.name, self.enforce)
        # All names are looked at before the first write: a plan with a bad one writes nothing.
        paths = {change.key: path_of(change.key) for change in plan.writes}
        try:
            with locked(self._root):
                if any(change.action is Action.CREATE for change in plan.writes):
                    # What is there is compared with its own file; what is new may stand in any file by now.
                    self._refresh()
                return Writer(self._root, self._tree, paths).carry_out(plan)
        except OSError as error:
            raise self._failure("written", error) from error

    @property
    def clock(self) -> None:
        """Nothing runs in a folder."""

    def load(self, instance: str) -> Stored:
        """The ledger. Raises ClusterError where another instance, or a newer GitMesh, keeps one here."""
        content = self._ledger()
        if content is None:
            return Stored(ledger=Ledger(instance=instance))
        known = (version_of(content), instance)
        if self._stored is None or self._stored[:2] != known:
            self._stored = (*known, self._read(content, instance))
        return self._stored[2]

    def _read(self, content: bytes, instance: str) -> Stored:
        try:
            stored = read_ledger(content, instance, version_of(content))
        except FutureLedgerError as error:
            hint = "Let the newer GitMesh keep it, or upgrade this one."
            raise ClusterError(str(error), retryable=False, code="GM508", hint=hint) from error
        if stored.ledger.instance != instance:
            text = (
                f"{self._root.name} belongs to instance {stored.ledger.instance[:64]}, and this is {instance}"
            )
            hint = (
                "Put the instance's name back, give this one a folder of its own, or start with a fresh"
                f" ledger: remove {_LEDGER} in it."
            )
            raise ClusterError(text, retryable=False, code="GM506", hint=hint)
        self._recognise(stored.ledger)
        return stored

    def _recognise(self, ledger: Ledger) -> None:
        """Raise ClusterError where the folder was kept under another name."""
        # A folder without cluster objects has its uid by its name.
        if ledger.cluster_uid in ("", uid_of(self.name)):
            return
        before = next((name for name in sorted(ledger.meshes) if uid_of(name) == ledger.cluster_uid), "")
        if before:
            text = f"this folder was kept as cluster {before[:64]}, and is {self.name} now"
            hint = (
                f"Put the name back in gitmesh.yaml, or start with a fresh ledger: remove {_LEDGER} in"
                f" {self._root.name}."
            )
            raise ClusterError(text, retryable=False, code="GM506", hint=hint)

    def save(self, ledger: Ledger, version: str) -> str:
        """Compare-and-set the ledger, on disk when this returns. Raises ClusterError on a lost race."""
        refuse_observed(self.name, self.enforce)
        content = encode_ledger(ledger)
        self._require_root()
        try:
            with locked(self._root):
                current = self._ledger()
                if version != (version_of(current) if current is not None else ""):
                    raise lost_race(f"of cluster {self.name}")
                if content != current:
                    write_inside(self._root, _LEDGER, content, sync=True)
        except OSError as error:
            raise self._failure("written", error) from error
        written = version_of(content)
        self._stored = (written, ledger.instance, Stored(ledger=ledger, version=written))
        return written

    def _watch(self, kinds: Sequence[ApiKind]) -> bool:
        """Whether the files must be read again."""
        known, new = self._tree.reader.watched, {(kind.group, kind.kind): kind.namespaced for kind in kinds}
        # Objects of a kind that no translator listed were not kept when the files were read.
        if new.keys() <= known.keys():
            return False
        self._tree.read_with(replace(self._tree.reader, watched={**new, **known}))
        return True

    def _refresh(self) -> None:
        try:
            self._tree.refresh()
        except OSError as error:
            raise self._failure("read", error) from error

    def _require_root(self) -> None:
        if not self._root.is_dir():
            hint = "Create it, or correct `directory`, which starts at the folder of gitmesh.yaml."
            raise ClusterError(f"{self._root} is not a directory", hint=hint)

    def _failure(self, what: str, error: OSError) -> ClusterError:
        hint = "Look at the folder: is it there, may GitMesh read and write it, is there space?"
        return ClusterError(
            f"its folder cannot be {what}: {error.strerror or type(error).__name__}", hint=hint
        )

    def _assemble(self, remembered: Remembered) -> ClusterFacts:
        entries = [entry for _, entry in self._tree.entries()]
        rows = [row for entry in entries for row in entry.content.rows]
        return assemble(
            self.name,
            self.labels,
            rows,
            self._translators,
            uid=cluster_uid(rows) or uid_of(self.name),
            complete=not any(entry.hides for entry in entries),
            assumed=_assumed(self._translators),
            homes=self._homes,
            remembered=remembered,
        )

    def _observe(self, wanted: frozenset[tuple[str, str]]) -> Observed:
        live: dict[ObjectKey, Live] = {}
        findings: list[Diagnostic] = list(self._tree.diagnostics(self.name))
        for key, homes in sorted(self._tree.homes.items()):
            if key[:2] not in wanted:
                continue
            live[key] = homes[0][1]
            for path, _ in homes[1:]:
                findings.append(
                    finding(
                        "GM508", f"{key} stands in {path} as well; the first file counts", cluster=self.name
                    )
                )
        return Observed(cluster=self.name, live=live, diagnostics=in_order(findings))

    def _ledger(self) -> bytes | None:
        """The ledger's file; None if there is none. Raises ClusterError if it cannot be read."""
        self._require_root()
        try:
            return read_inside(self._root, _LEDGER)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise self._failure("read", error) from error


def _assumed(translators: Sequence[Translator]) -> tuple[ApiKind, ...]:
    """The kinds that translators write."""
    # A file of any of them can be written, whether or not the folder has its CustomResourceDefinition.
    return tuple(kind for translator in translators for kind in translator.resources)
