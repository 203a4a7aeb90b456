"""What must come back from the lab's bookshop for a request: told by the evaluator from docs/concepts.md, or
by the calculator from units.

Both decide; how a decision is seen from outside (status, pod, what the server saw) is worked out here, once
for both.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias
from urllib.parse import parse_qsl, urlsplit

from gitmesh.model.facts import ClusterFacts
from gitmesh.model.services import Service
from gitmesh.model.workloads import Workload
from gitmesh.parsing.parse import parse
from gitmesh.reasoning.access import can
from gitmesh.reasoning.answers import Answer as Ruled
from gitmesh.reasoning.answers import Basis
from gitmesh.reasoning.questions import Known
from tests.factories import snapshot_of
from tests.lab import bookshop, wire
from tests.soundness.access_documents import as_files
from tests.soundness.calculator import admits, known, treated
from tests.soundness.requests import ArrivingCall, AskedRequest, CallingPod
from tests.soundness.unified import Unified, pairs
from tests.soundness.unified_fields import milliseconds
from tests.soundness.unified_routing import Decision, RoutedRequest, decided

Document: TypeAlias = Mapping[str, Any]
FORBIDDEN, UNAVAILABLE, LATE, NO_ANSWER = 403, 503, 504, 0
DELAY = "x-lab-delay"


@dataclass(frozen=True, kw_only=True)
class Sending:
    """One request of a pod of the lab."""

    cluster: str
    client: str
    request: wire.WireRequest


@dataclass(frozen=True, kw_only=True)
class Expectation:
    """What may come back: `outcomes` are (status, workload that answered); "" where a proxy did. Status 0 is
    no HTTP answer.

    `seen` is what a server saw (path, authority, and request headers as `header:NAME`, None = absent),
    `headers` what its answer carries, `location` parts of a redirect's target.
    """

    outcomes: frozenset[tuple[int, str]]
    seen: Mapping[str, str | None] = field(default_factory=dict)
    headers: Mapping[str, str | None] = field(default_factory=dict)
    location: Mapping[str, str | int] = field(default_factory=dict)
    body: str | None = None

    def disagreements(self, answer: wire.WireAnswer) -> list[str]:
        """What is different, a line each; nothing where the answer is as expected."""
        seen = answer.seen
        outcome = (answer.status, seen.pod.rpartition("-")[0] if seen else "")
        if outcome not in self.outcomes:
            error = f" ({answer.error})" if answer.error else ""
            return [f"{outcome}{error}, expected {' or '.join(map(str, sorted(self.outcomes)))}"]
        found = []
        if seen:
            found += _different({name: _of(seen, name) for name in self.seen}, self.seen)
            found += _different({name: answer.headers.get(name) for name in self.headers}, self.headers)
        found += _different(
            _parts(answer.headers.get("location", "")) if self.location else {}, self.location
        )
        found += _different({"body": answer.body}, {"body": self.body} if self.body is not None else {})
        return found


def _of(seen: wire.Seen, name: str) -> str | None:
    return (
        seen.headers.get(name.removeprefix("header:")) if name.startswith("header:") else getattr(seen, name)
    )


def _parts(location: str) -> dict[str, str | int | None]:
    parts = urlsplit(location)
    return {"scheme": parts.scheme, "hostname": parts.hostname, "port": parts.port, "path": parts.path}


def _different(found: Mapping[str, Any], wanted: Mapping[str, Any]) -> list[str]:
    return [
        f"{name} is {found.get(name)!r}, expected {value!r}"
        for name, value in wanted.items()
        if found.get(name) != value
    ]


Treat: TypeAlias = Callable[[RoutedRequest], Decision]
Admit: TypeAlias = Callable[[CallingPod, str, Service, int, AskedRequest], Mapping[str, bool]]
"""(client, cluster, Service, port, request as it arrives) -> workload behind the port -> whether it is
admitted.
"""


Share: TypeAlias = tuple[tuple[Any, ...], Sequence[tuple[str, str, Any]]]
"""((namespace, name, port, subset), header changes as (side, name, what is done))."""
Changes: TypeAlias = Mapping[tuple[str, str], Mapping[str, Any]]
"""(side, name) -> what is done to the header."""


def disagreements(ways: Sequence[Expectation], answer: wire.WireAnswer) -> list[str]:
    """What is different from the expectation that comes nearest; nothing where any is met."""
    return min((way.disagreements(answer) for way in ways), key=len)


@dataclass(frozen=True)
class Oracle:
    """Something that decides, over facts by cluster."""

    facts: Mapping[str, ClusterFacts]
    treat: Treat
    admit: Admit
    strict: Callable[[str], bool]
    """Whether a cluster refuses clients that show no identity."""

    def expected(self, sending: Sending) -> tuple[Expectation, ...]:
        """What must come back: one of these, where several shares of a split may take the request."""
        one = asked(sending, self.facts[sending.cluster])
        done = self.treat(one) if one.client.mesh else {}
        abort = done.get("fault", {}).get("abort")
        if abort and abort["percent"] == 100:
            return (Expectation(outcomes=frozenset({(abort["httpStatus"], "")})),)
        routing = done.get("routing", {})
        if "directResponse" in routing:
            answer = routing["directResponse"]
            return (Expectation(outcomes=frozenset({(answer["status"], "")}), body=answer.get("body", "")),)
        if "redirect" in routing:
            return (_redirected(routing["redirect"], one),)
        return tuple(self._forwarded(one, done, share, sending) for share in _shares(one, done))

    def _forwarded(self, one: RoutedRequest, done: Decision, share: Share, sending: Sending) -> Expectation:
        place, changes = share
        steps = [{(side, name): dict(change) for side, name, change in changes}, _header_changes(done)]
        seen = _after("request", one.request.headers, steps)
        arriving = _arriving(one.request, done, seen)
        outcomes = self._outcomes(one, place, arriving)
        late = done.get("timeout", 10**9) < milliseconds(sending.request.headers.get(DELAY, "0ms"))
        if late:
            outcomes = {(LATE, "") if status == 200 else (status, by) for status, by in outcomes}
        return Expectation(
            outcomes=frozenset(outcomes),
            seen={
                "path": arriving.path,
                "authority": arriving.host,
                **{f"header:{name}": value for name, value in seen.items()},
            },
            headers=_after("response", {}, steps),
        )

    def _outcomes(
        self, one: RoutedRequest, target: tuple[Any, ...], arriving: AskedRequest
    ) -> set[tuple[int, str]]:
        namespace, name, port, subset = target
        facts = one.facts
        admitted = self.admit(
            caller(one), facts.cluster, facts.service_index[namespace, name], port, arriving
        )
        labels = {
            workload.name: workload.labels for workload in facts.workloads if workload.namespace == namespace
        }
        chosen = {
            workload: yes
            for workload, yes in admitted.items()
            if dict(subset).items() <= labels[workload].items()
        }
        if not chosen:
            return {(UNAVAILABLE, "")}
        refused = NO_ANSWER if not one.client.mesh and self.strict(facts.cluster) else FORBIDDEN
        return {(200, workload) if yes else (refused, "") for workload, yes in chosen.items()}


def _redirected(redirect: Mapping[str, Any], one: RoutedRequest) -> Expectation:
    requested = {
        "scheme": "http",
        "hostname": one.request.host.partition(":")[0],
        "port": one.port,
        "path": one.request.path,
    }
    location = {name: redirect.get(name, value) for name, value in requested.items()}
    return Expectation(outcomes=frozenset({(redirect["statusCode"], "")}), location=location)


def _shares(one: RoutedRequest, done: Decision) -> list[Share]:
    """Every place that gets a share, with the header changes of that share."""
    shares = done.get("routing", {}).get("split")
    return (
        [((*one.service.key, one.port, ()), ())]
        if shares is None
        else [share for share, size in shares if size > 0]
    )


def _arriving(request: AskedRequest, done: Decision, headers: Mapping[str, str | None]) -> AskedRequest:
    """The request as the server's proxy gets it."""
    rewrite = done.get("rewrite", {})
    there = {name: value for name, value in headers.items() if value is not None}
    return replace(
        request,
        path=rewrite.get("path", request.path),
        host=rewrite.get("hostname", request.host),
        headers=there,
    )


def _header_changes(done: Decision) -> Changes:
    return {name[1:]: change for name, change in done.items() if name[0] == "headers"}


def _after(side: str, headers: Mapping[str, str], steps: Sequence[Changes]) -> dict[str, str | None]:
    """The headers after the changes of one side, one step after the other; None where one was taken away."""
    found: dict[str, str | None] = dict(headers)
    for step in steps:
        found |= {
            name: _changed(found.get(name), change) for (where, name), change in step.items() if where == side
        }
    return found


def _changed(before: str | None, change: Mapping[str, Any]) -> str | None:
    if "remove" in change:
        return None
    if "set" in change:
        return str(change["set"])
    return f"{before}, {change['add']}" if before is not None else str(change["add"])


def asked(sending: Sending, facts: ClusterFacts) -> RoutedRequest:
    """The request as policies see it."""
    url = urlsplit(sending.request.url)
    client = _client_of(sending.client, facts)
    name, _, namespace = (url.hostname or "").partition(".")
    service = facts.service_index[namespace.partition(".")[0] or client.namespace, name]
    request = AskedRequest(
        path=url.path or "/",
        query=dict(parse_qsl(url.query, keep_blank_values=True)),
        method=sending.request.method,
        host=sending.request.authority or url.netloc,
        headers={
            name.lower(): value
            for name, value in sending.request.headers.items()
            if not name.startswith("x-lab-")
        },
    )
    return RoutedRequest(client=client, facts=facts, service=service, port=url.port or 80, request=request)


def _client_of(name: str, facts: ClusterFacts) -> Workload:
    return next(workload for workload in facts.workloads if workload.name == name)


def caller(one: RoutedRequest) -> CallingPod:
    """The client as access sees it; its address is one of its cluster's pods."""
    workload, cluster = one.client, one.facts.cluster
    domain = one.facts.meshes[0].trust_domain if workload.mesh else None
    return CallingPod(
        cluster=cluster,
        namespace=workload.namespace,
        account=workload.service_account,
        trust_domain=domain,
        labels=workload.labels,
        ip=f"{bookshop.CLUSTERS[cluster].subnet}.0.9",
    )


def by_evaluator(policies: Sequence[Document], facts: Mapping[str, ClusterFacts]) -> Oracle:
    """Decides by brute force, from docs/concepts.md alone."""
    unified = Unified(policies, facts, closed=True)
    traffic = unified.of_kind("TrafficPolicy")

    def admit(
        client: CallingPod, cluster: str, service: Service, port: int, request: AskedRequest
    ) -> dict[str, bool]:
        here = [(w, number) for p, w, number in pairs(service, facts[cluster]) if p.number == port]
        return {
            w.name: unified.admitted(
                ArrivingCall(client=client, cluster=cluster, workload=w, port=number, request=request)
            )
            for w, number in here
        }

    def strict(cluster: str) -> bool:
        return unified.mtls(cluster, facts[cluster].meshes[0].name) == "Strict"

    return Oracle(facts, lambda one: decided(traffic, one), admit, strict)


def by_calculator(policies: Sequence[Document], facts: Mapping[str, ClusterFacts]) -> Oracle:
    """Decides by the product's units. Raises AssertionError where the policies are held or refused."""
    parsed, found = parse(snapshot_of(as_files(policies)))
    assert not any(one.is_error for one in found), found
    calculators = known(parsed, facts, {name: one.labels for name, one in facts.items()})
    return Oracle(
        facts,
        lambda one: _treated(one, calculators),
        lambda *ask: _admitted(calculators, *ask),
        lambda c: _strict(calculators[c]),
    )


def _treated(one: RoutedRequest, calculators: Mapping[str, Known]) -> Decision:
    done = treated(one, calculators[one.facts.cluster])
    assert done is not None, "the destination is held"
    return done


def _admitted(
    calculators: Mapping[str, Known],
    client: CallingPod,
    cluster: str,
    service: Service,
    port: int,
    request: AskedRequest,
) -> dict[str, bool]:
    found = can(admits(client, service.key, port, request), calculators[cluster])
    assert all(ruling.basis is not Basis.HELD for _, _, ruling in found.pods)
    return {workload.name: ruling.answer is Ruled.ALLOWED for workload, _, ruling in found.pods}


def _strict(calculator: Known) -> bool:
    return any(
        unit.mtls is not None and unit.mtls.value.mode == "Strict" for unit in calculator.meshes.values()
    )
