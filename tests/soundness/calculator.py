"""The calculator's answers in the words of the evaluators, so that both can be compared."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from gitmesh.model.conditions import RequestMatch
from gitmesh.model.facts import ClusterFacts
from gitmesh.model.naming import camel
from gitmesh.model.policies import Policy
from gitmesh.model.routes import Decided, Target
from gitmesh.reasoning.questions import Client, Known, Question
from gitmesh.reasoning.routing import Found, Routing, route
from gitmesh.render.answers import spelt
from gitmesh.resolution.resolve import resolve
from tests.rendered import translators
from tests.soundness.requests import AskedRequest
from tests.soundness.requests import CallingPod as Caller
from tests.soundness.unified_fields import effect, headers
from tests.soundness.unified_routing import ROUTING, Decision, RoutedRequest


def known(
    policies: Sequence[Policy], world: Mapping[str, ClusterFacts], labels: Mapping[str, Mapping[str, str]]
) -> dict[str, Known]:
    """What is decided for every cluster of the world; `labels` are those of all configured clusters."""
    resolution = resolve(policies, world, labels, translators=translators())
    return {
        name: Known(facts, resolution.units[name], resolution.held[name]) for name, facts in world.items()
    }


def treated(asked: RoutedRequest, calculator: Known) -> Decision | None:
    """How the calculator says that the request is treated; None where the destination is held."""
    found = route(routed(asked), calculator)
    if found.found is Found.HELD:
        return None
    assert found.found is Found.DECIDED
    return decision(found, asked)


def routed(asked: RoutedRequest) -> Question:
    """A question about routing."""
    workload, request = asked.client, asked.request
    client = Client(
        namespace=workload.namespace,
        service_account=workload.service_account,
        trust_domain="",
        labels=workload.labels,
        mesh="istio",
    )
    return _question(client, asked.service.key, asked.port, request)


def admits(caller: Caller, service: tuple[str, str], port: int, request: AskedRequest) -> Question:
    """A question about access."""
    client = Client(
        namespace=caller.namespace,
        service_account=caller.account,
        trust_domain=caller.trust_domain,
        labels=caller.labels,
        ip=caller.ip,
    )
    return _question(client, service, port, request)


def _question(client: Client, service: tuple[str, str], port: int, request: AskedRequest) -> Question:
    return Question(
        client=client,
        service=service,
        port=port,
        method=request.method,
        path=request.path,
        query=request.query,
        headers=request.headers,
        authority=request.host,
        http=request.http,
    )


def decision(found: Routing, asked: RoutedRequest) -> Decision:
    """The fields in the evaluators' normal form."""
    place = asked.place(_condition(found.match))
    told: Decision = {}
    for name, decided in {**found.request, **found.connection}.items():
        value = _value(name, decided, found)
        if name == "headers":
            told |= {("headers", side, header): change for (side, header), change in headers(value).items()}
        elif camel(name) in ROUTING:
            told["routing"] = {camel(name): effect(camel(name), value, place)}
        else:
            told[camel(name)] = effect(camel(name), value, place)
    return told


def _value(name: str, decided: Decided, found: Routing) -> Any:
    """As a policy would spell it, but with targets as they were resolved."""
    value = spelt(decided.value)
    targets = {"split": found.targets, "mirror": found.mirrors}.get(name)
    if targets is None:
        return value
    return [{**item, "destination": _reference(target)} for item, target in zip(value, targets, strict=True)]


def _reference(target: Target) -> dict[str, Any]:
    place = {
        "namespace": target.service.namespace,
        "name": target.service.name,
        "subset": dict(target.subset),
    }
    return {**place, **({"port": target.port} if target.port else {})}


def _condition(match: RequestMatch) -> dict[str, Any]:
    return {} if match.path is None else {match.path.form: match.path.value}
