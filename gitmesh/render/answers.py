"""What answers about one request share, as text and as documents: clients, targets, values, clusters."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Generic, TypeVar

from msgspec import Struct

from gitmesh.model.base import Model, spell_duration
from gitmesh.model.policies import Origin
from gitmesh.model.report import Report
from gitmesh.reasoning.answers import Answer
from gitmesh.reasoning.questions import Client, Question
from gitmesh.render.document import Document, document, findings, summary_document
from gitmesh.render.escape import printable
from gitmesh.render.paint import Paint, Role
from gitmesh.render.values import masked

A = TypeVar("A")
ROLES: Mapping[Answer, Role] = {
    Answer.ALLOWED: "good",
    Answer.DENIED: "error",
    Answer.DEPENDS: "warning",
    Answer.UNKNOWN: "warning",
}
"""How answers look."""


class Answers(Struct, Generic[A], frozen=True, kw_only=True):
    """The answers to one question, by cluster. `silent` are clusters of which nothing is known."""

    report: Report
    questions: Mapping[str, Question]
    answers: Mapping[str, A]
    silent: tuple[str, ...] = ()


def blocks(blocks: Mapping[str, tuple[str, ...]], silent: Iterable[str], paint: Paint) -> str:
    """A block for each answer; clusters of which the same is told share one."""
    told: dict[tuple[str, ...], list[str]] = {}
    for name, block in blocks.items():
        told.setdefault(block, []).append(name)
    for name in silent:
        told.setdefault((f"{paint('warning', Answer.UNKNOWN.value)}  nothing is known of it",), []).append(
            name
        )
    whole = (
        (f"{paint('strong', printable(', '.join(names)))}: {block[0]}", *block[1:])
        for block, names in told.items()
    )
    return "".join(f"{line}\n" for block in whole for line in block)


def target_text(service: tuple[str, str], port: int, subset: Iterable[tuple[str, str]]) -> str:
    """Where requests go: a Service, its port (0 = the requested one), and a subset."""
    shown = "".join(f" {key}={value}" for key, value in subset)
    return f"{'/'.join(service)}{f':{port}' if port else ''}{shown}"


def question_text(question: Question) -> str:
    """The question in a line."""
    namespace, name = question.service
    request = f" {question.method} {question.path}" if question.http else ""
    return printable(f"{client_text(question.client)} -> {namespace}/{name}:{question.port}{request}")


def client_text(client: Client) -> str:
    """Who a client is."""
    who = f"{client.namespace}/{client.service_account}" if client.service_account else "a client"
    return who if client.trust_domain is not None else f"{who} without identity"


def place(origin: Origin) -> str:
    """A line of a policy."""
    return printable(f"{origin.policy} {origin.field} ({origin.at})")


def target_document(service: tuple[str, str], port: int, subset: Iterable[tuple[str, str]]) -> Document:
    """Where requests go, for machines."""
    namespace, name = service
    return {"namespace": namespace, "name": name, "port": port, "subset": dict(subset)}


def answers_document(asked: Answers[A], kind: Any, clusters: Sequence[Document], key: str) -> Document:
    """Answers by cluster; of those of which nothing is known it says so under `key`."""
    silent = [{"name": name, key: Answer.UNKNOWN.value} for name in asked.silent]
    return document(
        kind,
        summary=summary_document(asked.report),
        findings=findings(asked.report.diagnostics),
        clusters=[*clusters, *silent],
    )


def question_document(question: Question) -> Document:
    """The question, for machines; values of secret headers are masked."""
    client, (namespace, name) = question.client, question.service
    return {
        "client": {
            "namespace": client.namespace,
            "serviceAccount": client.service_account,
            "identity": client.trust_domain is not None,
            "ip": client.ip,
        },
        "destination": {"namespace": namespace, "name": name, "port": question.port},
        "request": (
            {
                "method": question.method,
                "path": question.path,
                "query": dict(question.query),
                # A question may hold the token of a real request.
                "headers": masked("", dict(question.headers)),
                "authority": question.authority,
            }
            if question.http
            else None
        ),
    }


def spelt(value: Any) -> Any:
    """A decided value as a policy would spell it."""
    if isinstance(value, Model):
        return value.model_dump(mode="json", by_alias=True, exclude_none=True)
    if isinstance(value, Iterable) and not isinstance(value, str):
        return [spelt(item) for item in value]
    # Milliseconds: a timeout is the only decided value that is a plain number.
    return spell_duration(value) if isinstance(value, int) else value
