"""The agent's parts: health, metrics, logs, publishers, and the loop that outlives every failure. No clock
but given ones.
"""

from __future__ import annotations

import gc
import io
import json
import logging
from dataclasses import replace
from threading import Event, Semaphore, Thread
from typing import Any

import pytest
from msgspec.structs import replace as replace_report
from prometheus_client.parser import text_string_to_metric_families

from gitmesh.adapters import fleet
from gitmesh.agent.background import Background
from gitmesh.agent.health import LEAST_PATIENCE, Health
from gitmesh.agent.logs import LogPublisher, captured, logger
from gitmesh.agent.loop import Loop
from gitmesh.agent.metrics import MOST_POLICIES, Metrics
from gitmesh.agent.server import pages
from gitmesh.diagnostics import Location, finding
from gitmesh.model.plan import Action
from gitmesh.model.report import Report, SourceResult, State, Verdict
from tests.factories import traffic
from tests.lab.process import wait_until
from tests.unit.reports import change, cluster, error, outcome, report, unreachable

# --- health


def test_health_is_stale_when_no_cycle_ends_for_long() -> None:
    health = Health(100.0, interval=60.0)
    assert health.alive(100.0 + 300).ok
    assert not health.alive(100.0 + 301).ok
    health.completed(400.0, sources_read=False)
    assert health.alive(700.0).ok
    assert "last completed cycle 301 s ago" in health.alive(701.0).text


def test_a_short_interval_still_leaves_time_for_a_long_cycle() -> None:
    assert Health(0.0, interval=1.0).alive(300.0).ok
    assert not Health(0.0, interval=1.0).alive(301.0).ok


def test_liveness_bears_a_cycle_that_waits_for_clusters_as_long_as_it_may() -> None:
    """A cycle asks the clusters three times; no remote server may have the agent killed."""
    assert 3 * fleet.MOST_PATIENCE < LEAST_PATIENCE


def test_ready_is_who_once_read_every_source() -> None:
    health = Health(0.0, interval=1.0)
    health.completed(1.0, sources_read=False)
    assert not health.ready().ok
    health.completed(2.0, sources_read=True)
    health.completed(3.0, sources_read=False)
    assert health.ready().ok


# --- metrics


def scraped(metrics: Metrics) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    _, _, text = pages(Health(0.0, 1.0), metrics.registry, lambda: 0.0)["/metrics"]()
    families = text_string_to_metric_families(text.decode())
    return {(s.name, tuple(sorted(s.labels.items()))): s.value for family in families for s in family.samples}


def labels(**given: str) -> tuple[tuple[str, str], ...]:
    return tuple(sorted(given.items()))


def test_metrics_tell_the_last_report() -> None:
    metrics = Metrics()
    verdicts = {
        change(name=name).key: (verdict, "")
        for name, verdict in (("a", Verdict.REJECTED), ("b", Verdict.ACCEPTED))
    }
    healed = cluster("east", change(drift=True), outcomes=(outcome(),), verdicts=verdicts)
    metrics.publish(
        report(
            healed,
            unreachable(),
            said=(error(), error(line=15)),
            policies=(traffic("a", timeout="5s"),),
            seconds={"fetch": 0.2},
        )
    )
    series = scraped(metrics)
    expected = {
        ("gitmesh_reconcile_total", labels(result="incomplete")): 1,
        ("gitmesh_cluster_up", labels(cluster="east")): 1,
        ("gitmesh_cluster_up", labels(cluster="west")): 0,
        ("gitmesh_cluster_state", labels(cluster="west", state="Unreachable")): 1,
        ("gitmesh_source_up", labels(source="policies")): 1,
        ("gitmesh_objects", labels(cluster="east", action="update")): 1,
        ("gitmesh_object_verdicts", labels(cluster="east", verdict="Rejected")): 1,
        ("gitmesh_object_verdicts", labels(cluster="east", verdict="Accepted")): 1,
        ("gitmesh_object_verdicts", labels(cluster="east", verdict="Unknown")): 0,
        ("gitmesh_drift_objects", labels(cluster="east")): 1,
        ("gitmesh_drift_healed_total", labels(cluster="east")): 1,
        ("gitmesh_writes_total", labels(cluster="east", action="update", result="ok")): 1,
        ("gitmesh_findings", labels(code="GM203", level="error")): 2,
        ("gitmesh_policies", labels(kind="TrafficPolicy")): 1,
        ("gitmesh_reconcile_duration_seconds_sum", labels(phase="fetch")): 0.2,
    }
    assert {name: series.get(name) for name in expected} == expected


@pytest.mark.parametrize(
    ("source", "up", "refused"),
    [
        (SourceResult(name="policies", seen="b", accepted="a", refused=True), 1, 1),
        (SourceResult(name="policies", accepted="a", refused=True, unavailable=True), 0, 0),
        (SourceResult(name="policies", seen="a", accepted="a"), 1, 0),
    ],
)
def test_a_source_that_does_not_answer_has_no_refused_tip(
    source: SourceResult, up: int, refused: int
) -> None:
    metrics = Metrics()
    metrics.publish(report(cluster(), sources={"policies": source}))
    series = scraped(metrics)
    assert series["gitmesh_source_up", labels(source="policies")] == up
    assert series["gitmesh_source_refused", labels(source="policies")] == refused


def test_cycles_are_counted_by_result() -> None:
    metrics = Metrics()
    metrics.publish(report(cluster()))
    metrics.publish(report(cluster(), said=(error(),)))
    metrics.publish(report(cluster(), sources={"policies": SourceResult(name="policies", unavailable=True)}))
    metrics.failed()
    series = scraped(metrics)
    results = {
        r: series["gitmesh_reconcile_total", labels(result=r)]
        for r in ("clean", "findings", "incomplete", "bug")
    }
    assert results == dict.fromkeys(results, 1)


@pytest.mark.parametrize(("count", "shown"), [(MOST_POLICIES, MOST_POLICIES), (MOST_POLICIES + 1, 0)])
def test_W13_policies_have_series_of_their_own_up_to_a_limit(count: int, shown: int) -> None:
    metrics, one = Metrics(), traffic("a", timeout="5s")
    metrics.publish(
        report(cluster(), policies=tuple(replace(one, name=f"p{number}") for number in range(count)))
    )
    assert sum(name == "gitmesh_policy_info" for name, _ in scraped(metrics)) == shown


# --- logs


def logged(*reports: Report, level: str = "info") -> list[dict[str, Any]]:
    stream = io.StringIO()
    publisher = LogPublisher(logger("json", level=level, stream=stream))
    for one in reports:
        assert publisher.publish(one) is one
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_only_news_is_logged() -> None:
    bad = report(cluster(), said=(error(),))
    lines = logged(bad, bad, report(cluster()))
    assert [line["event"] for line in lines] == [
        "revision accepted",
        "finding",
        "cluster",
        "findings resolved",
    ]
    assert (lines[1]["code"], lines[1]["at"], lines[1]["level"]) == (
        "GM203",
        "policies/reviews.yaml:14:15",
        "error",
    )
    assert (lines[2]["cluster"], lines[2]["state"]) == ("east", "Synced")
    assert lines[3]["count"] == 1


def test_a_finding_is_logged_when_it_is_told_and_not_again_with_the_report() -> None:
    stream = io.StringIO()
    publisher = LogPublisher(logger("json", stream=stream))
    publisher.tell(error())
    (line,) = map(json.loads, stream.getvalue().splitlines())
    assert (line["event"], line["code"]) == ("finding", "GM203")
    publisher.tell(error())
    publisher.publish(report(said=(error(),), sources={}))
    publisher.tell(error())
    assert len(stream.getvalue().splitlines()) == 1


def test_a_lasting_fault_is_logged_at_its_beginning_and_its_end_whatever_its_words() -> None:
    def away(words: str, source: str = "policies") -> Report:
        said = finding("GM601", words, at=Location(source=source, path="", line=0, column=0))
        return report(said=(said,), sources={})

    lines = logged(
        away("refused"),
        away("request id 17"),
        away("request id 18"),
        away("gone", "other"),
        report(sources={}),
    )
    assert [(line["event"], line["at"], line.get("message")) for line in lines] == [
        ("finding", "source policies", "refused"),
        ("finding", "source other", "gone"),
        ("finding ended", "source policies", None),
        ("finding ended", "source other", None),
    ]


def test_other_findings_are_news_with_other_words() -> None:
    first, second = (
        report(said=(finding("GM503", f"reading {kind} is forbidden", cluster="east"),), sources={})
        for kind in ("a", "b")
    )
    assert [line["message"] for line in logged(first, second)] == [
        "reading a is forbidden",
        "reading b is forbidden",
    ]


def test_a_write_that_fails_again_is_no_news() -> None:
    failed = report(cluster("east", change(), outcomes=(outcome(ok=False, message="denied"),)))
    done = report(cluster("east", change(), outcomes=(outcome(),)))
    writes = [line["ok"] for line in logged(failed, failed, done, failed, failed) if line["event"] == "write"]
    assert writes == [False, True, False]


def test_a_revision_is_logged_when_it_comes_into_force() -> None:
    first, refused, second = (
        report(
            sources={
                "policies": SourceResult(
                    name="policies", seen=seen * 40, accepted=accepted * 40, refused=seen != accepted
                )
            }
        )
        for seen, accepted in ("aa", "ba", "bb")
    )
    lines = [line for line in logged(first, refused, second) if line["event"] == "revision accepted"]
    assert [(line["source"], line["commit"], line["before"]) for line in lines] == [
        ("policies", "a" * 40, ""),
        ("policies", "b" * 40, "a" * 40),
    ]


def test_a_changed_state_and_every_write_are_logged() -> None:
    failed = cluster(
        "east",
        change(),
        state=State.FAILED,
        outcomes=(outcome(ok=False, message="denied"), outcome(name="ratings")),
    )
    lines = logged(report(cluster()), report(failed))
    assert [(line["event"], line.get("before"), line["level"]) for line in lines[2:]] == [
        ("cluster", "Synced", "info"),
        ("write", None, "error"),
        ("write", None, "info"),
    ]
    assert lines[3]["object"] == "VirtualService shop/reviews"
    assert lines[3]["action"] == Action.UPDATE


def test_a_quiet_cycle_is_one_line_of_debug() -> None:
    assert [line["event"] for line in logged(report(cluster()), report(cluster()), level="debug")] == [
        "revision accepted",
        "cluster",
        "cycle",
        "cycle",
    ]


HOSTILE = 'x\r\n{"event":"forged"}\x1b[31m\x00\u2028\x85\u202e'


@pytest.mark.parametrize("form", ["json", "text"])
def test_W14_hostile_text_stays_inside_its_line(form: Any) -> None:
    stream = io.StringIO()
    LogPublisher(logger(form, stream=stream)).publish(
        report(said=(error(HOSTILE, policy=HOSTILE),), sources={})
    )
    text = stream.getvalue()
    assert text.endswith("\n")
    assert len(text.splitlines()) == 1
    assert not [character for character in text[:-1] if not character.isprintable()]
    if form == "json":
        assert json.loads(text)["message"] == HOSTILE


class Writes(io.StringIO):
    """A stream that remembers each write."""

    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []

    def write(self, text: str) -> int:
        self.texts.append(text)
        return super().write(text)


@pytest.mark.parametrize("form", ["json", "text"])
def test_W14_a_line_is_one_write_so_that_those_of_threads_do_not_mix(form: Any) -> None:
    stream = Writes()
    logger(form, stream=stream).info("cycle", seconds=1)
    assert len(stream.texts) == 1
    assert stream.texts[0].endswith("\n")


def test_W14_what_libraries_log_comes_as_lines_of_the_same_form() -> None:
    """Otherwise Python writes their warnings to standard error as they are: no JSON, and in the middle of our
    lines.
    """
    stream = io.StringIO()
    library, before = logging.getLogger("some.library"), list(logging.getLogger().handlers)
    with captured(logger("json", stream=stream)):
        library.warning("job %s skipped\x1b[31m", "tick")
        library.info("nobody asked")
        try:
            raise ValueError("of a library")
        except ValueError:
            library.exception("it failed")
    assert logging.getLogger().handlers == before
    first, second = map(json.loads, stream.getvalue().splitlines())
    assert {key: first[key] for key in ("event", "level", "logger", "message")} == {
        "event": "library",
        "level": "warning",
        "logger": "some.library",
        "message": "job tick skipped\x1b[31m",
    }
    assert (second["level"], second["message"]) == ("error", "it failed")
    assert "ValueError: of a library" in second["exception"]


# --- the loop


def loop(
    cycle: Any, stream: io.StringIO | None = None, interval: float = 0.01
) -> tuple[Loop, Health, Metrics]:
    health, metrics = Health(0.0, 1.0), Metrics()
    log = logger("json", stream=stream or io.StringIO())
    return (
        Loop(cycle=cycle, interval=interval, clock=lambda: 500.0, health=health, metrics=metrics, log=log),
        health,
        metrics,
    )


def test_a_tick_completes_a_cycle() -> None:
    made = report(cluster())
    one, health, _ = loop(lambda: made)
    assert one.tick() is made
    assert health.ready().ok
    assert health.alive(501.0).ok


@pytest.mark.parametrize("fails", [False, True])
def test_after_a_tick_the_collector_works_again_though_the_command_line_turned_it_off(fails: bool) -> None:
    """Else an agent would keep for ever what goes round in a circle, such as the traceback of each failed
    request.
    """

    def cycle() -> Report:
        if fails:
            raise RuntimeError
        return report(cluster())

    was_on = gc.isenabled()
    gc.disable()
    try:
        loop(cycle)[0].tick()
        assert gc.isenabled()
    finally:
        (gc.enable if was_on else gc.disable)()


def test_a_tick_that_could_not_read_a_source_is_alive_and_not_ready() -> None:
    one, health, _ = loop(lambda: report(cluster(), sources={"p": SourceResult(name="p", unavailable=True)}))
    one.tick()
    assert health.alive(501.0).ok
    assert not health.ready().ok


def test_a_bug_in_a_cycle_is_logged_and_counted_and_the_next_tick_tries_again() -> None:
    stream, answers = io.StringIO(), iter([None, report(cluster())])

    def cycle() -> Report:
        answer = next(answers)
        if answer is None:
            raise RuntimeError("a bug\nof two lines")
        return answer

    one, health, metrics = loop(cycle, stream)
    assert one.tick() is None
    assert not health.alive(501.0).ok
    (line,) = [json.loads(text) for text in stream.getvalue().splitlines()]
    assert "RuntimeError" in line["exception"]
    assert scraped(metrics)["gitmesh_reconcile_total", labels(result="bug")] == 1
    assert one.tick() is not None


def test_a_bug_that_lasts_is_logged_once_and_counted_each_time() -> None:
    stream, bugs = io.StringIO(), iter([RuntimeError, RuntimeError, ValueError, None, RuntimeError])

    def cycle() -> Report:
        bug = next(bugs)
        if bug is not None:
            raise bug
        return report(cluster())

    one, _, metrics = loop(cycle, stream)
    for _ in range(5):
        one.tick()
    logged_bugs = [json.loads(text)["exception"].splitlines()[-1] for text in stream.getvalue().splitlines()]
    assert logged_bugs == ["RuntimeError", "ValueError", "RuntimeError"]
    assert scraped(metrics)["gitmesh_reconcile_total", labels(result="bug")] == 4


def test_news_make_the_loop_tick_once_however_often_they_come_and_never_two_ticks_at_once() -> None:
    stop, began, go_on = Event(), Semaphore(0), Semaphore(0)
    ticks: list[int] = []

    def cycle() -> Report:
        ticks.append(len(ticks))
        began.release()
        assert go_on.acquire(timeout=20)
        return report(cluster())

    one, _, _ = loop(cycle, interval=3600.0)
    running = Thread(target=one.run, args=(stop,))
    running.start()
    assert began.acquire(timeout=20)
    for _ in range(100):  # while the first one is under way
        one.wake()
    assert not began.acquire(blocking=False)
    go_on.release()
    assert began.acquire(timeout=20), "one for all of them"
    one.wake()  # came after that one had begun
    go_on.release()
    assert began.acquire(timeout=20)
    go_on.release()
    stop.set()
    running.join(20)
    assert ticks == [0, 1, 2]


# --- publishers that wait for a server


class Hanging:
    """A publisher that says what it did, when it is let go on."""

    def __init__(self) -> None:
        self.began, self.go_on = Semaphore(0), Semaphore(0)
        self.published: list[Report] = []
        self.fails = False

    def publish(self, given: Report) -> Report:
        self.began.release()
        assert self.go_on.acquire(timeout=20)
        if self.fails:
            raise RuntimeError("a bug")
        self.published.append(given)
        return replace_report(given, diagnostics=(*given.diagnostics, finding("GM603", "not pushed")))


def test_a_publisher_in_the_background_gets_the_newest_report_only_and_is_not_waited_for() -> None:
    inner, skipped = Hanging(), list[Report]()
    made = Background(inner, logger("json", stream=io.StringIO()), skipped=skipped.append)
    first, quiet, writing, last = (report(cluster(name)) for name in ("a", "b", "c", "d"))
    writing = report(cluster("c", change(), outcomes=(outcome(),)))
    assert made.publish(first) is first
    assert inner.began.acquire(timeout=20)
    for one in (quiet, writing, last):
        assert made.publish(one) is one
    inner.go_on.release(2)
    made.close(20)
    assert inner.published == [first, last]
    assert skipped == [writing], "what was healed is not forgotten"
    assert [d.code for d in made.publish(report()).diagnostics] == ["GM603"], "said with the next report"


def test_a_publisher_that_does_not_end_is_ended_at_the_end() -> None:
    inner = Hanging()
    made = Background(inner, logger("json", stream=io.StringIO()), end=inner.go_on.release)
    made.publish(report())
    assert inner.began.acquire(timeout=20)
    made.close(0.0)
    made.close(20)
    assert len(inner.published) == 1


def test_a_defect_of_a_publisher_in_the_background_is_logged_and_the_next_report_is_published() -> None:
    inner, stream = Hanging(), io.StringIO()
    made = Background(inner, logger("json", stream=stream))
    inner.fails = True
    made.publish(report())
    inner.go_on.release()
    wait_until(lambda: bool(stream.getvalue()), "the defect", 20)
    assert "RuntimeError" in json.loads(stream.getvalue())["exception"]
    inner.fails = False
    made.publish(report())
    inner.go_on.release()
    made.close(20)
    assert len(inner.published) == 1


def test_the_loop_ticks_until_it_is_told_to_stop() -> None:
    stop, ticks = Event(), []

    def cycle() -> Report:
        ticks.append(1)
        if len(ticks) == 3:
            stop.set()
        return report(cluster())

    one, _, _ = loop(cycle)
    one.run(stop)
    assert len(ticks) >= 3


def test_a_loop_that_is_stopped_in_its_first_cycle_ends_after_it() -> None:
    stop, ticks = Event(), []

    def cycle() -> Report:
        stop.set()
        ticks.append(1)
        return report(cluster())

    loop(cycle)[0].run(stop)
    assert ticks == [1]


def test_W14_ticks_that_a_long_cycle_outlasts_are_no_news() -> None:
    stop, ticks, stream = Event(), [], io.StringIO()

    def cycle() -> Report:
        ticks.append(1)
        if len(ticks) == 2:
            Event().wait(10 * one.interval)
            stop.set()
        return report(cluster())

    one, _, _ = loop(cycle)
    with captured(logger("json", stream=stream)):
        one.run(stop)
    assert stream.getvalue() == ""
