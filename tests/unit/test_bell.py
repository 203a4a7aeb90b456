"""Work in a thread of its own: rung for often it is one round, and never twice within a moment."""

from __future__ import annotations

import time
from collections.abc import Iterator
from threading import Event

import pytest

from gitmesh.agent import bell
from gitmesh.agent.bell import Bell
from tests.lab.process import wait_until


class Rounds:
    """Work that can be stopped midway; each round ends when it is let."""

    def __init__(self, pause: float = 3600.0) -> None:
        self.begun, self.pause = 0, pause
        self.go = Event()
        self.go.set()

    def __call__(self) -> float:
        self.begun += 1
        self.go.wait(30)
        return self.pause


@pytest.fixture
def rounds(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Rounds, Bell]]:
    assert bell.LEAST_PAUSE == 1.0
    monkeypatch.setattr(bell, "LEAST_PAUSE", 0.05)
    work = Rounds()
    made = Bell("test", work, time.monotonic)
    made.start()
    yield work, made
    work.go.set()
    made.close()


def test_it_begins_at_once_and_rings_are_answered_long_before_the_interval(
    rounds: tuple[Rounds, Bell],
) -> None:
    work, made = rounds
    wait_until(lambda: work.begun == 1, "the first round", 20)
    made.ring()
    wait_until(lambda: work.begun == 2, "the round that was rung for", 20)


def test_many_rings_during_a_round_are_one_more(rounds: tuple[Rounds, Bell]) -> None:
    work, made = rounds
    work.go.clear()
    made.ring()
    wait_until(lambda: work.begun >= 1, "a round", 20)
    for _ in range(100):
        made.ring()
    work.go.set()
    wait_until(lambda: work.begun >= 2, "one more", 20)
    before = work.begun
    made.ring()
    wait_until(lambda: work.begun > before, "the next one that is rung for", 20)
    assert work.begun <= 4


def test_a_short_pause_needs_no_ring(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bell, "LEAST_PAUSE", 0.01)
    work = Rounds(pause=0.0)
    made = Bell("test", work, time.monotonic)
    made.start()
    wait_until(lambda: work.begun >= 3, "three rounds", 20)
    made.close()
