"""A mesh that is none of ours, and translators of it: one that keeps the contract, and those that break a
clause each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import count
from typing import Any, cast

from msgspec import Struct
from msgspec.structs import replace
from pydantic import BaseModel

from gitmesh.diagnostics import Diagnostic, finding
from gitmesh.model.admission import Effect, Subject
from gitmesh.model.facts import ClusterFacts, Mesh
from gitmesh.model.features import FEATURES, Support, Supports
from gitmesh.model.grants import Grant, Operation
from gitmesh.model.links import Ref
from gitmesh.model.manifests import Fragment, Translation
from gitmesh.model.objects import ApiKind, Body, ObjectKey
from gitmesh.model.policies import Origin
from gitmesh.model.units import AccessUnit, MeshUnit, RoutingUnit, Unit
from tests.fake_mesh import GROUP, FakeMesh, supported

_KINDS = ("Way", "Guard", "Bar", "Whole")


class HonestMesh(FakeMesh):
    """Writes down what a unit says: a Way for its routes, a Guard for what is allowed and a Bar for what is
    denied. It copies no requests, and reads no headers for access.
    """

    name = "honest"
    resources: Sequence[ApiKind] = tuple(
        ApiKind(group=GROUP, kind=kind, plural=f"{kind.lower()}s", versions=("v1",)) for kind in _KINDS
    )
    supports = supported(
        {
            "TrafficPolicy.mirror": Support(level="none", note="it copies no requests"),
            "TrafficPolicy.sources.serviceAccounts": Support(level="none", note="it does not know who calls"),
            "AccessPolicy.rules.headers": Support(level="none", note="it reads no headers", side="server"),
        }
    )

    def translate(self, unit: Unit, meshes: Sequence[Mesh], facts: ClusterFacts) -> Translation:
        if isinstance(unit, MeshUnit):
            said = {"mtls": _plain(unit.mtls), "default": _plain(unit.access_default)}
            origins = [one.origin for one in (unit.mtls, unit.access_default) if one]
            return Translation(fragments=(_fragment("Whole", "", unit.mesh.name, said, origins),))
        return self.routing(unit) if isinstance(unit, RoutingUnit) else self.access(unit)

    def routing(self, unit: RoutingUnit) -> Translation:
        """How requests go."""
        origins = [origin for route in unit.routes for origin in route.origins]
        origins += [one.origin for settings in unit.settings.values() for one in settings.values()]
        origins += [origin for subset in unit.subsets for origin in subset.origins]
        said = {
            "routes": [_plain(route) for route in unit.routes],
            "settings": _plain(unit.settings),
            "subsets": [_plain(one.labels) for one in unit.subsets],
        }
        service = unit.service
        return Translation(fragments=(_fragment("Way", service.namespace, service.name, said, origins),))

    def access(self, unit: AccessUnit) -> Translation:
        """Who may call: an Allow without what cannot be said, a Deny with more."""
        access = unit.access
        headers = [one for one in (*access.allows, *access.denies) if any(o.headers for o in one.operations)]
        allows = {
            "allows": sorted(str(_plain(_without_headers(one, drop=True))) for one in access.allows),
            "exempt": _plain(access.exempt),
            "default": access.default,
        }
        denies = {"denies": sorted(str(_plain(_without_headers(one, drop=False))) for one in access.denies)}
        allowing = [one.origin for one in access.allows]
        allowing += [access.exempt.origin] if access.exempt else []
        denying = [one.origin for one in access.denies]
        service = unit.service
        return Translation(
            fragments=tuple(
                _fragment(kind, service.namespace, service.name, said, origins)
                for kind, said, origins in (("Guard", allows, allowing), ("Bar", denies, denying))
                if origins
            ),
            diagnostics=tuple(_no_headers(one.origin, unit.written) for one in headers),
        )

    def decides(self, body: Body) -> Subject:
        subjects: Mapping[str, Subject] = {"Guard": "access", "Bar": "access", "Whole": "trust"}
        return subjects.get(body["kind"], "routing")

    def effect(self, before: Body | None, after: Body | None) -> Effect:
        old, new = (dict(body["spec"]) if body else {} for body in (before, after))
        if old == new or self.decides(before or after or {}) == "routing":
            return Effect.NEITHER
        if "denies" not in {**old, **new}:
            return Effect.BOTH
        first, last = (set(spec.get("denies", ())) for spec in (old, new))
        return Effect.NARROWS if first <= last else Effect.WIDENS if last <= first else Effect.BOTH

    def between(
        self, before: Body | None, after: Body | None, kept: frozenset[Ref]
    ) -> Mapping[str, Any] | None:
        if before is None or after is None or self.effect(before, after) is not Effect.BOTH:
            return None
        old, new = (set(body["spec"].get("denies", ())) for body in (before, after))
        return {"denies": sorted(old | new)} if old and new else None


def _without_headers(grant: Grant, *, drop: bool) -> Grant:
    kept = [
        Operation(paths=one.paths, methods=one.methods, targets=one.targets, hosts=one.hosts)
        if one.headers
        else one
        for one in grant.operations
        if not (drop and one.headers)
    ]
    return replace(
        grant, operations=tuple(kept), callers=grant.callers if kept or not grant.operations else ()
    )


def _no_headers(origin: Origin, cluster: str) -> Diagnostic:
    return _lacking("it reads no headers: what asks for them is not admitted", origin, cluster)


def _lacking(text: str, origin: Origin, cluster: str) -> Diagnostic:
    return finding("GM301", text, at=origin.at, policy=origin.policy, field=origin.field, cluster=cluster)


def _key(kind: str, namespace: str, name: str) -> ObjectKey:
    return ObjectKey(group=GROUP, kind=kind, namespace=namespace, name=name)


def _fragment(
    kind: str,
    namespace: str,
    name: str,
    spec: Mapping[str, Any],
    origins: Sequence[Origin],
) -> Fragment:
    return Fragment(
        key=_key(kind, namespace, name),
        version="v1",
        spec=spec,
        fields={"spec": min(origins)},
        policies=tuple(sorted({origin.policy for origin in origins})),
    )


def _plain(value: Any) -> Any:
    """A value as JSON, without where it was said."""
    if isinstance(value, Origin):
        return None
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json", exclude_none=True)
    if isinstance(value, Struct | Operation):
        names = value.__struct_fields__ if isinstance(value, Struct) else Operation.__slots__
        return {
            name: _plain(getattr(value, name)) for name in names if "origin" not in name and name != "parts"
        }
    if isinstance(value, Mapping):
        return {str(name): _plain(inner) for name, inner in value.items()}
    if isinstance(value, tuple | list | frozenset):
        return [_plain(inner) for inner in value]
    return value


class RoutingMesh(HonestMesh):
    """Has no object by which it says who may call, and writes none."""

    name = "router"
    supports = supported(
        {
            feature: Support(level="none", note="it only routes", side="server")
            for feature in FEATURES
            if feature.startswith(("AccessPolicy.", "VirtualMesh."))
        }
    )

    def translate(self, unit: Unit, meshes: Sequence[Mesh], facts: ClusterFacts) -> Translation:
        if isinstance(unit, MeshUnit):
            origins = [one.origin for one in (unit.mtls, unit.access_default) if one]
            return Translation(diagnostics=(_lacking("it only routes", min(origins), unit.cluster),))
        return super().translate(unit, meshes, facts)

    def access(self, unit: AccessUnit) -> Translation:
        return Translation()


# --- those that lie


class Silent(HonestMesh):
    """Writes nothing."""

    def translate(self, unit: Unit, meshes: Sequence[Mesh], facts: ClusterFacts) -> Translation:
        return Translation()


class Forgetful(HonestMesh):
    """Says nothing of a feature."""

    supports = cast(Supports, {k: v for k, v in HonestMesh.supports.items() if k != "TrafficPolicy.cors"})


class Unfounded(HonestMesh):
    """Says of a feature that it is not there, and not why."""

    supports = supported({"TrafficPolicy.cors": Support(level="none")})


class Boastful(HonestMesh):
    """Claims to support what it leaves out."""

    def routing(self, unit: RoutingUnit) -> Translation:
        routes = tuple(
            replace(route, fields={k: v for k, v in route.fields.items() if k != "cors"})
            for route in unit.routes
        )
        return super().routing(replace(unit, routes=routes))


class Tacit(HonestMesh):
    """Leaves out what it does not support, and does not say so."""

    def access(self, unit: AccessUnit) -> Translation:
        return replace(super().access(unit), diagnostics=())


class Open(HonestMesh):
    """Writes nothing where it cannot say all, which leaves the destination open."""

    def access(self, unit: AccessUnit) -> Translation:
        made = super().access(unit)
        return replace(made, fragments=()) if made.diagnostics else made


class Feigning(RoutingMesh):
    """Writes an object that looks as if it guarded what it cannot guard."""

    def access(self, unit: AccessUnit) -> Translation:
        return HonestMesh.access(self, unit)


class Tied(HonestMesh):
    """Holds access for what routing it was asked for before: it keeps what it should not."""

    def __init__(self) -> None:
        super().__init__()
        self._unsaid: set[tuple[str, str]] = set()

    def routing(self, unit: RoutingUnit) -> Translation:
        if unit.settings:
            self._unsaid.add(unit.service.key)
        return super().routing(unit)

    def access(self, unit: AccessUnit) -> Translation:
        return Translation(held=True) if unit.service.key in self._unsaid else super().access(unit)


class Stray(HonestMesh):
    """Writes a kind that it does not declare."""

    resources = HonestMesh.resources[1:]


class Ignored(HonestMesh):
    """Writes objects that its mesh ignores."""

    def translate(self, unit: Unit, meshes: Sequence[Mesh], facts: ClusterFacts) -> Translation:
        made = super().translate(unit, meshes, facts)
        labels = dict.fromkeys(self.opt_out_keys, "true")
        return replace(made, fragments=tuple(replace(one, labels=labels) for one in made.fragments))


class Nameless(HonestMesh):
    """Does not say where anything comes from."""

    def translate(self, unit: Unit, meshes: Sequence[Mesh], facts: ClusterFacts) -> Translation:
        made = super().translate(unit, meshes, facts)
        return replace(made, fragments=tuple(replace(one, fields={}) for one in made.fragments))


class Fickle(HonestMesh):
    """Says another thing each time."""

    _numbers = count()

    def routing(self, unit: RoutingUnit) -> Translation:
        made = super().routing(unit)
        spec = {**made.fragments[0].spec, "number": next(self._numbers)}
        return replace(made, fragments=(replace(made.fragments[0], spec=spec),))


class Meddling(HonestMesh):
    """Changes what it is given."""

    def routing(self, unit: RoutingUnit) -> Translation:
        made = super().routing(unit)
        for route in unit.routes:
            cast("dict[str, Any]", route.fields).clear()
        return made


class Clumsy(HonestMesh):
    """Falls over a feature."""

    def routing(self, unit: RoutingUnit) -> Translation:
        if any("cors" in route.fields for route in unit.routes):
            raise KeyError("cors")
        return super().routing(unit)


class Short(HonestMesh):
    """Has a member that does not take what it is given."""

    links = HonestMesh.guarded  # type: ignore[assignment]  # that is the lie


class Harmless(HonestMesh):
    """Says of what decides who may call that it decides how requests go."""

    def decides(self, body: Body) -> Subject:
        return "routing"


class Blind(HonestMesh):
    """Does not see what a change does."""

    def effect(self, before: Body | None, after: Body | None) -> Effect:
        return Effect.NEITHER


class Inverted(HonestMesh):
    """Takes what opens for what closes."""

    def effect(self, before: Body | None, after: Body | None) -> Effect:
        return super().effect(after, before)


class Hasty(HonestMesh):
    """Has what comes in the end for a state between."""

    def between(
        self, before: Body | None, after: Body | None, kept: frozenset[Ref]
    ) -> Mapping[str, Any] | None:
        return after["spec"] if after and super().between(before, after, kept) else None


class Abrupt(HonestMesh):
    """Has no state between what it refuses before and after."""

    def between(
        self, before: Body | None, after: Body | None, kept: frozenset[Ref]
    ) -> Mapping[str, Any] | None:
        return None


LIARS: Sequence[tuple[type[HonestMesh], str]] = (
    (Forgetful, "complete"),
    (Unfounded, "complete"),
    (Short, "complete"),
    (Silent, "sensitive"),
    (Boastful, "sensitive"),
    (Tacit, "honest"),
    (Open, "closed"),
    (Tied, "apart"),
    (Feigning, "apart"),
    (Stray, "declared"),
    (Ignored, "in_force"),
    (Nameless, "explained"),
    (Fickle, "deterministic"),
    (Meddling, "pure"),
    (Clumsy, "steady"),
    (Harmless, "decisive"),
    (Blind, "effective"),
    (Inverted, "effective"),
    (Hasty, "gradual"),
    (Abrupt, "gradual"),
)
"""Each liar, and the clause by which it is found out."""
