"""Answers to `route` as text and as documents: each field, its value, and the line that sets it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from gitmesh.model.naming import camel
from gitmesh.model.policies import Origin
from gitmesh.model.routes import Decided, Target
from gitmesh.model.traffic import CONNECTION_FIELDS, REQUEST_FIELDS, ROUTING_FIELDS
from gitmesh.reasoning.routing import Found, Routing
from gitmesh.render.answers import (
    Answers,
    answers_document,
    blocks,
    place,
    question_document,
    question_text,
    spelt,
    target_document,
    target_text,
)
from gitmesh.render.document import Document, origins
from gitmesh.render.escape import printable
from gitmesh.render.paint import Paint, plain
from gitmesh.render.text import table
from gitmesh.render.values import masked, shown

_WHY_NOT: Mapping[Found, str] = {
    Found.NO_PROXY: "the client has no proxy, so nothing that policies say of routes acts on it",
    Found.GATEWAY: (
        "the client is a gateway, which has routes of its own: no policy says how its requests go, but for"
        " their connections"
    ),
    Found.NOT_HTTP: "the port is not HTTP, so proxies see no requests on it",
    Found.HELD: (
        "errors or missing facts hold its routing: the last good objects stay in force, whatever they say"
    ),
    Found.UNROUTED: (
        "nobody on the way of this client's requests follows what policies say of this destination: it has no"
        " proxy of its own that does, and none is ahead of the destination"
    ),
    Found.FOREIGN: "routes that are not ours are for the same Service, so what policies say may not act",
}
OWN = "(the mesh's own)"
"""What is shown for a field that no policy sets."""
ENDED = "(the mesh's own, disabled by policy)"
"""What is shown for a field that a policy leaves to the mesh."""


def routings_text(asked: Answers[Routing], paint: Paint = plain) -> str:
    """Every field with its value and the line that sets it, cluster by cluster."""
    told = {
        name: (question_text(asked.questions[name]), *_routing(found))
        for name, found in asked.answers.items()
    }
    return blocks(told, asked.silent, paint)


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
    # Of the three at most one is set, so that where none is a single row says so.
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
    return target_text(target.service.key, target.port, target.subset)


def _header_rows(decided: Decided, who: Mapping[tuple[str, str], Origin]) -> Iterator[tuple[str, str, str]]:
    for (side, name), origin in sorted(who.items()):
        operations = spelt(getattr(decided.value, side))
        said = {
            kind: values[name] for kind, values in operations.items() if kind != "remove" and name in values
        }
        said |= {"remove": True} if name in operations.get("remove", ()) else {}
        yield f"headers.{side}", shown(f"headers.{name}", {name: said}), place(origin)


def routings_document(asked: Answers[Routing]) -> Document:
    """What `route` answers; a field that is not there keeps the mesh's own behaviour."""
    clusters = [
        {
            "name": name,
            "found": found.found.value,
            **question_document(asked.questions[name]),
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
    return target_document(target.service.key, target.port, target.subset)


def _fields(decided: Mapping[str, Decided]) -> Document:
    named = ((camel(name), one) for name, one in sorted(decided.items()))
    return {
        name: {"value": masked(name, spelt(one.value)), "origin": origins([one.origin])[0]}
        for name, one in named
    }
