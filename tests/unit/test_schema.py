"""JSON Schema of the kinds: complete, described, in step with the parser, and safe to write in YAML."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import jsonschema_rs
import pytest
import yaml
from pydantic import BaseModel

from gitmesh.model.envelope import ENVELOPES
from gitmesh.model.kinds import FUTURE_FIELDS, FUTURE_KINDS, FUTURE_VALUES, KINDS
from gitmesh.parsing.parse import parse
from gitmesh.parsing.reading import read
from gitmesh.parsing.scalars import resolve
from gitmesh.parsing.schema import combined, fields, schema
from tests.factories import snapshot_of

ALL = [*sorted(ENVELOPES), "Config"]
GOOD = """apiVersion: gitmesh.io/v1alpha1
kind: TrafficPolicy
metadata: {name: a}
spec:
  destinations: [{name: reviews, namespaces: [shop]}]
  matches: [{path: {prefix: /x}, port: http}, {port: 80}]
  timeout: 5s
  retries: {disabled: true}
"""


def nodes(node: object) -> Iterator[dict[str, Any]]:
    if isinstance(node, dict):
        yield node
    for item in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        yield from nodes(item)


def words(kind: str) -> set[str]:
    """Every key and every value of a closed set."""
    found: set[str] = set()
    for node in nodes(schema(kind)):
        found.update(node.get("properties", {}))
        found.update(value for value in [*node.get("enum", []), node.get("const")] if isinstance(value, str))
    return found


def models() -> Iterator[type[BaseModel]]:
    waiting: list[type[BaseModel]] = [BaseModel]
    while waiting:
        for model in waiting.pop().__subclasses__():
            waiting.append(model)
            if model.__module__.startswith("gitmesh.model"):
                yield model


@pytest.mark.parametrize("kind", ALL)
def test_no_key_and_no_value_reads_as_something_else_in_yaml_1_1(kind: str) -> None:
    assert len(words(kind)) > 5
    for word in words(kind):
        assert yaml.safe_load(word) == word, word
        assert resolve(word) == word, word


def test_names_of_later_versions_are_safe_too() -> None:
    later = FUTURE_KINDS.union(*FUTURE_FIELDS.values(), *FUTURE_VALUES.values())
    assert {word for word in later if yaml.safe_load(word) != word} == set()


def test_tables_of_later_versions_name_models_that_exist_and_fields_that_do_not() -> None:
    known = {model.__name__: model for model in models()}
    for name, later in FUTURE_FIELDS.items():
        assert not later & {field.alias for field in known[name].model_fields.values()}
    for name, field in FUTURE_VALUES:
        assert field in known[name].model_fields


@pytest.mark.parametrize("kind", ALL)
def test_every_field_has_a_description_and_a_type(kind: str) -> None:
    every = fields(kind)
    assert len(every) >= 10
    assert [field.path for field in every.values() if not field.description or not field.type] == []


@pytest.mark.parametrize("kind", [*ALL, "combined"])
def test_schemas_are_valid_and_hold_no_null(kind: str) -> None:
    document = combined() if kind == "combined" else schema(kind)
    jsonschema_rs.meta.validate(document)
    assert document["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert not [
        node for node in nodes(document) if node.get("type") == "null" or node.get("default", 0) is None
    ]


def test_schema_and_parser_agree_on_samples() -> None:
    validator = jsonschema_rs.validator_for(combined())
    bad = [
        GOOD.replace("5s", "5"),
        GOOD.replace("destinations", "destination"),
        GOOD.replace("80", "0"),
        GOOD.replace("http}", "HTTP_}"),
        GOOD.replace("true", "false"),
        GOOD.replace("metadata: {name: a}", "metadata: {}"),
        GOOD.replace("[{name: reviews, namespaces: [shop]}]", "[]"),
        GOOD.replace("TrafficPolicy", "Nothing"),
    ]
    for text, expected in [(GOOD, True), *((text, False) for text in bad)]:
        assert validator.is_valid(read(text.encode(), "f").documents[0].data) is expected, text
        assert (not parse(snapshot_of({"a.yaml": text}))[1]) is expected, text


def test_fields_for_explain() -> None:
    every = fields("TrafficPolicy")
    attempts = every["spec.retries.attempts"]
    assert (attempts.type, attempts.required) == ("integer", True)
    assert every["spec.split.weight"].default == "1"
    assert every["spec.matches.port"].type == "integer or string"
    assert every["spec.timeout"].type == "string or mapping"
    assert every["spec.tls.mode"].type == "Disable | Simple | Mutual | MeshMutual"
    assert not every["spec.timeout.disabled"].required
    assert not every["spec.retries.disabled"].required
    assert fields("Config")["forge.webhook.secretFile"].required
    assert fields("Config")["sources.interval"].default == "30s"


def test_unknown_kinds_have_no_schema() -> None:
    with pytest.raises(KeyError):
        schema("Secret")


def test_every_kind_has_an_envelope() -> None:
    assert set(ENVELOPES) == set(KINDS)
