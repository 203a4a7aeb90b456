"""The audit log is read while its server writes it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.lab.audit import end_of_lines, read_events

LINE = json.dumps({"verb": "get", "requestURI": "/version"}).encode() + b"\n"
LONG = json.dumps({"verb": "create", "requestURI": "/" + "x" * 200_000}).encode() + b"\n"


@pytest.mark.parametrize("before", [b"", LINE, LINE + LONG, LONG])
@pytest.mark.parametrize("there", [0, 1, 20, 100_000, 150_000])
def test_mark_beside_a_half_written_line_is_where_that_line_begins(
    before: bytes, there: int, tmp_path: Path
) -> None:
    log = tmp_path / "audit.log"
    log.write_bytes(before + LONG[:there])
    mark = end_of_lines(log)
    log.write_bytes(before + LONG + LINE)
    assert mark == len(before)
    assert [event.verb for event in read_events(log, mark)] == ["create", "get"]


def test_log_that_is_not_there_yet_is_marked_at_its_beginning(tmp_path: Path) -> None:
    assert end_of_lines(tmp_path / "audit.log") == 0
    assert read_events(tmp_path / "audit.log") == []
