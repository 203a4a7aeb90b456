"""Questions about one request, as the command line puts them: who asks, what for, in which clusters."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import parse_qsl

import click
from msgspec import Struct

from gitmesh.cli import console, options, wiring
from gitmesh.cli.exits import exit_code
from gitmesh.cli.output import dumped
from gitmesh.cli.session import Job, execute, shown_clusters, translators
from gitmesh.diagnostics import suggest
from gitmesh.model.facts import ClusterFacts, Service, ServicePort, Workload
from gitmesh.model.report import Report, Stage
from gitmesh.reasoning.questions import Client, Known, Question
from gitmesh.render.answers import Asked
from gitmesh.render.document import Document
from gitmesh.render.findings import findings_text
from gitmesh.render.paint import Paint
from gitmesh.resolution.index import port_of

A = TypeVar("A")
C = TypeVar("C", bound=Callable[..., Any])

ANONYMOUS = "anonymous"
ACCOUNT = "serviceaccount:"
WORDS = """SRC is a workload or a ServiceAccount (`name` or `namespace/name`), a ServiceAccount for sure
(`serviceaccount:namespace/name`), or `anonymous`: a client without proxy and identity. DST is a Service, `name` or
`namespace/name`, with `:port` where it has several. POLICIES is a folder to read in place of the repository. With --facts no
cluster is asked, and no configuration is needed."""
"""What the help of each command says of its arguments."""


class Wanted(Struct, frozen=True, kw_only=True):
    """A request as it was typed; `authority` "" stands for the host that the client would call."""

    source: str
    destination: str
    method: str = "GET"
    path: str = "/"
    query: Mapping[str, str] = {}
    headers: Mapping[str, str] = {}
    authority: str = ""
    ip: str = ""


def arguments(command: C) -> C:
    """SRC, DST, [POLICIES], and the request's options in the order in which the help shows them."""
    for decorate in reversed(_DECORATORS):
        command = decorate(command)
    return command


_DECORATORS: tuple[Callable[[Any], Any], ...] = (
    click.argument("source", metavar="SRC"),
    click.argument("destination", metavar="DST"),
    click.argument("policies", required=False, type=click.Path(path_type=Path, exists=True), metavar="[POLICIES]"),
    click.option("--method", default="GET", show_default=True, help="HTTP method."),
    click.option("--path", default="/", show_default=True, help="Path; a query after ? is taken as --query."),
    click.option("--query", multiple=True, metavar="NAME=VALUE", help="Query parameter; may be repeated."),
    click.option("--header", multiple=True, metavar="NAME=VALUE", help="Request header; may be repeated."),
    click.option("--authority", default="", metavar="HOST", help="Host header; default the Service as the client would call it."),
    click.option("--port", default="", metavar="PORT", help="Service port, number or name; the same as DST:port."),
    click.option("--from-ip", default="", metavar="ADDRESS", help="The client's address, where policies ask for it."),
    click.option("--source", "source_name", metavar="NAME", help="Which source POLICIES stands in for; default the first."),
    options.config,
    options.facts,
    options.clusters,
    options.store,
    options.fail_on,
    options.output("text", "json", "yaml"),
    options.color,
)


def wanted(given: Mapping[str, Any]) -> Wanted:
    """The request from a command's parameters. A mistake is a usage error."""
    if not re.fullmatch("[A-Za-z]{1,16}", given["method"]):
        raise click.UsageError(f"--method {given['method']}: not a method")
    path, _, query = given["path"].partition("?")
    if not path.startswith("/"):
        raise click.UsageError(f"--path {given['path']}: a path begins with /")
    destination, port = given["destination"], given["port"]
    if port and ":" in destination:
        raise click.UsageError("the port is given twice: in DST and as --port")
    return Wanted(
        source=given["source"],
        destination=f"{destination}:{port}" if port else destination,
        method=given["method"].upper(),
        path=path,
        query={**dict(parse_qsl(query, keep_blank_values=True)), **_pairs(given["query"], "--query")},
        headers=_headers(given["header"]),
        authority=given["authority"],
        ip=_address(given["from_ip"]),
    )


def _pairs(texts: Iterable[str], option: str) -> dict[str, str]:
    found = {}
    for text in texts:
        name, sign, value = text.partition("=")
        if not sign:
            raise click.UsageError(f"{option} {text}: write NAME=VALUE")
        found[name] = value
    return found


def _headers(texts: Iterable[str]) -> dict[str, str]:
    """Names and values that policies could name too."""
    from pydantic import TypeAdapter, ValidationError

    from gitmesh.model.base import HeaderName, HeaderValue

    name, value = TypeAdapter[str](HeaderName), TypeAdapter[str](HeaderValue)
    found = {}
    for key, text in _pairs(texts, "--header").items():
        try:
            found[name.validate_python(key)] = value.validate_python(text)
        except ValidationError:
            raise click.UsageError(f"--header {key}={text}: not a header's name and value") from None
    return found


def _address(text: str) -> str:
    try:
        return str(ipaddress.ip_address(text)) if text else ""
    except ValueError:
        raise click.UsageError(f"--from-ip {text}: not an address") from None


def answer(
    given: Mapping[str, Any],
    look: Callable[[Question, Known], A],
    text: Callable[[Asked[A], Paint], str],
    document: Callable[[Asked[A]], Document],
) -> int:
    """Decide, look the request up in every cluster that has both ends, and print what was found; the exit code.

    Findings go to stderr: stdout holds the answer only.
    """
    want = wanted(given)
    report = _decided(given)
    beside = console.paint_for(given["color"], error=True)
    if said := findings_text(report.diagnostics, paint=beside):
        console.note(said.rstrip("\n"), beside)
    known = _known_clusters(report)
    if known:
        asked = _asked(want, report, known, look)
        if given["form"] == "text":
            paint = console.paint_for(given["color"])
            console.data(text(asked, paint), paint)
        else:
            console.document(dumped(document(asked), given["form"]))
    return exit_code(report, fail_on=given["fail_on"])


def _asked(want: Wanted, report: Report, known: Mapping[str, Known], look: Callable[[Question, Known], A]) -> Asked[A]:
    found = questions(want, known)
    return Asked(
        report=report,
        questions=found,
        answers={name: look(question, known[name]) for name, question in found.items()},
        silent=tuple(name for name in report.clusters if name not in known),
    )


def _decided(given: Mapping[str, Any]) -> Report:
    """The policies decided for the clusters, as far as `render` goes."""
    plugins = translators()
    review = wiring.review(
        given["config_path"],
        given["facts_path"],
        given["policies"],
        given["source_name"],
        given["cluster_globs"],
        given["store"],
        plugins,
    )
    job = Job(sources=review.sources, fleet=review.fleet, options=review.options, translators=plugins)
    return shown_clusters(execute(job, Stage.BUILD), review.only)


def _known_clusters(report: Report) -> Mapping[str, Known]:
    """What the report says of each cluster whose facts are known."""
    return {
        name: Known(result.facts, result.build.units, result.build.held_units, result.build.refused)
        for name, result in report.clusters.items()
        if result.facts is not None and result.build is not None
    }


def questions(want: Wanted, known: Mapping[str, Known]) -> Mapping[str, Question]:
    """The question in each cluster that has both client and destination. What no cluster has is a usage error."""
    facts = {name: one.index.facts for name, one in known.items()}
    services = {name: service for name, one in facts.items() if (service := _service(want.destination, one))}
    clients = {name: client for name, one in facts.items() if (client := _client(want, one))}
    if not services:
        raise click.UsageError(_missing("Service", want.destination.partition(":")[0], _service_names(facts.values()), facts))
    if not clients:
        raise click.UsageError(_missing("workload or ServiceAccount", want.source, _client_names(facts.values()), facts))
    both = sorted(services.keys() & clients.keys())
    if not both:
        where = f"{want.source} is in {', '.join(sorted(clients))}, {want.destination} in {', '.join(sorted(services))}"
        raise click.UsageError(f"no cluster has both: {where}")
    return {name: _question(want, clients[name], *services[name]) for name in both}


def _question(want: Wanted, client: Client, service: Service, port: ServicePort) -> Question:
    host = service.name if client.namespace == service.namespace else f"{service.name}.{service.namespace}"
    return Question(
        client=client,
        service=service.key,
        port=port.number,
        method=want.method,
        path=want.path,
        query=want.query,
        headers=want.headers,
        authority=want.authority or (host if port.number == 80 else f"{host}:{port.number}"),
        http=port.http,
    )


def _service(text: str, facts: ClusterFacts) -> tuple[Service, ServicePort] | None:
    place, _, reference = text.partition(":")
    if "." in place and "/" not in place:
        name, namespace = place.split(".")[:2]
        place = f"{namespace}/{name}"
    found = [service for service in facts.services if _named(place, service.namespace, service.name)]
    if not found:
        return None
    service = _only(found, place, facts.cluster)
    return service, _port(service, reference, facts.cluster)


def _port(service: Service, reference: str, cluster: str) -> ServicePort:
    port = port_of(service, int(reference) if reference.isascii() and reference.isdigit() else reference) if reference else None
    if not reference and len(service.ports) == 1:
        port = service.ports[0]
    if port is None:
        has = ", ".join(f"{p.number} {p.name}".strip() for p in service.ports) or "none"
        fault = f"has no port {reference}" if reference or not service.ports else "has several ports, name one"
        raise click.UsageError(f"Service {service.namespace}/{service.name} of cluster {cluster} {fault}; there is {has}")
    return port


def _named(text: str, namespace: str, name: str) -> bool:
    return text in (name, f"{namespace}/{name}")


K = TypeVar("K", Service, Workload)


def _only(found: list[K], text: str, cluster: str) -> K:
    """The one that is meant; a name that several namespaces have is a usage error."""
    places = sorted({f"{one.namespace}/{one.name}" for one in found})
    if len(places) > 1:
        raise click.UsageError(f"{text} may be {' or '.join(places)} in cluster {cluster}; say which")
    return found[0]


def _client(want: Wanted, facts: ClusterFacts) -> Client | None:
    if want.source == ANONYMOUS:
        return Client(ip=want.ip)
    sure = want.source.startswith(ACCOUNT)
    workloads = [] if sure else [one for one in facts.workloads if _named(want.source, one.namespace, one.name)]
    if workloads:
        return _running([_only(workloads, want.source, facts.cluster)], facts, want.ip)
    return _account(want.source.removeprefix(ACCOUNT), facts, want.ip)


def _account(text: str, facts: ClusterFacts, ip: str) -> Client | None:
    """The identity; labels are those that all its workloads share."""
    running = {(one.namespace, one.service_account) for one in facts.workloads}
    found = sorted({key for key in running | facts.service_accounts if _named(text, *key)})
    if len(found) > 1:
        places = " or ".join("/".join(key) for key in found)
        raise click.UsageError(f"{text} may be {places} in cluster {facts.cluster}; say which")
    if not found:
        return None
    workloads = [one for one in facts.workloads if (one.namespace, one.service_account) == found[0]]
    mesh = next((one.mesh for one in workloads if one.mesh), "")
    if workloads:
        return _running(workloads, facts, ip, mesh)
    namespace, name = found[0]
    own = facts.meshes[0] if facts.meshes else None
    domain, label = (own.trust_domain, own.name) if own else (None, "")
    return Client(namespace=namespace, service_account=name, trust_domain=domain, mesh=label, ip=ip)


def _running(workloads: list[Workload], facts: ClusterFacts, ip: str, mesh: str = "") -> Client:
    first = workloads[0]
    common = set(first.labels.items()).intersection(*(one.labels.items() for one in workloads))
    own = facts.mesh(mesh or first.mesh)
    return Client(
        namespace=first.namespace,
        service_account=first.service_account,
        trust_domain=own.trust_domain if own else None,
        labels=dict(sorted(common)),
        mesh=own.name if own else "",
        ip=ip,
    )


def _service_names(facts: Iterable[ClusterFacts]) -> set[tuple[str, str]]:
    return {service.key for one in facts for service in one.services}


def _client_names(facts: Iterable[ClusterFacts]) -> set[tuple[str, str]]:
    return {key for one in facts for key in (*one.service_accounts, *((w.namespace, w.name) for w in one.workloads))}


def _missing(what: str, text: str, names: set[tuple[str, str]], facts: Mapping[str, ClusterFacts]) -> str:
    text = text.removeprefix(ACCOUNT)
    known = {f"{namespace}/{name}" for namespace, name in names} if "/" in text else {name for _, name in names}
    clusters = ", ".join(sorted(facts)) or "any cluster: none is known"
    hint = suggest(text, known)
    return f"there is no {what} {text} in {clusters}{f'; {hint}' if hint else ''}"
