"""Laws of how requests go: what Istio does for a client of each namespace is what the policies say, or a
finding tells the difference.
"""

from __future__ import annotations

import copy
from collections.abc import Collection, Iterator

from gitmesh.model.services import Service
from gitmesh.model.workloads import Workload
from tests.soundness.istio_connection import connected
from tests.soundness.istio_routing import done, host
from tests.soundness.unified_routing import AmbiguousError, Decision, RoutedRequest, decided
from tests.worlds.case_laws import selects_destination
from tests.worlds.gateway_routes import missing, routes_of, timeout_of
from tests.worlds.judge import JudgedMoment
from tests.worlds.objects import Object
from tests.worlds.playing import is_ours
from tests.worlds.resolving import leads_to, seen_routes, taken_rule
from tests.worlds.truth import REQUESTS

_FIELDS = ("timeout", "outlierDetection", "loadBalancing")
"""What is compared; where requests go is a law of its own."""
_HTTP = next(request for request in REQUESTS if request.http)


def routes_lead_somewhere(judge: JudgedMoment) -> Iterator[str]:
    """Whatever a route of ours names is there for every client that follows it."""
    for route in (one for one in judge.moment.ours if one["kind"] == "VirtualService"):
        for client in callers(judge):
            for named, subset in leads_to(route, client.namespace):
                found = taken_rule(judge.moment.live, named, client.namespace)
                known = {one["name"] for one in (found or {}).get("spec", {}).get("subsets", ())}
                # Somebody else's rule in place of ours is told, and no reason to lead requests astray.
                if subset and subset not in known and not judge.told_of(route, {"GM401"}):
                    who = f"{client.namespace}/{client.name}"
                    yield f"{route['metadata']['name']} leads {who} to {named} {subset}, which is not there"
    for route in (one for one in judge.moment.ours if one["kind"] == "HTTPRoute"):
        for backend in missing(route, judge.facts, judge.moment.live):
            if not judge.told_of(route):
                yield f"HTTPRoute {route['metadata']['name']} leads to {backend}, which is not there"


def treated_as_decided(judge: JudgedMoment) -> Iterator[str]:
    """Each client's requests get the timeout and connection settings that the policies decide, or a finding
    speaks of a policy on the destination. None is without an answer, whatever is told: a port that came after
    what is held is served."""
    for service in judge.facts.services:
        for port in (port for port in service.ports if port.seen):
            for client in callers(judge):
                asked = RoutedRequest(
                    client=client, facts=judge.facts, service=service, port=port.number, request=_HTTP
                )
                try:
                    wanted = _decided(judge, asked)
                except AmbiguousError:
                    continue
                happens = _happens(judge, asked)
                for field in _FIELDS:
                    if wanted.get(field) != happens.get(field) and not is_told(judge, service):
                        text = f"{field} is {happens.get(field)}, decided is {wanted.get(field)}"
                        yield f"{client.namespace} -> {service.key}:{port.number}: {text}"


def _decided(judge: JudgedMoment, asked: RoutedRequest) -> Decision:
    """What is decided of the fields that are compared; a timeout is nothing to connections, where the Service
    has requests beside them.
    """
    policies = [
        {**one, "spec": {name: value for name, value in one["spec"].items() if name != "split"}}
        for one in judge.unified.of_kind("TrafficPolicy")
    ]
    found = decided(policies, asked)
    ports = {port.number: port.http for port in asked.service.ports}
    if not ports[asked.port] and any(ports.values()):
        found.pop("timeout", None)
    return found


def callers(judge: JudgedMoment) -> list[Workload]:
    """A pod of each namespace and data plane."""
    return list({(pod.namespace, pod.dataplane): pod for pod in judge.guarded}.values())


def _happens(judge: JudgedMoment, asked: RoutedRequest) -> Decision:
    """What Istio does; what a stranger's object says is not read, as a finding must tell of it. Requests of
    ambient are treated at the waypoint, which reads no VirtualService beside an HTTPRoute, or by nobody.
    """
    own, place = host(*asked.service.key), asked.client.namespace
    if asked.client.dataplane == "ambient":
        place = asked.service.namespace
        if not judge.waypoints.of(asked.service):
            return {}
    seen = seen_routes(judge.moment.live, own, place)
    routes = [_treatment(one) for one in seen if is_ours(one)]
    rule = taken_rule(judge.moment.live, own, place)
    rules = [rule] if rule is not None and is_ours(rule) else []
    http = any(p.number == asked.port and p.http for p in asked.service.ports)
    attached = routes_of(judge.moment.ours, asked.service, asked.port) if http else []
    timeouts = [("timeout", found) for one in attached if (found := timeout_of(one)) is not None]
    return {
        **(done([*routes, *rules], asked) if http else {}),
        **dict(timeouts),
        **connected(rules, asked, own),
    }


def _treatment(route: Object) -> Object:
    """A VirtualService of which only the treatment is looked at, not where it leads."""
    found = copy.deepcopy(route)
    for rule in found["spec"].get("http", ()):
        if "route" in rule:
            rule["route"] = [{"destination": {"host": found["spec"]["hosts"][0]}}]
    return found


def is_told(judge: JudgedMoment, service: Service, but: Collection[str] = ()) -> bool:
    """Whether a finding speaks of a policy on the destination, `but` for those of some codes."""
    acting = [
        policy
        for policy in judge.unified.of_kind("TrafficPolicy")
        if any(selects_destination(item, policy, service) for item in policy["spec"]["destinations"])
    ]
    kept = [one for one in judge.moment.ours if one["metadata"]["name"] == service.name]
    return (
        judge.told_at_large
        or any(one.code not in but for policy in acting for one in judge.said_of(policy))
        or any(judge.told_of(one, but) for one in kept)
    )
