"""Tables of access, as the command line asks for them: everybody who can call a destination, everything that
a client can call.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click
from click.core import ParameterSource

from gitmesh.cli import asking, ends, request_options
from gitmesh.model.services import Service
from gitmesh.reasoning.answers import Answer
from gitmesh.reasoning.crowd import Crowd
from gitmesh.reasoning.population import population
from gitmesh.reasoning.questions import Client, Known
from gitmesh.reasoning.requests import Sample
from gitmesh.reasoning.table import TableScope, callers_of, rows_of_client
from gitmesh.render.access import AccessTable, access_document, access_text
from gitmesh.render.answers import Answers, client_text

ANY = "*"
WORDS = """A table tells all requests, folded to those of which the same is said. With --method, --path,
--header or --authority it tells that one request. What a split leads to a Service that decides otherwise
is a row of its own; `can SRC DST` follows it."""
"""What the help of the commands says of tables."""


def answer(given: Mapping[str, Any], *, denied: bool = False) -> int:
    """Decide, make the table of every cluster that has the ends that are named, and print it; the exit code.
    Of a destination the rows of those who are not simply refused are shown, with `denied` of those who are
    not simply admitted: --expect means all rows.
    """
    want = request_options.wanted({"from_ip": "", **given, "source": given.get("source", ANY)})
    if want.source == ANY and want.ip:
        raise click.UsageError(
            "--from-ip goes with a client; the table of everybody tells addresses apart by itself"
        )
    decision = asking.decide(given)
    whole = _tables(want, _sample(want), decision) if decision.known else {}
    hidden = None if want.source != ANY else Answer.ALLOWED if denied else Answer.DENIED
    shown = Answers(
        report=decision.report,
        questions={},
        answers={name: _without(found, hidden) for name, found in whole.items()},
        silent=decision.silent,
    )
    expected, rows = given["expect"], [row for found in whole.values() for row in found.rows]
    met = None if expected is None else lambda _: all(meets(row.answer, expected) for row in rows)
    return asking.tell(
        given, decision.report, shown if decision.known else None, access_text, access_document, met=met
    )


def meets(found: Answer, expected: str) -> bool:
    """Whether an answer is the one of --expect."""
    return found.value.lower() == expected


def _without(found: AccessTable, hidden: Answer | None) -> AccessTable:
    rows = tuple(row for row in found.rows if row.answer is not hidden)
    return AccessTable(rows=rows, destination=found.destination, caller=found.caller)


def _sample(want: request_options.Wanted) -> Sample | None:
    """The one request that is meant, if its options were given."""
    sources = map(
        click.get_current_context().get_parameter_source, ("method", "path", "query", "header", "authority")
    )
    if all(source in (None, ParameterSource.DEFAULT) for source in sources):
        return None
    return Sample(method=want.method, path=want.path, authority=want.authority, headers=want.headers)


def _tables(
    want: request_options.Wanted, request: Sample | None, decision: asking.Decision
) -> Mapping[str, AccessTable]:
    """A table for each cluster that has what is named. What no cluster has is a usage error."""
    facts = {name: one.index.facts for name, one in decision.known.items()}
    services = {
        name: ends.named_service(want.destination, one)
        for name, one in facts.items()
        if want.destination != ANY
    }
    clients = {
        name: ends.named_client(want.source, want.ip, one)
        for name, one in facts.items()
        if want.source != ANY
    }
    if services and not any(services.values()):
        raise click.UsageError(ends.no_service(want.destination, facts))
    if clients and not any(clients.values()):
        raise click.UsageError(ends.no_client(want.source, facts))
    having = [name for name in facts if services.get(name, True) and clients.get(name, True)]
    if not having:
        raise click.UsageError(f"no cluster has both {want.source} and {want.destination}")
    return {
        name: _table(decision.known[name], decision, want, request, services.get(name), clients.get(name))
        for name in having
    }


def _table(
    known: Known,
    decision: asking.Decision,
    want: request_options.Wanted,
    request: Sample | None,
    service: Service | None,
    client: Client | None,
) -> AccessTable:
    facts = known.index.facts
    reference = want.destination.partition(":")[2]
    ports = (ends.named_port(service, reference, facts.cluster).number,) if service and reference else ()
    only, name = TableScope(ports=ports, request=request), client_text(client) if client else ""
    keys = [service.key] if service else sorted(facts.service_index)
    if client:
        rows = [row for key in keys for row in rows_of_client(client, name, key, known, only)]
    else:
        crowd = Crowd(population(facts.cluster, decision.facts))
        rows = [row for key in keys for row in callers_of(key, known, crowd, only)]
    return AccessTable(rows=tuple(rows), destination="/".join(service.key) if service else "", caller=name)
