"""The API server's audit log: the judge of what was really asked of it."""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

WRITE_VERBS = frozenset({"create", "update", "patch", "delete", "deletecollection"})
_BARRIER = "/version?lab-barrier="
_CHUNK = 1 << 16

POLICY: Mapping[str, Any] = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived"],
    "rules": [
        # The server's own loopback traffic says nothing about a client.
        {"level": "None", "users": ["system:apiserver"]},
        # Bodies of these hold credentials.
        {
            "level": "Metadata",
            "resources": [{"group": "", "resources": ["secrets", "serviceaccounts/token"]}],
        },
        {"level": "Request", "verbs": sorted(WRITE_VERBS)},
        {"level": "Metadata"},
    ],
}


@dataclass(frozen=True)
class AuditEvent:
    """One line of the audit log, with the fields that tests ask about by name."""

    verb: str
    user: str
    stage: str
    request_uri: str
    code: int
    api_group: str
    resource: str
    subresource: str
    namespace: str
    name: str
    user_agent: str
    raw: Mapping[str, Any]

    @property
    def is_write(self) -> bool:
        """Whether it asked to change the cluster, a dry run not counted."""
        return self.verb in WRITE_VERBS and not self.is_dry_run

    @property
    def is_dry_run(self) -> bool:
        """Whether the request said dryRun=All, in its query or (a delete) in its body."""
        body = self.request_object
        return "dryRun=" in self.request_uri or (isinstance(body, dict) and bool(body.get("dryRun")))

    @property
    def is_barrier(self) -> bool:
        """Whether the lab itself sent it, to see how far the log is."""
        return self.request_uri.startswith(_BARRIER)

    @property
    def request_object(self) -> Any:
        """The body of a write, as it was sent (None for reads and for Secrets)."""
        return self.raw.get("requestObject")


def barrier_uri() -> str:
    """The URI of a harmless request that can be told from every other in the log."""
    return f"{_BARRIER}{uuid.uuid4().hex}"


def write_policy(path: Path) -> None:
    """Write the audit policy file that the API server reads at its start."""
    path.write_text(yaml.safe_dump(dict(POLICY), sort_keys=False), encoding="utf-8")


def read_events(path: Path, offset: int = 0) -> list[AuditEvent]:
    """Parse the log from where a line begins; a last line still being written is left out."""
    if not path.exists():
        return []
    with path.open("rb") as handle:
        handle.seek(offset)
        lines = handle.read().split(b"\n")[:-1]
    return [_event(json.loads(line)) for line in lines if line]


def end_of_lines(path: Path) -> int:
    """Where the last whole line ends: what the server is writing at this moment lies beyond it, however much
    of it is there.
    """
    if not path.exists():
        return 0
    with path.open("rb") as handle:
        start = handle.seek(0, os.SEEK_END)
        while start > 0:
            start, end = max(0, start - _CHUNK), start
            handle.seek(start)
            found = handle.read(end - start).rfind(b"\n")
            if found >= 0:
                return start + found + 1
    return 0


def _event(raw: Mapping[str, Any]) -> AuditEvent:
    reference = raw.get("objectRef") or {}
    # An impersonating client acts as somebody else; what it acted as is what RBAC judged.
    user = raw.get("impersonatedUser") or raw.get("user") or {}
    return AuditEvent(
        verb=raw.get("verb", ""),
        user=user.get("username", ""),
        stage=raw.get("stage", ""),
        request_uri=raw.get("requestURI", ""),
        code=int((raw.get("responseStatus") or {}).get("code", 0)),
        api_group=reference.get("apiGroup", ""),
        resource=reference.get("resource", ""),
        subresource=reference.get("subresource", ""),
        namespace=reference.get("namespace", ""),
        name=reference.get("name", ""),
        user_agent=raw.get("userAgent", ""),
        raw=raw,
    )
