"""Meshes of the honest kind that do not own their objects as a whole, and those that lie about what they
own."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from msgspec.structs import replace

from gitmesh.model.admission import Effect, Subject
from gitmesh.model.facts import ClusterFacts, Mesh
from gitmesh.model.links import Ref
from gitmesh.model.manifests import Fragment, Translation
from gitmesh.model.objects import ApiKind, Body, ObjectKey, mapping
from gitmesh.model.ownership import all_but, annotation, only_fields
from gitmesh.model.units import AccessUnit, RoutingUnit, Unit
from tests.contract.honest_mesh import HonestMesh
from tests.fake_mesh import effect_of_refusals

ROUTES, DENIES = "honest.test/routes", "honest.test/denies"
STATE = ("spec", "state")
"""What the mesh's control plane writes in our objects."""


class AnnotatingMesh(HonestMesh):
    """Is told of routes by an annotation of the Service, which is somebody else's."""

    name = "annotating"
    resources: Sequence[ApiKind] = (
        ApiKind(group="", kind="Service", plural="services", versions=("v1",)),
        *HonestMesh.resources[1:],
    )

    def routing(self, unit: RoutingUnit) -> Translation:
        made = super().routing(unit)
        return replace(made, fragments=tuple(map(self._noted, made.fragments)))

    def effect(self, before: Body | None, after: Body | None) -> Effect:
        routes = any(body["kind"] == "Service" for body in (before, after) if body)
        return Effect.NEITHER if routes else super().effect(before, after)

    def _noted(self, way: Fragment) -> Fragment:
        path = annotation(ROUTES)
        return Fragment(
            key=ObjectKey(group="", kind="Service", namespace=way.key.namespace, name=way.key.name),
            version="v1",
            annotations={ROUTES: json.dumps(way.spec, sort_keys=True)},
            ownership=only_fields([path]),
            fields={".".join(path): way.fields["spec"]},
            policies=way.policies,
        )


class NotingMesh(AnnotatingMesh):
    """Is told of who is denied by such an annotation, too."""

    name = "noting"

    def access(self, unit: AccessUnit) -> Translation:
        made = super().access(unit)
        noted = (self._denying(one) if one.key.kind == "Bar" else one for one in made.fragments)
        return replace(made, fragments=tuple(noted))

    def _denying(self, bar: Fragment) -> Fragment:
        path = annotation(DENIES)
        noted = {DENIES: json.dumps(bar.spec["denies"])}
        key = ObjectKey(group="", kind="Service", namespace=bar.key.namespace, name=bar.key.name)
        return Fragment(
            key=key,
            version="v1",
            annotations=noted,
            ownership=only_fields([path]),
            fields={".".join(path): bar.fields["spec"]},
            policies=bar.policies,
        )

    def decides(self, body: Body) -> Subject:
        return "access" if _denied(body) is not None else super().decides(body)

    def effect(self, before: Body | None, after: Body | None) -> Effect:
        if not any(body["kind"] == "Service" for body in (before, after) if body):
            return super().effect(before, after)
        old, new = (set(_denied(body) or ()) for body in (before, after))
        return effect_of_refusals(old, new)

    def between(
        self, before: Body | None, after: Body | None, kept: frozenset[Ref]
    ) -> Mapping[str, Any] | None:
        old, new = (_denied(body) for body in (before, after))
        if old is None or new is None:
            return None if old or new else super().between(before, after, kept)
        annotations = mapping(mapping((after or {}).get("metadata")).get("annotations"))
        return {**annotations, DENIES: json.dumps(sorted({*old, *new}))}


def _denied(body: Body | None) -> list[str] | None:
    annotations = mapping(mapping((body or {}).get("metadata")).get("annotations"))
    return json.loads(annotations[DENIES]) if DENIES in annotations else None


class SharingMesh(HonestMesh):
    """Has a control plane that writes a field of each object."""

    name = "sharing"

    def translate(self, unit: Unit, meshes: Sequence[Mesh], facts: ClusterFacts) -> Translation:
        made = super().translate(unit, meshes, facts)
        shared = all_but([STATE])
        return replace(made, fragments=tuple(replace(one, ownership=shared) for one in made.fragments))

    def effect(self, before: Body | None, after: Body | None) -> Effect:
        return super().effect(*(_without_state(body) for body in (before, after)))


def _without_state(body: Body | None) -> Body | None:
    if body is None:
        return None
    spec = {name: value for name, value in mapping(body.get("spec")).items() if name != STATE[-1]}
    return {**body, "spec": spec}


OWNERS: Sequence[HonestMesh] = (AnnotatingMesh(), NotingMesh(), SharingMesh())


# --- those that lie


class Grabbing(AnnotatingMesh):
    """Says that only the annotation is its own, and writes a spec, too."""

    def _noted(self, way: Fragment) -> Fragment:
        return replace(super()._noted(way), spec=way.spec)


class Vague(AnnotatingMesh):
    """Says that an annotation is its own, and not what it is to be."""

    def _noted(self, way: Fragment) -> Fragment:
        return replace(super()._noted(way), annotations={})


class Disputing(SharingMesh):
    """Writes what it leaves to others."""

    def translate(self, unit: Unit, meshes: Sequence[Mesh], facts: ClusterFacts) -> Translation:
        made = super().translate(unit, meshes, facts)
        return replace(
            made,
            fragments=tuple(replace(one, spec={**one.spec, "state": "mine"}) for one in made.fragments),
        )


class Sudden(NotingMesh):
    """Has no state between two annotations that refuse."""

    def between(
        self, before: Body | None, after: Body | None, kept: frozenset[Ref]
    ) -> Mapping[str, Any] | None:
        return None


class Irritable(SharingMesh):
    """Takes what others write for a change of who may call."""

    def effect(self, before: Body | None, after: Body | None) -> Effect:
        return HonestMesh.effect(self, before, after)


OWNING_LIARS: Sequence[tuple[type[HonestMesh], str]] = (
    (Grabbing, "owned"),
    (Vague, "owned"),
    (Disputing, "owned"),
    (Irritable, "untouched"),
    (Sudden, "gradual"),
)
"""Each liar, and the clause by which it is found out."""
