"""What must hold on the way from one moment to the next, after each single write (design law 2)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from gitmesh.model.workloads import Workload
from tests.soundness.requests import ArrivingCall
from tests.soundness.unified import Unified
from tests.worlds.arrivals import Arrivals
from tests.worlds.drawing import CLUSTER
from tests.worlds.judge import JudgedMoment, is_held, shown
from tests.worlds.objects import Object
from tests.worlds.waypoints import TakenWay

_IN_PLACE = "GM401"
_DECIDING = ("AuthorizationPolicy", "PeerAuthentication")


def never_wider_on_the_way(judge: JudgedMoment) -> Iterator[str]:
    """Nobody comes in whom neither what was there admits, nor the policies of before or of now. That an
    object of somebody else keeps ours away excuses nobody who comes in for that.
    """
    before = judge.moment.before
    if before is None:
        return
    old = Unified(before.world.policies, {CLUSTER: judge.facts})
    was = _arrivals(judge, [*judge.moment.theirs, *before.ours])
    asked = [
        (call, way)
        for pod in judge.guarded
        if not any(is_held(one) and one.code != _IN_PLACE for one in judge.about(pod))
        for call, way in _calls(judge, pod)
        if not (judge.unified.admitted(call) or old.admitted(call) or was.admitted(call, way))
    ]
    for step, live in _states(judge) if asked else ():
        now = _arrivals(judge, live)
        for call, way in asked:
            if now.admitted(call, way):
                yield f"after {step} admitted whom nothing admits, before or now: {shown(call)}{way}"
                break


def _states(judge: JudgedMoment) -> Iterator[tuple[str, Sequence[Object]]]:
    """Those that decide who may call otherwise than the one before."""
    last: list[Object] | None = None
    for state in judge.moment.between:
        deciding = [one for one in state.live if one["kind"] in _DECIDING]
        if deciding != last:
            yield state.step, state.live
        last = deciding


def _calls(judge: JudgedMoment, pod: Workload) -> Iterator[tuple[ArrivingCall, TakenWay]]:
    for call in judge.calls(pod):
        if pod.guards(call.port):
            yield from ((call, way) for way in judge.ways(call))


def _arrivals(judge: JudgedMoment, live: Sequence[Object]) -> Arrivals:
    return Arrivals(live, judge.facts, judge.waypoints)
