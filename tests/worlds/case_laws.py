"""Laws of single kinds of fault that people met: what acts elsewhere or not at all, and other people's
objects beside ours. Each is there since somebody was hurt by its absence.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from gitmesh.model.services import Service
from gitmesh.model.workloads import Workload
from tests.soundness.istio_routing import host
from tests.soundness.requests import ArrivingCall, AskedRequest, CallingPod
from tests.soundness.unified import Document, pairs, selects
from tests.worlds.drawing import CLUSTER
from tests.worlds.judge import JudgedMoment, is_held, name_of
from tests.worlds.objects import Object
from tests.worlds.playing import is_ours
from tests.worlds.resolving import seen_routes, taken_rule
from tests.worlds.truth import probed, settings, spoken_at
from tests.worlds.waypoints import STRAIGHT

_LED_ROUND = "GM221"
_REFUSED_PROBE = "GM316"
_KUBELET = CallingPod(cluster=CLUSTER, namespace="", account="", trust_domain=None, ip="10.0.0.1")
_PROBE = AskedRequest(path="/ready", host="10.1.1.1:8080")
_CONTESTED = "GM401"


def idle_fields_are_told(judge: JudgedMoment) -> Iterator[str]:
    """A connection field that has no effect on a kind of Service is not in force in silence: balancing of a
    headless one, whose clients choose the pod, and anything of one that is another name of something else.
    """
    for service in judge.facts.services:
        for policy in _selecting(judge, service):
            for field in ("loadBalancing", "outlierDetection"):
                idle = service.type == "ExternalName" or service.headless
                if idle and field in policy["spec"] and not judge.said_of(policy):
                    yield f"{name_of(policy)}: {field} does nothing to {service.key}, and nothing tells it"


def private_routes_hold_nobody_else(judge: JudgedMoment) -> Iterator[str]:
    """A stranger's route that only clients of its own namespace see keeps nobody else's from being there."""
    for service in judge.facts.services:
        acting = [one for one in _selecting(judge, service) if "timeout" in one["spec"]]
        said = {one.code for policy in _selecting(judge, service) for one in judge.said_of(policy)}
        own = host(*service.key)
        seen = {pod.namespace: seen_routes(judge.moment.live, own, pod.namespace) for pod in judge.guarded}
        strange = [place for place, found in seen.items() if any(not is_ours(one) for one in found)]
        others = [one for one in judge.moment.theirs if own in one["spec"].get("hosts", ())]
        private = all(one["spec"].get("exportTo") == ["."] for one in others)
        alone = not any(is_ours(one) for found in seen.values() for one in found)
        if acting and others and private and said <= {_CONTESTED} and len(strange) < len(seen) and alone:
            yield f"no route of ours for {own}, though only clients of {strange} follow another one"


def mtls_stays(judge: JudgedMoment) -> Iterator[str]:
    """Where the mesh does not choose mTLS by itself, a DestinationRule of ours takes nobody's away."""
    if "enableAutoMtls: false" not in settings(judge.moment.world):
        return
    for service in judge.facts.services:
        for place in {pod.namespace for pod in judge.guarded}:
            now, before = (
                taken_rule(objects, host(*service.key), place)
                for objects in (judge.moment.live, judge.moment.theirs)
            )
            lost = _mode(before) == "ISTIO_MUTUAL" != _mode(now)
            if lost and now is not None and is_ours(now) and not judge.told_of(now, {"GM414"}):
                yield f"clients of {place} used mTLS to {service.key}, and do not with ours in its place"


def _mode(rule: Object | None) -> str:
    tls: str = (rule or {}).get("spec", {}).get("trafficPolicy", {}).get("tls", {}).get("mode", "")
    return tls


def led_round_is_told(judge: JudgedMoment) -> Iterator[str]:
    """A split leads requests past who may call: what the called one refuses and the other one admits, or the
    other way round, is told where the split stands.
    """
    for policy in judge.unified.of_kind("TrafficPolicy"):
        shares = policy["spec"].get("split", ())
        codes = {one.code for one in judge.said_of(policy)}
        if not shares or _LED_ROUND in codes or any(one.is_error for one in judge.said_of(policy)):
            continue
        for service in (one for one in judge.facts.services if policy in _selecting(judge, one)):
            target = _target(judge, shares[0]["destination"])
            if target is not None and target.key != service.key and _differ(judge, service, target):
                yield f"{name_of(policy)} leads {service.key} to {target.key}, decided otherwise: not told"


def what_is_not_http_is_said(judge: JudgedMoment) -> Iterator[str]:
    """A Deny of requests that meets a port which may carry something else says what becomes of that, or is
    told.
    """
    for policy in judge.unified.of_kind("AccessPolicy"):
        spec, codes = policy["spec"], {one.code for one in judge.said_of(policy)}
        unsaid = [
            rule
            for rule in spec.get("rules", ())
            if rule.keys() & {"methods", "paths"} and "nonHTTP" not in rule and "ports" not in rule
        ]
        meant = [one for one in judge.facts.services if one.selector and selects(policy, CLUSTER, one)]
        raw = [one for one in meant if any(port.protocol in ("", "tcp") for port in one.ports)]
        if spec.get("action") == "Deny" and unsaid and raw and not codes & {"GM222", "GM304", "GM208"}:
            yield f"{name_of(policy)} denies requests of {raw[0].key}, and what of the rest is not told"


def probes_go_on(judge: JudgedMoment) -> Iterator[str]:
    """The kubelet, which shows no identity, still asks pods whether they are well where its probes come to
    their proxies as they are; or a finding tells that it is refused.
    """
    bodies = {(one["metadata"]["namespace"], one["metadata"]["name"]): one for one in judge.pods}
    for pod in judge.guarded:
        port = probed(bodies[pod.namespace, pod.name])
        if port is None or not pod.guards(port):
            continue
        call = ArrivingCall(client=_KUBELET, cluster=CLUSTER, workload=pod, port=port, request=_PROBE)
        told = any(one.code == _REFUSED_PROBE or is_held(one) for one in judge.about(pod))
        if judge.theirs.admitted(call, STRAIGHT) and not judge.now.admitted(call, STRAIGHT) and not told:
            yield f"the kubelet's probe of {pod.namespace}/{pod.name}:{port} is refused, and nothing tells it"


def _target(judge: JudgedMoment, place: Document) -> Service | None:
    key = (place["namespace"], place["name"])
    return next((one for one in judge.facts.services if one.key == key), None)


def _differ(judge: JudgedMoment, called: Service, led: Service) -> bool:
    """Whether somebody's request is decided otherwise at the pods that it is led to, by the policies."""
    for port in (port for port in called.ports if port.http and port.seen):
        ends = [_behind(judge, service, port.number) for service in (called, led)]
        if not all(ends):
            continue
        for client in judge.clients:
            for request in (one for one in spoken_at(port) if one.http):
                answers = [
                    {
                        judge.unified.admitted(
                            ArrivingCall(
                                client=client, cluster=CLUSTER, workload=pod, port=number, request=request
                            )
                        )
                        or not pod.mesh
                        for pod, number in end
                    }
                    for end in ends
                ]
                if answers[0] != answers[1]:
                    return True
    return False


def _behind(judge: JudgedMoment, service: Service, port: int) -> Sequence[tuple[Workload, int]]:
    return [(pod, number) for one, pod, number in pairs(service, judge.facts) if one.number == port]


def _selecting(judge: JudgedMoment, service: Service) -> list[Document]:
    """The TrafficPolicies that select a Service."""
    return [
        policy
        for policy in judge.unified.of_kind("TrafficPolicy")
        if any(selects_destination(item, policy, service) for item in policy["spec"]["destinations"])
    ]


def selects_destination(item: Document, policy: Document, service: Service) -> bool:
    """Whether one item of `destinations` means a Service."""
    namespaces = item.get(
        "namespaces", [policy["metadata"]["namespace"]] if "name" in item else [service.namespace]
    )
    return item.get("name", service.name) == service.name and service.namespace in namespaces
