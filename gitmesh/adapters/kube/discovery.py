"""Which kinds a cluster serves, in which versions and with which fields. Needs no rights beyond those of
every user.

Aggregated discovery (one request, Kubernetes 1.27 and newer) tells kinds and versions, OpenAPI v3 the
schemas; both are remembered by the server's own hashes, so a tick without change costs two small requests.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gitmesh.adapters.kube.client import KubeClient
from gitmesh.adapters.kube.errors import unrelated
from gitmesh.adapters.kube.exchange import ApiRequest
from gitmesh.adapters.kube.paths import segment
from gitmesh.discovery.crd import preferred, schema_fields
from gitmesh.errors import ClusterError
from gitmesh.model.objects import ApiKind, listed, mapping

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

_AGGREGATED = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"


class Discovery:
    """What one cluster serves of some groups, remembered between calls."""

    def __init__(self, client: KubeClient, groups: Sequence[str]) -> None:
        self._client = client
        self._groups = tuple(sorted(set(groups)))
        self._schemas: dict[tuple[str, str], tuple[str, Mapping[str, frozenset[str]]]] = {}

    def kinds(self) -> tuple[ApiKind, ...]:
        """Every kind of the groups. Raises ClusterError."""
        served = self._served()
        documents = self._documents() if served else {}
        found = [
            self._kind(group, kind, resources, documents)
            for (group, kind), resources in sorted(served.items())
        ]
        return tuple(found)

    def _served(self) -> dict[tuple[str, str], dict[str, Mapping[str, Any]]]:
        """(group, kind) -> version -> what discovery says of it."""
        content = self._client.send(ApiRequest(method="GET", path="/apis", accept=_AGGREGATED)).json()
        if content.get("kind") != "APIGroupDiscoveryList":
            text = "GET /apis: no aggregated discovery; Kubernetes 1.27 or newer is needed"
            raise ClusterError(
                text,
                retryable=False,
                hint="Upgrade the cluster, or ask what stands in front of its API server.",
            )
        served: dict[tuple[str, str], dict[str, Mapping[str, Any]]] = {}
        for group, version, resource in _resources(content):
            if group in self._groups:
                served.setdefault((group, resource["responseKind"]["kind"]), {})[version] = resource
        return served

    def _documents(self) -> Mapping[str, Any]:
        """`apis/<group>/<version>` -> address of its OpenAPI document, which ends in its hash."""
        return self._part("/openapi/v3", "paths")

    def _part(self, path: str, name: str) -> Mapping[str, Any]:
        """A part that every answer at a path has. Raises ClusterError."""
        answer = self._client.send(ApiRequest(method="GET", path=path))
        found = answer.json().get(name)
        if not isinstance(found, dict):
            # Every API server answers with this part: without it, something else answered at this address.
            raise unrelated(str(answer.request), answer.body)
        return found

    def _kind(
        self, group: str, kind: str, resources: Mapping[str, Mapping[str, Any]], documents: Mapping[str, Any]
    ) -> ApiKind:
        versions = preferred(resources)
        fields = self._fields(group, versions[0], documents)
        resource = resources[versions[0]]
        return ApiKind(
            group=group,
            kind=kind,
            plural=segment(resource["resource"]),
            versions=versions,
            namespaced=resource.get("scope") != "Cluster",
            fields=fields.get(kind, frozenset()),
        )

    def _fields(self, group: str, version: str, documents: Mapping[str, Any]) -> Mapping[str, frozenset[str]]:
        """Kind -> fields of one group version; none where the server publishes no schema."""
        entry = documents.get(f"apis/{group}/{version}")
        address = str(entry.get("serverRelativeURL", "")) if isinstance(entry, dict) else ""
        if not address:
            return {}
        known = self._schemas.get((group, version))
        # The address ends in the server's hash of the document, so an equal one need not be read.
        if known is None or known[0] != address:
            path = f"/openapi/v3/apis/{segment(group)}/{segment(version)}"
            components = self._part(path, "components")
            known = self._schemas[group, version] = (address, dict(_kind_fields(components, group, version)))
        return known[1]


def _resources(content: Mapping[str, Any]) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    """(group, version, resource) of everything served; malformed entries read as absent."""
    for group in listed(content.get("items")):
        name = mapping(group.get("metadata")).get("name")
        for version in listed(group.get("versions")):
            for resource in listed(version.get("resources")):
                if isinstance(mapping(resource.get("responseKind")).get("kind"), str) and isinstance(
                    resource.get("resource"), str
                ):
                    yield str(name), str(version.get("version")), resource


def _kind_fields(
    components: Mapping[str, Any], group: str, version: str
) -> Iterator[tuple[str, frozenset[str]]]:
    for schema in mapping(components.get("schemas")).values():
        for mark in listed(mapping(schema).get("x-kubernetes-group-version-kind")):
            if (mark.get("group"), mark.get("version")) == (group, version):
                yield str(mark.get("kind")), schema_fields(schema)
