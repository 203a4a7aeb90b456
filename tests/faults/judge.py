"""The judge: what the API server's audit log and the repositories' reflogs say was done, against the laws.

Nothing of what GitMesh says of itself counts.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from gitmesh.model.facts import Mesh
from tests.faults.revisions import FoundCluster, Key, Revision
from tests.gitrepo import Repo
from tests.lab import audit
from tests.lab.apiserver import ApiServer
from tests.lab.audit import AuditEvent
from tests.soundness.istio import Istio

USER = "gitmesh-agent"
LEDGER = ("gitmesh-system", "gitmesh-shop")
STATUS = "gitmesh-status"
NONE_YET = "0" * 40
KINDS = {
    "virtualservices": ("networking.istio.io/v1", "VirtualService"),
    "destinationrules": ("networking.istio.io/v1", "DestinationRule"),
    "authorizationpolicies": ("security.istio.io/v1", "AuthorizationPolicy"),
    "peerauthentications": ("security.istio.io/v1", "PeerAuthentication"),
}
_ACCESS = ("AuthorizationPolicy", "PeerAuthentication")
_OURS = "gitmesh.io%2Finstance%3Dshop"


class LawBrokenError(AssertionError):
    """A law was broken; the text says which and by what."""


@dataclass
class Judge:
    """One cluster and one repository from a moment on. `strangers` are objects that nobody may touch."""

    server: ApiServer
    repo: Repo
    world: FoundCluster
    strangers: Mapping[Key, Mapping[str, Any]]
    window: list[Revision] = field(default_factory=list)
    known: set[Key] = field(default_factory=set)
    wider: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.place = self.server.audit_mark()
        self.access: dict[Key, Mapping[str, Any]] = {
            key: body for key, body in self.live().items() if key[0] in _ACCESS
        }

    # --- what was asked for, from now on

    def commits(self, revision: Revision) -> None:
        """A revision is about to be committed: until all is converged, it and those before it may be in
        force.
        """
        self.window.append(revision)
        self.known |= revision.specs.keys()

    def look(self) -> list[AuditEvent]:
        """Judge what was written since the last look; the writes."""
        start, self.place = self.place, self.server.audit_mark()
        events = audit.read_events(self.server.audit_log, start)
        writes = [e for e in events if e.user == USER and e.is_write and e.stage == "ResponseComplete"]
        for event in writes:
            self._judge(event)
        self._strangers_stay()
        return writes

    def _judge(self, event: AuditEvent) -> None:
        if event.resource == "events":
            return
        if event.resource == "configmaps":
            if (event.namespace, event.name or LEDGER[1]) != LEDGER or event.verb == "delete":
                raise LawBrokenError(f"foreign: {event.verb} {event.request_uri}")
            return
        kind = KINDS.get(event.resource, ("", ""))[1]
        key = (kind, event.namespace, event.name)
        if key in self.strangers or key not in self.known or event.verb not in ("patch", "delete"):
            raise LawBrokenError(f"foreign: {event.verb} {event.request_uri}")
        if 200 <= event.code < 300:
            self._follow(key, event)

    def _follow(self, key: Key, event: AuditEvent) -> None:
        if key[0] not in _ACCESS:
            return
        if event.verb == "delete":
            self.access.pop(key, None)
        elif isinstance(event.request_object, dict):  # a list of steps moves only who manages the fields
            self.access[key] = event.request_object
        self._never_wider(f"{event.verb} of {key}")

    def _never_wider(self, after: str) -> None:
        """Design law 2: what is live admits no more than one of the revisions that may be in force."""
        meshes: Sequence[Mesh] = self.world.facts.meshes
        istio = Istio(list(self.access.values()), meshes)
        may = frozenset[int]().union(*(revision.admitted for revision in self.window))
        more = [n for n, call in enumerate(self.world.calls) if n not in may and istio.admitted(call)]
        if more:
            call = self.world.calls[more[0]]
            self.wider.append(
                f"wider after {after}: {len(more)} calls, as {call.client.account} {call.request.method} to"
                f" {call.workload.name}:{call.port}"
            )

    def _strangers_stay(self) -> None:
        for (kind, namespace, name), before in self.strangers.items():
            version = next(v for v, k in KINDS.values() if k == kind)
            now = self.server.get(version, kind, namespace, name)
            if now is None or now["metadata"]["resourceVersion"] != before["metadata"]["resourceVersion"]:
                raise LawBrokenError(f"foreign: {kind} {namespace}/{name} was touched")

    # --- what must be there when all is quiet

    def differs(self) -> str:
        """Why the cluster is not yet as the last revision wants it, "" where it is."""
        live, wanted = self.live(), self.window[-1].specs
        missing = sorted(wanted.keys() - live.keys() - self.strangers.keys())
        more = sorted(live.keys() - wanted.keys())
        other = [key for key in sorted(live.keys() & wanted.keys()) if live[key].get("spec") != wanted[key]]
        if missing or more or other:
            return f"lost {missing}, too many {more}, other {other}"
        entries = self.ledger()
        orphans = sorted(live.keys() - entries.keys())
        ghosts = sorted(entries.keys() - live.keys() - self.strangers.keys())
        uids = [key for key in live.keys() & entries.keys() if entries[key] != live[key]["metadata"]["uid"]]
        return f"orphaned {orphans}, ghosts {ghosts}, uids {uids}" if orphans or ghosts or uids else ""

    def converged(self) -> None:
        """All is as the last revision wants it: it alone is in force from here on."""
        if why := self.differs():
            raise LawBrokenError(f"not converged: {why}")
        self.look()
        self.reflog()
        del self.window[:-1]

    def live(self) -> dict[Key, Mapping[str, Any]]:
        """Every live object with our marks."""
        found: dict[Key, Mapping[str, Any]] = {}
        for plural, (version, kind) in KINDS.items():
            path = f"/apis/{version}/{plural}?labelSelector={_OURS}"
            for body in self.server.client.call("GET", path)["items"]:
                found[kind, body["metadata"]["namespace"], body["metadata"]["name"]] = {**body, "kind": kind}
        return found

    def ledger(self) -> dict[Key, str]:
        """Object -> uid, as the ledger's text says."""
        found = self.server.get("v1", "ConfigMap", *LEDGER)
        if found is None:
            return {}
        entries = json.loads(found["data"]["ledger.json"])["entries"]
        return {
            (kind.rpartition("/")[2], namespace, name): str(row[0])
            for kind, namespaces in entries.items()
            for namespace, names in namespaces.items()
            for name, row in names.items()
        }

    def reflog(self) -> None:
        """The branch of policies is where it was put, and each status commit comes after the one before."""
        for line in self._reflog(STATUS):
            old, new = line.split()[:2]
            parents = self.repo.git("rev-list", "--parents", "-n", "1", new).decode().split()[1:]
            if parents != ([] if old == NONE_YET else [old]):
                raise LawBrokenError(
                    f"lost: the status branch went from {old} to {new}, a child of {parents}"
                )
        for line in self._reflog(self.repo.branch):
            raise LawBrokenError(f"foreign: {self.repo.branch} was pushed: {line}")

    def _reflog(self, branch: str) -> list[str]:
        """Pushes to a branch, the oldest first; commits of the tests say something else."""
        path = self.repo.path / "logs" / "refs" / "heads" / branch
        lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        return [line for line in lines if line.endswith("\tpush")]
