"""Requests in people's words."""

from __future__ import annotations

from collections.abc import Iterator

from gitmesh.model.conditions import NamedCondition, RequestMatch, SourceCondition, TextCondition
from gitmesh.render.values import shown

_FORMS = {
    "exact": "{}",
    "prefix": "{} and below",
    "stringPrefix": "{}*",
    "suffix": "*{}",
    "regex": "~ {}",
    "present": "any",
}


def match_text(match: RequestMatch) -> str:
    """`GET /api and below, header x-user is jason, from namespace shop`; "" for all requests."""
    return ", ".join(_parts(match))


def _parts(match: RequestMatch) -> Iterator[str]:
    path = _condition(match.path) if match.path else ""
    if match.method or path:
        yield " ".join(part for part in (match.method, path) if part)
    if match.authority:
        yield f"host {_condition(match.authority)}"
    yield from (f"header {_named(one)}" for one in match.headers)
    yield from (f"query {_named(one)}" for one in match.query)
    if match.port:
        yield f"port {match.port}"
    yield from _source(match.source)


def _condition(condition: TextCondition, name: str = "") -> str:
    """Values are quoted where they could be read as anything else, and not shown where their name is one of a
    credential.
    """
    text = _FORMS[condition.form].format(shown(name, condition.value))
    return f"{text} (any case)" if condition.ignore_case else text


def _named(one: NamedCondition) -> str:
    if one.condition.form == "present":
        return f"{one.name} is {'absent' if one.invert else 'there'}"
    return f"{one.name} {'is not' if one.invert else 'is'} {_condition(one.condition, one.name)}"


def _source(source: SourceCondition) -> Iterator[str]:
    if source.service_accounts:
        yield f"from ServiceAccount {' or '.join(source.service_accounts)}"
    if source.labels:
        yield f"from pods {','.join(f'{key}={value}' for key, value in source.labels)}"
    if source.namespaces:
        yield f"from namespace {' or '.join(source.namespaces)}"
