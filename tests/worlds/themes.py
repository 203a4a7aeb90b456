"""Situations that people met and that chance alone seldom draws, laid over a world."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random

from tests.worlds.objects import ROOT, Object, control_plane, istio, pod, policy, service

Laid = tuple[Sequence[Object], Sequence[Object]]
"""Objects and policies of a theme."""

_HTTP = {"name": "http", "port": 80, "targetPort": 8080}


def theme(random: Random) -> Laid:
    """One of the situations, or, mostly, none."""
    return random.choice((_nothing, _nothing, _nothing, _nothing, *_THEMES))(random)


def _nothing(_: Random) -> Laid:
    return (), ()


def _members(random: Random) -> Laid:
    """A database with a Service for its leader, one for its followers, and a port that all of them share."""
    pods = [
        pod(
            f"db-{number}",
            "shop",
            {
                "app": "db",
                "statefulset.kubernetes.io/pod-name": f"db-{number}",
                "role": "follower" if number else "leader",
            },
            {"web": 8080, "peer": 7070},
            owner=("StatefulSet", "db"),
        )
        for number in range(2)
    ]
    peers = {"name": "tcp-peer", "port": 82, "targetPort": 7070}
    services = [
        service("r", "shop", {"app": "db", "role": "leader"}, [_HTTP]),
        service("s", "shop", {"app": "db", "role": "follower"}, [_HTTP]),
        service("t", "shop", {"app": "db"}, [peers]),
    ]
    writers = _allow("writers", "r", {"namespaces": ["bank"]})
    members = _allow("members", "t", {"namespaces": ["shop"]})
    return (*pods, *services), (writers, members)[: random.randint(1, 2)]


def _by_hand(_: Random) -> Laid:
    """A mesh that does not choose mTLS by itself, and one rule that does for all hosts."""
    rule = istio(
        "DestinationRule",
        "theirs-all",
        ROOT,
        {"host": "*.local", "trafficPolicy": {"tls": {"mode": "ISTIO_MUTUAL"}}},
    )
    breaker = {"destinations": [{"all": True}], "outlierDetection": {"consecutiveErrors": 3}}
    return (*control_plane("enableAutoMtls: false\n"), rule), (
        policy("TrafficPolicy", "breaker", "shop", breaker),
    )


def _round(random: Random) -> Laid:
    """A split to another Service, and somebody may call only one of the two."""
    pods = [pod(f"{app}-0", "shop", {"app": app}, {"web": 8080}) for app in ("left", "right")]
    services = [
        service("r", "shop", {"app": "left"}, [_HTTP]),
        service("s", "shop", {"app": "right"}, [_HTTP]),
    ]
    split = [{"weight": 1, "destination": {"name": "s", "namespace": "shop"}}]
    led = policy("TrafficPolicy", "led", "shop", {"destinations": [_named("r")], "split": split})
    return (*pods, *services), (led, _allow("one", random.choice("rs"), {"namespaces": ["bank"]}))


def _taken(random: Random) -> Laid:
    """A split by versions where somebody's DestinationRule stands in the place of ours."""
    pods = [
        pod(f"v-{number}", "shop", {"app": "v", "version": f"v{number}"}, {"web": 8080}) for number in (1, 2)
    ]
    theirs = istio("DestinationRule", "r", "shop", {"host": "r.shop.svc.cluster.local"})
    shares = [
        {"weight": 1, "destination": {"name": "r", "namespace": "shop", "subset": {"version": version}}}
        for version in ("v1", "v2")
    ]
    split = policy("TrafficPolicy", "split", "shop", {"destinations": [_named("r")], "split": shares})
    objects = [*pods, service("r", "shop", {"app": "v"}, [_HTTP]), theirs]
    return objects[: random.choice((len(objects), len(objects) - 1))], (split,)


def _mail(_: Random) -> Laid:
    """A Deny of methods on a Service of which one port declares no protocol."""
    ports = [
        {"name": "amqp", "port": 83, "targetPort": 8080},
        {"name": "http", "port": 80, "targetPort": 9090},
    ]
    objects = [
        pod("mail-0", "shop", {"app": "mail"}, {"web": 8080}),
        service("r", "shop", {"app": "mail"}, ports),
    ]
    spec = {
        "action": "Deny",
        "sources": [{"all": True}],
        "destinations": [_named("r")],
        "rules": [{"methods": ["POST"]}],
    }
    return objects, (policy("AccessPolicy", "no-writes", "shop", spec),)


def _renumbered(_: Random) -> Laid:
    """A named port that gets another number, in the middle of the rollout."""
    objects = [
        pod("n-0", "shop", {"app": "n"}, {"web": 8080}, owner=("StatefulSet", "n")),
        pod("n-1", "shop", {"app": "n"}, {"web": 9090}, owner=("StatefulSet", "n")),
        service("r", "shop", {"app": "n"}, [{"name": "http", "port": 80, "targetPort": "web"}]),
    ]
    return objects, (_allow("one", "r", {"namespaces": ["bank"]}),)


def _nobodys_port(random: Random) -> Laid:
    """Two Services on the same pods, and a Deny or an Allow for one whose port no pod names: it acts on every
    port of the pods, and so on that of the other.
    """
    objects = [
        pod("x-0", "shop", {"app": "x"}, {"web": 8080}),
        service("r", "shop", {"app": "x"}, [{"name": "http", "port": 80, "targetPort": "nobody"}]),
        service("s", "shop", {"app": "x"}, [_HTTP]),
    ]
    spec = {
        "action": random.choice(("Deny", "Allow")),
        "sources": [{"namespaces": ["bank"]}],
        "destinations": [_named("r")],
    }
    return objects, (policy("AccessPolicy", "never", "shop", spec),)


def _named(name: str) -> Object:
    return {"name": name, "namespaces": ["shop"]}


def _allow(name: str, to: str, sources: Object) -> Object:
    return policy("AccessPolicy", name, "shop", {"sources": [sources], "destinations": [_named(to)]})


_THEMES: tuple[Callable[[Random], Laid], ...] = (
    _members,
    _by_hand,
    _round,
    _taken,
    _mail,
    _renumbered,
    _nobodys_port,
)
