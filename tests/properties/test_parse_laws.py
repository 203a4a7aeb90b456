"""Laws of parsing: never an exception, order never matters, an error stays where it is, values as others read
them.
"""

from __future__ import annotations

import io
import random
import time
from collections.abc import Mapping
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from gitmesh.diagnostics import Diagnostic
from gitmesh.model.policies import Policy
from gitmesh.model.snapshot import Snapshot
from gitmesh.parsing.parse import parse
from gitmesh.parsing.reading import read
from gitmesh.parsing.scalars import Refusal, resolve
from gitmesh.planning.choosing import choose
from gitmesh.planning.revisions import Terms
from tests.factories import snapshot_of
from tests.properties.history import History

SAMPLE = """apiVersion: gitmesh.io/v1alpha1
kind: TrafficPolicy
metadata: {name: reviews, namespace: shop}
spec:
  destinations:
  - name: reviews
  matches:
  - path: {prefix: /api}
    headers: [{name: x-user, exact: "é"}]
  timeout: 5s
  retries: {attempts: 3, retryOn: ["503"]}
"""
TOKENS = [
    "a",
    "spec",
    ": ",
    "\n",
    "  ",
    "- ",
    "[",
    "]",
    "{",
    "}",
    ",",
    '"',
    "'",
    "|",
    ">",
    "&a ",
    "*a",
    "!x ",
    "%",
    "?",
    "#",
    "\t",
    "no",
    "1",
    "---\n",
    "...",
    "\\",
    "é",
    "\x85",
    "~",
    "<<: ",
]


class Tip(History):
    """A source with these files at its tip."""

    files: Mapping[str, str | bytes] = {}

    def _snapshot(self, sha: str) -> Snapshot:
        return snapshot_of(self.files, self.name, sha)


def refused_as_vacant(files: Mapping[str, str | bytes]) -> bool:
    """Whether a revision that says nothing at all is refused."""
    source = Tip("policies")
    source.files = files
    source.commit("", good=False)
    found = choose((source,), (), Terms(), parsed={}, remembered={})
    return [one.code for one in found.diagnostics] == ["GM110", "GM605"] and not found.in_force


def run(files: Mapping[str, str | bytes]) -> tuple[tuple[Policy, ...], tuple[Diagnostic, ...]]:
    """parse, and every promise about its answer."""
    started = time.process_time()
    policies, findings = parse(snapshot_of(files))
    assert time.process_time() - started < 5
    assert policies or findings or refused_as_vacant(files)
    for policy in policies:
        assert policy.at("timeout").line >= policy.location.line
        assert len(policy.positions.keys) + 1 == len(policy.positions.values)
    for diagnostic in findings:
        assert diagnostic.at is None or (diagnostic.at.line >= 1 and diagnostic.at.column >= 1)
        assert len(diagnostic.message) < 1000
    return policies, findings


@given(st.binary(max_size=400))
@settings(max_examples=300, deadline=None)
def test_Y21_any_bytes(content: bytes) -> None:
    run({"a.yaml": content})


@given(st.lists(st.sampled_from(TOKENS), max_size=60))
@settings(max_examples=600, deadline=None)
def test_Y21_anything_made_of_yaml(tokens: list[str]) -> None:
    run({"a.yaml": "".join(tokens)})


@pytest.mark.parametrize("flaw", [b"", b"\x00", b"[", b'"', b"\n: ", b"\xff"])
def test_Y21_cut_or_spoilt_at_every_byte(flaw: bytes) -> None:
    content = SAMPLE.encode()
    for end in range(len(content)):
        run({"a.yaml": content[:end] + flaw + (content[end:] if flaw else b"")})


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["name", "value", "disabled", "number", "spec", "all", "x"]), inner, max_size=4
        )
    ),
    max_leaves=12,
)
FIELDS = [
    "timeout",
    "retries",
    "split",
    "headers",
    "tls",
    "matches",
    "destinations",
    "mirror",
    "loadBalancing",
    "sources",
    "rules",
    "priority",
]


@given(
    kind=st.sampled_from(["TrafficPolicy", "AccessPolicy", "VirtualMesh", "Adoption"]),
    spec=st.dictionaries(st.sampled_from(FIELDS), JSON, max_size=4),
)
@settings(max_examples=300, deadline=None)
def test_Y21_any_structure_in_any_field(kind: str, spec: dict[str, Any]) -> None:
    document = {"apiVersion": "gitmesh.io/v1alpha1", "kind": kind, "metadata": {"name": "a"}, "spec": spec}
    policies, findings = run({"a.yaml": yaml.safe_dump(document, allow_unicode=True)})
    assert not policies or not findings


def shuffled(value: object, chance: random.Random) -> object:
    """The same mappings with their keys in another order; lists as they are."""
    if isinstance(value, list):
        return [shuffled(item, chance) for item in value]
    if not isinstance(value, dict):
        return value
    items = [(key, shuffled(item, chance)) for key, item in value.items()]
    chance.shuffle(items)
    return dict(items)


def meaning(files: Mapping[str, str | bytes]) -> list[tuple[str, object, str]]:
    policies, _ = run(files)
    return [(policy.id, policy.spec, policy.digest) for policy in policies]


@given(st.randoms(use_true_random=False))
@settings(max_examples=60, deadline=None)
def test_order_of_files_documents_and_keys_never_matters(chance: random.Random) -> None:
    documents = [yaml.safe_load(SAMPLE.replace("name: reviews,", f"name: r{number},")) for number in range(5)]
    before = meaning({"all.yaml": yaml.safe_dump_all(documents)})
    assert len(before) == 5
    mixed = [shuffled(document, chance) for document in documents]
    chance.shuffle(mixed)
    cut = chance.randrange(6)
    halves = {
        "b.yaml": yaml.safe_dump_all(mixed[:cut], sort_keys=False),
        "a.yaml": yaml.safe_dump_all(mixed[cut:], sort_keys=False),
    }
    assert meaning(halves) == before


@given(st.lists(st.sampled_from(TOKENS), max_size=30))
@settings(max_examples=150, deadline=None)
def test_an_error_stays_in_its_file(tokens: list[str]) -> None:
    policies, findings = run({"bad.yaml": "".join(tokens), "good.yaml": SAMPLE})
    assert [policy.id for policy in policies] == ["TrafficPolicy/shop/reviews"]
    assert {d.at.path for d in findings if d.at} <= {"bad.yaml"}
    assert all(d.at for d in findings)


SCALARS = st.text("0123456789_+-.:eExXoObBnNaAyYsSiIfFtTzZ~lLuUrR", max_size=12)


@given(SCALARS)
@settings(max_examples=3000, deadline=None)
def test_Y08_what_is_accepted_reads_alike_in_yaml_1_1_and_1_2(text: str) -> None:
    try:
        first = yaml.load(f"- {text}", yaml.CSafeLoader)
        second = YAML(typ="safe", pure=True).load(f"- {text}")
    except (yaml.YAMLError, YAMLError, ValueError):
        return
    documents = read(f"- {text}".encode(), "f").documents
    if documents and not documents[0].findings:
        ours = documents[0].data
        assert repr(ours) == repr(first) == repr(second)


@given(st.text("abcdefghij-/.", min_size=1, max_size=12))
def test_Y08_ordinary_words_are_accepted(text: str) -> None:
    assert resolve(text) == text or isinstance(resolve(text), Refusal) == (
        text.strip("-+").lower() in (".inf", ".nan")
    )


@given(JSON)
@settings(max_examples=300, deadline=None)
def test_G7_equal_to_the_reference_loader_where_nothing_is_refused(value: Any) -> None:
    text = yaml.safe_dump(value, allow_unicode=True)
    parsed = read(text.encode(), "f")
    if parsed.documents and not parsed.findings and not parsed.documents[0].findings:
        assert parsed.documents[0].data == yaml.load(io.StringIO(text), yaml.CSafeLoader)
