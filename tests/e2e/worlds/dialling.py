"""Who is taken, by real requests: each call of the judge is sent, by each of its ways, as a proxy of the
client would send it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import TypeAlias

from tests.e2e.worlds.cluster import StandingWorld
from tests.e2e.worlds.written import door_pod
from tests.lab.bookshop import HBONE_PORT
from tests.lab.wire import NOBODY, WireAnswer, WireIdentity, WireRequest
from tests.soundness.istio import Istio
from tests.soundness.requests import ArrivingCall
from tests.soundness.unified import pairs
from tests.worlds.gateway_routes import routes_of
from tests.worlds.judge import JudgedMoment
from tests.worlds.waypoints import TakenWay

Asked: TypeAlias = tuple[ArrivingCall, TakenWay]
_PARALLEL = 8
_REPEATS = 6
"""How often a Service is asked at first: it has up to three pods, and its waypoint chooses."""
_MOST = 40
"""How often a Service is asked until each of its pods has answered."""
_REFUSALS = frozenset({"reset", "eof", "tunnel 401", "tunnel 403", "tunnel 503"})
_REFUSALS_WITHIN = (
    "CONNECT_ERROR",
    "remote error: tls: unknown certificate",
    "client conn could not be established",
)
"""How a waypoint ends a tunnel in which it sees no HTTP (RFC 9113, section 7), and how an Envoy and the lab's
ztunnel end a handshake, in the words of the caller's TLS and HTTP/2.
"""
_REFUSED = frozenset({403})
_HTTP = {"grpc": "http"}
_BY_WAYPOINT = frozenset({403, 503})
"""A waypoint says 503 where the pod's ztunnel refuses it."""


class Dialled:
    """The verdicts of a standing world's proxies. `odd` are answers that are no verdict, a line each."""

    def __init__(self, standing: StandingWorld, judge: JudgedMoment) -> None:
        self.odd: list[str] = []
        self.requests = 0
        self.left: Counter[str] = Counter()
        self._standing = standing
        self._judge = judge
        self._read = judge.now
        self._reading = Istio(judge.moment.live, judge.facts.meshes)
        self._known: dict[tuple[object, ...], frozenset[str]] = {}

    def admitted(self, call: ArrivingCall, way: TakenWay) -> bool:
        """Whether the pod answered; as the judge reads it where that cannot be asked."""
        reason = self.cannot_tell(call, way)
        if reason:
            self.left[f"access: {reason}"] += 1
            return self._read.admitted(call, way)
        self.ask([(call, way)])
        if _is_impossible((call, way)):
            return False
        return call.workload.name in self._known[_place(call, way)]

    @property
    def verdicts(self) -> int:
        """How many are known."""
        return len(self._known)

    def cannot_tell(self, call: ArrivingCall, way: TakenWay) -> str:
        """Why such a request does not tell who takes it, "" where it does."""
        if (call.workload.name, call.port) in self._contradictions:
            return "ports that Services declare by several protocols, of which the oldest counts"
        if way.address:
            return "addresses of pods by a waypoint, which the lab's ztunnel leads straight"
        if way.service is None or way.port is None:
            return ""
        if way.service.key not in self._standing.addresses:
            return "headless Services by a waypoint"
        routes = routes_of(self._judge.moment.live, way.service, way.port.number)
        elsewhere = [
            one
            for route in routes
            for rule in route["spec"]["rules"]
            for one in rule.get("backendRefs", ())
            if one["name"] != way.service.name
        ]
        return "Services that a waypoint leads elsewhere" if elsewhere else ""

    @cached_property
    def _contradictions(self) -> frozenset[tuple[str, int]]:
        """Ports of pods that are HTTP by one Service's word and something else by another's: sidecars go by
        the oldest one's (pilot/pkg/networking/core/listener_inbound.go), and no ages are drawn.
        """
        said: dict[tuple[str, int], set[str]] = {}
        for service in self._judge.facts.services:
            for port, pod, number in pairs(service, self._judge.facts):
                if port.seen:
                    said.setdefault((pod.name, number), set()).add(_HTTP.get(port.protocol, port.protocol))
        return frozenset(end for end, protocols in said.items() if len(protocols) > 1)

    def shows(self, call: ArrivingCall) -> bool:
        """Whether the pod's proxy is shown who calls, and by TLS."""
        return bool(self._identity(call).principal)

    def ask(self, asked: Iterable[Asked]) -> None:
        """Send what was not sent yet, all at once."""
        new = {_place(*one): one for one in asked if not (self.cannot_tell(*one) or _is_impossible(one))}
        left = [(place, one) for place, one in new.items() if place not in self._known]
        repeated = [(place, one) for place, one in left for _ in range(_REPEATS if one[1].service else 1)]
        answers = self._sent([self._request(*one) for _, one in repeated])
        found: dict[tuple[object, ...], list[WireAnswer]] = {}
        for (place, _), answer in zip(repeated, answers, strict=True):
            found.setdefault(place, []).append(answer)
        for place, one in left:
            self._known[place] = self._answered(one, found[place])

    def _answered(self, asked: Asked, answers: list[WireAnswer]) -> frozenset[str]:
        """The pods that answered; of a Service, all that do after enough requests."""
        call, way = asked
        behind = {call.workload.name} if way.service is None else set(self._behind(way))
        names = {one.seen.pod for one in answers if one.seen is not None}
        while way.service and names and names < behind and len(answers) < _MOST:
            answers += self._sent([self._request(call, way)] * _REPEATS)
            names = {one.seen.pod for one in answers if one.seen is not None}
        self.odd += [f"{_who(call)}{way}: {text}" for one in answers if (text := _odd(one, way))][:1]
        self.odd += [f"{_who(call)}{way}: answered by {name}" for name in sorted(names - behind)]
        return frozenset(names)

    def _behind(self, way: TakenWay) -> list[str]:
        assert way.service is not None
        return [pod.name for port, pod, _ in pairs(way.service, self._judge.facts) if port == way.port]

    def _sent(self, requests: Sequence[WireRequest]) -> list[WireAnswer]:
        self.requests += len(requests)
        return self._standing.caller.send(requests, _PARALLEL) if requests else []

    def _request(self, call: ArrivingCall, way: TakenWay) -> WireRequest:
        request, pod = call.request, self._standing.pods[call.workload.name]
        target, identity = f"{pod.ip}:{call.port}", self._identity(call)
        if way.service is not None and way.port is not None:
            target = f"{self._standing.addresses[way.service.key]}:{way.port.number}"
            door = door_pod(way.service.namespace, self._judge.waypoints.of(way.service))
            identity = self._through(call, door)
        return WireRequest(
            f"http://{target}{request.path}",
            method=request.method,
            authority=request.host,
            identity=identity,
            raw=not request.http,
        )

    def _identity(self, call: ArrivingCall) -> WireIdentity:
        """As the client's proxy shows it: to a proxy that takes it, and not where mTLS is off."""
        principal, pod = call.client.principal, call.workload
        if principal is None or not pod.mesh:
            return NOBODY
        if pod.dataplane == "ambient":
            return self._through(call, pod.name)
        mesh = next(one for one in self._judge.facts.meshes if one.name == pod.mesh)
        if not pod.guards(call.port) or self._reading.mode(mesh, call) == "DISABLE":
            return NOBODY
        protocol = "istio-http/1.1" if call.request.http else "istio"
        return WireIdentity(principal, str(self._standing.ca), protocol)

    def _through(self, call: ArrivingCall, pod: str) -> WireIdentity:
        """In a tunnel that a pod of the lab carries on."""
        assert call.client.principal is not None
        tunnel = f"{self._standing.pods[pod].ip}:{HBONE_PORT}"
        return WireIdentity(call.client.principal, str(self._standing.ca), tunnel=tunnel)


def _is_impossible(asked: Asked) -> bool:
    """Whether nobody can call so: who shows no identity comes to no waypoint."""
    call, way = asked
    return way.service is not None and call.client.principal is None


def _place(call: ArrivingCall, way: TakenWay) -> tuple[object, ...]:
    request = (call.request.method, call.request.path, call.request.host, call.request.http)
    end = (way.service.key, way.port.number) if way.service and way.port else (call.workload.name, call.port)
    return (call.client.principal, end, request)


def _who(call: ArrivingCall) -> str:
    what = f"{call.request.method} {call.request.path}" if call.request.http else "TCP"
    return f"{call.client.principal or 'nobody'} -> {call.workload.name}:{call.port} {what}"


def _odd(answer: WireAnswer, way: TakenWay) -> str:
    """What is neither an answer nor a refusal."""
    if answer.seen is not None or answer.error in _REFUSALS:
        return ""
    if any(text in answer.error for text in _REFUSALS_WITHIN):
        return ""
    if not answer.error and answer.status in (_BY_WAYPOINT if way.service else _REFUSED):
        return ""
    return f"{answer.status} {answer.error} {answer.body[:80]}"
