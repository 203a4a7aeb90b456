"""Reading what lives in a cluster, object by object reduced to what facts are made of."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from gitmesh.adapters.kube.client import KubeClient
from gitmesh.adapters.kube.discovery import Discovery
from gitmesh.adapters.kube.errors import ApiError
from gitmesh.adapters.kube.exchange import ApiRequest
from gitmesh.adapters.kube.lists import everything
from gitmesh.adapters.kube.paths import collection, item
from gitmesh.diagnostics import Diagnostic, finding
from gitmesh.discovery.controlplanes import Homes, homes_of, wanted_configmaps
from gitmesh.discovery.discover import SPARED, assemble
from gitmesh.discovery.reducer import Reducer
from gitmesh.discovery.rows import FACT_KINDS, Reduced
from gitmesh.model.objects import ApiKind, ObjectKey

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from gitmesh.model.facts import ClusterFacts, Remembered
    from gitmesh.ports import Translator

_CONFIGMAP = ApiKind(group="", kind="ConfigMap", plural="configmaps", versions=("v1",))
_BY_OTHER_MEANS = frozenset({"ConfigMap", "CustomResourceDefinition"})
LISTED = tuple(
    ApiKind(group=group, kind=kind, plural=plural, versions=(version,), namespaced=namespaced)
    for group, version, plural, kind, namespaced in FACT_KINDS
    if kind not in _BY_OTHER_MEANS
)
"""Kinds that are listed whole. ConfigMaps are asked for by name, and discovery tells about kinds without
reading CRDs.
"""
_OPTIONAL = frozenset({("gateway.networking.k8s.io", "Gateway")})
"""Kinds that a cluster need not serve."""
_ABSENT = 404
_DEPLOYMENTS = next(place for place, kind in enumerate(LISTED) if kind.kind == "Deployment")
_SERVICES = next(place for place, kind in enumerate(LISTED) if kind.kind == "Service")


class _Signs(NamedTuple):
    """What one reading shows beside facts: `leaving` are namespaces that are being deleted, `services` has
    default/kubernetes.
    """

    leaving: set[str]
    services: set[str]


class FactReader:
    """The facts of one cluster, and the same value again while nothing changed.

    `configmaps` are those that the last reading asked for, `leaving` the namespaces that were being deleted
    at the time.
    """

    def __init__(
        self,
        client: KubeClient,
        cluster: str,
        labels: Mapping[str, str],
        translators: Sequence[Translator],
        control_planes: Homes | None = None,
    ) -> None:
        self._client = client
        self._cluster = cluster
        self._labels = labels
        self._translators = tuple(translators)
        self._homes = homes_of(self._translators, control_planes)
        self._reducer = Reducer(self._translators)
        self._discovery = Discovery(
            client, [resource.group for t in self._translators for resource in t.resources]
        )
        self._control: tuple[list[Reduced], tuple[ObjectKey, ...]] | None = None
        self.configmaps: tuple[ObjectKey, ...] = ()
        self.leaving: frozenset[str] = frozenset()
        self._last: tuple[list[Reduced], tuple[str, ...], Remembered, ClusterFacts] | None = None

    def read(self, remembered: Remembered) -> tuple[ClusterFacts, tuple[Diagnostic, ...]]:
        """Facts, and a finding for each kind that may not be read: the facts are then incomplete. Raises
        ClusterError.
        """
        signs = _Signs(set(), set())
        readings: list[Callable[[], Any]] = [
            self._discovery.kinds,
            *(partial(self._rows, kind, signs) for kind in LISTED),
        ]
        kinds, *lists = self._client.each(lambda reading: reading(), readings)
        self.leaving = frozenset(signs.leaving)
        # Every API server keeps `default/kubernetes`; a list without it is somebody's cache, not the
        # cluster.
        unread = lists[_SERVICES] is not None and not signs.services
        if unread:
            lists[_SERVICES] = None
        self.configmaps = self._wanted(lists[_DEPLOYMENTS] or [])
        configs, refused = self._configs(self.configmaps)
        found = list(zip(LISTED, lists, strict=True))
        rows = [*kinds, *(row for _, listed in found for row in listed or ()), *configs]
        missing = [kind for kind, listed in found if listed is None]
        names = (
            *(kind.kind for kind in missing),
            *(f"ConfigMap/{key.namespace}/{key.name}" for key in refused),
        )
        told = [kind for kind in missing if kind.kind not in SPARED] + ([_CONFIGMAP] if refused else [])
        said = (
            self._unread() if unread and kind is LISTED[_SERVICES] else self._denied(kind) for kind in told
        )
        return self._assembled(rows, names, remembered), tuple(said)

    def _assembled(
        self, rows: list[Reduced], unread: tuple[str, ...], remembered: Remembered
    ) -> ClusterFacts:
        last = self._last
        if last is not None and last[1:3] == (unread, remembered) and last[0] == rows:
            return last[3]
        facts = assemble(
            self._cluster,
            self._labels,
            rows,
            self._translators,
            unread=unread,
            homes=self._homes,
            remembered=remembered,
        )
        # The rows differ, but nothing that facts keep: the same value, so that nothing behind it is worked
        # out again.
        if last is not None and last[3].digest == facts.digest:
            facts = last[3]
        self._last = (rows, unread, remembered, facts)
        return facts

    def _rows(self, kind: ApiKind, signs: _Signs) -> list[Reduced] | None:
        """The rows of a kind; None where listing is forbidden."""
        path = collection(kind, kind.versions[0])
        try:
            return _forbidden_is_none(lambda: everything(self._client, path, partial(self._row, kind, signs)))
        except ApiError as error:
            if error.status != _ABSENT or (kind.group, kind.kind) not in _OPTIONAL:
                raise
            return []

    def _row(self, kind: ApiKind, signs: _Signs, raw: Mapping[str, Any]) -> Reduced | None:
        metadata = raw["metadata"]
        if kind.kind == "Namespace" and "deletionTimestamp" in metadata:
            signs.leaving.add(metadata["name"])
        if kind.kind == "Service" and (metadata.get("namespace"), metadata["name"]) == (
            "default",
            "kubernetes",
        ):
            signs.services.add(metadata["name"])
        return self._reducer.reduce(raw, kind.group, kind.kind)

    def _wanted(self, deployments: list[Reduced]) -> tuple[ObjectKey, ...]:
        """The ConfigMaps of the control planes; the same answer again for the same Deployments."""
        if self._control is None or self._control[0] != deployments:
            names = wanted_configmaps(deployments, self._translators, self._homes)
            keys = tuple(
                ObjectKey(group="", kind="ConfigMap", namespace=namespace, name=name)
                for namespace, name in names
            )
            self._control = (deployments, keys)
        return self._control[1]

    def _configs(self, keys: Sequence[ObjectKey]) -> tuple[list[Reduced], list[ObjectKey]]:
        """Those of them that are there, and those that may not be read."""
        found = self._client.each(lambda key: _forbidden_is_none(partial(self._config, key)), keys)
        refused = [key for key, rows in zip(keys, found, strict=True) if rows is None]
        return [row for rows in found for row in rows or ()], refused

    def _config(self, key: ObjectKey) -> list[Reduced]:
        answer = self._client.send(ApiRequest(method="GET", path=item(_CONFIGMAP, "v1", key)))
        if answer.is_absent:
            return []
        raw, _ = answer.json(), answer.identity(key)
        row = self._reducer.reduce(raw, "", "ConfigMap")
        return [] if row is None else [row]

    def _unread(self) -> Diagnostic:
        """The finding where a list of services is not believed."""
        # Each API server keeps the Service of its own: a list without it is a cold cache's, or a filter's.
        text = (
            f"the list of services of cluster {self._cluster} lacks default/kubernetes, so it is not"
            " believed; facts are incomplete"
        )
        hint = "Ask what stands in front of the API server; the next cycle reads again."
        return finding("GM409", text, cluster=self._cluster, hint=hint)

    def _denied(self, kind: ApiKind) -> Diagnostic:
        name = f"{kind.plural}.{kind.group}" if kind.group else kind.plural
        text = (
            f"reading {name} is forbidden in cluster {self._cluster}; facts are incomplete, so nothing is"
            " deleted"
        )
        return finding("GM503", text, cluster=self._cluster)


def _forbidden_is_none(reading: Callable[[], list[Reduced]]) -> list[Reduced] | None:
    try:
        return reading()
    except ApiError as error:
        if error.code != "GM503":  # 403 is said by proxies and of other causes too
            raise
        return None
