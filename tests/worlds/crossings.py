"""Histories in which Services take over each other's pods, or somebody else's object stands in the place of
one of ours that is to refuse, while who may call changes too, and not every write is taken at first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from random import Random

from tests.worlds.drawing import ACCOUNTS, MODE, NAMESPACES, SIDECARS, Manner, World
from tests.worlds.objects import (
    ROOT,
    Object,
    account,
    control_plane,
    istio,
    namespace,
    pod,
    policy,
    service,
    ztunnel,
)

Labels = Mapping[str, str]
_PLACE = "shop"
_NAMES = ("r", "s", "t")
_SELECTORS: tuple[Labels, ...] = (
    {"app": "a", "version": "v1"},
    {"app": "a", "version": "v2"},
    {"app": "b"},
    {"app": "a"},
)
_PORTS: tuple[Object, ...] = (
    {"name": "http", "port": 80, "targetPort": 8080},
    {"name": "http-admin", "port": 81, "targetPort": 9090},
)

_CALLERS: tuple[Object, ...] = tuple(
    {"name": name, "namespace": place} for place in NAMESPACES for name in ACCOUNTS
)


def crossing(random: Random) -> list[World]:
    """A cluster, and what comes of it when its Services are for other pods."""
    manner = random.choice((SIDECARS, SIDECARS, SIDECARS, Manner(ambient=frozenset((_PLACE,)))))
    selectors = random.choices(_SELECTORS, k=len(_NAMES))
    theirs = random.choice(("", "", *_NAMES))
    objects = (*_fixed(manner), *_services(selectors), *_in_place(theirs))
    mesh = _mesh(random)
    first = World(objects, (*mesh, *_access(random, theirs)), manner=manner)
    # What is for the whole mesh waits for no object of a tenant, so what that keeps away may be missed then.
    return [first, _crossed(random, first, selectors, mesh if theirs else _mesh(random))]


def _crossed(random: Random, world: World, selectors: Sequence[Labels], mesh: Sequence[Object]) -> World:
    one, two, three = selectors
    ways = ((two, one, three), (two, three, one), random.choices(_SELECTORS, k=len(_NAMES)), selectors)
    moved = random.choice(ways)
    kept = [one for one in world.objects if one["kind"] != "Service"]
    new = (*mesh, *_access(random, ""))
    role = random.choice(("allow", "deny"))
    return replace(
        world,
        objects=(*kept, *_services(moved)),
        policies=random.choice((world.policies, new, new)),
        story="Services are for other pods",
        refused=random.choice(("", f"{random.choice(_NAMES)}-{role}")),
    )


def _fixed(manner: Manner) -> list[Object]:
    enrolled = {MODE: "ambient"} if manner.ambient else {"istio-injection": "enabled"}
    places = [namespace(name, enrolled if name == _PLACE else {}) for name in (ROOT, *NAMESPACES)]
    accounts = [account(name, place) for place in NAMESPACES for name in ACCOUNTS]
    # What only the last one selects is of both versions.
    pods = [
        pod(f"p-{number}", _PLACE, labels, {}, proxy=manner.injected(_PLACE))
        for number, labels in enumerate(_SELECTORS[:-1])
    ]
    return [*places, *control_plane(""), *([ztunnel()] if manner.ambient else []), *accounts, *pods]


def _services(selectors: Sequence[Labels]) -> list[Object]:
    """Each with a port that all have, and some with another one."""
    return [
        service(name, _PLACE, labels, _PORTS[: 2 if name == "t" else 1])
        for name, labels in zip(_NAMES, selectors, strict=True)
    ]


def _in_place(name: str) -> list[Object]:
    audited = {"action": "AUDIT", "rules": [{}]}
    return [istio("AuthorizationPolicy", f"{name}-deny", _PLACE, audited)] if name else []


def _mesh(random: Random) -> list[Object]:
    if random.randrange(3):
        return []
    default = random.choice(("Deny", "Deny", "Allow"))
    spec = {"meshes": [{"selector": {"all": True}}], "accessDefault": default}
    return [policy("VirtualMesh", "all", ROOT, spec)]


def _access(random: Random, but: str) -> list[Object]:
    """For each Service who is allowed and who is denied, or neither; nobody is denied at one of them."""
    drawn = [
        (name, action)
        for name in _NAMES
        for action, of_five in (("Allow", 3), ("Deny", 2))
        if random.randrange(5) < of_five and (name, action) != (but, "Deny")
    ]
    # No policy at all would be refused.
    drawn = drawn or [(_NAMES[0], "Allow")]
    return [_policy(name, action, random.sample(_CALLERS, random.randint(1, 3))) for name, action in drawn]


def _policy(name: str, action: str, callers: Sequence[Object]) -> Object:
    spec = {
        "action": action,
        "destinations": [{"name": name, "namespaces": [_PLACE]}],
        "sources": [{"serviceAccounts": list(callers)}],
    }
    return policy("AccessPolicy", f"{action.lower()}-{name}", _PLACE, spec)
