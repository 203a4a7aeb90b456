"""A small Kubernetes client of the lab's own, so that tests do not judge the project by its own client."""

from __future__ import annotations

import http.client
import json
import ssl
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import yaml

from tests.lab.process import LOOPBACK, LabError, wait_until

JSON = "application/json"
MERGE_PATCH = "application/merge-patch+json"
APPLY_PATCH = "application/apply-patch+yaml"
# The parser in C where PyYAML has it: Istio's CRDs are nearly a megabyte.
_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

Object = dict[str, Any]


class LabApiError(LabError):
    """The API server refused a request of the lab's client."""

    def __init__(self, method: str, path: str, status: int, message: str) -> None:
        super().__init__(f"{method} {path}: {status} {message}")
        self.status = status
        self.message = message


@dataclass(frozen=True)
class LabResponse:
    """One answer of the API server."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def ok(self) -> bool:
        """Whether the status is one of success."""
        return 200 <= self.status < 300

    def json(self) -> Any:
        """The parsed body."""
        return json.loads(self.body)

    @property
    def message(self) -> str:
        """What a Status object says, or the plain body."""
        try:
            return str(self.json().get("message", ""))
        except (ValueError, AttributeError):
            return self.body.decode(errors="replace")


class ApiClient:
    """Requests to one API server: its certificate verified, a new connection for each."""

    def __init__(self, port: int, ca_file: Path, token: str) -> None:
        self._port = port
        self._ca_file = ca_file
        self._token = token
        self._context: ssl.SSLContext | None = None
        self._resources: dict[str, dict[str, tuple[str, bool]]] = {}

    def request(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        content_type: str = JSON,
        token: str | None = "",
        timeout: float = 30.0,
    ) -> LabResponse:
        """Send one request; any status is an answer. An empty token means admin's, None means none."""
        headers = {"Accept": JSON}
        if token is not None:
            headers["Authorization"] = f"Bearer {token or self._token}"
        payload: bytes | None = None
        if body is not None:
            headers["Content-Type"] = content_type
            payload = _encode(body)
        connection = http.client.HTTPSConnection(
            LOOPBACK, self._port, timeout=timeout, context=self._ssl_context()
        )
        try:
            connection.request(method, path, body=payload, headers=headers)
            answer = connection.getresponse()
            return LabResponse(answer.status, dict(answer.getheaders()), answer.read())
        finally:
            connection.close()

    def call(self, method: str, path: str, body: Any = None, *, content_type: str = JSON) -> Any:
        """Send one request as admin and return its object; a refusal raises ApiError."""
        response = self.request(method, path, body, content_type=content_type)
        if not response.ok:
            raise LabApiError(method, path, response.status, response.message)
        return response.json() if response.body else None

    def get_all(self, paths: Iterable[str], timeout: float = 30.0) -> list[Any]:
        """What is at these paths, asked for one after the other over a single connection."""
        connection = http.client.HTTPSConnection(
            LOOPBACK, self._port, timeout=timeout, context=self._ssl_context()
        )
        found = []
        try:
            for path in paths:
                connection.request(
                    "GET", path, headers={"Accept": JSON, "Authorization": f"Bearer {self._token}"}
                )
                answer = connection.getresponse()
                response = LabResponse(answer.status, dict(answer.getheaders()), answer.read())
                if not response.ok:
                    raise LabApiError("GET", path, response.status, response.message)
                found.append(response.json())
        finally:
            connection.close()
        return found

    def resource_path(self, api_version: str, kind: str, namespace: str = "", name: str = "") -> str:
        """The URL path of a kind or of an object, by discovery."""
        kinds = self._resources.get(api_version, {})
        if kind not in kinds:
            kinds = self._resources[api_version] = self._discover(api_version)
        if kind not in kinds:
            raise LabError(f"the server has no kind {kind} in {api_version}")
        plural, namespaced = kinds[kind]
        parts = [_group_path(api_version)]
        if namespaced and namespace:
            parts += ["namespaces", quote(namespace)]
        parts.append(plural)
        if name:
            parts.append(quote(name))
        return "/".join(parts)

    def get(self, api_version: str, kind: str, namespace: str, name: str) -> Object | None:
        """One object, or None when there is none."""
        path = self.resource_path(api_version, kind, namespace, name)
        response = self.request("GET", path)
        if response.status == 404:
            return None
        if not response.ok:
            raise LabApiError("GET", path, response.status, response.message)
        found: Object = response.json()
        return found

    def apply(
        self,
        manifests: str | Object | Iterable[Object],
        *,
        field_manager: str = "lab",
        force: bool = True,
        dry_run: bool = False,
        strict: bool = True,
    ) -> list[Object]:
        """Server-side apply as admin, in the given order; returns what the server made of the objects."""
        query = {"fieldManager": field_manager, "force": str(force).lower()}
        query["fieldValidation"] = "Strict" if strict else "Ignore"
        if dry_run:
            query["dryRun"] = "All"
        return [self._apply_one(item, urlencode(query)) for item in load_objects(manifests)]

    def _apply_one(self, item: Object, query: str) -> Object:
        meta = item["metadata"]
        namespace = meta.get("namespace", "default")
        path = self.resource_path(item["apiVersion"], item["kind"], namespace, meta["name"])
        applied: Object = self.call("PATCH", f"{path}?{query}", item, content_type=APPLY_PATCH)
        return applied

    def install_crds(
        self, paths: Path | str | Iterable[Path | str], deadline_seconds: float = 180.0
    ) -> list[str]:
        """Apply the CRDs of files or folders; returns their names once their kinds are really served, and
        their schemas published.
        """
        listed = [paths] if isinstance(paths, (str, Path)) else list(paths)
        crds = [crd for path in listed for crd in _load_crds(Path(path))]
        if not crds:
            raise LabError(f"no CustomResourceDefinition in {', '.join(map(str, listed))}")
        names = {crd["metadata"]["name"] for crd in crds}
        self.apply(crds[0])
        with ThreadPoolExecutor(max_workers=4) as pool:
            list(pool.map(self.apply, crds[1:]))
        wait_until(lambda: names <= self._established(), "established CRDs", deadline_seconds)
        served = _served_kinds(crds)
        wait_until(lambda: self._serves(served), "discovery of the CRDs", deadline_seconds)
        # A moment later than discovery, on a busy machine more than one: until then nobody knows the fields
        # of the kinds.
        for version in sorted({version for version, _ in served}):
            kinds = {kind for of, kind in served if of == version}
            wait_until(
                partial(self._publishes, version, kinds), f"the schemas of {version}", deadline_seconds
            )
        return sorted(names)

    def _serves(self, wanted: set[tuple[str, str]]) -> bool:
        """Whether discovery lists all these (apiVersion, kind)."""
        versions = {api_version for api_version, _ in wanted}
        return wanted <= {(version, kind) for version in versions for kind in self._discover(version)}

    def _publishes(self, api_version: str, wanted: set[str]) -> bool:
        """Whether the OpenAPI document of a group version has the schemas of all these kinds."""
        response = self.request("GET", f"/openapi/v3{_group_path(api_version)}")
        if response.status in (404, 503):
            return False
        if not response.ok:
            raise LabApiError(
                "GET", f"/openapi/v3{_group_path(api_version)}", response.status, response.message
            )
        schemas = response.json()["components"]["schemas"].values()
        return wanted <= {
            mark["kind"] for schema in schemas for mark in schema.get("x-kubernetes-group-version-kind", ())
        }

    def _established(self) -> set[str]:
        """The names of all CRDs whose condition Established is True."""
        items = self.call("GET", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions")["items"]
        return {
            item["metadata"]["name"]
            for item in items
            for condition in (item.get("status") or {}).get("conditions") or []
            if condition["type"] == "Established" and condition["status"] == "True"
        }

    def _discover(self, api_version: str) -> dict[str, tuple[str, bool]]:
        """Kind to (plural, namespaced) of one group version; empty when the server has no such group."""
        response = self.request("GET", _group_path(api_version))
        if response.status in (404, 503):
            return {}
        if not response.ok:
            raise LabApiError("GET", _group_path(api_version), response.status, response.message)
        resources = response.json()["resources"]
        return {r["kind"]: (r["name"], bool(r["namespaced"])) for r in resources if "/" not in r["name"]}

    def _ssl_context(self) -> ssl.SSLContext:
        if self._context is None:
            self._context = ssl.create_default_context(cafile=str(self._ca_file))
        return self._context


def load_objects(manifests: str | Object | Iterable[Object]) -> list[Object]:
    """Objects out of YAML text (many documents, Lists unpacked), or as given."""
    if isinstance(manifests, dict):
        return [manifests]
    documents = yaml.load_all(manifests, Loader=_Loader) if isinstance(manifests, str) else manifests
    objects: list[Object] = []
    for document in documents:
        if document:
            objects += document["items"] if document.get("kind") == "List" else [document]
    return objects


def _load_crds(path: Path) -> list[Object]:
    """The CRDs of a file, or of all YAML files under a folder."""
    files = sorted(f for f in path.rglob("*") if f.suffix in (".yaml", ".yml")) if path.is_dir() else [path]
    objects = [o for file in files for o in load_objects(file.read_text(encoding="utf-8"))]
    return [o for o in objects if o.get("kind") == "CustomResourceDefinition"]


def _served_kinds(crds: Iterable[Object]) -> set[tuple[str, str]]:
    """Every (apiVersion, kind) that discovery must list once the CRDs are served."""
    return {
        (f"{crd['spec']['group']}/{version['name']}", crd["spec"]["names"]["kind"])
        for crd in crds
        for version in crd["spec"]["versions"]
        if version["served"]
    }


def _group_path(api_version: str) -> str:
    return f"/apis/{api_version}" if "/" in api_version else f"/api/{api_version}"


def _encode(body: Any) -> bytes:
    if isinstance(body, bytes):
        return body
    return (body if isinstance(body, str) else json.dumps(body)).encode()
