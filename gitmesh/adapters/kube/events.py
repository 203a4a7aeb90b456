"""Kubernetes Events on the agent's own Deployment, for failures: `kubectl describe deployment gitmesh` then
tells them.
"""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING

import orjson

from gitmesh.adapters.kube.client import KubeClient
from gitmesh.adapters.kube.errors import clean
from gitmesh.adapters.kube.exchange import ApiRequest
from gitmesh.adapters.kube.paths import collection, item
from gitmesh.errors import ClusterError
from gitmesh.model.objects import ApiKind, ObjectKey

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime

    from gitmesh.diagnostics import Diagnostic
    from gitmesh.model.report import Report

_DEPLOYMENT = ApiKind(group="apps", kind="Deployment", plural="deployments", versions=("v1",))
_EVENT = ApiKind(group="events.k8s.io", kind="Event", plural="events", versions=("v1",))
_LONGEST_NOTE = 1024
MOST_EVENTS = 20
AGAIN_AFTER = 3000.0
"""Seconds after which an Event of a failure that lasts is made again: the server forgets Events after an
hour.
"""


class EventPublisher:
    """Publishes the errors of a report. `now` gives the time for the Event, `clock` is monotonic, in seconds.

    One Event for each finding (code, cluster and policy), while it lasts once in 50 minutes, at most 20 a
    report.
    """

    def __init__(
        self,
        client: KubeClient,
        namespace: str,
        deployment: str,
        *,
        now: Callable[[], datetime],
        clock: Callable[[], float],
        instance: str,
    ) -> None:
        self._client = client
        self._key = ObjectKey(group="apps", kind="Deployment", namespace=namespace, name=deployment)
        self._now = now
        self._clock = clock
        self._instance = instance
        self._posted: dict[str, float] = {}
        self._uid = ""

    def publish(self, report: Report) -> Report:
        """Post what is new. The report comes back as it was."""
        errors = {_identity(d): d for d in report.diagnostics if d.is_error}
        self._posted = {
            name: at
            for name, at in self._posted.items()
            if name in errors and self._clock() - at < AGAIN_AFTER
        }
        fresh = [(name, d) for name, d in errors.items() if name not in self._posted][:MOST_EVENTS]
        # Events are a courtesy, so that their failure is no finding.
        if fresh:
            self._post(fresh)
        return report

    def _post(self, fresh: Sequence[tuple[str, Diagnostic]]) -> None:
        try:
            self._uid = self._uid or self._read_uid()
            self._client.each(self._post_one, fresh)
        except ClusterError:
            return

    def _read_uid(self) -> str:
        answer = self._client.send(ApiRequest(method="GET", path=item(_DEPLOYMENT, "v1", self._key)))
        return answer.identity(self._key).uid

    def _post_one(self, what: tuple[str, Diagnostic]) -> None:
        name, diagnostic = what
        body = orjson.dumps(self._event(name, diagnostic))
        answer = self._client.send(
            ApiRequest(method="POST", path=collection(_EVENT, "v1", self._key.namespace), body=body)
        )
        if answer.status != 409:  # 409: an agent before us has made it, and it is still there
            answer.json()
        self._posted[name] = self._clock()

    def _event(self, name: str, diagnostic: Diagnostic) -> Mapping[str, object]:
        place = f" ({diagnostic.at})" if diagnostic.at else ""
        return {
            "apiVersion": "events.k8s.io/v1",
            "kind": "Event",
            "metadata": {"name": f"{self._key.name}.{name}", "namespace": self._key.namespace},
            "eventTime": self._now().isoformat(timespec="microseconds").replace("+00:00", "Z"),
            "type": "Warning",
            "reason": diagnostic.name,
            "action": "Reconcile",
            # The API counts bytes, and a character may have four (events.k8s.io/v1, note: 1 kB).
            "note": clean(f"{diagnostic.code} {diagnostic.message}{place}", _LONGEST_NOTE // 4),
            "reportingController": "gitmesh.io/agent",
            "reportingInstance": f"gitmesh-{self._instance}",
            "regarding": {
                "apiVersion": "apps/v1",
                "kind": "Deployment",
                "namespace": self._key.namespace,
                "name": self._key.name,
                "uid": self._uid,
            },
        }


def _identity(diagnostic: Diagnostic) -> str:
    """A name for the finding that lives as long as it does."""
    parts = (diagnostic.code, diagnostic.cluster, diagnostic.policy, diagnostic.field, diagnostic.message)
    return sha256("\0".join(parts).encode()).hexdigest()[:16]
