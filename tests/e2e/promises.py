"""What ambient must do with a case, derived from its policies and nothing that is written for ambient: all
that the case expects, or the findings that the product tells beforehand, with access as the calculator says.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from msgspec.structs import replace

from gitmesh.diagnostics import Severity
from gitmesh.model.units import RoutingUnit
from gitmesh.planning.supporting import wishes
from gitmesh.reasoning.access import can
from gitmesh.reasoning.answers import Answer as Ruled
from gitmesh.reasoning.questions import Client, Known, Question
from tests.e2e.cases import POLICIES, Case, repository
from tests.e2e.facts import world_facts
from tests.e2e.schema import CaseFile, CaseRow, Expect
from tests.lab.bookshop import DATAPLANES, LabCluster, LabService, LabWorkload
from tests.lab.installation import pod_places
from tests.lab.wire import WireAnswer
from tests.rendered import Rendered, rendered

Place = tuple[str, str]
"""(code, file:line)."""
SAID_BY_MESHES = frozenset({"GM505", "GM510", "GM511", "GM512"})
"""Codes that rest on what a cluster answers, so that no one can know them beforehand."""
_LACKING, _PARTLY = frozenset({"none", "partial"}), frozenset({"partial"})
PROMISED: Mapping[str, frozenset[str]] = {
    "GM301": _LACKING,
    "GM303": _PARTLY,
    "GM304": _PARTLY,
    "GM318": _PARTLY,
}
"""Code that ambient alone tells of a case -> what its table then says of a feature of the case."""
FACTS = world_facts("ambient")
CLUSTERS = DATAPLANES["ambient"]
_REFUSALS = frozenset({"reset", "eof", "refused"})
_SIDECARS_OWN = "x-forwarded-client-cert"
"""A header that only a sidecar adds: its callers' identity, which ambient keeps from applications."""
_FEW = 20


@dataclass(frozen=True)
class Promise:
    """What is promised for one case on ambient."""

    case: Case

    @cached_property
    def _rendered(self) -> Rendered:
        return rendered(repository(self.case.after), FACTS)

    @cached_property
    def told(self) -> Mapping[Place, Severity]:
        """The errors and warnings at the case's policies."""
        return {
            (one.code, place): one.severity
            for one in self._rendered.findings
            if one.at is not None and one.severity is not Severity.INFO
            for place in [f"{one.at.path.removeprefix(f'{POLICIES}/')}:{one.at.line}"]
            if not place.startswith("base/")
        }

    @property
    def beside(self) -> Sequence[str]:
        """The codes that sidecars' meshes do not tell, sorted; none where the case must pass as it stands."""
        return sorted({code for code, _ in self._told_beside})

    @property
    def _told_beside(self) -> Mapping[Place, Severity]:
        known = {(one.code, one.at) for one in self.case.said.findings}
        return {place: severity for place, severity in self.told.items() if place not in known}

    @property
    def otherwise(self) -> bool:
        """Whether requests may be treated otherwise than the case says: an error holds or closes something,
        or something is said nearly (GM303). The other warnings are about who gets in."""
        return any(
            severity is Severity.ERROR or code == "GM303" for (code, _), severity in self._told_beside.items()
        )

    @property
    def asked(self) -> frozenset[str]:
        """The features that its routing asks for."""
        units = [unit for built in self._rendered.builds.values() for unit in built.units]
        of_routing = [unit for unit in units if isinstance(unit, RoutingUnit)]
        return frozenset(feature for unit in of_routing for feature, _ in wishes(unit))

    @property
    def holds(self) -> bool:
        """Whether something is held: objects of the state before would then stay."""
        return any(built.held_units for built in self._rendered.builds.values())

    def allowed(self, question: Question) -> Mapping[str, bool]:
        """Workload -> whether the calculator says that it admits the request; left out where it is not
        sure.
        """
        built = self._rendered.builds[self.case.said.cluster]
        known = Known.of(FACTS[self.case.said.cluster], built)
        return {
            workload.name: ruling.answer is Ruled.ALLOWED
            for workload, _, ruling in can(question, known).pods
            if ruling.answer in (Ruled.ALLOWED, Ruled.DENIED)
        }


def rows(promised: Promise) -> CaseFile:
    """The case with what its requests must get on ambient, as far as a table can say it."""
    said = promised.case.said
    return said.model_copy(update={"requests": tuple(_row(row, promised) for row in said.requests)})


def _row(row: CaseRow, promised: Promise) -> CaseRow:
    if not promised.otherwise and not is_refused(row.expect):
        server = row.expect.server
        if server is None:
            return row
        kept = {name: value for name, value in server.headers.items() if name.lower() != _SIDECARS_OWN}
        seen = server.model_copy(update={"headers": kept})
        return row.model_copy(update={"expect": row.expect.model_copy(update={"server": seen})})
    open_ended = Expect.model_validate({"statuses": {}})
    return row.model_copy(update={"expect": open_ended, "times": min(row.times, _FEW)})


def is_refused(expect: Expect) -> bool:
    """Whether a row expects that access is closed."""
    return expect.status == 403 or (expect.error is not None and set(expect.error) <= _REFUSALS)


def wrong(
    promised: Promise, row: CaseRow, answers: Sequence[WireAnswer], table: Sequence[str]
) -> Iterator[str]:
    """What is not as promised of a row, a line each; `table` is what differs from `rows`."""
    through = [one for one in answers if one.seen is not None]
    if is_refused(row.expect):
        yield from (f"got in: {one.status}" for one in through)
        return
    allowed = promised.allowed(_question(promised.case.said, row)) if promised.beside else {}
    if allowed and not any(allowed.values()):
        yield from (f"got in, and the calculator says that it does not: {one.status}" for one in through)
    elif not promised.otherwise:
        yield from table
    elif allowed and all(allowed.values()) and any(_is_closed(one) for one in answers):
        yield "was refused, and the calculator says that it is admitted"


def _is_closed(answer: WireAnswer) -> bool:
    return answer.seen is None and (answer.status == 403 or answer.error in _REFUSALS)


def _question(said: CaseFile, row: CaseRow) -> Question:
    cluster = CLUSTERS[said.cluster]
    host, _, port = (row.to or said.to).partition(":")
    client = _workload(cluster, row.from_ or said.from_)
    name, _, namespace = host.partition(".")
    path, _, query = row.path.partition("?")
    return replace(
        asked(cluster, client, (namespace.partition(".")[0] or client.namespace, name), int(port or 9080)),
        method=row.method,
        path=path,
        query=dict(pair.partition("=")[::2] for pair in query.split("&") if pair),
        headers={name.lower(): value for name, value in row.headers.items()},
        authority=row.authority or f"{host}:{port or 9080}",
    )


def _workload(cluster: LabCluster, pod: str) -> LabWorkload:
    return next(one for one in cluster.workloads if pod in one.pods)


def asked(cluster: LabCluster, client: LabWorkload, service: tuple[str, str], port: int) -> Question:
    """May this pod send a GET to that port of a Service?"""
    addresses = {place.name: place.ip for place in pod_places(cluster)}
    return Question(
        client=Client(
            namespace=client.namespace,
            service_account=client.service_account,
            trust_domain=cluster.trust_domain if client.proxy else None,
            labels=client.labels,
            mesh="istio" if client.proxy else "",
            ip=addresses[client.pods[0]],
        ),
        service=service,
        port=port,
    )


@dataclass(frozen=True)
class DirectCall:
    """From a pod to the address of another, past every waypoint: its ztunnel alone decides."""

    client: str
    pod: str
    port: int
    allowed: bool

    def __str__(self) -> str:
        return f"{self.client} -> {self.pod}:{self.port}"


def connections(promised: Promise) -> Iterator[DirectCall]:
    """Every connection of a client of the case's cluster to a pod about which the calculator is sure."""
    cluster = CLUSTERS[promised.case.said.cluster]
    clients = [one for one in cluster.workloads if one.proxy != "waypoint" and not one.ports]
    for client in clients:
        for service, port, target in _ports(cluster):
            question = asked(cluster, client, (service.namespace, service.name), port)
            # Who has no proxy comes directly; so does who names the pod.
            direct = replace(question, client=replace(question.client, mesh=""), path="/", authority="pod")
            allowed = promised.allowed(direct)
            for one in _behind(cluster, service):
                if one.name in allowed:
                    yield from (
                        DirectCall(client.pods[0], pod, target, allowed[one.name]) for pod in one.pods
                    )


def _ports(cluster: LabCluster) -> Iterator[tuple[LabService, int, int]]:
    for service in cluster.services:
        if service.protocol == "http":
            yield from ((service, port, target) for port, target in service.ports.values())


def _behind(cluster: LabCluster, service: LabService) -> list[LabWorkload]:
    return [
        one
        for one in cluster.workloads
        if one.namespace == service.namespace and one.labels["app"] == service.app
    ]
