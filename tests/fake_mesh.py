"""A mesh of a few lines for tests of the core: one Rule object for the routing of a destination, no
rules about order or strangers.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, cast

from gitmesh.model.admission import Effect, Subject
from gitmesh.model.facts import ClusterFacts, Mesh
from gitmesh.model.features import FEATURES, Support, Supports
from gitmesh.model.links import Links, Ref
from gitmesh.model.manifests import Fragment, Manifest, Translation
from gitmesh.model.objects import ApiKind, Body, ObjectKey
from gitmesh.model.plan import Live
from gitmesh.model.report import MeshStatus
from gitmesh.model.routes import Laid
from gitmesh.model.services import Service
from gitmesh.model.strangers import ALONE, Around, ClientTls, Stranger
from gitmesh.model.units import DestinationUnit, RoutingUnit, Unit
from gitmesh.model.workloads import Dataplane
from gitmesh.ports import Aside, Claim, ControlObjects, Membership, PodFact

GROUP = "fake.test"


def supported(others: Mapping[str, Support]) -> Supports:
    """A table in which everything is supported, but what is given."""
    return cast(Supports, {**dict.fromkeys(FEATURES, Support(level="full")), **others})


class FakeMesh:
    """Satisfies ports.Translator. Its objects decide what `decides` says."""

    name = "fake"
    resources: Sequence[ApiKind] = (ApiKind(group=GROUP, kind="Rule", plural="rules", versions=("v1",)),)
    opt_out_keys = frozenset({"fake/ignored"})
    supports = supported({})
    other_planes: Mapping[Dataplane, Supports] = {}
    homes: Sequence[str] = ("istio-system", "fake-system")
    naming: frozenset[str] = frozenset()

    def __init__(
        self,
        held: frozenset[str] = frozenset(),
        decides: Subject = "routing",
        *,
        has_between: bool = True,
    ) -> None:
        self.has_between = has_between
        self.held = held
        self._subject = decides

    def configmaps(self, namespace: str, name: str) -> bool:
        return False

    def configured_by(self, deployment: Body) -> tuple[str, ...]:
        return ()

    def detect(self, objects: ControlObjects) -> tuple[Mesh, ...]:
        return (Mesh(translator="fake", name="fake"),)

    def injects(self, injectors: Sequence[Body], mesh: Mesh) -> bool:
        return False

    def member(
        self, pod: PodFact, namespace_labels: Mapping[str, str], meshes: Sequence[Mesh]
    ) -> Membership | None:
        return Membership(mesh="fake")

    def writes(self, facts: ClusterFacts) -> Sequence[ApiKind]:
        return self.resources

    def reduced(self, key: ObjectKey, body: Body, meshes: Sequence[Mesh]) -> Stranger | None:
        return None

    def surroundings(
        self, facts: ClusterFacts, meshes: Sequence[Mesh]
    ) -> Callable[[DestinationUnit], Around]:
        return lambda _: ALONE

    def client_tls(
        self, facts: ClusterFacts, meshes: Sequence[Mesh]
    ) -> Callable[[Service, RoutingUnit | None], tuple[ClientTls, ...]] | None:
        return None

    def inert(self, laid: Laid, meshes: Sequence[Mesh], facts: ClusterFacts) -> str:
        return ""

    def translate(self, unit: Unit, meshes: Sequence[Mesh], facts: ClusterFacts) -> Translation:
        if not isinstance(unit, RoutingUnit):
            return Translation()
        if unit.service.name in self.held:
            return Translation(held=True)
        spec = {
            "policies": list(unit.policies),
            "rows": len(unit.routes),
            "timeouts": [r.fields["timeout"].value for r in unit.routes if "timeout" in r.fields],
        }
        return Translation(
            fragments=(
                Fragment(
                    key=rule(unit.service.name, unit.service.namespace),
                    version="v1",
                    spec=spec,
                ),
            )
        )

    def links(self, body: Body, meshes: Sequence[Mesh]) -> Links:
        spec = body.get("spec", {})
        return Links(provides=_refs(spec.get("provides", ())), uses=_refs(spec.get("uses", ())))

    def decides(self, body: Body) -> Subject:
        return self._subject

    def effect(self, before: Body | None, after: Body | None) -> Effect:
        same = before is not None and after is not None and before.get("spec") == after.get("spec")
        return Effect.NEITHER if same or self._subject == "routing" else Effect.BOTH

    def between(
        self, before: Body | None, after: Body | None, kept: frozenset[Ref]
    ) -> Mapping[str, Any] | None:
        if after is None or not kept or not self.has_between:
            return None
        offered = sorted({*after["spec"].get("provides", ()), *(ref.name for ref in kept)})
        return {**after["spec"], "provides": offered}

    def foreign(
        self, lives: Sequence[Live], ours: Mapping[ObjectKey, Manifest], meshes: Sequence[Mesh]
    ) -> tuple[Claim, ...]:
        return ()

    def beside(
        self,
        ours: Mapping[ObjectKey, Manifest],
        others: Sequence[Live],
        meshes: Sequence[Mesh],
        facts: ClusterFacts,
    ) -> Mapping[ObjectKey, Aside]:
        return {}

    def retain(
        self, live: Body, wanted: Body | None, parts: frozenset[str] | None
    ) -> Mapping[str, Any] | None:
        return None

    def narrowed(
        self, live: Body | None, wanted: Body | None, parts: frozenset[str] | None
    ) -> Mapping[str, Any] | None:
        return None

    def guarded(self, body: Body) -> Mapping[str, str] | None:
        return None

    def verdict(self, live: Live, meshes: Sequence[Mesh]) -> MeshStatus:
        return MeshStatus()


def effect_of_refusals(old: Collection[str], new: Collection[str]) -> Effect:
    """What a change of an object does that refuses each of these."""
    if set(old) == set(new):
        return Effect.NEITHER
    return Effect.NARROWS if set(old) <= set(new) else Effect.WIDENS if set(new) <= set(old) else Effect.BOTH


def _refs(names: Iterable[str]) -> frozenset[Ref]:
    return frozenset(Ref(kind="host", name=name) for name in names)


def rule(name: str, namespace: str = "shop") -> ObjectKey:
    """Identity of a Rule."""
    return ObjectKey(group=GROUP, kind="Rule", namespace=namespace, name=name)
