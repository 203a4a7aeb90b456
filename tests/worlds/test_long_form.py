"""The long form goes on where it was ended."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.worlds import __main__ as command


def test_what_was_done_is_not_done_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    state, played = tmp_path / "worlds.jsonl", list[int]()

    def play(portion: command.Portion) -> command.Portion:
        played.append(portion.first)
        wrong = {"150": ["something"]} if portion.first == 100 else {}
        return command.Portion(portion.first, portion.seeds, wrong, {"moments": portion.seeds})

    monkeypatch.setattr(command, "play", play)
    assert command.main(["250", "--state", str(state)]) == 1
    assert played == [0, 100, 200]
    state.write_text(state.read_text()[:-20])  # the last one was being written when it was killed
    assert command.main(["250", "--state", str(state)]) == 1
    assert played == [0, 100, 200, 200]
    last = capsys.readouterr().out.splitlines()[-1]
    assert last == "250 worlds, 1 wrong; {'moments': 250}"
