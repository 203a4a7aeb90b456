"""The main job on two real API servers, as `python -m tests.lab.transcript` shows it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.lab.apiserver import ApiServer
from tests.lab.story import LabStory

pytestmark = pytest.mark.lab


def test_sync_heal_adopt_prune_guard_and_a_server_that_stops_or_hangs(
    apiserver_pair: tuple[ApiServer, ApiServer], tmp_path: Path
) -> None:
    lines: list[str] = []
    marks = [server.audit_mark() for server in apiserver_pair]
    LabStory(tmp_path, apiserver_pair, lines.append).tell()
    for server, mark in zip(apiserver_pair, marks, strict=True):
        asked = [event for event in server.audit_events(mark) if event.user_agent.startswith("gitmesh/")]
        assert asked
        assert not [
            event for event in asked if event.resource == "secrets" or event.verb == "deletecollection"
        ]
        assert not [
            event
            for event in asked
            if event.verb == "delete" and not (event.request_object or {}).get("preconditions", {}).get("uid")
        ]
    text = "\n".join(lines)
    assert "(exit code 3)" in text
    assert "Traceback" not in text
