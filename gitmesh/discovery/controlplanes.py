"""Which control planes a cluster has. They count only in namespaces that the configuration allows: whoever
may create a Deployment somewhere could make one of any name, and with it the trust domain and the root
namespace of the whole mesh.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import TypeAlias

from msgspec import Struct
from msgspec.structs import replace

from gitmesh.discovery.naming import is_placed
from gitmesh.discovery.rows import ControllerRow, InjectorRow, Reduced, Rows
from gitmesh.model.facts import Mesh
from gitmesh.model.objects import Body
from gitmesh.ports import ControlObjects, Translator

Homes: TypeAlias = Mapping[str, Sequence[str]]
"""Translator -> the namespaces where its control planes count."""
_INJECTORS = "MutatingWebhookConfiguration"


class Detected(Struct, frozen=True, kw_only=True):
    """`meshes` count; `elsewhere` are in namespaces that are not allowed, or have the name of one that
    counts. `homes` are all namespaces where one may be."""

    meshes: tuple[Mesh, ...]
    elsewhere: tuple[Mesh, ...]
    homes: frozenset[str]


def homes_of(translators: Iterable[Translator], given: Homes | None = None) -> Homes:
    """The namespaces where control planes count: the usual ones of each mesh, unless the configuration gives
    others.
    """
    return {one.name: tuple((given or {}).get(one.name, one.homes)) for one in translators}


def detect(rows: Rows, translators: Sequence[Translator], homes: Homes, unread: Collection[str]) -> Detected:
    """The control planes of a cluster, one namespace after another. `unread` are ConfigMaps
    (`ConfigMap/namespace/name`) whose reading was refused."""
    common = _common(rows, unread)
    deployments, daemonsets = _by_namespace(rows, "Deployment"), _by_namespace(rows, "DaemonSet")
    meshes: dict[tuple[str, str], Mesh] = {}
    elsewhere: list[Mesh] = []
    for translator in translators:
        allowed = homes.get(translator.name, ())
        # A ztunnel may run in another namespace than istiod, but in one that the configuration allows.
        beside = tuple(body for namespace in allowed for body in daemonsets.get(namespace, ()))
        # The allowed ones first, in the order of the configuration: of two with one name the first counts.
        for namespace in (*allowed, *sorted(deployments.keys() - set(allowed))):
            objects = replace(
                common,
                deployments=deployments.get(namespace, ()),
                daemonsets=beside if namespace in allowed else (),
                homes=tuple(allowed),
            )
            for mesh in translator.detect(objects):
                counts = (
                    namespace in allowed and meshes.setdefault((mesh.translator, mesh.name), mesh) == mesh
                )
                elsewhere += [] if counts else [mesh]
    found = sorted(meshes.values(), key=lambda mesh: (mesh.name, mesh.translator))
    everywhere = frozenset(namespace for allowed in homes.values() for namespace in allowed)
    return Detected(meshes=tuple(found), elsewhere=tuple(elsewhere), homes=everywhere)


def hooked(
    rows: Rows, translators: Sequence[Translator], meshes: Iterable[Mesh], unread: Collection[str]
) -> frozenset[str]:
    """The meshes whose proxies something injects; all of them where that could not be read."""
    # What was not read may inject for any of them, so no mesh is taken to be gone.
    if _INJECTORS in unread:
        return frozenset(mesh.name for mesh in meshes)
    injectors = tuple(row.body for row in sorted(rows.injectors, key=_name))
    by_name = {translator.name: translator for translator in translators}
    return frozenset(
        mesh.name
        for mesh in meshes
        if mesh.translator in by_name and by_name[mesh.translator].injects(injectors, mesh)
    )


def _name(row: InjectorRow) -> str:
    return row.name


def wanted_configmaps(
    rows: Iterable[Reduced], translators: Sequence[Translator], homes: Homes
) -> tuple[tuple[str, str], ...]:
    """(namespace, name) of the ConfigMaps that hold the settings of the control planes among the rows,
    sorted.
    """
    deployments = [row for row in rows if isinstance(row, ControllerRow) and row.kind == "Deployment"]
    return tuple(
        sorted(
            {
                (row.namespace, name)
                for translator in translators
                for row in deployments
                # Only there: a Deployment names the ConfigMaps to read, and anybody may create one
                # somewhere.
                if row.namespace in homes.get(translator.name, ())
                for name in translator.configured_by(_control_body(row))
                if is_placed(row.namespace, name)
            }
        )
    )


def _common(rows: Rows, unread: Collection[str]) -> ControlObjects:
    """What detection reads beside Deployments and DaemonSets. A ConfigMap counts only beside a control plane
    of its namespace.
    """
    refused = (text.split("/") for text in unread if text.startswith("ConfigMap/"))
    return ControlObjects(
        configmaps={
            (row.namespace, row.name): row.body
            for row in sorted(rows.configs, key=lambda row: (row.namespace, row.name))
        },
        refused=frozenset((place, name) for _, place, name in refused),
        unread=frozenset(kind for kind in unread if "/" not in kind),
        namespaces={row.name: dict(row.labels) for row in sorted(rows.namespaces, key=lambda row: row.name)},
        validators=tuple(row.body for row in sorted(rows.validators, key=lambda row: row.name)),
        gateways=tuple(row.body for row in sorted(rows.gateways, key=lambda row: (row.namespace, row.name))),
        injectors=tuple(row.body for row in sorted(rows.injectors, key=_name)),
    )


def _by_namespace(rows: Rows, kind: str) -> dict[str, tuple[Body, ...]]:
    found: dict[str, list[Body]] = {}
    chosen = (row for row in rows.controllers if row.kind == kind and is_placed(row.namespace, row.name))
    for row in sorted(chosen, key=lambda row: (row.namespace, row.name)):
        found.setdefault(row.namespace, []).append(_control_body(row))
    return {namespace: tuple(bodies) for namespace, bodies in found.items()}


def _control_body(row: ControllerRow) -> Body:
    """What detection reads of a Deployment or DaemonSet, in the shape of the object."""
    shape = row.template
    containers = [
        {
            "name": c.name,
            "image": c.image,
            "args": list(c.args),
            "env": [{"name": name, "value": value} for name, value in env],
        }
        for c, env in zip(shape.containers if shape else (), row.env, strict=True)
    ]
    template = {
        "metadata": {
            "labels": dict(shape.labels if shape else ()),
            "annotations": dict(shape.annotations if shape else ()),
        },
        "spec": {"serviceAccountName": shape.service_account if shape else "", "containers": containers},
    }
    return {
        "apiVersion": "apps/v1",
        "kind": row.kind,
        "metadata": {"namespace": row.namespace, "name": row.name, "labels": dict(row.labels)},
        "spec": {"template": template},
    }
