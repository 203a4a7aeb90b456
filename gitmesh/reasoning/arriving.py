"""Where the requests of a client really go, and as what they come there: a split and a redirect are decided
at the client, so the pods behind the destination that was called never see what goes elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from msgspec import Struct
from msgspec.structs import replace

from gitmesh.model.conditions import RequestMatch
from gitmesh.model.policies import Origin
from gitmesh.model.requests import HeaderOps, PathRewrite, Redirect, Rewrite
from gitmesh.model.routes import Target
from gitmesh.model.services import Service
from gitmesh.reasoning.questions import Known, Question
from gitmesh.reasoning.routing import Found, Routing, route

_DEFAULT_PORTS = {"http": 80, "https": 443}


class End(Struct, frozen=True, kw_only=True):
    """Where a share of the requests comes to an end: the request as it arrives there, of which pods (their
    `subset` labels, none = all), and the line that leads there, None where it is what was called.
    """

    question: Question
    subset: tuple[tuple[str, str], ...] = ()
    origin: Origin | None = None


def ends(question: Question, known: Known) -> tuple[End, ...]:
    """All of them. What is answered on the way, by a redirect out of the cluster or at once, is taken for
    going on to what was called. Raises KeyError where the cluster has no such Service.
    """
    found = route(question, known)
    if found.found is not Found.DECIDED:
        return (End(question=question),)
    if followed := _redirected(question, found, known):
        return (followed,)
    arriving = _arriving(question, found)
    shares = found.request.get("split")
    if shares is None or not found.targets:
        return (End(question=arriving),)
    places = found.items.get("split") or (shares.origin,) * len(found.targets)
    return tuple(
        _end(_with_headers(arriving, item.headers and item.headers.request), target, origin)
        for item, target, origin in zip(shares.value, found.targets, places, strict=True)
        if item.weight
    )


def _end(question: Question, target: Target, origin: Origin) -> End:
    port = target.port or question.port
    stays = target.service.key == question.service and not target.subset and port == question.port
    there = question if stays else replace(question, service=target.service.key, port=port)
    # Whether it is HTTP is said by the port where it arrives, not by the one that was called.
    http = next((one.http for one in target.service.ports if one.number == port), question.http)
    return End(question=replace(there, http=http), subset=target.subset, origin=None if stays else origin)


def _arriving(question: Question, found: Routing) -> Question:
    """After what is rewritten on the way."""
    rewrite, headers = found.request.get("rewrite"), found.request.get("headers")
    if rewrite is not None:
        value: Rewrite = rewrite.value
        question = replace(
            question,
            path=_path(question.path, value.path, found.match),
            authority=value.hostname or question.authority,
        )
    return _with_headers(question, headers.value.request if headers is not None else None)


def _with_headers(question: Question, change: HeaderOps | None) -> Question:
    if change is None:
        return question
    headers = dict(question.headers)
    headers |= {name.lower(): value for name, value in (change.set or {}).items()}
    for name, value in (change.add or {}).items():
        # Several lines of one header read as one, joined by commas (RFC 9110, section 5.3).
        headers[name.lower()] = ",".join(filter(None, (headers.get(name.lower()), value)))
    gone = {name.lower() for name in change.remove or ()}
    return replace(question, headers={name: text for name, text in headers.items() if name not in gone})


def _path(path: str, change: PathRewrite | None, match: RequestMatch) -> str:
    if change is None:
        return path
    if change.replace_prefix_match is None:
        return change.replace_full_path or path
    new, matched = change.replace_prefix_match, match.path.value if match.path else "/"
    if match.path and match.path.form == "stringPrefix":
        return new + path[len(matched) :]
    # A segment prefix is replaced with its slash: /api -> / turns /api/v1 into /v1.
    rest = path[len(matched.rstrip("/")) :]
    return (new.rstrip("/") + rest if rest else new) or "/"


def _redirected(question: Question, found: Routing, known: Known) -> End | None:
    """The request that the client makes next, where it is to a Service of the cluster."""
    decided = found.request.get("redirect")
    if decided is None:
        return None
    value: Redirect = decided.value
    service = _called(value.hostname, question, known)
    port = value.port or _DEFAULT_PORTS.get(value.scheme or "", question.port)
    reached = next((one for one in service.ports if one.number == port), None) if service else None
    if service is None or reached is None:
        return None
    asked = replace(
        question,
        service=service.key,
        port=port,
        path=_path(question.path, value.path, found.match),
        authority=value.hostname or question.authority,
        http=reached.http,
    )
    return End(question=asked, origin=decided.origin)


def _called(host: str | None, question: Question, known: Known) -> Service | None:
    """The Service of a host name, as the client would call it."""
    if host is None:
        return known.index.facts.service_index[question.service]
    name, *rest = host.split(".")
    # A host outside: the Services of a cluster are called name.namespace.svc and further.
    if len(rest) > 1 and rest[1] != "svc":
        return None
    return known.index.service(rest[0] if rest else question.client.namespace, name)


def leads(
    targets: Iterable[Target], places: Iterable[Mapping[str, Origin]]
) -> Iterator[tuple[Target, Origin]]:
    """Targets of a split or a mirror, each with the line of its destination."""
    for target, parts in zip(targets, places, strict=True):
        yield target, parts.get("destination.name", parts[""])
