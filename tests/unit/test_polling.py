"""Sources that are asked beside the cycles: none is waited for, each at its own interval, all told when they
are silent.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from threading import Barrier, Event

import pytest

from gitmesh.adapters import polling
from gitmesh.adapters.begun import Begun, side_by_side
from gitmesh.adapters.polling import JITTER, PATIENCE, Polled, pause
from gitmesh.errors import SourceError
from gitmesh.model.snapshot import Snapshot
from tests.factories import snapshot_of
from tests.lab.process import wait_until

A, B, C = ("a" * 40, "b" * 40, "c" * 40)


class Fake:
    """A remote with a copy. `answers` are what its fetches return or raise, in turn, the last one for
    ever.
    """

    def __init__(self, *answers: Snapshot | Exception, name: str = "policies") -> None:
        self.name = name
        self.answers = list(answers)
        self.copy: dict[str, Snapshot] = {}
        self.remote: dict[str, Snapshot] = {}
        self.answering = Event()
        self.answering.set()
        self.hangs_from = 0
        self.fetches = self.reads = 0
        self.recorded = ""
        self.descent: bool | None = None

    def fetch(self) -> Snapshot:
        self.fetches += 1
        if self.fetches == self.hangs_from:
            self.answering.clear()
        self.ask()
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    def ask(self) -> None:
        if not self.answering.wait(30):
            raise SourceError("the test has not let it answer")

    def recall(self, commit: str) -> Snapshot | None:
        return self.copy.get(commit)

    def read(self, commit: str) -> Snapshot:
        self.reads += 1
        self.ask()
        if commit not in self.remote:
            raise SourceError("it is gone")
        self.copy[commit] = self.remote[commit]
        return self.copy[commit]

    def follows(self, tip: str, ancestor: str) -> bool | None:
        return self.descent

    def descends(self, tip: str, ancestor: str) -> bool:
        self.ask()
        self.descent = True
        return True

    def leads_to(self, commit: str) -> bool:
        return commit in self.copy

    def accept(self, commit: str) -> None:
        self.recorded = commit

    def accepted(self) -> str:
        return self.recorded

    def abandon(self) -> None:
        self.answering.set()


class Clock:
    """Time that passes when it is told to."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def tip(commit: str) -> Snapshot:
    return snapshot_of({}, commit=commit)


def no_news() -> None:
    """Nobody asks."""


@pytest.fixture
def started() -> Iterator[Callable[..., Polled]]:
    """Begins to poll a source, and ends that."""
    made: list[Polled] = []

    def start(source: Fake, news: Callable[[], None] = no_news, **more: object) -> Polled:
        # Keywords of Polled.
        polled = Polled(source, **{"interval": 3600.0, **more})  # type: ignore[arg-type]
        made.append(polled)
        polled.start(news)
        return polled

    yield start
    for polled in made:
        polled.close()


# --- when


@pytest.mark.parametrize(
    ("interval", "failures", "expected"),
    [
        (1, 0, 1),
        (1, 1, 1),
        (1, 2, 2),
        (1, 3, 4),
        (1, 4, 8),
        (1, 50, 8),
        (30, 4, 240),
        (60, 4, 300),
        (60, 9, 300),
        (3600, 9, 3600),
    ],
)
def test_a_source_that_fails_is_asked_less_and_less_often_but_never_before_its_interval(
    interval: float, failures: int, expected: float
) -> None:
    assert pause(interval, failures, 0.0) == expected
    assert pause(interval, failures, 1.0) == pytest.approx(expected * (1 + JITTER))


def test_the_interval_is_from_poll_to_poll_and_after_a_failure_from_its_end() -> None:
    clock = Clock()
    source = Fake(tip(A))
    polled = Polled(source, interval=30.0, clock=clock, jitter=lambda: 0.0)

    def slow() -> Snapshot:
        clock.now += 4
        return tip(A)

    source.fetch = slow  # type: ignore[method-assign]
    assert polled.poll() == 26.0

    def failing() -> Snapshot:
        clock.now += 60
        raise SourceError("no answer")

    source.fetch = failing  # type: ignore[method-assign]
    assert [polled.poll(), polled.poll(), polled.poll()] == [30.0, 60.0, 120.0]
    source.fetch = slow  # type: ignore[method-assign]
    assert polled.poll() == 26.0


def test_each_source_is_polled_at_its_own_interval(started: Callable[..., Polled]) -> None:
    often, seldom = Fake(tip(A)), Fake(tip(B))
    started(often, interval=0.01)
    polled = started(seldom)
    wait_until(lambda: often.fetches > 20, "many polls", 20)
    assert seldom.fetches == 1
    assert polled.fetch().commit == B, "between polls the last answer counts"


# --- what a cycle gets


def test_the_last_answer_is_given_while_the_next_one_is_awaited(started: Callable[..., Polled]) -> None:
    clock, source = Clock(), Fake(tip(A))
    source.hangs_from = 2
    polled = started(source, clock=clock, interval=0.0)
    wait_until(lambda: source.fetches == 2, "the second poll", 20)
    kept = polled.fetch()
    clock.now += PATIENCE - 1
    assert polled.fetch() is kept
    clock.now += 1
    with pytest.raises(SourceError, match="no answer within 10 s"):
        polled.fetch()


def test_a_failure_is_told_until_the_source_answers_again() -> None:
    source = Fake(tip(A), SourceError("no route"), tip(B))
    polled = Polled(source, interval=5.0)
    polled.poll()
    polled.poll()
    for _ in range(2):
        with pytest.raises(SourceError, match="no route"):
            polled.fetch()
    polled.poll()
    assert polled.fetch().commit == B


def test_a_defect_is_told_of_its_source_alone_and_not_in_its_own_words() -> None:
    polled = Polled(Fake(ZeroDivisionError("a secret of the remote")), interval=5.0)
    polled.poll()
    with pytest.raises(
        SourceError, match=r"a defect of GitMesh ended the reading: ZeroDivisionError at test_polling\.py"
    ) as raised:
        polled.fetch()
    assert "secret" not in str(raised.value)


def test_a_first_cycle_waits_for_the_first_answer(started: Callable[..., Polled]) -> None:
    source = Fake(tip(A))
    source.answering.clear()
    polled = started(source)
    wait_until(lambda: bool(source.fetches), "the first poll", 20)
    source.answering.set()
    assert polled.fetch().commit == A


def test_but_not_for_ever(started: Callable[..., Polled]) -> None:
    clock, source = Clock(), Fake(tip(A))
    source.answering.clear()
    polled = started(source, clock=clock)
    clock.now += PATIENCE
    with pytest.raises(SourceError, match="no answer within 10 s"):
        polled.fetch()


def test_what_the_copy_has_is_read_while_the_remote_is_silent(started: Callable[..., Polled]) -> None:
    source = Fake(tip(A))
    source.copy[C], source.descent = tip(C), True
    source.answering.clear()
    polled = started(source)
    assert polled.read(C).commit == C
    assert polled.descends(B, C)
    assert source.reads == 0


def test_what_the_copy_lacks_is_asked_for_beside_the_cycles_once_between_two_polls(
    started: Callable[..., Polled],
) -> None:
    clock, source, heard = Clock(), Fake(tip(A)), list[int]()
    polled = started(source, lambda: heard.append(1), clock=clock)
    wait_until(lambda: bool(heard), "the first answer", 20)
    clock.now += PATIENCE
    with pytest.raises(SourceError, match="not in the local copy"):
        polled.read(C)
    wait_until(lambda: len(heard) == 2, "news of the refusal", 20)
    for _ in range(3):
        with pytest.raises(SourceError, match="it is gone"):
            polled.read(C)
    assert source.reads == 1
    source.remote[B] = tip(B)
    with pytest.raises(SourceError):
        polled.read(B)
    wait_until(lambda: len(heard) == 3, "news of the commit", 20)
    assert polled.read(B).commit == B


def test_ancestry_that_the_copy_cannot_tell_is_no_until_it_was_mended(started: Callable[..., Polled]) -> None:
    clock, source, heard = Clock(), Fake(tip(A)), list[int]()
    polled = started(source, lambda: heard.append(1), clock=clock)
    wait_until(lambda: bool(heard), "the first answer", 20)
    clock.now += PATIENCE
    assert not polled.descends(A, C)
    wait_until(lambda: len(heard) == 2, "the mended copy", 20)
    assert polled.descends(A, C)


def test_news_are_another_tip_a_failure_and_the_end_of_it(started: Callable[..., Polled]) -> None:
    first, second = tip(A), tip(B)
    answers: list[Snapshot | Exception] = [
        first,
        first,
        second,
        SourceError("x"),
        SourceError("x"),
        second,
        second,
    ]
    source, heard = Fake(*answers), list[int]()
    source.hangs_from = len(answers) + 1
    started(source, lambda: heard.append(source.fetches), interval=0.0)
    wait_until(lambda: source.fetches > len(answers), "all answers", 20)
    assert heard == [1, 3, 4, 6]


def test_closing_ends_the_poll_under_way_and_that_is_no_failure(started: Callable[..., Polled]) -> None:
    source, heard = Fake(tip(A), SourceError("ended")), list[int]()
    polled = started(source, lambda: heard.append(1), interval=0.01)
    wait_until(lambda: bool(heard), "the first answer", 20)
    source.answering.clear()
    polled.close()
    assert polled.fetch().commit == A


# --- one run


def test_sources_are_read_at_the_same_time_and_folders_as_ever() -> None:
    meeting = Barrier(3, timeout=20)

    class Meeting(Fake):
        def ask(self) -> None:
            meeting.wait()

    with side_by_side([Meeting(tip(commit), name=commit) for commit in (A, B, C)]) as sources:
        assert [source.fetch().commit for source in sources] == [A, B, C]


def test_all_silent_sources_of_a_run_share_one_deadline() -> None:
    clock, silent = Clock(), [Fake(tip(A), name=name) for name in "abcd"]
    for source in silent:
        source.answering.clear()
    with side_by_side(silent, seconds=30.0, clock=clock) as sources:
        clock.now += 30
        for one in sources:
            with pytest.raises(SourceError, match="no answer in time"):
                one.fetch()
            with pytest.raises(SourceError, match="no answer in time"):
                one.read(C)
            assert not one.descends(A, C)
        silent[0].copy[C] = tip(C)
        assert sources[0].read(C).commit == C, "the copy is read in any case"
    assert all(source.answering.is_set() for source in silent), "nothing goes on after the run"


def test_a_failure_of_a_run_is_the_sources_own() -> None:
    source = Begun(Fake(SourceError("no such branch")), 1e9, lambda: 0.0)
    with pytest.raises(SourceError, match="no such branch"):
        source.fetch()


# --- woken


def test_woken_it_asks_long_before_its_interval(
    started: Callable[..., Polled], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert polling.LEAST_PAUSE == 1.0
    monkeypatch.setattr(polling, "LEAST_PAUSE", 0.01)
    source = Fake(tip(A), tip(B))
    told = Event()
    polled = started(source, told.set)
    wait_until(lambda: source.fetches == 1, "the first poll", 20)
    told.clear()
    polled.wake()
    assert told.wait(30)
    assert polled.fetch().commit == B


def test_woken_often_while_it_asks_it_asks_once_more(
    started: Callable[..., Polled], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The answer under way may be from before the news."""
    monkeypatch.setattr(polling, "LEAST_PAUSE", 0.01)
    source = Fake(tip(A))
    source.answering.clear()
    polled = started(source)
    wait_until(lambda: source.fetches == 1, "a poll that is not answered", 20)
    for _ in range(100):
        polled.wake()
    source.answering.set()
    wait_until(lambda: source.fetches == 2, "one more poll", 20)
    polled.wake()
    wait_until(lambda: source.fetches == 3, "the next one that is asked for", 20)


def test_it_is_never_asked_twice_within_a_second(started: Callable[..., Polled]) -> None:
    clock = Clock()
    source = Fake(tip(A))
    polled = started(source, clock=clock)
    wait_until(lambda: source.fetches == 1 and polled.fetch().commit == A, "the first poll", 20)
    polled.wake()
    polled.wake()
    clock.now += 0.9
    polled.wake()
    assert source.fetches == 1
    clock.now += 0.2
    polled.wake()
    wait_until(lambda: source.fetches == 2, "the poll that was asked for", 20)
