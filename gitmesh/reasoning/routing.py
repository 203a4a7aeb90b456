"""How a request is treated on its way (docs/kinds/trafficpolicy.md), told from units: the first route of
which the match holds.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from enum import StrEnum

from msgspec import Struct, field
from msgspec.structs import replace

from gitmesh.model.base import Disabled
from gitmesh.model.conditions import RequestMatch
from gitmesh.model.connections import Tls
from gitmesh.model.objects import ObjectKey
from gitmesh.model.policies import Origin
from gitmesh.model.routes import Decided, Route, Target
from gitmesh.model.strangers import Override
from gitmesh.model.traffic import CONNECTION_FIELDS
from gitmesh.model.units import RoutingUnit
from gitmesh.reasoning.aliases import answering
from gitmesh.reasoning.questions import Known, Question
from gitmesh.resolution.matching import Request, matches, source_holds

__all__ = ["Found", "Routing", "route", "tls_of"]


class Found(StrEnum):
    """Whether there is a decision: `NoProxy`, no proxy of the client's takes it; `Gateway`, the client has
    routes of its own; `NotHttp`, proxies see no requests on the port; `Foreign`, routes of somebody else's
    are for the same Service, and the client follows them, or may; `Unrouted`, nobody on the way of the
    client's requests follows what policies say of this destination.
    """

    DECIDED = "Decided"
    NO_PROXY = "NoProxy"
    GATEWAY = "Gateway"
    NOT_HTTP = "NotHttp"
    HELD = "Held"
    FOREIGN = "Foreign"
    UNROUTED = "Unrouted"


class Routing(Struct, frozen=True, kw_only=True):
    """The decided value of every field that some policy sets; what is not here keeps the mesh's own
    behaviour.

    `request` and `connection` use the policy model's Python names. `targets` and `mirrors` resolve `split`
    and `mirror`, in the same order; `match` are the requests that are treated so, and what
    `replacePrefixMatch` replaces the prefix of; `rules` are the rules that take part, greatest first;
    `headers` says who changes each (side, header name), and `items` where each item of `split` and `mirror`
    stands. `ended` are fields that a policy leaves to the mesh, and where. `follows` are objects of others
    that the client follows, or may, in place of ours: what is told then does not come from them.
    """

    found: Found
    request: Mapping[str, Decided] = {}
    connection: Mapping[str, Decided] = {}
    targets: tuple[Target, ...] = ()
    mirrors: tuple[Target, ...] = ()
    match: RequestMatch = field(default_factory=RequestMatch)
    rules: tuple[Origin, ...] = ()
    headers: Mapping[tuple[str, str], Origin] = {}
    items: Mapping[str, tuple[Origin, ...]] = {}
    ended: Mapping[str, Origin] = {}
    follows: tuple[ObjectKey, ...] = ()


def route(question: Question, known: Known) -> Routing:
    """What is decided for the request. Raises KeyError where the cluster has no such Service."""
    question = _named(question, known)
    service = known.index.facts.service_index[question.service]
    if not question.client.mesh:
        return Routing(found=Found.NO_PROXY)
    if known.holds(service.key, "routing"):
        return Routing(found=Found.HELD)
    unit = known.routing.get(service.key)
    if unit and not is_routed(question, unit, known):
        return Routing(found=Found.UNROUTED)
    overrides = _overrides(unit, question) if unit else ()
    around = unit.around.contenders if unit else ()
    contenders = [one.by for one in around if one.of == "routes"]
    # One for connections may be what clients take, or be merged with ours: which, hangs on what was first.
    follows = tuple(sorted({*(one.by for one in around), *(one.by for one in overrides)}))
    connection = _connection(unit, question) if unit else {}
    # The proxy of a gateway has routes of its own, but makes its connections as policies say.
    if question.client.router:
        ended = _ended(unit, replace(question, http=False), connection) if unit else {}
        return Routing(found=Found.GATEWAY, connection=connection, ended=ended)
    if question.http and (contenders or any(one.of == "routes" for one in overrides)):
        return Routing(found=Found.FOREIGN, follows=follows)
    taken = _taken(unit, question) if unit and question.http else None
    ended = _ended(unit, question, {*connection, *(taken.fields if taken else ())}) if unit else {}
    if not question.http:
        return Routing(found=Found.NOT_HTTP, connection=connection, ended=ended, follows=follows)
    if taken is None:
        return Routing(found=Found.DECIDED, connection=connection, ended=ended, follows=follows)
    return _copied(
        Routing(
            found=Found.DECIDED,
            request=taken.fields,
            connection=connection,
            targets=tuple(_found(target, overrides) for target in taken.targets),
            mirrors=taken.mirrors,
            match=taken.match,
            rules=taken.origins,
            headers=taken.header_origins,
            items={name: tuple(item[""] for item in items) for name, items in taken.item_origins.items()},
            ended=ended,
            follows=follows,
        ),
        overrides,
    )


def _copied(found: Routing, overrides: Iterable[Override]) -> Routing:
    """Without the copies to subsets that the client does not find: the whole Service has the request
    already."""
    kept = [n for n, target in enumerate(found.mirrors) if _found(target, overrides) == target]
    if len(kept) == len(found.mirrors):
        return found
    decided = found.request["mirror"]
    left = {name: value for name, value in found.request.items() if name != "mirror"}
    if kept:
        left["mirror"] = replace(decided, value=tuple(decided.value[n] for n in kept))
    places = found.items.get("mirror", ())
    return replace(
        found,
        request=left,
        mirrors=tuple(found.mirrors[n] for n in kept),
        items={**found.items, "mirror": tuple(places[n] for n in kept if n < len(places))},
    )


def _named(question: Question, known: Known) -> Question:
    """As it is asked of the Service whose routes and connections it takes: of which no policy says anything,
    an alias has none of its own."""
    service = known.index.facts.service_index[question.service]
    answers = answering(service, known.index.facts)
    if answers in (None, service) or service.key in known.routing or known.holds(service.key, "routing"):
        return question
    return replace(question, service=answers.key)


def is_routed(question: Question, unit: RoutingUnit, known: Known) -> bool:
    """Whether a proxy of the client's, or one ahead of the destination, may follow what is said of it. A
    mesh that is presumed of its pods has no routes for destinations in another one (planning/translating)."""
    client = question.client
    own = known.index.facts.mesh(client.mesh)
    if own is not None and own.presumed and is_elsewhere(unit, own.name):
        return False
    _, without, proxied = known.approach.told(client)
    return not (unit.around.direct and without and not proxied)


def is_elsewhere(unit: RoutingUnit, mesh: str) -> bool:
    """Whether a mesh that is presumed of its pods has no part in the destination, nor in what is written for
    those of another one."""
    return bool(unit.meshes) and mesh not in unit.meshes and not unit.around.common


def _overrides(unit: RoutingUnit, question: Question) -> tuple[Override, ...]:
    """What the client follows in place of ours."""
    return tuple(one for one in unit.around.overrides if one.namespace == question.client.namespace)


def _found(target: Target, overrides: Iterable[Override]) -> Target:
    """Where a share goes: to the whole Service, where the client does not find the subset."""
    labels = tuple(f"{key}={value}" for key, value in sorted(target.subset))
    for one in overrides:
        there = {subset.labels for subset in one.subsets}
        if labels and one.of == "settings" and one.service == target.service.key and labels not in there:
            # An object that clients follow in place of ours need not have the subset.
            return replace(target, subset=())
    return target


def _taken(unit: RoutingUnit, question: Question) -> Route | None:
    request = question.request()
    return next((one for one in unit.routes if matches(one.match, request)), None)


def _ended(unit: RoutingUnit, question: Question, decided: Collection[str]) -> Mapping[str, Origin]:
    """Of fields that nothing decides: the greatest rule that means the request leaves them to the mesh, if
    there is one.
    """
    request, found = question.request(), dict[str, Origin]()
    for one in unit.ended:
        if (
            one.field not in decided
            and (question.http or one.field in CONNECTION_FIELDS)
            and matches(one.match, request)
        ):
            found.setdefault(one.field, one.origin)
    return found


def tls_of(question: Question, known: Known) -> Decided | None:
    """The `tls` that a policy sets for the client's connection, if its proxy makes one, also where it is held
    as it would be refused; None keeps the mesh's own."""
    # Also what is held for being refused: the question is what would become of the connection.
    unit = known.refused.get(question.service) or known.routing.get(question.service)
    routed = unit is not None and bool(question.client.mesh) and is_routed(question, unit, known)
    decided = _connection(unit, question).get("tls") if unit and routed else None
    return decided if decided is not None and isinstance(decided.value, Tls) else None


def _connection(unit: RoutingUnit, question: Question) -> Mapping[str, Decided]:
    # Clients follow that object in place of ours, as a whole.
    if any(one.of == "settings" and one.service == question.service for one in _overrides(unit, question)):
        return {}
    # A port's settings already hold those of the whole destination that it does not override.
    settings = unit.settings.get(question.port, unit.settings.get(0, {}))
    request = question.request()
    found = ((name, _meant(decided, request)) for name, decided in settings.items())
    return {name: decided for name, decided in found if decided and not isinstance(decided.value, Disabled)}


def _meant(decided: Decided | None, request: Request) -> Decided | None:
    """The decision for the client of the request."""
    while decided is not None and not source_holds(decided.source, request):
        decided = decided.fallback
    return decided
