"""YAML -> documents: what is refused, where, and that nothing crashes (docs/reliability.md#yaml)."""

from __future__ import annotations

import time

import pytest

from gitmesh.parsing.nodes import MAX_DEPTH, MAX_DOCUMENTS, MAX_FINDINGS
from gitmesh.parsing.reading import MAX_FILE_BYTES, read
from gitmesh.parsing.scalars import resolve

Found = tuple[str, int, int]


def found(content: str | bytes) -> list[Found]:
    parsed = read(content.encode() if isinstance(content, str) else content, "f.yaml", "s")
    every = [*parsed.findings, *(d for document in parsed.documents for d in document.findings)]
    assert all(d.at and d.at.path == "f.yaml" and d.at.source == "s" for d in every)
    return [(d.code, d.at.line, d.at.column) for d in every if d.at]


def texts(content: str) -> str:
    parsed = read(content.encode(), "f.yaml")
    every = [*parsed.findings, *(d for document in parsed.documents for d in document.findings)]
    return "\n".join(f"{d.message} | {d.hint}" for d in every)


def data(content: str | bytes) -> list[object]:
    parsed = read(content.encode() if isinstance(content, str) else content, "f.yaml")
    assert not parsed.findings
    assert not any(document.findings for document in parsed.documents)
    return [document.data for document in parsed.documents]


def test_values_are_those_of_json() -> None:
    text = 'a: {b: [1, -2, 0, 1.5, true, false, text, "true", "1"], "on": plain}\nc: |\n  block\n'
    assert data(text) == [
        {"a": {"b": [1, -2, 0, 1.5, True, False, "text", "true", "1"], "on": "plain"}, "c": "block\n"}
    ]


def test_positions_of_every_key_and_value() -> None:
    positions = read(b"a:\n- b: 1\n  c: {d: x}\n- y\n", "f.yaml", "s").documents[0].positions
    assert dict(positions.keys) == {
        ("a",): (1, 1),
        ("a", 0): (2, 3),
        ("a", 0, "b"): (2, 3),
        ("a", 0, "c"): (3, 3),
        ("a", 0, "c", "d"): (3, 7),
        ("a", 1): (4, 3),
    }
    assert dict(positions.values) == {
        (): (1, 1),
        ("a",): (2, 1),
        ("a", 0): (2, 3),
        ("a", 0, "b"): (2, 6),
        ("a", 0, "c"): (3, 6),
        ("a", 0, "c", "d"): (3, 10),
        ("a", 1): (4, 3),
    }
    assert len(positions.keys) == 6
    assert ("a", 7) not in positions.values
    assert str(positions.at(("a", 0, "zzz"))) == "f.yaml:2:3"


def test_columns_count_characters_not_bytes() -> None:
    assert found('é: {ü: "ä", b: no}') == [("GM105", 1, 16)]


def test_Y01_duplicate_key_names_both_lines() -> None:
    assert found("spec:\n  a: 1\n  b: 2\n  a: 2\n") == [("GM104", 4, 3)]
    assert "first is in line 2" in texts("spec:\n  a: 1\n  b: 2\n  a: 2\n")
    assert found("spec: {a: 1, a: 2}") == [("GM104", 1, 14)]


def test_Y01_three_of_one_key_and_one_that_looks_like_our_replacement() -> None:
    assert [code for code, _, _ in found('a: 1\n"a\\0": 2\na: 3\n"a\\0\\0": 4\na: 5\n')] == [
        "GM107",
        "GM104",
        "GM107",
        "GM104",
    ]
    document = read(b'a: 1\n"a\\0": 2\na: 3\na: {x: 5}\n', "f.yaml").documents[0]
    assert len(document.data) == 4
    assert len(document.positions.values) == 6


def test_Y02_alias_bomb_is_refused_at_once() -> None:
    levels = ["a0: &a0 [x]"] + [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 10)]
    started = time.process_time()
    codes = {code for code, _, _ in found("\n".join(levels))}
    assert codes <= {"GM102", "GM103"}
    assert "GM102" in codes
    assert time.process_time() - started < 5


def test_Y03_merge_bomb_is_refused_at_once() -> None:
    levels = ["a0: &a0 {k: v}"] + [f"a{n}: &a{n} {{<<: [*a{n - 1}, *a{n - 1}]}}" for n in range(1, 26)]
    started = time.process_time()
    assert {code for code, _, _ in found("\n".join(levels))} <= {"GM102", "GM103"}
    assert time.process_time() - started < 5


def test_Y04_cycle_is_refused() -> None:
    assert ("GM102", 1, 4) in found("a: &a [*a]")


@pytest.mark.parametrize(
    "bomb",
    ["[" * 30_000 + "]" * 30_000, "- " * 100_000, "a: " + "{a: " * 1200 + "1" + "}" * 1200, "[" * 250_000],
)
def test_Y05_nested_brackets_stop_at_the_limit(bomb: str) -> None:
    assert [(code, line) for code, line, _ in found(bomb)] == [("GM103", 1)]


def test_Y05_nested_keys_and_nested_blocks() -> None:
    assert found("? " * 100_000) == [("GM106", 1, 3)]
    assert found("{" * 250_000) == [("GM106", 1, 2)]
    blocks = "".join("  " * n + "a:\n" for n in range(MAX_DEPTH + 1))
    assert found(blocks + "  " * (MAX_DEPTH + 1) + "b: 1\n")[0][:2] == ("GM103", MAX_DEPTH + 1)


def test_Y05_the_limit_itself_is_allowed() -> None:
    assert data("[" * MAX_DEPTH + "]" * MAX_DEPTH)
    assert found("[" * (MAX_DEPTH + 1) + "]" * (MAX_DEPTH + 1)) == [("GM103", 1, MAX_DEPTH + 1)]


@pytest.mark.parametrize(
    "word", ["no", "No", "NO", "yes", "on", "off", "y", "N", "True", "FALSE", "~", "Null", "NULL"]
)
def test_Y06_words_that_are_booleans_to_some(word: str) -> None:
    assert found(f"mtls: {word}") == [("GM105", 1, 7)]
    assert found(f"{word}: x") == [("GM106", 1, 1)]
    assert "quote it" in texts(f"{word}: x")
    assert data(f'mtls: "{word}"') == [{"mtls": word}]


@pytest.mark.parametrize("value", ["", "null"])
def test_Y06_no_value_says_to_leave_the_field_out(value: str) -> None:
    assert [code for code, _, _ in found(f"key: {value}")] == ["GM203"]
    assert "leave the field out" in texts(f"key: {value}")
    assert [code for code, _, _ in found("- \n- x")] == ["GM203"]


@pytest.mark.parametrize("value", ["12:30:45", "1:1", "12:30", "-1:30", "190:20:30.15"])
def test_Y07_base_60(value: str) -> None:
    assert found(f"t: {value}") == [("GM105", 1, 4)]


@pytest.mark.parametrize(
    "value",
    [
        "010",
        "08",
        "0o10",
        "0x1F",
        "0b11",
        "1_000",
        "+1",
        "-0",
        "1.",
        ".5",
        "+1.5",
        "-.5",
        "1e3",
        "1.5e3",
        "00",
        "-_0",
    ],
)
def test_Y08_numbers_that_parsers_read_differently(value: str) -> None:
    assert found(f"w: {value}") == [("GM105", 1, 4)]


@pytest.mark.parametrize(
    "value",
    [
        "9" * 5000,
        "18446744073709551616",
        "9223372036854775808",
        "-9223372036854775809",
        "0.12345678901234567",
    ],
)
def test_Y09_numbers_beyond_64_bits(value: str) -> None:
    assert found(f"w: {value}") == [("GM105", 1, 4)]
    assert value not in texts(f"w: {value}") or len(value) < 64


def test_Y09_the_bounds_themselves() -> None:
    assert data("[9223372036854775807, -9223372036854775808]") == [[2**63 - 1, -(2**63)]]


@pytest.mark.parametrize("value", [".nan", ".NaN", ".inf", "-.inf", "+.Inf", "1.0e+999999", "-0.0"])
def test_Y10_no_number_at_all(value: str) -> None:
    assert found(f"w: {value}") == [("GM105", 1, 4)]


@pytest.mark.parametrize("value", ["2024-01-01", "2024-02-30", "2024-01-01T00:00:00Z", "2024-1-1 10:00:00"])
def test_Y11_dates(value: str) -> None:
    assert found(f"v: {value}") == [("GM105", 1, 4)]


def test_Y12_a_version_stays_a_number_so_that_a_text_field_refuses_it() -> None:
    assert data("v: 1.10") == [{"v": 1.1}]
    assert data('v: "1.10"') == [{"v": "1.10"}]


@pytest.mark.parametrize(
    "value",
    [
        "5s",
        "250ms",
        "10.0.0.0/8",
        "1.2.3.4",
        "5xx",
        "v1",
        "-x",
        "nope",
        "yesterday",
        "8080:80",
        "10Mi",
        ".hidden",
        "2024",
    ],
)
def test_plain_values_that_every_parser_reads_alike(value: str) -> None:
    assert resolve(value) == (2024 if value == "2024" else value)


@pytest.mark.parametrize(
    "value",
    ["!!python/object/apply:os.system [id]", "!!set {a, b}", "!!binary aGk=", "!foo bar", "! x", "!!str 5"],
)
def test_Y13_tags(value: str) -> None:
    assert ("GM102", 1, 4) in found(f"a: {value}") or ("GM102", 1, 4 + value.index(" ") + 1) in found(
        f"a: {value}"
    )
    assert [code for code, _, _ in found("!foo a: 1")] == ["GM102"]


@pytest.mark.parametrize("directive", ["%TAG ! tag:yaml.org,2002:python/", "%YAML 1.2", "%YAML 1.1"])
def test_Y14_directives(directive: str) -> None:
    assert found(f"{directive}\n---\na: 1\n") == [("GM102", 1, 1)]


@pytest.mark.parametrize("content", ["", "\n\n", "# only\n# comments\n", "---\n---\n# c\n---\n"])
def test_Y15_empty_documents_are_skipped(content: str) -> None:
    assert data(content) == []


def test_Y15_a_broken_document_among_good_ones() -> None:
    parsed = read(b"a: 1\n---\nb: 2\n---\nc: [\n---\nd: 4\n", "f.yaml")
    assert [document.data for document in parsed.documents] == [{"a": 1}, {"b": 2}]
    assert [(d.code, d.at.line) for d in parsed.findings if d.at] == [("GM101", 6)]


def test_Y15_documents_are_limited() -> None:
    assert len(data("---\na: 1\n" * MAX_DOCUMENTS)) == MAX_DOCUMENTS
    assert found("---\n" * 10_000) == [("GM103", MAX_DOCUMENTS + 1, 1)]


@pytest.mark.parametrize(
    ("content", "place"),
    [
        (b"\xff\xfea\x00:\x00 \x001\x00", (1, 1)),
        (b"\xfe\xff\x00a", (1, 1)),
        (b"a: 1\nb: \xe9\n", (2, 4)),
        ("é: ".encode() + b"\xff", (1, 4)),
        (b"a: 1\nb: x\x00y\n", (2, 5)),
        (b"a: \x1b[31m", (1, 4)),
        ("a: x\u202ey".encode(), (1, 5)),
        ("na\u200bme: x".encode(), (1, 3)),
        ("a: \ufeffx".encode(), (1, 4)),
        ("# \u2066 comment".encode(), (1, 3)),
        (b"a: x\rb: y\n", (1, 5)),
        (b'a: "\\ud800"', (1, 7)),
        (b'a: "\\0"', (1, 4)),
        (b'a: "x\\u202e"', (1, 4)),
        (b'"k\\0": x', (1, 1)),
    ],
)
def test_Y16_bytes_and_characters_that_hide_content(content: bytes, place: tuple[int, int]) -> None:
    assert found(content) == [("GM107", *place)]


def test_Y16_a_byte_order_mark_at_the_beginning_is_harmless() -> None:
    assert data(b"\xef\xbb\xbfa: 1\r\nb: 2\r\n") == [{"a": 1, "b": 2}]


def test_Y16_several_in_one_file_are_all_named() -> None:
    assert found("a: \u200b\nb: \u202e\n") == [("GM107", 1, 4), ("GM107", 2, 4)]


@pytest.mark.parametrize("separator", ["\x85", "\u2028", "\u2029", "\x9b"])
def test_Y17_line_separators_that_reviewers_do_not_see(separator: str) -> None:
    assert found(f"a: b{separator}c: d") == [("GM107", 1, 5)]


def test_Y18_keys_that_are_not_text() -> None:
    assert found('1: a\n"1": b\ntrue: c\n') == [("GM106", 1, 1), ("GM104", 2, 1), ("GM106", 3, 1)]
    assert found("{? [a] : b}") == [("GM106", 1, 4)]
    assert found("? {a: 1}\n: b") == [("GM106", 1, 3)]
    assert found("1.5: a") == [("GM106", 1, 1)]


@pytest.mark.parametrize(
    ("content", "expected", "hint"),
    [
        ("host: *.example.com", ("GM101", 1, 7), "quote the wildcard"),
        ("host: *example", ("GM102", 1, 7), "quote text that begins with *"),
        ("a:\n\tb: 1", ("GM101", 2, 1), "indent with spaces"),
        ("a: b: c", ("GM101", 1, 5), "quote a value"),
        ("<<: 5", ("GM102", 1, 1), "write the fields out"),
        ("a: <<", ("GM105", 1, 4), "quote it"),
        ("a: @x", ("GM101", 1, 4), "quote the value"),
        ('a: "x\nb: 1', ("GM101", 1, 4), "close it"),
        ("x: 1\na: [1, 2", ("GM101", 2, 4), "close it"),
        ("a:\n  b: 1\n c: 2", ("GM101", 3, 2), "align"),
    ],
)
def test_Y19_mistakes_of_syntax_have_a_place_and_a_hint(content: str, expected: Found, hint: str) -> None:
    assert found(content) == [expected]
    assert hint in texts(content)


def test_Y19_the_excerpt_is_the_line_with_hidden_characters_shown() -> None:
    parsed = read("a: 1\nb: x\u202ey\n".encode(), "f.yaml")
    assert [d.excerpt for d in parsed.findings] == ["b: x\ufffdy"]


def test_Y20_large_files_are_refused_before_they_are_read() -> None:
    started = time.process_time()
    assert found("- a\n" * 262_144) == [("GM103", 1, 1)]
    assert time.process_time() - started < 5
    largest = b"a" * (MAX_FILE_BYTES - 3)
    assert data(b"- " + largest + b"\n")


def test_Y20_the_largest_list_is_quick() -> None:
    started = time.process_time()
    assert data("- a\n" * (MAX_FILE_BYTES // 4))
    assert time.process_time() - started < 5


def test_findings_of_one_file_are_limited() -> None:
    started = time.process_time()
    every = found("x: [" + "a, " * 20_000 + "]\n" + "x: no\n" * 20_000)
    assert len(every) == MAX_FINDINGS + 1
    assert [code for code, _, _ in every[-2:]] == ["GM105", "GM103"]
    assert len(found("---\na: no\n" * 99)) == 99
    assert time.process_time() - started < 5


def test_findings_before_a_syntax_error_are_kept() -> None:
    assert found("a: no\n---\nb: yes\nc: [\n") == [("GM105", 3, 4), ("GM101", 4, 4), ("GM105", 1, 4)]
