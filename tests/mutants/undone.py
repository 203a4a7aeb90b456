"""Mendings, each with what takes its place when it is undone."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from importlib import import_module
from typing import Any
from unittest.mock import patch

import gitmesh_istio
from gitmesh_istio import ambient, destination, leading_waypoints, meshwide, strangers

from gitmesh import pipeline
from gitmesh.discovery import shapes
from gitmesh.model.admission import Effect
from gitmesh.model.links import UNLINKED
from gitmesh.model.plan import Action
from gitmesh.model.services import ServicePort
from gitmesh.model.strangers import ALONE, EVERYBODY
from gitmesh.model.workloads import Workload
from gitmesh.planning import diff, relieving, rows
from gitmesh.planning.ordering import Ordering
from gitmesh.reasoning import questions, together
from gitmesh.resolution import access, grants, guards
from gitmesh.resolution import index as pods

Replacement = Callable[..., object]

SEEDS = 3_000
"""In so many worlds each must be found: 2,000 of them have sidecars alone, which most mendings are about."""


@dataclass(frozen=True)
class Mutant:
    """`undoes` says which mending; `places` are (where, name) with what stands there instead."""

    name: str
    undoes: str
    places: tuple[tuple[object, str, object], ...]

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """The product with the mending undone."""
        with ExitStack() as stack:
            for where, name, instead in self.places:
                stack.enter_context(patch.object(where, name, instead))
            yield


def _nothing(*_: object, **__: object) -> tuple[()]:
    return ()


def _none(*_: object, **__: object) -> Mapping[str, object]:
    return {}


_TARGETS = pods.targets
_TRANSLATING = import_module("gitmesh_istio.translate")
_FOREIGN = import_module("gitmesh_istio.foreign")._Ours  # the package has functions of the modules' names


_WANTED_ROW = rows.wanted_row


def _kept(_action: Action, *given: Any, **more: Any) -> object:
    return _WANTED_ROW(Action.KEEP, *given, staged=False, **more)


def _first(port: ServicePort, workloads: Iterable[Workload]) -> frozenset[int]:
    return frozenset(sorted(_TARGETS(port, workloads))[:1])


def _empty(*_: object, **__: object) -> str:
    return ""


def _no_labels(*_: object, **__: object) -> frozenset[str]:
    return frozenset()


def _alone(*_: object, **__: object) -> Replacement:
    return lambda _unit: ALONE


MUTANTS: tuple[Mutant, ...] = (
    Mutant(
        "labels-of-one-pod",
        "a label that controllers set anew is kept where a selector names it (02, 02b, 02c, 04)",
        ((shapes.Selectors, "kept", _no_labels),),
    ),
    Mutant(
        "pods-apart",
        "pods on which an Allow would close another Service's port get an object of their own (03)",
        ((guards.GuardedPorts, "apart", lambda _self: ((), ())),),
    ),
    Mutant(
        "open-pods",
        "pods without a proxy are told (02c)",
        ((access, "outside", _nothing),),
    ),
    Mutant(
        "beside-strangers",
        "our objects open nothing that strangers' keep shut (01)",
        (
            (gitmesh_istio, "beside", _none),
            (guards.GuardedPorts, "_shut_by", lambda _self, _labels: None),
        ),
    ),
    Mutant(
        "default-opened",
        "a stranger's ALLOW that opens what only a default denies is told there",
        ((_FOREIGN, "_defaults", lambda *_: []),),
    ),
    Mutant(
        "identities-gone",
        "a stranger's mode that takes identities away is told",
        ((_FOREIGN, "_nameless", _nothing),),
    ),
    Mutant(
        "auto-mtls",
        "a DestinationRule of ours takes nobody's mTLS away where the mesh does not choose it (23)",
        ((destination, "mutual", lambda traffic, *_: traffic),),
    ),
    Mutant(
        "private-routes",
        "a route that only its own namespace sees keeps nobody else's away (28)",
        ((strangers, "shown_to", lambda *_: (EVERYBODY,)),),
    ),
    Mutant(
        "every-number",
        "every number of a named port counts (05)",
        ((pods, "targets", _first), (access, "targets", _first), (grants, "targets", _first)),
    ),
    Mutant(
        "idle-fields",
        "a field without an effect on a kind of Service is not in force in silence (06, 07)",
        ((gitmesh_istio, "inert", _empty),),
    ),
    Mutant(
        "lookup",
        "strangers' DestinationRules and routes are looked up as the mesh does (08, 23, 28)",
        ((gitmesh_istio, "surroundings", _alone),),
    ),
    Mutant(
        "waiting-routes",
        "a route waits for the subsets that it names (09)",
        ((gitmesh_istio, "links", lambda *_: UNLINKED),),
    ),
    Mutant(
        "led-round",
        "a split that leads round who may call is told (11)",
        ((together, "detours", _nothing),),
    ),
    Mutant(
        "kept-objects",
        "who waits for an object that another policy keeps says so",
        ((pipeline, "left", _nothing),),
    ),
    Mutant(
        "sniffed",
        "what is not HTTP on a sniffed port is said (14)",
        ((grants, "beside_http", _nothing),),
    ),
    Mutant(
        "spread-denies",
        "a Deny of ports that nobody knows acts on every port, for the calculator too",
        ((questions.Known, "_spreads", lambda _self, _service: False),),
    ),
    Mutant(
        "closing",
        "what another Service's Allow closes is closed for the calculator, too",
        ((questions.Known, "_closing", _nothing),),
    ),
    Mutant(
        "states-of-findings",
        "a cluster is in the worst state of its policies, whichever step found their errors",
        ((pipeline, "in_states", lambda results, _said: results),),
    ),
    Mutant(
        "held-before-made",
        "what is held before it is made holds its policies",
        ((diff, "wanted_row", _kept),),
    ),
    Mutant(
        "probes",
        "probes of the kubelet that are refused are told (16)",
        ((together, "cut_off", _nothing),),
    ),
    Mutant(
        "one-revision",
        "what is mesh-wide for one revision leaves the other one alone (17)",
        ((meshwide, "_scoped", lambda made, *_: made),),
    ),
    Mutant(
        "no-waypoint",
        "requests that no waypoint tells apart are told (GM317)",
        ((ambient, "_note_unseen", _nothing),),
    ),
    Mutant(
        "unrouted",
        "routes that clients in ambient do not follow are told (GM317)",
        ((_TRANSLATING, "note_no_waypoint", _nothing), (_TRANSLATING, "note_unrouted", _nothing)),
    ),
    Mutant(
        "past-waypoint",
        "who comes past the waypoint that could admit him is told (GM318)",
        ((ambient, "_note_past", _nothing),),
    ),
    Mutant(
        "by-address",
        "a waypoint that also takes what is for the addresses of pods is not let in (GM318)",
        ((leading_waypoints, "_by_address", _nothing),),
    ),
    Mutant(
        "left-pods",
        "pods that others guard from now on are guarded until then",
        ((relieving, "leaves", _none),),
    ),
    Mutant(
        "gains-unrefused",
        "a grant that gains and loses gains nothing while its refusal is somebody else's",
        ((Ordering, "_admits_more", lambda _self, move: move.effect is Effect.WIDENS),),
    ),
)
