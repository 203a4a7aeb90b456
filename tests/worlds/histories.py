"""What happens to a world: rollouts, Services that come anew, strangers that come and go, other policies, and
the upgrade of a mesh by revisions. The same for the same seed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from random import Random

from tests.worlds.crossings import crossing
from tests.worlds.dataplanes import ambient, moved, revisions
from tests.worlds.drawing import APPS, World, controller, drawn_policies, drawn_service, plain, stranger
from tests.worlds.objects import Object

_CROSSING = 20
"""Each such seed draws Services that take over each other's pods."""
_KINDS: tuple[Callable[[Random], World], ...] = (plain, plain, plain, plain, ambient, revisions)


def history(seed: int, steps: int = 2) -> list[World]:
    """The worlds of a seed, one after the other."""
    random = Random(seed)
    if seed % _CROSSING == 0:
        return crossing(random)
    found = [random.choice(_KINDS)(random)]
    for _ in range(random.randint(0, steps)):
        events = (*_EVENTS, *(moved,) * len(_EVENTS)) if found[-1].manner.revisions else _EVENTS
        found.append(random.choice(events)(random, found[-1]))
    return found


def _kept(world: World, *, without: Callable[[Object], bool]) -> tuple[Object, ...]:
    return tuple(one for one in world.objects if not without(one))


def _rollout(random: Random, world: World) -> World:
    """The pods of one controller come anew, with other ports or labels, and a proxy of the revision that is
    asked for by now."""
    app = random.choice(APPS)
    rest = _kept(world, without=lambda one: one["kind"] == "Pod" and one["metadata"]["name"].startswith(app))
    pods = controller(random, app, world.manner)
    return replace(world, objects=(*rest, *pods), story=f"{app} is rolled out")


def _stranger_comes(random: Random, world: World) -> World:
    return replace(
        world, objects=(*world.objects, stranger(random, random.randrange(3, 99))), story="a stranger comes"
    )


def _strangers_go(random: Random, world: World) -> World:
    rest = _kept(world, without=lambda one: one["metadata"]["name"].startswith("theirs"))
    return replace(world, objects=rest, story="the strangers go")


def _service_changes(random: Random, world: World) -> World:
    name = random.choice("rst")
    rest = _kept(world, without=lambda one: one["kind"] == "Service" and one["metadata"]["name"] == name)
    new = drawn_service(random, name, world.manner)
    return replace(world, objects=(*rest, new), story=f"Service {name} comes anew")


def _policies_change(random: Random, world: World) -> World:
    new = drawn_policies(random, world.manner)
    names = {one["metadata"]["name"] for one in new}
    kept = [one for one in world.policies if one["metadata"]["name"] not in names and random.randrange(2)]
    return replace(world, policies=(*kept, *new), story="other policies")


_EVENTS: tuple[Callable[[Random, World], World], ...] = (
    _rollout,
    _stranger_comes,
    _strangers_go,
    _service_changes,
    _policies_change,
    _policies_change,
)
