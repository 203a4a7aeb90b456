"""A made-up history for the laws of the cycle: policies to commit, sources with a past, clusters that fail,
and the oracle.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha1
from typing import Any

import yaml

from gitmesh.adapters.memory import MemoryCluster
from gitmesh.discovery.facts_codec import with_digest
from gitmesh.errors import ClusterError, GoneError, SourceError
from gitmesh.model.facts import ClusterFacts
from gitmesh.model.ledger import Ledger
from gitmesh.model.manifests import Build
from gitmesh.model.objects import ObjectKey
from gitmesh.model.plan import Live
from gitmesh.model.report import Stage
from gitmesh.model.snapshot import Snapshot
from gitmesh.pipeline import run
from gitmesh.planning.options import Memo, Options
from gitmesh.plugins import load_translators
from gitmesh.ports import Cluster
from tests.factories import service, shop, snapshot_of, workload

INSTANCE = "shop"
NAMES = ("east", "west")
TRANSLATORS = load_translators()


def document(kind: str, name: str, **spec: Any) -> dict[str, Any]:
    """A policy as a user writes it."""
    return {
        "apiVersion": "gitmesh.io/v1alpha1",
        "kind": kind,
        "metadata": {"name": name, "namespace": "shop"},
        "spec": spec,
    }


def on(*names: str) -> list[dict[str, Any]]:
    """Destinations by name."""
    return [{"name": name} for name in names]


EVERYBODY = [{"namespaces": ["shop"]}]
POOL: Mapping[str, tuple[dict[str, Any], ...]] = {
    "alpha": (
        document("TrafficPolicy", "slow", destinations=on("reviews"), timeout="5s"),
        document("TrafficPolicy", "slow", destinations=on("reviews"), timeout="7s"),
        document(
            "TrafficPolicy",
            "beta",
            destinations=on("ratings"),
            matches=[{"path": {"prefix": "/b"}}],
            retries={"attempts": 1},
        ),
        document(
            "TrafficPolicy",
            "split",
            destinations=on("reviews"),
            split=[
                {"weight": 9, "destination": {"name": "reviews", "subset": {"app": "reviews"}}},
                {"weight": 1, "destination": {"name": "ratings"}},
            ],
        ),
        document(
            "AccessPolicy",
            "readers",
            destinations=on("reviews"),
            sources=EVERYBODY,
            rules=[{"methods": ["GET"]}],
        ),
        document(
            "AccessPolicy",
            "readers",
            destinations=on("reviews"),
            sources=EVERYBODY,
            rules=[{"methods": ["GET", "PUT"]}],
        ),
        document(
            "AccessPolicy",
            "nobody",
            action="Deny",
            destinations=on("reviews"),
            sources=EVERYBODY,
            rules=[{"paths": ["/x*"]}],
        ),
        document(
            "VirtualMesh",
            "all",
            meshes=[{"selector": {"all": True}}],
            mtls={"mode": "Strict"},
            accessDefault="Deny",
        ),
        document("VirtualMesh", "all", meshes=[{"selector": {"all": True}}], mtls={"mode": "Disabled"}),
        document("Adoption", "take", objects=["east/networking.istio.io/VirtualService/shop/reviews"]),
    ),
    "beta": (
        document(
            "TrafficPolicy",
            "defaults",
            priority=-1,
            destinations=[{"namespaces": ["shop"]}],
            retries={"attempts": 3},
        ),
        document("TrafficPolicy", "new", destinations=on("details"), timeout="1s"),
        document(
            "TrafficPolicy",
            "pool",
            destinations=[{"name": "ratings", "clusters": ["west"]}],
            outlierDetection={"consecutiveErrors": 3},
        ),
        document("TrafficPolicy", "slow", destinations=on("ratings"), timeout="3s"),
        document("AccessPolicy", "raters", destinations=on("ratings"), sources=EVERYBODY),
    ),
}
"""What commits are made of. `slow` is in both pools: a name that two sources may not use at the same time."""

INVALID: tuple[str, ...] = (
    "kind: [",
    yaml.safe_dump(document("TrafficPolicy", "bad", destinations=on("reviews"), timeot="5s")),
    yaml.safe_dump(
        document(
            "TrafficPolicy", "bad", destinations=[{"name": "reviews", "clusters": ["nowhere"]}], timeout="5s"
        )
    ),
    yaml.safe_dump_all([document("TrafficPolicy", "bad", destinations=on("reviews"), timeout="5s")] * 2),
)


@dataclass(frozen=True)
class Commit:
    """A revision. `text` is its only file ("" = no file at all); `good` whether it is free of static errors
    of its own.
    """

    sha: str
    parent: str
    text: str
    good: bool
    names: frozenset[str] = frozenset()


@dataclass
class History:
    """A source with a past: a tree of commits and a branch. `down`: fetch fails; `store_lost`: old commits
    cannot be read; `recorded`: what came into force last, by its own record."""

    name: str
    commits: dict[str, Commit] = field(default_factory=dict)
    tip: str = ""
    down: bool = False
    store_lost: bool = False
    recorded: str = ""

    def commit(self, text: str, *, good: bool, names: Iterable[str] = ()) -> str:
        """A child of the tip becomes the tip."""
        sha = sha1(f"{self.name} {len(self.commits)}".encode(), usedforsecurity=False).hexdigest()
        self.commits[sha] = Commit(sha, self.tip, text, good, frozenset(names))
        self.tip = sha
        return sha

    def fetch(self) -> Snapshot:
        """The tip. Raises SourceError."""
        if self.down or not self.tip:
            raise SourceError("no answer")
        return self._snapshot(self.tip)

    def read(self, commit: str) -> Snapshot:
        """An older commit. Raises SourceError."""
        if self.store_lost or commit not in self.commits:
            raise GoneError("it is gone")
        return self._snapshot(commit)

    def _snapshot(self, sha: str) -> Snapshot:
        text = self.commits[sha].text
        return snapshot_of({"p.yaml": text} if text else {}, self.name, sha)

    def descends(self, tip: str, ancestor: str) -> bool:
        """Whether `tip` is `ancestor` or comes after it."""
        while tip and tip != ancestor:
            tip = self.commits[tip].parent
        return bool(tip)

    def leads_to(self, commit: str) -> bool:
        """Whether the branch is that commit or comes after it."""
        return bool(self.tip) and self.descends(self.tip, commit)

    def accept(self, commit: str) -> None:
        """Record that the commit came into force."""
        self.recorded = commit

    def accepted(self) -> str:
        """The commit that was recorded last."""
        return self.recorded

    def newest(self, shas: Iterable[str]) -> str:
        """The one that comes after all the others."""
        best = ""
        for sha in sorted(set(filter(None, shas))):
            best = sha if not best or self.descends(sha, best) else best
        return best


class InOrder:
    """A fleet that works on one cluster after the other, so that a kill happens at the same place in every
    run.
    """

    def __init__(self, clusters: Iterable[Cluster]) -> None:
        self.clusters: Mapping[str, Cluster] = {cluster.name: cluster for cluster in clusters}

    def each(self, work: Callable[[Cluster], Any], names: Iterable[str] | None = None) -> Mapping[str, Any]:
        """As ports.Fleet says."""
        wanted = set(self.clusters if names is None else names)
        return {name: _caught(work, cluster) for name, cluster in self.clusters.items() if name in wanted}


def _caught(work: Callable[[Cluster], Any], cluster: Cluster) -> Any:
    try:
        return work(cluster)
    except ClusterError as error:
        return error


def facts_of(cluster: str, *extra: str) -> ClusterFacts:
    """reviews and ratings in namespace shop, and further Services."""
    more = [thing for name in extra for thing in (service(name), workload(name))]
    return with_digest(shop(cluster, *more, trust=f"{cluster}.example", uid=f"uid-of-{cluster}"))


def corrupted(cluster: MemoryCluster) -> None:
    """Overwrite the ledger by something that is none."""
    cluster._ledger = b"{"
    cluster._version += 1


def forgotten(cluster: MemoryCluster) -> None:
    """Delete the ledger."""
    cluster._ledger, cluster._version = b"", 0


def ledger_of(cluster: MemoryCluster) -> tuple[Ledger, bool]:
    """The ledger as stored, and whether there is a readable one; seen past all faults."""
    stored = MemoryCluster.load(_past_faults(cluster), INSTANCE)
    return stored.ledger, bool(stored.version) and not stored.corrupt


def _past_faults(cluster: MemoryCluster) -> MemoryCluster:
    twin = MemoryCluster(cluster.name)
    twin._ledger, twin._version = cluster._ledger, cluster._version
    return twin


def options(**more: Any) -> Options:
    """Two clusters without labels."""
    return Options(instance=INSTANCE, clusters={name: {} for name in NAMES}, **more)


def desired(
    sources: Sequence[History],
    accepted: Mapping[str, str],
    facts: Mapping[str, ClusterFacts | None],
    known: dict[Any, Any],
) -> Mapping[str, Build]:
    """The oracle: what the clusters should hold at these revisions, from a fresh process that knows nothing
    else.
    """
    slot = (tuple(sorted(accepted.items())), tuple(f.digest if f else "" for _, f in sorted(facts.items())))
    if slot not in known:
        frozen = [_at(source, accepted[source.name]) for source in sources]
        fleet = InOrder(_standing(name, fact) for name, fact in facts.items())
        report = run(
            frozen, fleet, TRANSLATORS, until=Stage.BUILD, options=options(), memo=Memo(), clock=lambda: 0.0
        )
        known[slot] = {name: result.build for name, result in report.clusters.items() if result.build}
    found: Mapping[str, Build] = known[slot]
    return found


def _at(source: History, commit: str) -> History:
    return History(source.name, source.commits, commit)


def _standing(name: str, facts: ClusterFacts | None) -> MemoryCluster:
    def silent(_operation: str, _key: ObjectKey | None) -> None:
        raise ClusterError("unknown")

    return MemoryCluster(name, facts=facts, before=silent if facts is None else None)


@dataclass(frozen=True)
class Event:
    """One operation that reached a cluster, with the object as it stood then."""

    cluster: str
    operation: str
    key: ObjectKey | None
    live: Live | None
