"""Worlds of other data planes: namespaces in ambient beside those with sidecars, with waypoints or without;
and two revisions of a mesh that share a root namespace, between which namespaces move.
"""

from __future__ import annotations

from dataclasses import replace
from random import Random

from tests.worlds.drawing import (
    ACCOUNTS,
    APPS,
    MODE,
    NAMESPACES,
    REVISIONS,
    USE,
    Manner,
    World,
    controller,
    drawn_policies,
    drawn_service,
    stranger,
)
from tests.worlds.objects import (
    REVISION,
    ROOT,
    Object,
    account,
    control_plane,
    namespace,
    pod,
    policy,
    service,
    waypoint,
    ztunnel,
)

_FOR = "istio.io/waypoint-for"


def ambient(random: Random) -> World:
    """Pods in ambient, in one namespace or in both, with a waypoint that is there, is not yet, or is for
    something else.
    """
    manner = Manner(ambient=frozenset(random.choice((NAMESPACES, NAMESPACES[:1]))))
    places = [namespace(ROOT), *(_enrolled(random, name, manner) for name in NAMESPACES)]
    doors = [_waypoint(random, name, place) for place in sorted(manner.ambient) for name in _named(random)]
    return _told_apart(random, _world(random, manner, [*places, *control_plane(""), ztunnel(), *doors]))


def _told_apart(random: Random, world: World) -> World:
    """Now and then also a Service whose Allow tells requests apart, for whoever comes past its waypoint, too:
    chance alone seldom draws one that is bound, has an address and is told of nothing else.
    """
    if random.randrange(6):
        return world
    ports = [{"name": "http", "port": 80, "targetPort": 8080}]
    reads = {
        "sources": [{"all": True}],
        "destinations": [{"name": "told", "namespaces": ["shop"]}],
        "rules": [{"methods": ["GET"]}],
    }
    objects = (
        pod("told-0", "shop", {"app": "told"}, {"web": 8080}, proxy=False),
        service("told", "shop", {"app": "told"}, ports, {USE: "waypoint"}),
    )
    policies = (policy("AccessPolicy", "reads", "shop", reads),)
    return replace(world, objects=(*world.objects, *objects), policies=(*world.policies, *policies))


def _named(random: Random) -> tuple[str, ...]:
    return random.choice((("waypoint",), ("waypoint",), ("waypoint", "other"), ()))


def _enrolled(random: Random, name: str, manner: Manner) -> Object:
    if name not in manner.ambient:
        return namespace(name, {"istio-injection": "enabled"})
    return namespace(name, {MODE: "ambient", **random.choice(({}, {}, {USE: "waypoint"}))})


def _waypoint(random: Random, name: str, place: str) -> Object:
    labels = random.choice(({}, {}, {}, {_FOR: "service"}, {_FOR: "all"}, {_FOR: "workload"}))
    return waypoint(name, place, labels, ready=random.randrange(6) > 0)


def revisions(random: Random) -> World:
    """Two control planes with one root namespace."""
    manner = Manner(revisions={place: random.choice(REVISIONS) for place in NAMESPACES})
    places = [
        namespace(ROOT),
        *(namespace(name, {REVISION: manner.revisions[name]}) for name in NAMESPACES),
    ]
    planes = [part for name in REVISIONS for part in control_plane("", name)]
    return _world(random, manner, [*places, *planes])


def moved(random: Random, world: World) -> World:
    """A namespace goes to the other revision; its pods follow when they are rolled out."""
    place = random.choice(NAMESPACES)
    asked = next(name for name in REVISIONS if name != world.manner.revisions[place])
    manner = replace(world.manner, revisions={**world.manner.revisions, place: asked})
    objects = (*world.objects, namespace(place, {REVISION: asked}))
    return replace(world, objects=objects, manner=manner, story=f"{place} moves to revision {asked}")


def _world(random: Random, manner: Manner, there: list[Object]) -> World:
    accounts = [account(name, place) for place in NAMESPACES for name in ACCOUNTS]
    pods = [part for app in APPS for part in controller(random, app, manner)]
    services = [drawn_service(random, name, manner) for name in ("r", "s", "t")[: random.randint(1, 3)]]
    others = [stranger(random, number) for number in range(random.choice((0, 0, 0, 1)))]
    objects = (*there, *accounts, *pods, *services, *others)
    return World(objects, tuple(drawn_policies(random, manner)), manner=manner)
