"""Answers about one request as text and as documents: who is admitted, how it is routed, and the lines that
decide.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Generic, TypeVar

from msgspec import Struct

from gitmesh.model.base import Model, spell_duration
from gitmesh.model.facts import Workload, WorkloadKey, by_controller
from gitmesh.model.naming import camel
from gitmesh.model.policies import Origin
from gitmesh.model.report import Report
from gitmesh.model.traffic import CONNECTION_FIELDS, REQUEST_FIELDS, ROUTING_FIELDS
from gitmesh.model.units import Decided, Target
from gitmesh.reasoning.access import Admission, Answer, Led, Ruling
from gitmesh.reasoning.questions import Client, Question
from gitmesh.reasoning.routing import Found, Routing
from gitmesh.render.document import Document, document, findings, origins, summary_document
from gitmesh.render.escape import printable
from gitmesh.render.paint import Paint, Role, plain
from gitmesh.render.text import table
from gitmesh.render.values import masked, shown

A = TypeVar("A")
ROLES: Mapping[Answer, Role] = {
    Answer.ALLOWED: "good",
    Answer.DENIED: "error",
    Answer.DEPENDS: "warning",
    Answer.UNKNOWN: "warning",
}
"""How answers look."""
_WHY_NOT: Mapping[Found, str] = {
    Found.NO_PROXY: "the client has no proxy, so nothing that policies say of routes acts on it",
    Found.GATEWAY: (
        "the client is a gateway, which has routes of its own: no policy says how its requests go, but for"
        " their connections"
    ),
    Found.NOT_HTTP: "the port is not HTTP, so proxies see no requests on it",
    Found.HELD: (
        "errors or missing facts hold the destination: the last good objects stay in force, whatever they say"
    ),
    Found.FOREIGN: "routes that are not ours are for the same, so what policies say may not act",
}
OWN = "(the mesh's own)"
"""What is shown for a field that no policy sets."""
ENDED = "(the mesh's own, disabled by policy)"
"""What is shown for a field that a policy leaves to the mesh."""


class Asked(Struct, Generic[A], frozen=True, kw_only=True):
    """The answers to one question, by cluster. `silent` are clusters of which nothing is known."""

    report: Report
    questions: Mapping[str, Question]
    answers: Mapping[str, A]
    silent: tuple[str, ...] = ()


def admissions_text(asked: Asked[Admission], paint: Paint = plain) -> str:
    """The answer of each cluster, and for each kind of pods behind the destination why."""
    told = {}
    for name, found in asked.answers.items():
        verdict = paint(ROLES[found.answer], found.answer.value)
        told[name] = (f"{verdict}  {_question(asked.questions[name])}", *_reasons(found, paint))
    return blocks(told, asked.silent, paint)


def _reasons(found: Admission, paint: Paint) -> Iterator[str]:
    """Why, for each place that serves a share of the requests."""
    if not found.led:
        yield from _rulings(found, paint)
    for one in found.led:
        verdict = paint(ROLES[one.admission.answer], one.admission.answer.value)
        by = f", led there by {place(one.origin)}" if one.origin else ""
        target = _place(one.service, one.port, one.subset)
        yield f"  {verdict}  {printable(target)}{by}"
        yield from (f"  {line}" for line in _rulings(one.admission, paint))


def _rulings(found: Admission, paint: Paint) -> Iterator[str]:
    groups: dict[Ruling, list[str]] = {found.ruling: []} if found.ruling else {}
    for one in _together(found):
        apart = "".join(f" {key}={value}" for key, value in one.labels.items())
        groups.setdefault(one.ruling, []).append(f"{one.workload.name}:{one.port}{apart}")
    for ruling, pods in groups.items():
        mixed = f"{ruling.answer.value}, " if len(groups) > 1 else ""
        yield f"  {mixed}{ruling.text}" + (
            paint("faint", f"  ({printable(', '.join(pods))})") if pods else ""
        )
        yield from (f"    {place(origin)}" for origin in ruling.deciding)
        yield from (f"    tried {place(one.origin)}: {printable(one.why)}" for one in ruling.tried)


class _Pods(Struct, frozen=True, kw_only=True):
    """Pods of one workload that are decided alike. `labels` are those that they share and others of the
    workload have not."""

    workload: Workload
    port: int
    ruling: Ruling
    labels: Mapping[str, str]


def _together(found: Admission) -> Iterator[_Pods]:
    """People know workloads: what is decided of their shapes is told once, with what tells them apart."""
    groups: dict[tuple[WorkloadKey, int, Ruling], list[Workload]] = {}
    for workload, port, ruling in found.pods:
        groups.setdefault((workload.key, port, ruling), []).append(workload)
    every = by_controller(workload for workload, _, _ in found.pods)
    for (key, port, ruling), shapes in groups.items():
        labels = dict(sorted(_shared(shapes) - _shared(every[key])))
        yield _Pods(workload=shapes[0], port=port, ruling=ruling, labels=labels)


def _shared(shapes: Sequence[Workload]) -> set[tuple[str, str]]:
    return set(shapes[0].labels.items()).intersection(*(one.labels.items() for one in shapes))


def routings_text(asked: Asked[Routing], paint: Paint = plain) -> str:
    """Every field with its value and the line that sets it, cluster by cluster."""
    told = {
        name: (_question(asked.questions[name]), *_routing(found)) for name, found in asked.answers.items()
    }
    return blocks(told, asked.silent, paint)


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


def _routing(found: Routing) -> Iterator[str]:
    if found.found is not Found.DECIDED:
        yield f"  {_WHY_NOT[found.found]}"
    yield from (f"  beside {printable(str(key))}, which is not ours" for key in found.follows)
    if found.found in (Found.DECIDED, Found.NOT_HTTP, Found.GATEWAY):
        yield from table(("FIELD", "VALUE", "SET BY"), _rows(found), indent=2)


def _rows(found: Routing) -> Iterator[tuple[str, str, str]]:
    """A row for each field; where no policy says where requests go, `split` stands for all three that
    could.
    """
    said = {*found.request, *found.ended}
    routing = [name for name in ROUTING_FIELDS if name in said] or ["split"]
    asked = (
        [name for name in REQUEST_FIELDS if name in routing or name not in ROUTING_FIELDS]
        if found.found is Found.DECIDED
        else []
    )
    for name in (*asked, *CONNECTION_FIELDS):
        decided = found.request.get(name) or found.connection.get(name)
        if decided is None:
            origin = found.ended.get(name)
            yield camel(name), ENDED if origin else OWN, place(origin) if origin else ""
        elif name in _SEVERAL:
            places = found.items.get(name) or [decided.origin] * len(decided.value)
            yield from (
                (camel(name), value, place(at))
                for value, at in zip(_SEVERAL[name](decided, found), places, strict=True)
            )
        elif name == "headers":
            yield from _header_rows(decided, found.headers)
        else:
            yield camel(name), shown(camel(name), spelt(decided.value)), place(decided.origin)


def _shares(decided: Decided, found: Routing) -> Iterator[str]:
    for item, target in zip(decided.value, found.targets, strict=True):
        changes = f" headers {shown('headers', spelt(item.headers))}" if item.headers else ""
        yield f"{item.weight} to {_target(target)}{changes}"


def _copies(decided: Decided, found: Routing) -> Iterator[str]:
    yield from (
        f"{item.percent:g}% to {_target(target)}"
        for item, target in zip(decided.value, found.mirrors, strict=True)
    )


_SEVERAL: Mapping[str, Callable[[Decided, Routing], Iterator[str]]] = {"split": _shares, "mirror": _copies}
"""Fields of several values, a row each."""


def _target(target: Target) -> str:
    return _place(target.service.key, target.port, target.subset)


def _place(service: tuple[str, str], port: int, subset: Iterable[tuple[str, str]]) -> str:
    shown = "".join(f" {key}={value}" for key, value in subset)
    return f"{'/'.join(service)}{f':{port}' if port else ''}{shown}"


def _header_rows(decided: Decided, who: Mapping[tuple[str, str], Origin]) -> Iterator[tuple[str, str, str]]:
    for (side, name), origin in sorted(who.items()):
        operations = spelt(getattr(decided.value, side))
        said = {
            kind: values[name] for kind, values in operations.items() if kind != "remove" and name in values
        }
        said |= {"remove": True} if name in operations.get("remove", ()) else {}
        yield f"headers.{side}", shown(f"headers.{name}", {name: said}), place(origin)


def _question(question: Question) -> str:
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


def admissions_document(asked: Asked[Admission]) -> Document:
    """What `can` answers."""
    clusters = [
        {
            "name": name,
            "answer": found.answer.value,
            **_asked(asked.questions[name]),
            "pods": list(_pods(found)),
            "led": [_led(one) for one in found.led],
        }
        for name, found in asked.answers.items()
    ]
    return answers_document(asked, "Admission", clusters, "answer")


def _led(one: Led) -> Document:
    return {
        "destination": _place_document(one.service, one.port, one.subset),
        "answer": one.admission.answer.value,
        "by": origins([one.origin])[0] if one.origin else None,
        "pods": list(_pods(one.admission)),
    }


def _pods(found: Admission) -> Iterator[Document]:
    for one in _together(found):
        yield {"workload": _workload(one), "port": one.port, **_ruling(one.ruling)}
    if found.ruling:
        yield _ruling(found.ruling)


def _workload(pods: _Pods) -> Document:
    one = pods.workload
    told = {"kind": one.kind, "namespace": one.namespace, "name": one.name}
    return {**told, "labels": dict(pods.labels)} if pods.labels else told


def _ruling(ruling: Ruling) -> Document:
    return {
        "answer": ruling.answer.value,
        "basis": ruling.basis.value,
        "message": ruling.text,
        "deciding": origins(ruling.deciding),
        "tried": [{**origins([one.origin])[0], "message": one.why} for one in ruling.tried],
    }


def routings_document(asked: Asked[Routing]) -> Document:
    """What `route` answers; a field that is not there keeps the mesh's own behaviour."""
    clusters = [
        {
            "name": name,
            "found": found.found.value,
            **_asked(asked.questions[name]),
            "rules": origins(found.rules),
            "fields": _fields(found.request),
            "targets": [_target_document(target) for target in found.targets],
            "mirrors": [_target_document(target) for target in found.mirrors],
            "headers": [
                {"side": side, "name": header, **origins([who])[0]}
                for (side, header), who in sorted(found.headers.items())
            ],
            "connection": _fields(found.connection),
            "follows": [str(key) for key in found.follows],
            "disabled": {camel(name): origins([origin])[0] for name, origin in sorted(found.ended.items())},
        }
        for name, found in asked.answers.items()
    ]
    return answers_document(asked, "Routing", clusters, "found")


def _target_document(target: Target) -> Document:
    return _place_document(target.service.key, target.port, target.subset)


def _place_document(service: tuple[str, str], port: int, subset: Iterable[tuple[str, str]]) -> Document:
    namespace, name = service
    return {"namespace": namespace, "name": name, "port": port, "subset": dict(subset)}


def answers_document(asked: Asked[A], kind: Any, clusters: Sequence[Document], key: str) -> Document:
    """Answers by cluster; of those of which nothing is known it says so under `key`."""
    silent = [{"name": name, key: Answer.UNKNOWN.value} for name in asked.silent]
    return document(
        kind,
        summary=summary_document(asked.report),
        findings=findings(asked.report.diagnostics),
        clusters=[*clusters, *silent],
    )


def _asked(question: Question) -> Document:
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
                "headers": masked("", dict(question.headers)),
                "authority": question.authority,
            }
            if question.http
            else None
        ),
    }


def _fields(decided: Mapping[str, Decided]) -> Document:
    named = ((camel(name), one) for name, one in sorted(decided.items()))
    return {
        name: {"value": masked(name, spelt(one.value)), "origin": origins([one.origin])[0]}
        for name, one in named
    }


def spelt(value: Any) -> Any:
    """A decided value as a policy would spell it."""
    if isinstance(value, Model):
        return value.model_dump(mode="json", by_alias=True, exclude_none=True)
    if isinstance(value, Iterable) and not isinstance(value, str):
        return [spelt(item) for item in value]
    return spell_duration(value) if isinstance(value, int) else value
