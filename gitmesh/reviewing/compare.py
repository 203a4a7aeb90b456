"""Two reports for the same facts, the policies before and after, as one comparison."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

from msgspec.structs import replace

from gitmesh.diagnostics import Diagnostic
from gitmesh.model.comparison import ClusterComparison, Comparison, Reach
from gitmesh.model.facts import ClusterFacts
from gitmesh.model.manifests import Build
from gitmesh.model.objects import ObjectKey
from gitmesh.model.policies import Origin, Policy
from gitmesh.model.report import Report
from gitmesh.model.units import AccessUnit, MeshUnit, RoutingUnit, Unit, UnitKey
from gitmesh.reasoning.difference import access_changes
from gitmesh.reasoning.population import Resident, populations
from gitmesh.reasoning.questions import Known, ServiceKey
from gitmesh.resolution.index import Index
from gitmesh.reviewing.objects import object_deltas
from gitmesh.reviewing.protection import destination_changes, mesh_changes
from gitmesh.reviewing.risk import risk_of
from gitmesh.reviewing.routes import Effort, route_changes

NO_FACTS = "nothing is known of it, so what changes there cannot be told"


def compare(
    base: Report, head: Report, *, enforced: Mapping[str, bool], facts: str = "", tick: Callable[[], object]
) -> Comparison:
    """What changes from base to head. Both reports must have been made of the same facts, as far as BUILD at
    least.

    `enforced` says of each cluster whether GitMesh writes it; `facts` tells people where the facts come from.
    `tick` is called in between, some times a second; what it raises ends the comparison.
    """
    problem, refused = _refusal(base), _refusal(head)
    callers = (
        {}
        if refused or problem
        else populations({name: result.facts for name, result in head.clusters.items()})
    )
    clusters = (
        {name: _cluster(name, base, head, problem, callers.get(name, ()), tick) for name in sorted(enforced)}
        if not refused
        else {}
    )
    clusters = {name: replace(one, enforce=enforced[name]) for name, one in clusters.items()}
    was, now = ({_same(one): one for one in report.diagnostics} for report in (base, head))
    appeared = tuple(one for key, one in now.items() if key not in was)
    return Comparison(
        base=_commit(base),
        head=_commit(head),
        clusters=clusters,
        appeared=appeared,
        gone=tuple(one for key, one in was.items() if key not in now),
        standing=tuple(one for key, one in now.items() if key in was),
        base_problem=problem,
        facts=facts,
        risk=risk_of(clusters, appeared),
    )


def _refusal(report: Report) -> str:
    """Why the revision is none that could come into force; "" where it is one."""
    for source in report.sources.values():
        if source.unavailable:
            return f"source {source.name} could not be read"
        if source.refused:
            return f"source {source.name} is refused for its errors"
    return ""


def _commit(report: Report) -> str:
    """The commit that is compared: that of the first source."""
    return next((source.seen for source in report.sources.values()), "")


def _same(one: Diagnostic) -> object:
    """What makes a finding the same one in another revision, where lines may have moved."""
    return one.code, one.policy, one.field, one.cluster, one.mesh, one.message, one.at.path if one.at else ""


def _cluster(
    name: str,
    base: Report,
    head: Report,
    problem: str,
    callers: Sequence[Resident],
    tick: Callable[[], object],
) -> ClusterComparison:
    before, after = base.clusters.get(name), head.clusters.get(name)
    if after is None or after.facts is None or after.build is None:
        return ClusterComparison(name=name, unknown=NO_FACTS)
    meshes = after.facts.meshes
    if problem or before is None or before.build is None:
        alone = object_deltas(Build(cluster=name, manifests={}), after.build)
        return ClusterComparison(
            name=name,
            meshes=meshes,
            unknown=f"the base cannot be compared: {problem or NO_FACTS}",
            objects=alone,
        )
    found = _compared(name, after.facts, before.build, after.build, callers, tick)
    return replace(
        found, meshes=meshes, waiting=_waiting((base.policies, before.build), (head.policies, after.build))
    )


def _waiting(
    before: tuple[Sequence[Policy], Build], after: tuple[Sequence[Policy], Build]
) -> tuple[Origin, ...]:
    """The policies that differ and that head holds, and those that are gone while base held them."""
    old, new = ({one.id: one for one in policies} for policies, _ in (before, after))
    names = {
        name
        for name in after[1].waiting
        if name in new and (name not in old or old[name].digest != new[name].digest)
    }
    # While its unit is held the objects stay as they are, though nothing wants them any more.
    if before[1].held_units & after[1].held_units:
        names |= {name for name in before[1].waiting if name in old and name not in new}
    return tuple(
        Origin(policy=name, field="", at=(new.get(name) or old[name]).location) for name in sorted(names)
    )


def _compared(
    name: str,
    facts: ClusterFacts,
    before: Build,
    after: Build,
    callers: Sequence[Resident],
    tick: Callable[[], object],
) -> ClusterComparison:
    old, new = _units(before), _units(after)
    # What is held after the change stays as it is.
    keys = (old.keys() | new.keys()) - after.held_units
    moved = sorted(key for key in keys if _digest(old.get(key)) != _digest(new.get(key)))
    moving = _Moving([(old.get(key), new.get(key)) for key in moved])
    objects = object_deltas(before, after)
    was, now = Known.of(facts, before), Known.of(facts, after)
    access = access_changes(was, now, callers, _doubtful(was.index, before, after, moved), tick)
    effort = Effort(tick)
    routes = tuple(change for a, b in moving.routing.values() for change in route_changes(a, b, effort))
    guards = {key: destination_changes(key, *moving.halves(key)) for key in moving.services}
    touched = {
        *(change.service for change in access),
        *(change.service for change in routes),
        *(service for service, changes in guards.items() if changes),
        *(service for delta in objects for build in (before, after) for service in _behind(build, delta.key)),
    }
    return ClusterComparison(
        name=name,
        objects=objects,
        access=access,
        routes=routes,
        protection=(
            *(change for a, b in moving.meshes.values() for change in mesh_changes(a, b)),
            *(change for changes in guards.values() for change in changes),
        ),
        reach=_reach(facts, touched),
        held=_held(after.held_units),
    )


def _doubtful(
    index: Index, before: Build, after: Build, moved: Iterable[UnitKey]
) -> Collection[ServiceKey] | None:
    """The destinations whose access may differ: those that moved, or are held on one side, and all that share
    their pods; None, any, where something of a mesh did."""
    keys = {*moved, *(before.held_units ^ after.held_units)}
    if any(key.half == "mesh" for key in keys):
        return None
    keys |= {unit.key for unit in (*before.refused, *after.refused)}
    known = index.facts.service_index
    services = [known[key.namespace, key.name] for key in keys if (key.namespace, key.name) in known]
    beside = {one.key for service in services for w in index.behind(service) for one in index.selecting(w)}
    return beside | {service.key for service in services}


def _behind(build: Build, key: ObjectKey) -> Iterator[ServiceKey]:
    """The destinations for which an object is written."""
    manifest = build.manifests.get(key)
    yield from (
        (unit.namespace, unit.name) for unit in (manifest.units if manifest else ()) if unit.half != "mesh"
    )


_NEITHER = (None, None)


class _Moving:
    """What differs, before and after (None: nothing is decided, or it is held), by Service and by mesh."""

    def __init__(self, pairs: Iterable[tuple[Unit | None, Unit | None]]) -> None:
        self.routing: dict[ServiceKey, tuple[RoutingUnit | None, RoutingUnit | None]] = {}
        self.access: dict[ServiceKey, tuple[AccessUnit | None, AccessUnit | None]] = {}
        self.meshes: dict[str, tuple[MeshUnit | None, MeshUnit | None]] = {}
        for before, after in pairs:
            match before or after:
                case RoutingUnit(service=service):
                    self.routing[service.key] = (_routing(before), _routing(after))
                case AccessUnit(service=service):
                    self.access[service.key] = (_access(before), _access(after))
                case MeshUnit(mesh=mesh):
                    self.meshes[mesh.name] = (_mesh(before), _mesh(after))

    @property
    def services(self) -> Sequence[ServiceKey]:
        return sorted(self.routing.keys() | self.access.keys())

    def halves(
        self, service: ServiceKey
    ) -> tuple[tuple[RoutingUnit | None, RoutingUnit | None], tuple[AccessUnit | None, AccessUnit | None]]:
        """Routing and access of a Service."""
        return self.routing.get(service, _NEITHER), self.access.get(service, _NEITHER)


def _units(build: Build) -> Mapping[UnitKey, Unit]:
    """What was decided, without what is held."""
    return {
        key: unit
        for unit in build.units
        # A held unit stays in the cluster as it is, whatever was decided of it.
        if (key := unit.key) not in build.held_units and key.home == build.cluster
    }


def _digest(unit: Unit | None) -> str:
    return unit.digest if unit else ""


def _routing(unit: Unit | None) -> RoutingUnit | None:
    return unit if isinstance(unit, RoutingUnit) else None


def _access(unit: Unit | None) -> AccessUnit | None:
    return unit if isinstance(unit, AccessUnit) else None


def _mesh(unit: Unit | None) -> MeshUnit | None:
    return unit if isinstance(unit, MeshUnit) else None


def _held(keys: Iterable[UnitKey]) -> tuple[str, ...]:
    """The destinations and meshes of which an error keeps something back, as people name them."""
    return tuple(sorted({str(key) for key in keys}))


def _reach(facts: ClusterFacts, touched: Iterable[ServiceKey]) -> Reach:
    """The destinations of which something changed, and the workloads behind them."""
    services = sorted(touched)
    known = [facts.service_index[key] for key in services if key in facts.service_index]
    workloads = {
        (workload.namespace, workload.name) for service in known for workload in facts.behind(service)
    }
    return Reach(services=tuple(services), workloads=tuple(sorted(workloads)))
