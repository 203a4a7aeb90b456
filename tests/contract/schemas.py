"""The official CRDs of the meshes, if they lie beside the repository: they are data of others, so a clone has
none.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema_rs
import yaml

from gitmesh.discovery.crd import api_kind
from gitmesh.model.objects import ApiKind
from tests.lab.fixtures import not_available

CRDS = Path(__file__).parents[3] / "shared" / "crds"
ROUTES = tuple(
    CRDS / "gateway-api" / "standard" / f"gateway.networking.k8s.io_{plural}.yaml"
    for plural in ("httproutes", "grpcroutes", "referencegrants")
)
FILES = {
    "1.30": CRDS / "istio" / "crd-all.gen.yaml",
    "1.31": CRDS / "istio" / "1.31.0-rc.0" / "crd-all.gen.yaml",
}


def need_crds() -> None:
    """Skip the test where there are none; in CI they must be there."""
    if not CRDS.is_dir():
        not_available("no ../shared/crds beside this clone")


@cache
def crds(release: str) -> tuple[Mapping[str, Any], ...]:
    """The CRDs of an Istio release, and of the routes that it reads."""
    texts = [path.read_text(encoding="utf-8") for path in (FILES[release], *ROUTES)]
    documents = (document for text in texts for document in yaml.load_all(text, Loader=yaml.CSafeLoader))
    return tuple(document for document in documents if document)


def kinds(release: str) -> tuple[ApiKind, ...]:
    """What a cluster with this release serves."""
    return _kinds(crds(release))


@cache
def experimental() -> tuple[ApiKind, ...]:
    """The routes of the Gateway API's experimental channel, which have fields more."""
    texts = [(path.parents[1] / "experimental" / path.name).read_text(encoding="utf-8") for path in ROUTES]
    return _kinds(yaml.load(text, Loader=yaml.CSafeLoader) for text in texts)


def _kinds(found: Iterable[Mapping[str, Any]]) -> tuple[ApiKind, ...]:
    made = (api_kind(crd, frozenset({crd["spec"]["group"]})) for crd in found)
    return tuple(kind for kind in made if kind is not None)


@cache
def validators(release: str) -> Mapping[tuple[str, str], Any]:
    """(apiVersion, kind) -> validator. Closed: a field that the schema lacks is an error, since the API
    server would prune it.
    """
    return dict(_validators(release))


def _validators(release: str) -> Iterator[tuple[tuple[str, str], Any]]:
    for crd in crds(release):
        for version in crd["spec"]["versions"]:
            name = f"{crd['spec']['group']}/{version['name']}", crd["spec"]["names"]["kind"]
            yield (
                name,
                jsonschema_rs.Draft202012Validator(
                    closed({**version["schema"]["openAPIV3Schema"]}, top=True)
                ),
            )


def closed(schema: Any, *, top: bool = False) -> Any:
    """The schema without room for fields that it does not name; `top`: of a whole object."""
    if isinstance(schema, list):
        return [closed(item) for item in schema]
    if not isinstance(schema, Mapping):
        return schema
    made = {
        key: value if key in ("enum", "required") else closed(value)
        for key, value in schema.items()
        if key != "format"
    }
    if (
        "properties" in schema
        and isinstance(schema["properties"], Mapping)
        and schema.get("type") == "object"
    ):
        known = {
            **made["properties"],
            **({name: {} for name in ("apiVersion", "kind", "metadata", "status")} if top else {}),
        }
        made = {**made, "properties": known, "additionalProperties": False}
    return made
