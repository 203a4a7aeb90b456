"""Who answers the world's own pods through their own proxies: whom the policies and `route` lead to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeAlias

from gitmesh.model.services import Service, ServicePort
from gitmesh.model.workloads import Workload
from gitmesh.reasoning.routing import Found, route
from tests.e2e.worlds.cluster import StandingWorld
from tests.lab.wire import WireAnswer, WireRequest
from tests.soundness.calculator import routed
from tests.soundness.requests import ArrivingCall, AskedRequest, CallingPod
from tests.soundness.unified import pairs
from tests.soundness.unified_routing import AmbiguousError, Decision, RoutedRequest, decided
from tests.worlds.drawing import CLUSTER
from tests.worlds.judge import JudgedMoment
from tests.worlds.routing_laws import callers, is_told
from tests.worlds.truth import REQUESTS, settings, trust_domain
from tests.worlds.waypoints import STRAIGHT

_HTTP, _RAW = REQUESTS[0], REQUESTS[2]
_TIMES = 8
_PARALLEL = 8
_DELAY = 3_500
"""Milliseconds that an application takes: more than any timeout that is drawn."""
End: TypeAlias = tuple[str, int]
"""A pod, and its port."""
Place: TypeAlias = tuple[str, str, int, Mapping[str, str]]
"""Namespace and name of a Service, its port, and the labels of a subset."""
_LEADS_ALL_THE_SAME = frozenset({"GM221"})
"""Findings on a split that is in force: it leads round who may call."""
_NO_ENDS: frozenset[End] = frozenset()


@dataclass(frozen=True)
class RoutedCall:
    """Requests of a pod to a Service's port; `ends` is where the policies lead them, `said` where `route`
    does: None where either has no answer. Those that are `open` admit the client, by dialling them.
    """

    asked: RoutedRequest
    port: ServicePort
    ends: frozenset[End] | None
    said: frozenset[End] | None
    timeout: int | None
    open: frozenset[End]

    def __str__(self) -> str:
        client, service = self.asked.client, self.asked.service
        return f"{client.namespace}/{client.name} -> {service.name}.{service.namespace}:{self.port.number}"


@dataclass
class RoutedCalls:
    """How much was asked, and by reason what was not."""

    calls: int = 0
    requests: int = 0
    left: Counter[str] = field(default_factory=Counter)

    def answered(self, judge: JudgedMoment, standing: StandingWorld) -> Iterator[str]:
        """Every client's requests are answered by whom the policies and the product say, within the timeout
        that they decide; or a finding tells it.
        """
        for client in callers(judge):
            calls = [one for each in judge.facts.services for one in _calls(judge, client, each, self.left)]
            slow = [one for one in calls if one.ends and one.open >= one.ends and one.timeout is not None]
            self.calls += len(calls)
            self.requests += _TIMES * len(calls) + len(slow)
            pod = standing.pods[client.name]
            answers = pod.send([_request(one, standing) for one in calls for _ in range(_TIMES)], _PARALLEL)
            for number, one in enumerate(calls):
                yield from _wrong(one, answers[number * _TIMES : (number + 1) * _TIMES])
            for one, answer in zip(
                slow, pod.send([_slow(each, standing) for each in slow], len(slow)), strict=True
            ):
                if answer.status != 504:
                    yield f"{one}: {answer.status} after {answer.seconds:.1f} s, decided is {one.timeout} ms"


def _request(call: RoutedCall, standing: StandingWorld) -> WireRequest:
    """By address: an application keeps names for seconds (net/hosts.go), and Services come anew sooner."""
    service = call.asked.service
    host = standing.addresses[service.key]
    authority = f"{service.name}.{service.namespace}:{call.port.number}"
    return WireRequest(f"http://{host}:{call.port.number}{_HTTP.path}", authority=authority)


def _slow(call: RoutedCall, standing: StandingWorld) -> WireRequest:
    delay = {"x-lab-delay": f"{_DELAY}ms"}
    return replace(_request(call, standing), headers=delay, timeout=2 * _DELAY / 1000)


def _wrong(call: RoutedCall, answers: Sequence[WireAnswer]) -> Iterator[str]:
    found = {(one.seen.pod, one.seen.port) for one in answers if one.seen is not None}
    refused = sorted({one.error or str(one.status) for one in answers if one.seen is None})
    for who, ends in (("the policies mean", call.ends), ("route says", call.said)):
        if ends is None:
            continue
        if found - ends:
            yield f"{call}: answered by {sorted(found)}, {who} {sorted(ends)}"
        if ends and call.open >= ends and refused:
            yield f"{call}: not answered ({', '.join(refused)}), {who} {sorted(ends)}"


def _calls(
    judge: JudgedMoment, client: Workload, service: Service, left: Counter[str]
) -> Iterator[RoutedCall]:
    for port in service.ports:
        reason = _left_out(judge, service, port)
        if reason:
            left[f"routes: {reason}"] += 1
            continue
        asked = RoutedRequest(
            client=client, facts=judge.facts, service=service, port=port.number, request=_HTTP
        )
        ends, timeout = _meant(judge, asked)
        said = _said(judge, asked)
        around = sorted((ends or _NO_ENDS) | (said or _NO_ENDS))
        if ends is None and said is None:
            left["routes: not decided (held, ambiguous, somebody else's)"] += 1
            continue
        verdicts = {end: _verdicts(judge, client, service, port, end) for end in around}
        if port.protocol == "" and any(len(found) > 1 for found in verdicts.values()):
            left["routes: sniffed ports, which the lab's Envoys take for TCP behind mTLS"] += 1
            continue
        is_open = frozenset(end for end, found in verdicts.items() if found == {True})
        yield RoutedCall(asked, port, ends, said, timeout, is_open)


def _left_out(judge: JudgedMoment, service: Service, port: ServicePort) -> str:
    """Why a Service's port is not asked for, "" where it is."""
    if not port.seen:
        return "UDP ports"
    if not port.http:
        return "TCP ports, which nothing routes"
    if service.type == "ExternalName":
        return "other names (ExternalName)"
    if service.headless:
        return "headless Services"
    if "enableAutoMtls: false" in settings(judge.moment.world):
        return "a mesh without mTLS of its own accord"
    if any(not pod.guards(number) for _, pod, number in _behind(judge, service, port.number) if pod.mesh):
        return "ports that pods keep from their proxies"
    return ""


def _meant(judge: JudgedMoment, asked: RoutedRequest) -> tuple[frozenset[End] | None, int | None]:
    """The pods whom the policies lead to, and the timeout; None where a finding tells otherwise."""
    if is_told(judge, asked.service, but=_LEADS_ALL_THE_SAME):
        return None, None
    try:
        found = decided(judge.unified.of_kind("TrafficPolicy"), asked)
    except AmbiguousError:
        return None, None
    return frozenset(_ends(judge, _places(found, asked))), found.get("timeout")


def _places(found: Decision, asked: RoutedRequest) -> Iterator[Place]:
    shares = found.get("routing", {}).get("split")
    if shares is None:
        yield (*asked.service.key, asked.port, {})
        return
    for ((namespace, name, number, subset), _), _share in shares:
        yield namespace, name, number, dict(subset)


def _said(judge: JudgedMoment, asked: RoutedRequest) -> frozenset[End] | None:
    """The pods to which the product says that the request goes."""
    found = route(routed(asked), judge.calculator)
    if found.found is not Found.DECIDED:
        return None
    if not found.targets:
        return frozenset(_ends(judge, [(*asked.service.key, asked.port, {})]))
    places = [(*one.service.key, one.port or asked.port, dict(one.subset)) for one in found.targets]
    return frozenset(_ends(judge, places))


def _ends(judge: JudgedMoment, places: Iterable[Place]) -> Iterator[End]:
    for namespace, name, number, subset in places:
        service = judge.facts.service_index[namespace, name]
        for _, pod, target in _behind(judge, service, number):
            if subset.items() <= pod.labels.items():
                yield pod.name, target


def _behind(judge: JudgedMoment, service: Service, port: int) -> list[tuple[ServicePort, Workload, int]]:
    return [(one, pod, number) for one, pod, number in pairs(service, judge.facts) if one.number == port]


def _verdicts(
    judge: JudgedMoment, client: Workload, service: Service, port: ServicePort, end: End
) -> set[bool]:
    """Whether a pod admits the client, as HTTP and, where the proxy has to find out, as something else."""
    who = CallingPod(
        cluster=CLUSTER,
        namespace=client.namespace,
        account=client.service_account,
        trust_domain=trust_domain(judge.moment.world),
    )
    way = judge.waypoints.asked(who, service, port) if client.dataplane == "ambient" else STRAIGHT
    requests: tuple[AskedRequest, ...] = (_HTTP, _RAW) if port.protocol == "" else (_HTTP,)
    name, number = end
    pod = next(one for one in judge.facts.workloads if one.name == name)
    return {
        judge.now.admitted(
            ArrivingCall(client=who, cluster=CLUSTER, workload=pod, port=number, request=one), way
        )
        for one in requests
    }
