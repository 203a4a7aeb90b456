"""What a translation knows of its cluster, and where it notes what it could not say."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any, TypeAlias

from msgspec import Struct

from gitmesh.diagnostics import Diagnostic, Severity
from gitmesh.model.facts import ClusterFacts, Mesh
from gitmesh.model.manifests import Fragment
from gitmesh.model.objects import ApiKind, ObjectKey
from gitmesh.model.policies import Origin
from gitmesh.model.routes import Decided
from gitmesh_istio.ignored import ignores
from gitmesh_istio.kinds import EXPORTS
from gitmesh_istio.names import cluster_domain


class Scope(Struct, frozen=True, dict=True):
    """One unit in one cluster. `meshes` are the cluster's Istio meshes."""

    facts: ClusterFacts
    meshes: tuple[Mesh, ...]

    @cached_property
    def domain(self) -> str:
        """The DNS suffix of Services."""
        return cluster_domain(self.meshes)

    def exported(self, kind: str) -> dict[str, list[str]]:
        """`exportTo`, where a MeshConfig would show objects of the kind to some namespaces alone: policies
        act on all clients.
        """
        defaults = (mesh.settings.get(EXPORTS[kind], "*") for mesh in self.meshes)
        return {"exportTo": ["*"]} if any("*" not in default.split(",") for default in defaults) else {}


class Part(Struct, frozen=True):
    """A piece of a spec, and where its fields come from: dotted path below the piece ("" = the piece) ->
    origin.
    """

    value: Any
    origins: Mapping[str, Origin]


Spelling: TypeAlias = Mapping[str, Mapping[str, tuple[str, ...]]]
"""Field of a TrafficPolicy -> part of it -> the fields of Istio that say it."""


def part_origins(spelt: Spelling, name: str, decided: Decided) -> dict[str, Origin]:
    """The origins of a decided field's parts, by the fields of Istio that say them: a changed value leads to
    its own line of the policy.
    """
    said = spelt.get(name, {})
    return {field: origin for part, origin in decided.parts.items() for field in said.get(part, ())}


def below(prefix: str, origins: Mapping[str, Origin]) -> dict[str, Origin]:
    """The same origins, for a piece that stands at `prefix`."""
    return {_joined(prefix, path): origin for path, origin in origins.items()}


def _joined(prefix: str, path: str) -> str:
    return prefix + path if not path or path.startswith("[") else f"{prefix}.{path}"


class Notes:
    """Collects the findings of one translation, in the order in which they are met."""

    def __init__(self, scope: Scope) -> None:
        self.scope = scope
        self.diagnostics: list[Diagnostic] = []

    def add(
        self, code: str, message: str, origin: Origin, severity: Severity | None = None, hint: str = ""
    ) -> None:
        """Note a finding at the policy's line, once; severity and hint default to the code's. Cluster and
        mesh are the unit's, and the core names them."""
        noted = origin.finding(code, message, severity=severity, hint=hint)
        # Once: a field of a policy is met again in each row that it decides.
        if noted not in self.diagnostics:
            self.diagnostics.append(noted)

    @property
    def failed(self) -> bool:
        """Whether an error was noted."""
        return any(diagnostic.is_error for diagnostic in self.diagnostics)


def served_version(resource: ApiKind, facts: ClusterFacts) -> str:
    """The API version to write, first that the cluster serves; "" if it serves the kind not at all.

    Where nothing is known of the cluster's kinds, the preferred version.
    """
    # A folder of manifests without CRDs, or saved facts of older versions: nothing says that the kind is
    # not there.
    if not facts.kinds:
        return resource.versions[0]
    served = facts.kind_index.get((resource.group, resource.kind))
    versions: Sequence[str] = served.versions if served else ()
    return next((version for version in resource.versions if version in versions), "")


def note_unserved(made: Fragment, notes: Notes) -> None:
    """Note every field that the cluster's CRD lacks: the API server would drop it without a word."""
    served = notes.scope.facts.kind_index.get((made.key.group, made.key.kind))
    whole = made.fields.get("spec")
    if served is None or not served.fields or whole is None:
        return
    for path, origin in _walk(made.spec, "spec", "spec", whole, made.fields):
        if not served.serves(path):
            notes.add("GM302", f"needs {made.key.kind}.{path}, which the cluster's CRD does not have", origin)


def note_ignored(made: Fragment, meshes: Sequence[Mesh], notes: Notes, severity: Severity) -> None:
    """Note an object in a namespace that all of the meshes ignore."""
    origin = made.fields.get("spec") or min(made.fields.values(), default=None)
    if origin is not None and all(ignores(mesh, made.key.namespace) for mesh in meshes):
        names = ", ".join(mesh.name for mesh in meshes)
        text = (
            f"namespace {made.key.namespace}, where its {made.key.kind} belongs, is ignored by mesh {names}"
        )
        notes.add("GM312", text, origin, severity)


def _walk(
    value: Any, path: str, place: str, nearest: Origin, origins: Mapping[str, Origin]
) -> Iterable[tuple[str, Origin]]:
    """Schema path (lists elided) of a field and of all below it, each with the nearest origin."""
    origin = origins.get(place, nearest)
    yield path, origin
    if isinstance(value, Mapping):
        for name, inner in value.items():
            yield from _walk(inner, f"{path}.{name}", f"{place}.{name}", origin, origins)
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield from _walk(item, path, f"{place}[{number}]", origin, origins)


def fragment(
    resource: ApiKind,
    place: tuple[str, str],
    version: str,
    spec: Part,
    policies: Iterable[str] = (),
) -> Fragment:
    """One object at (namespace, name); its policies are those that its fields come from, and `policies`."""
    key = ObjectKey(group=resource.group, kind=resource.kind, namespace=place[0], name=place[1])
    # The same few paths stand in the fields of very many objects.
    fields = {sys.intern(path): origin for path, origin in below("spec", spec.origins).items()}
    named = {origin.policy for origin in fields.values()} | set(policies)
    return Fragment(
        key=key,
        version=version,
        spec=spec.value,
        fields=dict(sorted(fields.items())),
        policies=tuple(sorted(named)),
    )
