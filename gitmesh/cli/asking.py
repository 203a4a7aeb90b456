"""Questions about one request, as the command line puts them: who asks, what for, in which clusters."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import click
from msgspec import Struct

from gitmesh.cli import console, ends, runs
from gitmesh.cli.exits import CLEAN, DIFFERENT, exit_code
from gitmesh.cli.output import dumped
from gitmesh.cli.request_options import Wanted, wanted
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
    # A cluster of which nothing is known does not meet an expectation.
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
    """Run the pipeline as far as `render` goes."""
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
    # Findings go to stderr: stdout holds the answer only.
    beside = console.paint_for(given["color"], error=True)
    if said := findings_text(report.diagnostics, paint=beside):
        console.note(said.rstrip("\n"), beside)
    facts = {name: result.facts for name, result in whole.clusters.items() if result.facts is not None}
    return Decision(report=report, known=known_clusters(report), facts=facts)


def known_clusters(report: Report) -> Mapping[str, Known]:
    """What the report says of each cluster whose facts are known."""
    return {
        name: Known.of(result.facts, result.build)
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
