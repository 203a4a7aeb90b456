"""YAML as GitMesh writes it, and as it reads what others wrote."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from gitmesh.yaml_documents import DocumentError, read_documents
from gitmesh.yaml_text import dump, dump_all

odd = st.text(alphabet=" \n\t#:-{}[]'\"|>%@`!&*?,=~abyn01.+eEx_/<", max_size=12)
words = st.sampled_from(
    [
        "on",
        "Off",
        "~",
        "null",
        "1:2",
        "0x1f",
        "1e3",
        "-",
        "---",
        "...",
        "=",
        "<<",
        "2024-01-01",
        "a: b",
        "a #b",
        ".inf",
        "5s",
        "0o7",
    ]
)
texts = st.text(max_size=30) | odd | words
scalars = st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False) | texts
documents = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=20,
)


@settings(deadline=None, max_examples=400)
@given(documents)
def test_any_reader_gets_the_document_back(document: Any) -> None:
    text = dump(document)
    assert yaml.load(text, yaml.CSafeLoader) == document
    assert read_documents(text)[0].value == document


@settings(deadline=None)
@given(st.lists(documents, min_size=1, max_size=4))
def test_several_documents(found: list[Any]) -> None:
    assert [document.value for document in read_documents(dump_all(found))] == found


@given(st.dictionaries(texts, scalars, max_size=6))
def test_order_of_keys_does_not_change_the_text(document: dict[str, Any]) -> None:
    assert dump(dict(reversed(document.items()))) == dump(document)


def test_pleasant_for_people() -> None:
    body = {
        "spec": {"hosts": ["reviews"], "timeout": "5s", "note": "one\ntwo\n", "flag": "no", "none": []},
        "metadata": {"name": "reviews"},
        "kind": "VirtualService",
        "apiVersion": "networking.istio.io/v1",
    }
    assert (
        dump(body)
        == "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata:\n  name: reviews\nspec:\n"
        '  flag: "no"\n  hosts:\n  - reviews\n  none: []\n  note: |\n    one\n    two\n  timeout: 5s\n'
    )


def test_invisible_characters_are_shown() -> None:
    assert dump("a\u202eb\u200bc") == '"a\\u202eb\\u200bc"\n'


@pytest.mark.parametrize("value", [{1: 2}, object(), {"a": b"x"}])
def test_what_is_no_document_is_a_bug(value: object) -> None:
    with pytest.raises(TypeError):
        dump(value)


def test_kubernetes_reading_of_plain_scalars() -> None:
    text = (
        "a: 2024-01-01\nb: 12:30\nc: yes\nd: 0x1f\ne: 010\nf: 1e3\ng: .inf\nh: ~\ni: '1'\n1: j\nk:"
        " 99999999999999999999\n"
    )
    assert read_documents(text)[0].value == {
        "a": "2024-01-01",
        "b": "12:30",
        "c": True,
        "d": 31,
        "e": 8,
        "f": 1000.0,
        "g": float("inf"),
        "h": None,
        "i": "1",
        "1": "j",
        "k": 1e20,
    }


@settings(deadline=None)
@given(st.from_regex(r"[-+]?0[box]?[_01.ef]{0,4}", fullmatch=True))
def test_Y05_whatever_looks_like_a_number_is_read(text: str) -> None:
    assert isinstance(read_documents(f"a: {text}")[0].value["a"], int | float | str)


def test_a_prefix_without_digits_is_text() -> None:
    assert read_documents("[0b_, -0x_, 0o__, 0b_1, 0x_f, 0o_7, 0_]")[0].value == [
        "0b_",
        "-0x_",
        "0o__",
        1,
        15,
        7,
        0,
    ]


def test_aliases_and_merge_keys() -> None:
    assert read_documents("a: &x {b: 1, c: 2}\nd: {<<: *x, c: 3}\ne: *x\n")[0].value == {
        "a": {"b": 1, "c": 2},
        "d": {"b": 1, "c": 3},
        "e": {"b": 1, "c": 2},
    }


BOMB = "a0: &a0 [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"a{i}: &a{i} [{','.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 12)
)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("a: [", "well-formed"),
        ("[" * 60_000, "levels"),
        (f"a: &a {'[' * 60}{']' * 60}\nb: {'[' * 60}*a{']' * 60}", "levels"),
        (BOMB, "nodes"),
        ("a: &x [*x]", "alias"),
        ("a: !!python/object:os.system x", "tag"),
        ("\x00", "character"),
        ("a: 1\na: 2", "twice"),
        ("? [a]\n: b", "not text"),
        ("<<: 3", "merge"),
    ],
)
def test_Y05_hostile_yaml_is_refused(text: str, reason: str) -> None:
    with pytest.raises(DocumentError, match=reason):
        read_documents(text)
