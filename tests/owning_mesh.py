"""A mesh whose behaviour is set in three ways: by an annotation on a Service that is somebody else's, by the
data of a ConfigMap, and by an object of which another writes a field."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from gitmesh.model.admission import Effect, Subject
from gitmesh.model.facts import ClusterFacts, Mesh
from gitmesh.model.manifests import Fragment, Translation
from gitmesh.model.objects import ApiKind, Body, ObjectKey, mapping
from gitmesh.model.ownership import all_but, annotation, only_fields
from gitmesh.model.policies import Origin
from gitmesh.model.strangers import Stranger
from gitmesh.model.units import RoutingUnit, Unit
from tests.fake_mesh import FakeMesh

TIMEOUT = "mesh.test/timeout"
THEIRS = ("spec", "exportTo")
"""What another manager writes in our object."""
SERVICE = ApiKind(group="", kind="Service", plural="services", versions=("v1",))
CONFIG_MAP = ApiKind(group="", kind="ConfigMap", plural="configmaps", versions=("v1",))
ROUTE = ApiKind(
    group="networking.istio.io", kind="VirtualService", plural="virtualservices", versions=("v1",)
)


def key_of(kind: ApiKind, namespace: str = "shop", name: str = "reviews") -> ObjectKey:
    """Identity of an object of one of its kinds."""
    return ObjectKey(group=kind.group, kind=kind.kind, namespace=namespace, name=name)


class OwningMesh(FakeMesh):
    """Says of each destination its timeout, in objects of the kinds in `makes`."""

    resources: Sequence[ApiKind] = (SERVICE, CONFIG_MAP, ROUTE)

    def __init__(
        self,
        *makes: ApiKind,
        held: frozenset[str] = frozenset(),
        decides: Subject = "routing",
        key: str = TIMEOUT,
        name: str = "fake",
    ) -> None:
        super().__init__(held, decides)
        self.makes = makes or (SERVICE,)
        self.resources = self.makes
        self.key = key
        self.name = name
        self.seen: list[Body] = []
        """What it was shown of strangers' objects."""

    def translate(self, unit: Unit, meshes: Sequence[Mesh], facts: ClusterFacts) -> Translation:
        if not isinstance(unit, RoutingUnit) or unit.service.name in self.held:
            return Translation(held=isinstance(unit, RoutingUnit))
        decided = [route.fields["timeout"] for route in unit.routes if "timeout" in route.fields]
        if not decided:
            return Translation()
        said = (str(decided[0].value), decided[0].origin)
        return Translation(fragments=tuple(self._fragment(kind, unit, *said) for kind in self.makes))

    def _fragment(self, kind: ApiKind, unit: RoutingUnit, timeout: str, origin: Origin) -> Fragment:
        service = unit.service
        if kind is SERVICE:
            path = annotation(self.key)
            return Fragment(
                key=key_of(SERVICE, service.namespace, service.name),
                version="v1",
                annotations={self.key: timeout},
                ownership=only_fields([path]),
                fields={".".join(path): origin},
            )
        key = key_of(kind, service.namespace, f"{service.name}-mesh")
        if kind is CONFIG_MAP:
            return Fragment(key=key, version="v1", data={"timeout": timeout}, fields={"data.timeout": origin})
        spec = {"hosts": [service.name], "http": [{"timeout": f"{timeout}ms", "route": _route(service.name)}]}
        return Fragment(
            key=key, version="v1", spec=spec, ownership=all_but([THEIRS]), fields={"spec.http": origin}
        )

    def reduced(self, key: ObjectKey, body: Body, meshes: Sequence[Mesh]) -> Stranger | None:
        self.seen.append(body)
        return None

    def effect(self, before: Body | None, after: Body | None) -> Effect:
        """Of an access mesh: who has the annotation is refused more."""
        if self._subject == "routing":
            return Effect.NEITHER
        old, new = (self._value(body) for body in (before, after))
        if old == new:
            return Effect.NEITHER
        return Effect.NARROWS if not old else Effect.WIDENS if not new else Effect.BOTH

    def _value(self, body: Body | None) -> str:
        found: Mapping[str, str] = mapping(mapping((body or {}).get("metadata")).get("annotations"))
        return found.get(self.key, "")


def _route(host: str) -> list[dict[str, object]]:
    return [{"destination": {"host": host}}]
