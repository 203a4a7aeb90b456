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

from gitmesh.cli import console, ends, options, runs
from gitmesh.cli.exits import CLEAN, DIFFERENT, exit_code
from gitmesh.cli.output import dumped
from gitmesh.cli.session import Job, execute, shown_clusters, translators
from gitmesh.model.facts import ClusterFacts
from gitmesh.model.report import Report, Stage
from gitmesh.model.services import Service, ServicePort
from gitmesh.reasoning.questions import Client, Known, Question
from gitmesh.render.answers import Answers
from gitmesh.render.document import Document
from gitmesh.render.findings import findings_text
from gitmesh.render.paint import Paint

A = TypeVar("A")
C = TypeVar("C", bound=Callable[..., Any])

WORDS = """SRC is a workload or a ServiceAccount (`name` or `namespace/name`), a ServiceAccount for sure
(`serviceaccount:namespace/name`), or `anonymous`: a client without proxy and identity. DST is a Service,
`name` or `namespace/name`, with `:port` where it has several. POLICIES is a folder to read in place of the
repository. With --facts no cluster is asked, and no configuration is needed."""
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
    return _decorated(command, click.argument("source", metavar="SRC"), *_DESTINATION, _FROM_IP, *_RUN)


def arguments_of_destination(command: C) -> C:
    """The same without a client."""
    return _decorated(command, *_DESTINATION, *_RUN)


def expect(command: C) -> C:
    """--expect"""
    return click.option(
        "--expect",
        type=click.Choice(("allowed", "denied")),
        default=None,
        help="End with exit code 1 where some answer is another one, or unknown.",
    )(command)


def _decorated(command: C, *decorators: Callable[[Any], Any]) -> C:
    for decorate in reversed(decorators):
        command = decorate(command)
    return command


_FROM_IP = click.option(
    "--from-ip", default="", metavar="ADDRESS", help="The client's address, where policies ask for it."
)
_DESTINATION: tuple[Callable[[Any], Any], ...] = (
    click.argument("destination", metavar="DST"),
    click.argument(
        "policies", required=False, type=click.Path(path_type=Path, exists=True), metavar="[POLICIES]"
    ),
    click.option("--method", default="GET", show_default=True, help="HTTP method."),
    click.option("--path", default="/", show_default=True, help="Path; a query after ? is taken as --query."),
    click.option("--query", multiple=True, metavar="NAME=VALUE", help="Query parameter; may be repeated."),
    click.option("--header", multiple=True, metavar="NAME=VALUE", help="Request header; may be repeated."),
    click.option(
        "--authority",
        default="",
        metavar="HOST",
        help="Host header; default the Service as the client would call it.",
    ),
    click.option(
        "--port", default="", metavar="PORT", help="Service port, number or name; the same as DST:port."
    ),
)
_RUN: tuple[Callable[[Any], Any], ...] = (
    click.option(
        "--source",
        "source_name",
        metavar="NAME",
        help="Which source POLICIES stands in for; default the first.",
    ),
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
    text: Callable[[Answers[A], Paint], str],
    document: Callable[[Answers[A]], Document],
    *,
    met: Callable[[A], bool] | None = None,
) -> int:
    """Decide, look the request up in every cluster that has both ends, and print what was found; the exit
    code.
    """
    want = wanted(given)
    decision = decide(given)
    asked = _asked(want, decision, look) if decision.known else None
    return tell(given, decision.report, asked, text, document, met=met)


def tell(
    given: Mapping[str, Any],
    report: Report,
    asked: Answers[A] | None,
    text: Callable[[Answers[A], Paint], str],
    document: Callable[[Answers[A]], Document],
    *,
    met: Callable[[A], bool] | None = None,
) -> int:
    """Print what was found; the exit code. With `met`, answers must be so, and be known: else it is 1 where
    nothing worse was found.
    """
    if asked is None:
        return exit_code(report, fail_on=given["fail_on"])
    if given["form"] == "text":
        paint = console.paint_for(given["color"])
        console.data(text(asked, paint), paint)
    else:
        console.document(dumped(document(asked), given["form"]))
    unmet = met is not None and (bool(asked.silent) or not all(map(met, asked.answers.values())))
    return exit_code(report, fail_on=given["fail_on"]) or (DIFFERENT if unmet else CLEAN)


def _asked(want: Wanted, decision: Decision, look: Callable[[Question, Known], A]) -> Answers[A]:
    found = questions(want, decision.known)
    return Answers(
        report=decision.report,
        questions=found,
        answers={name: look(question, decision.known[name]) for name, question in found.items()},
        silent=decision.silent,
    )


class Decision(Struct, frozen=True, kw_only=True):
    """The policies decided for the clusters that are meant. `facts` are those of all clusters: callers may be
    in any.
    """

    report: Report
    known: Mapping[str, Known]
    facts: Mapping[str, ClusterFacts]

    @property
    def silent(self) -> tuple[str, ...]:
        """Clusters of which nothing is known."""
        return tuple(name for name in self.report.clusters if name not in self.known)


def decide(given: Mapping[str, Any]) -> Decision:
    """Run the pipeline as far as `render` goes. Findings go to stderr: stdout holds the answer only."""
    plugins = translators()
    review = runs.review(
        given["config_path"],
        given["facts_path"],
        given["policies"],
        given["source_name"],
        given["cluster_globs"],
        given["store"],
        plugins,
    )
    job = Job(sources=review.sources, fleet=review.fleet, options=review.options, translators=plugins)
    whole = execute(job, Stage.BUILD)
    report = shown_clusters(whole, review.only)
    beside = console.paint_for(given["color"], error=True)
    if said := findings_text(report.diagnostics, paint=beside):
        console.note(said.rstrip("\n"), beside)
    facts = {name: result.facts for name, result in whole.clusters.items() if result.facts is not None}
    return Decision(report=report, known=known_clusters(report), facts=facts)


def known_clusters(report: Report) -> Mapping[str, Known]:
    """What the report says of each cluster whose facts are known."""
    return {
        name: Known(result.facts, result.build.units, result.build.held_units, result.build.refused)
        for name, result in report.clusters.items()
        if result.facts is not None and result.build is not None
    }


def questions(want: Wanted, known: Mapping[str, Known]) -> Mapping[str, Question]:
    """The question in each cluster that has both client and destination. What no cluster has is a usage
    error.
    """
    facts = {name: one.index.facts for name, one in known.items()}
    services = {
        name: service
        for name, one in facts.items()
        if (service := ends.service_and_port(want.destination, one))
    }
    clients = {
        name: client
        for name, one in facts.items()
        if (client := ends.named_client(want.source, want.ip, one))
    }
    if not services:
        raise click.UsageError(ends.no_service(want.destination, facts))
    if not clients:
        raise click.UsageError(ends.no_client(want.source, facts))
    both = sorted(services.keys() & clients.keys())
    if not both:
        where = (
            f"{want.source} is in {', '.join(sorted(clients))}, {want.destination} in"
            f" {', '.join(sorted(services))}"
        )
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
        sniffed=port.http and port.raw,
    )
