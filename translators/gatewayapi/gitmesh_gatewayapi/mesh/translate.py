"""One unit -> its routes, and the leave that they need. An error holds the routing of its destination."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from msgspec.structs import replace

from gitmesh.diagnostics import Diagnostic
from gitmesh.model.facts import ClusterFacts, Mesh
from gitmesh.model.manifests import Fragment, Translation
from gitmesh.model.objects import ApiKind
from gitmesh.model.policies import Origin
from gitmesh.model.units import MeshUnit, RoutingUnit, Unit
from gitmesh_gatewayapi.kinds import GRPC_ROUTE, HTTP_ROUTE, REFERENCE_GRANT
from gitmesh_gatewayapi.mesh.effects import carries_requests
from gitmesh_gatewayapi.mesh.names import key_of, served_version
from gitmesh_gatewayapi.mesh.support import UNPROMISED
from gitmesh_gatewayapi.remarks import Dialect, Remark
from gitmesh_gatewayapi.routes import HttpRoutes, http_routes


def translate(unit: Unit, meshes: Sequence[Mesh], facts: ClusterFacts) -> Translation:
    """The objects of one unit: of who may call there are none."""
    if isinstance(unit, MeshUnit):
        return Translation(diagnostics=tuple(_unsaid(unit))) if unit.mesh in meshes else Translation()
    if not isinstance(unit, RoutingUnit) or not unit.routes:
        return Translation()
    made = http_routes(unit, _ports(unit), _dialect(facts))
    remarks = [*made.remarks, *_unpromised(unit), *_overridden(unit)]
    found = _Findings(facts)
    said = [found.of(one) for one in dict.fromkeys(remarks)]
    fragments = list(_fragments(unit, made, found))
    said += found.unserved
    held = any(one.is_error for one in said)
    return Translation(
        fragments=() if held else tuple(fragments),
        diagnostics=tuple(said),
        held=held,
    )


class _Findings:
    """Makes findings of one unit, and keeps those on what the cluster does not serve."""

    def __init__(self, facts: ClusterFacts) -> None:
        self._facts = facts
        self.unserved: list[Diagnostic] = []

    def of(self, remark: Remark) -> Diagnostic:
        """A remark as a finding at the policy's line; cluster and mesh are the unit's, and the core names
        them."""
        return remark.origin.finding(remark.code, remark.text, hint=remark.hint)

    def version(self, kind: ApiKind, spec: Mapping[str, object], origin: Origin) -> str:
        """The API version to write; what the cluster serves in none, or without some field, is noted: the
        API server would drop the field without a word."""
        version = served_version(kind, self._facts)
        if not version:
            wanted = " or ".join(kind.versions)
            text = f"cluster {self._facts.cluster} does not serve {kind.kind}.{kind.group} in {wanted}"
            self._note(Remark(code="GM504", text=text, origin=origin))
        served = self._facts.kind_index.get((kind.group, kind.kind))
        for path in sorted(set(_paths(spec, "spec"))) if served else ():
            # The API server prunes such a field and accepts the rest, so nobody else would tell.
            if served and not served.serves(path):
                text = f"needs {kind.kind}.{path}, which the cluster's CRD does not have"
                self._note(Remark(code="GM302", text=text, origin=origin))
        return version

    def _note(self, remark: Remark) -> None:
        self.unserved.append(self.of(remark))


def _paths(value: object, path: str) -> Iterator[str]:
    """The schema path, lists elided, of a field and of all below it."""
    yield path
    for item in value if isinstance(value, list) else ():
        yield from _paths(item, path)
    if isinstance(value, Mapping):
        for name, inner in value.items():
            yield from _paths(inner, f"{path}.{name}")


def _dialect(facts: ClusterFacts) -> Dialect:
    """How a mesh that nobody knows reads routes: what some meshes ask for, it may ask for, too."""
    route = facts.kind_index.get((HTTP_ROUTE.group, HTTP_ROUTE.kind))
    return Dialect(
        mesh="the mesh",
        served=lambda path: route is None or route.serves(path),
        asks_leave=True,
        grantable=bool(served_version(REFERENCE_GRANT, facts)),
        grpc_routes=bool(served_version(GRPC_ROUTE, facts)),
    )


def _ports(unit: RoutingUnit) -> Iterator[int]:
    return (port.number for port in unit.service.ports if carries_requests(port))


def _fragments(unit: RoutingUnit, made: HttpRoutes, found: _Findings) -> Iterator[Fragment]:
    policies = {decided.origin.policy for route in unit.routes for decided in route.fields.values()}
    policies |= {origin.policy for route in unit.routes for origin in route.origins}
    contested = tuple(
        f"{one.by} is for {one.host}, too, and the mesh would merge it with ours"
        for one in unit.around.contenders
    )
    for route in made.routes:
        place = (unit.service.namespace, route.name)
        one = _fragment(route.kind, place, route.spec, route.origins, found)
        yield replace(one, policies=tuple(sorted({*one.policies, *policies})), contested=contested)
    for grant in made.grants:
        place = (grant.namespace, grant.name)
        yield _fragment(REFERENCE_GRANT, place, grant.spec, grant.origins, found)


def _fragment(
    kind: ApiKind,
    place: tuple[str, str],
    spec: Mapping[str, object],
    origins: Mapping[str, Origin],
    found: _Findings,
) -> Fragment:
    fields = {f"spec.{path}" if path else "spec": origin for path, origin in sorted(origins.items())}
    return Fragment(
        key=key_of(kind, place),
        version=found.version(kind, spec, origins[""]),
        spec=spec,
        fields=fields,
        policies=tuple(sorted({origin.policy for origin in fields.values()})),
    )


def _unpromised(unit: RoutingUnit) -> Iterator[Remark]:
    """What a mesh may leave out without a word."""
    for route in unit.routes:
        for name, decided in route.fields.items():
            if name in UNPROMISED:
                text = (
                    f"a mesh of the Gateway API need not follow {name}, and may drop the whole route for it;"
                    " whether this one follows it, its documentation tells, and nothing in the cluster"
                )
                yield Remark(code="GM303", text=text, origin=decided.origin)


def _overridden(unit: RoutingUnit) -> Iterator[Remark]:
    """At each policy, which clients follow somebody else's route."""
    first: dict[str, Origin] = {}
    for origin in sorted(origin for route in unit.routes for origin in route.origins):
        # One place for each policy: all of its lines would say the same.
        first.setdefault(origin.policy, origin)
    for one in unit.around.overrides:
        text = f"clients of namespace {one.namespace} follow {one.by}, which is not ours, in place of ours"
        yield from (Remark(code="GM401", text=text, origin=origin) for origin in first.values())


def _unsaid(unit: MeshUnit) -> Iterator[Diagnostic]:
    """What a VirtualMesh says of a mesh that only routes."""
    asked = {"mtls": unit.mtls}
    if unit.access_default is not None and unit.access_default.value == "Deny":
        asked["accessDefault"] = unit.access_default
    by_policy: dict[str, list[tuple[Origin, str]]] = {}
    for name, decided in asked.items():
        if decided is not None:
            by_policy.setdefault(decided.origin.policy, []).append((decided.origin, name))
    for _, found in sorted(by_policy.items()):
        origin = min(found)[0]
        names = " and ".join(f"`{name}`" for _, name in found)
        yield origin.finding(
            "GM301",
            f"the Gateway API says neither who may call whom nor how a mesh encrypts: {names} cannot be"
            " expressed",
        )
