"""Whether it is still the same cluster, after somebody rewrote the files that lead to it.

The ledger cannot tell: it lies in the cluster itself, and another one has another ledger, or none. A restart
begins anew.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from gitmesh.adapters.kube.lists import everything
from gitmesh.errors import ClusterError

if TYPE_CHECKING:
    from gitmesh.adapters.kube.client import KubeClient
    from gitmesh.adapters.kube.credentials import Endpoint


class Recognition:
    """Remembers by which endpoint which cluster was reached last."""

    def __init__(self, client: KubeClient) -> None:
        self._client = client
        self._endpoint: Endpoint | None = None
        self._uid = ""

    def is_here(self, uid: str) -> None:
        """The endpoint that is in use now leads to the cluster `uid` ("" = it did not tell)."""
        if uid:
            self._endpoint, self._uid = self._client.endpoint, uid

    def check(self) -> None:
        """Raise ClusterError where a new endpoint leads to another cluster. Sends nothing where the endpoint
        did not change.
        """
        if self._endpoint is None or self._client.endpoint == self._endpoint:
            return
        uids = everything(self._client, "/api/v1/namespaces", _cluster_uid)
        if self._uid not in uids:
            text = (
                f"it is not the one it was: its identity is {', '.join(uids) or 'not known'}, and it was"
                f" {self._uid}"
            )
            hint = "Point it back; if another cluster is meant to take its place, restart GitMesh."
            raise ClusterError(text, retryable=False, code="GM506", hint=hint)
        self._endpoint = self._client.endpoint


def _cluster_uid(namespace: Mapping[str, Any]) -> str | None:
    """The uid of kube-system, which stands for its cluster's identity."""
    metadata = namespace["metadata"]
    return str(metadata.get("uid")) if metadata["name"] == "kube-system" else None
