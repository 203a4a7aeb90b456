"""Reading what lives in a cluster, object by object reduced to what facts are made of."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Mapping, Sequence
from typing import Any

from gitmesh.adapters.kube.client import Client, Request
from gitmesh.adapters.kube.discovery import Discovery
from gitmesh.adapters.kube.errors import ApiError
from gitmesh.adapters.kube.lists import METADATA_ONLY, everything
from gitmesh.adapters.kube.paths import collection, item
from gitmesh.diagnostics import Diagnostic, finding
from gitmesh.discovery.discover import FACT_KINDS, Reduced, Reducer, assemble
from gitmesh.discovery.reducer import mapping
from gitmesh.model.facts import ClusterFacts
from gitmesh.model.objects import ApiKind, ObjectKey
from gitmesh.ports import Translator

_CONFIGMAP = ApiKind(group="", kind="ConfigMap", plural="configmaps", versions=("v1",))
_BY_OTHER_MEANS = frozenset({"ConfigMap", "CustomResourceDefinition"})
LISTED = tuple(
    ApiKind(group=group, kind=kind, plural=plural, versions=(version,), namespaced=namespaced)
    for group, version, plural, kind, namespaced in FACT_KINDS
    if kind not in _BY_OTHER_MEANS
)
"""Kinds that are listed whole. ConfigMaps are chosen by name, and discovery tells about kinds without reading CRDs."""


class FactReader:
    """The facts of one cluster, and the same value again while nothing changed."""

    def __init__(self, client: Client, cluster: str, labels: Mapping[str, str], translators: Sequence[Translator]) -> None:
        self._client = client
        self._cluster = cluster
        self._labels = labels
        self._translators = tuple(translators)
        self._reducer = Reducer(self._translators)
        self._discovery = Discovery(client, [resource.group for t in self._translators for resource in t.resources])
        self._configmaps: dict[ObjectKey, tuple[str, Reduced | None]] = {}
        self._last: tuple[list[Reduced], bool, ClusterFacts] | None = None

    async def read(self) -> tuple[ClusterFacts, tuple[Diagnostic, ...]]:
        """Facts, and a finding for each kind that may not be read: the facts are then incomplete. Raises ClusterError."""
        kinds, configmaps, lists = await asyncio.gather(
            self._discovery.kinds(), self._forbidden_is_none(self._wanted_configmaps()), asyncio.gather(*map(self._rows, LISTED))
        )
        readings = [*zip(LISTED, lists, strict=True), (_CONFIGMAP, configmaps)]
        rows = [*kinds, *(row for _, listed in readings for row in listed or ())]
        denied = [kind for kind, listed in readings if listed is None]
        return self._assembled(rows, complete=not denied), tuple(self._denied(kind) for kind in denied)

    def _assembled(self, rows: list[Reduced], *, complete: bool) -> ClusterFacts:
        if self._last is not None and self._last[1] == complete and self._last[0] == rows:
            return self._last[2]
        facts = assemble(self._cluster, self._labels, rows, self._translators, complete=complete)
        if self._last is not None and self._last[2].digest == facts.digest:
            facts = self._last[2]
        self._last = (rows, complete, facts)
        return facts

    async def _rows(self, kind: ApiKind) -> list[Reduced] | None:
        """The rows of a kind; None where listing is forbidden."""
        path = collection(kind, kind.versions[0])
        return await self._forbidden_is_none(everything(self._client, path, lambda raw: self._reducer.reduce(raw, kind.group, kind.kind)))

    async def _forbidden_is_none(self, reading: Awaitable[list[Reduced]]) -> list[Reduced] | None:
        try:
            return await reading
        except ApiError as error:
            if error.status != 403:
                raise
            return None

    async def _wanted_configmaps(self) -> list[Reduced]:
        """Those that a translator asks for, found by a list without contents and read one by one when they changed."""
        heads = await everything(self._client, collection(_CONFIGMAP, "v1"), self._head, accept=METADATA_ONLY)
        read = await asyncio.gather(*(self._configmap(key, version) for key, version in heads))
        self._configmaps = {key: (version, row) for (key, version), row in zip(heads, read, strict=True)}
        return [row for row in read if row is not None]

    def _head(self, raw: Mapping[str, Any]) -> tuple[ObjectKey, str] | None:
        metadata = mapping(raw.get("metadata"))
        namespace, name = str(metadata.get("namespace") or ""), str(metadata.get("name") or "")
        if not self._reducer.wants_configmap(namespace, name):
            return None
        return ObjectKey(group="", kind="ConfigMap", namespace=namespace, name=name), str(metadata.get("resourceVersion"))

    async def _configmap(self, key: ObjectKey, version: str) -> Reduced | None:
        known = self._configmaps.get(key)
        if known is not None and known[0] == version:
            return known[1]
        answer = await self._client.send(Request(method="GET", path=item(_CONFIGMAP, "v1", key)))
        return None if answer.status == 404 else self._reducer.reduce(answer.json(), "", "ConfigMap")

    def _denied(self, kind: ApiKind) -> Diagnostic:
        name = f"{kind.plural}.{kind.group}" if kind.group else kind.plural
        text = f"listing {name} is forbidden in cluster {self._cluster}; facts are incomplete, so nothing is deleted"
        return finding("GM503", text, cluster=self._cluster)
