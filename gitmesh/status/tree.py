"""The status branch as a tree of files: a pure function of a report. No times: the commits have them.

The layout is in docs/concepts.md#the-status-branch; what stands in each file is `documents`. Only what
changed is written anew.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from typing import Any

from msgspec import Struct

from gitmesh.diagnostics import Location, Severity
from gitmesh.discovery.facts_codec import dump_facts
from gitmesh.model.facts import ClusterFacts, meaning
from gitmesh.model.kinds import API_VERSION
from gitmesh.model.objects import ObjectKey
from gitmesh.model.report import ClusterResult, Report, State, verdict_counts
from gitmesh.status.bearing import idle_policies
from gitmesh.status.documents import (
    drift_rows,
    findings_document,
    held_objects,
    holds_document,
    object_row,
    policy_document,
    policy_path,
    source_document,
)
from gitmesh.status.message import heals, message
from gitmesh.status.states import ClusterView, overall, standing_changes, views
from gitmesh.yaml_text import dump

__all__ = ["StatusMemo", "heals", "message", "status_tree"]

_README = """# Status of GitMesh

GitMesh writes this branch; nothing is decided by it, and it triggers no run. Each commit is one change
of state.
`gitmesh status` and `gitmesh history` show what it says, also in a clone of this repository alone.

- `status.yaml`: the revisions seen and in force, the state of each cluster, and what is held for a doubt
- `findings.yaml`: what is wrong, with file, line and hint; `more` counts what is not listed
- `policies/<Kind>/<namespace>/<name>.yaml`: one policy in each cluster
- `clusters/<name>.yaml`: the objects of one cluster, the policies behind them, and what differs
- `facts/<name>.yaml`: what was discovered in one cluster

Files that others put on this branch are left alone. Changes to the files above are undone with the next
commit.
"""


class StatusMemo(Struct):
    """What one process remembers of the last tree, so that only what changed is written anew. May be lost at
    any time.
    """

    report: Report | None = None
    tree: Mapping[str, bytes] = {}
    documents: Mapping[str, tuple[Any, bytes]] = {}
    rows: Mapping[str, Mapping[ObjectKey, str]] = {}
    views: Mapping[str, ClusterView] = {}
    sources: Mapping[str, Location] = {}
    facts: MutableMapping[str, tuple[ClusterFacts, bytes]] = {}


def status_tree(report: Report, memo: StatusMemo | None = None) -> Mapping[str, bytes]:
    """Path -> content of every file of ours on the status branch, sorted by path."""
    memo = memo if memo is not None else StatusMemo()
    if memo.report != report:
        memo.tree = dict(sorted(_Tree(report, memo).files()))
        memo.report = report
    return memo.tree


class _Tree:
    """The files of one report."""

    def __init__(self, report: Report, memo: StatusMemo) -> None:
        self._report = report
        self._memo = memo
        self._general, self._views = views(report, memo.views)
        self._idle = idle_policies(report.diagnostics)
        self._sources = {policy.id: policy.location for policy in report.policies}
        self._counts: dict[str, Counter[State]] = {name: Counter() for name in self._views}
        policies = self._sources.keys() | memo.sources.keys()
        self._moved = {policy for policy in policies if self._sources.get(policy) != memo.sources.get(policy)}
        self._rows: dict[str, Mapping[ObjectKey, str]] = {}
        self._documents: dict[str, tuple[Any, bytes]] = {}

    def files(self) -> Iterator[tuple[str, bytes]]:
        yield "README.md", _README.encode()
        yield "findings.yaml", self._text("findings.yaml", findings_document(self._report.diagnostics))
        yield from self._policies()
        for name, result in self._report.clusters.items():
            yield f"clusters/{name}.yaml", self._cluster(name, result)
            if result.facts is not None:
                yield f"facts/{name}.yaml", self._facts(name, result)
        # Last, since policies are counted by state while their files are made.
        yield "status.yaml", self._text("status.yaml", self._status())
        self._memo.documents, self._memo.rows = self._documents, self._rows
        self._memo.views, self._memo.sources = self._views, self._sources

    def _text(self, path: str, document: dict[str, Any]) -> bytes:
        """The YAML of a document; that of the last run while it is the same."""
        return self._written(path, document, lambda: document)

    def _written(self, path: str, inputs: Any, document: Callable[[], dict[str, Any]]) -> bytes:
        """The YAML of a document; that of the last run while its inputs are the same."""
        last = self._memo.documents.get(path)
        kept = last if last is not None and last[0] == inputs else (inputs, dump(document()).encode())
        self._documents[path] = kept
        return kept[1]

    # -- policies

    def _policies(self) -> Iterator[tuple[str, bytes]]:
        places: dict[str, Location | None] = dict(self._sources)
        for policy, said in self._general.items():
            places.setdefault(policy, next((d.at for d in said if d.at), None))
        for policy in sorted(places):
            if path := policy_path(policy):
                yield path, self._policy(path, policy, places[policy])

    def _policy(self, path: str, policy: str, at: Location | None) -> bytes:
        clusters = {
            name: standing for name, view in self._views.items() if (standing := view.standing(policy))
        }
        idle = frozenset() if clusters else self._idle.get(policy, frozenset())
        codes = tuple(sorted({d.code for d in self._general.get(policy, ())} | idle))
        state = overall(self._general.get(policy, ()), clusters.values(), idle=policy in self._idle)
        for name, standing in clusters.items():
            self._counts[name][standing.state] += 1
        return self._written(
            path, (at, codes, state, clusters), lambda: policy_document(policy, at, codes, state, clusters)
        )

    # -- clusters

    def _cluster(self, name: str, result: ClusterResult) -> bytes:
        """The file of one cluster."""
        document: dict[str, Any] = {
            "apiVersion": API_VERSION,
            "kind": "ClusterStatus",
            "cluster": name,
            "state": result.state.value,
            "meshes": [
                {"name": mesh.name, "version": mesh.version}
                for mesh in (result.facts.meshes if result.facts else ())
            ],
        }
        if result.ledger is not None:
            document["appliedCommit"] = dict(result.ledger.sources)
        if result.observe_only:
            document["observeOnly"] = True
        drift = [row for change in standing_changes(result) for row in drift_rows(change)]
        if drift:
            document["drift"] = drift
        # Long lists of which few rows change, so that the text of each row is remembered by itself.
        rows = self._rows[name] = self._object_rows(name)
        listed = f"objects:\n{''.join(rows.values())}" if rows else "objects: []\n"
        return self._text(f"clusters/{name}.yaml", document) + listed.encode()

    def _object_rows(self, name: str) -> Mapping[ObjectKey, str]:
        view, known = self._views[name], self._memo.rows.get(name, {})
        moved = set(view.moved).union(*(view.objects.get(policy, ()) for policy in self._moved))
        if known.keys() == view.manifests.keys() and not moved:
            return known
        return {
            key: known[key] if key in known and key not in moved else self._object_row(view, key)
            for key in sorted(view.manifests)
        }

    def _object_row(self, view: ClusterView, key: ObjectKey) -> str:
        policies, ownership = view.manifests[key].policies, view.manifests[key].ownership
        places = tuple(self._sources.get(policy) for policy in policies)
        commit, verdict = view.commit_of(key), view.verdict_of(key)
        return dump([object_row(key, policies, commit, places, verdict, ownership)])

    def _facts(self, name: str, result: ClusterResult) -> bytes:
        """The facts as they were when they last meant something else."""
        assert result.facts is not None
        last = self._memo.facts.get(name)
        if last is None or (last[0] is not result.facts and meaning(last[0]) != meaning(result.facts)):
            last = self._memo.facts[name] = (result.facts, dump(dump_facts({name: result.facts})).encode())
        return last[1]

    # -- the whole

    def _status(self) -> dict[str, Any]:
        severities = Counter(diagnostic.severity for diagnostic in self._report.diagnostics)
        rewound = {d.at.source for d in self._report.diagnostics if d.code == "GM602" and d.at}
        return {
            "apiVersion": API_VERSION,
            "kind": "Status",
            "instance": self._report.instance,
            "sources": {
                name: source_document(source, name in rewound)
                for name, source in self._report.sources.items()
            },
            "clusters": {name: self._summary(name, result) for name, result in self._report.clusters.items()},
            "findings": {severity.value: severities[severity] for severity in Severity},
            **({"holds": holds} if (holds := holds_document(self._report)) else {}),
        }

    def _summary(self, name: str, result: ClusterResult) -> dict[str, Any]:
        counts: dict[str, Any] = (
            {"objects": len(result.build.manifests), "held": held_objects(result)} if result.build else {}
        )
        counts["policies"] = {state.value: number for state, number in self._counts[name].items()}
        if said := verdict_counts(result):
            counts["verdicts"] = {verdict.value: number for verdict, number in said.items() if number}
        summary = {"state": result.state.value, "counts": counts}
        if applied := {
            source: commit
            for source, commit in (result.ledger.sources if result.ledger else {}).items()
            if commit
        }:
            summary["appliedCommit"] = applied
        return {**summary, "observeOnly": True} if result.observe_only else summary
