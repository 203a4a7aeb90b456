"""What happens to clusters and agents beside the commits: hand edits, admission that refuses or hangs, an
agent that dies.
"""

from __future__ import annotations

import contextlib
import json
import signal
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.integration.webhook import Webhook, WebhookWords
from tests.lab.apiclient import LabApiError
from tests.lab.apiserver import ApiServer
from tests.lab.audit import AuditEvent
from tests.lab.process import wait_until
from tests.shop import Agent

_PROBE = "lab-probe"
_SECONDS = 30.0
_HELD_SECONDS = 4.0
"""Less than an API server waits for a webhook: it must not refuse by itself what is held back."""


@contextlib.contextmanager
def paused(agent: Agent) -> Iterator[None]:
    """The agent does nothing while the block runs."""
    agent.process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        agent.process.send_signal(signal.SIGCONT)


@contextlib.contextmanager
def killed(agent: Agent) -> Iterator[None]:
    """The agent is ended as hard as can be, and started again when the block has ended."""
    agent.process.send_signal(signal.SIGKILL)
    agent.process.wait()
    try:
        yield
    finally:
        agent.__enter__()


def edit(api: ApiServer, resource: str, namespace: str, patch: Mapping[str, Any] | None) -> None:
    """What somebody with kubectl does to `kind/name`: a merge patch, or None to delete it."""
    how = ["delete"] if patch is None else ["patch", "--type=merge", "-p", json.dumps(patch)]
    api.kubectl(*how, resource, "-n", namespace)


def is_agents_write(event: AuditEvent) -> bool:
    """Whether GitMesh asked to change an object of Istio's."""
    return (
        event.is_write and event.api_group.endswith(".istio.io") and event.user_agent.startswith("gitmesh/")
    )


@dataclass
class Gate(WebhookWords):
    """Holds back the write of one object, until it is opened or the API server loses patience."""

    kind: str = ""
    name: str = ""
    arrived: threading.Event = field(default_factory=threading.Event)
    opened: threading.Event = field(default_factory=threading.Event)

    def on(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """The response of an AdmissionReview."""
        if (request["kind"]["kind"], request["name"]) == (self.kind, self.name) and not request.get("dryRun"):
            self.arrived.set()
            self.opened.wait(_HELD_SECONDS)
        return super().on(request)


@contextlib.contextmanager
def admission(api: ApiServer, words: WebhookWords) -> Iterator[None]:
    """While the block runs, these words decide what the API server takes, beside istiod's."""
    words.refusals[_PROBE] = "the lab asks whether this admission is in force"
    with Webhook(api.ca_file.parent) as webhook:
        webhook.words = words
        name = "lab-admission"
        api.apply([{**webhook.configuration(), "metadata": {"name": name}}])
        try:
            wait_until(lambda: not _takes_probe(api), "admission in force", _SECONDS)
            yield
        finally:
            api.kubectl("delete", "validatingwebhookconfiguration", name)
            wait_until(lambda: _takes_probe(api), "end of the admission", _SECONDS)


def _takes_probe(api: ApiServer) -> bool:
    route = {"hosts": [f"{_PROBE}.example"], "http": [{"directResponse": {"status": 200}}]}
    head = {"apiVersion": "networking.istio.io/v1", "kind": "VirtualService"}
    try:
        api.apply(
            [{**head, "metadata": {"name": _PROBE, "namespace": "bookshop"}, "spec": route}], dry_run=True
        )
    except LabApiError:
        return False
    return True
