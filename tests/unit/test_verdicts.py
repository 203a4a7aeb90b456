"""Verdicts of a cycle: refusals, warnings, what the mesh says of live objects, and how silence becomes
consent.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from msgspec.structs import replace

from gitmesh.adapters.memory import MemoryCluster
from gitmesh.diagnostics import Location, Severity
from gitmesh.model.facts import Mesh
from gitmesh.model.ledger import Entry, Ledger
from gitmesh.model.manifests import Build, Manifest, Phase
from gitmesh.model.objects import ObjectKey
from gitmesh.model.plan import Action, Change, Live, Observed, Outcome, Plan
from gitmesh.model.policies import Origin
from gitmesh.model.report import MeshStatus, Verdict
from gitmesh.planning.ledgers import MOST_WARNED, record
from gitmesh.planning.verdicts import Evidence, Verdicts, verdicts
from tests.fake_mesh import FakeMesh, rule

ONE, TWO = rule("one"), rule("two")
AT = Location(source="shop", path="p.yaml", line=7)
WRITTEN = 1000.0


class Mouth(FakeMesh):
    """A mesh that says what it is told to, and counts how often it is asked."""

    def __init__(self, **words: MeshStatus) -> None:
        super().__init__()
        self.words = words
        self.asked: list[str] = []

    def verdict(self, live: Live, meshes: Sequence[Mesh]) -> MeshStatus:
        self.asked.append(live.key.name)
        return self.words.get(live.key.name, MeshStatus(silence=20.0))


def live(key: ObjectKey, **more: Any) -> Live:
    return Live(key=key, uid="u", body=b"{}", **{"written": WRITTEN, **more})


def manifest(key: ObjectKey) -> Manifest:
    policy = f"TrafficPolicy/shop/{key.name}"
    fields = {"spec": Origin(at=AT, policy=policy, field="spec.timeout")}
    return Manifest(
        key=key, version="v1", phase=Phase.ROUTE, body=b"{}", digest="d", policies=(policy,), fields=fields
    )


def change(action: Action, key: ObjectKey, **more: Any) -> Change:
    return Change(action=action, key=key, phase=Phase.ROUTE, **more)


def evidence(
    *keys: ObjectKey,
    lives: Sequence[Live] | None = None,
    outcomes: Sequence[Outcome] = (),
    entries: Mapping[ObjectKey, Entry] | None = None,
) -> Evidence:
    """Wanted objects that are live as they should be, unless told otherwise."""
    there = [live(key) for key in keys] if lives is None else lives
    return Evidence(
        built=Build(
            cluster="east",
            manifests={key: manifest(key) for key in keys},
            meshes=(Mesh(translator="fake", name="fake"),),
        ),
        observed=Observed(cluster="east", live={one.key: one for one in there}),
        plan=Plan(cluster="east", changes=tuple(change(Action.KEEP, one.key) for one in there)),
        outcomes=tuple(outcomes),
        ledger=Ledger(instance="shop", entries=entries or {}),
    )


def judged(
    given: Evidence,
    mouth: Mouth | None = None,
    now: float | None = WRITTEN,
    memo: dict[Any, Any] | None = None,
) -> Verdicts:
    return verdicts(
        given, {"fake": mouth or Mouth()}, None if now is None else lambda: now, {} if memo is None else memo
    )


def outcome(key: ObjectKey, **more: Any) -> Outcome:
    return Outcome(
        **{"key": key, "action": Action.UPDATE, "ok": False, "code": "GM505", "message": "denied", **more}
    )


# --- silence


@pytest.mark.parametrize(
    ("now", "verdict"),
    [(WRITTEN, Verdict.UNKNOWN), (WRITTEN + 19.9, Verdict.UNKNOWN), (WRITTEN + 20, Verdict.ACCEPTED)],
)
def test_silence_becomes_consent_after_a_while(now: float, verdict: Verdict) -> None:
    assert judged(evidence(ONE), now=now).of == {ONE: (verdict, "")}


def test_silence_of_a_mesh_that_would_not_object_never_does() -> None:
    assert judged(evidence(ONE), Mouth(one=MeshStatus()), now=WRITTEN + 1e6).of[ONE][0] is Verdict.UNKNOWN


def test_silence_on_an_object_of_unknown_age_never_does() -> None:
    assert (
        judged(evidence(ONE, lives=[live(ONE, written=0.0)]), now=WRITTEN + 1e6).of[ONE][0] is Verdict.UNKNOWN
    )


def test_a_process_that_starts_late_comes_to_the_same_answer() -> None:
    """No memory is needed: the object itself says since when it stands."""
    memo: dict[Any, Any] = {}
    given = evidence(ONE)
    judged(given, memo=memo)
    assert judged(given, now=WRITTEN + 20, memo=memo).of == judged(given, now=WRITTEN + 20).of


def test_where_nothing_runs_nobody_says_anything() -> None:
    assert judged(evidence(ONE, outcomes=[outcome(ONE)]), now=None) == Verdicts(
        of={}, findings=(), due=float("inf")
    )


# --- what the mesh says


@pytest.mark.parametrize(("verdict", "code"), [(Verdict.REJECTED, "GM511"), (Verdict.WARNED, "GM512")])
def test_words_of_the_mesh_are_a_finding_at_the_policys_line(verdict: Verdict, code: str) -> None:
    found = judged(
        evidence(ONE),
        Mouth(one=MeshStatus(verdict=verdict, reason="IST0101", text="no such host, request 4711")),
    )
    (said,) = found.findings
    assert found.of == {ONE: (verdict, "no such host, request 4711")}
    assert (said.code, said.at, said.policy, said.cluster) == (code, AT, "TrafficPolicy/shop/one", "east")
    assert said.severity is (Severity.ERROR if verdict is Verdict.REJECTED else Severity.WARNING)
    assert (said.message, said.detail) == (f"{ONE} in east: IST0101", "no such host, request 4711")


@pytest.mark.parametrize("verdict", [Verdict.REJECTED, Verdict.WARNED])
def test_words_that_differ_each_time_make_no_other_finding(verdict: Verdict) -> None:
    """Neither for a mesh that names a code nor for one that has words alone; another code is another
    finding.
    """

    def said(reason: str, text: str) -> tuple[object, ...]:
        (one,) = judged(
            evidence(ONE), Mouth(one=MeshStatus(verdict=verdict, reason=reason, text=text))
        ).findings
        return one.sort_key()

    assert said("IST0101", "port 40001") == said("IST0101", "port 40002") != said("IST0102", "port 40002")
    assert said("", "port 40001") == said("", "port 40002")


def test_warnings_at_a_write_that_is_repeated_make_no_other_finding() -> None:
    first, then = (
        judged(evidence(ONE, entries={ONE: Entry(warnings=(f"took {number} ms",))})).findings
        for number in (3, 4)
    )
    assert [one.sort_key() for one in first] == [one.sort_key() for one in then]
    assert [one.detail for one in (*first, *then)] == ["took 3 ms", "took 4 ms"]


def test_a_mesh_may_accept_at_once() -> None:
    assert judged(evidence(ONE), Mouth(one=MeshStatus(verdict=Verdict.ACCEPTED, text="True"))).of == {
        ONE: (Verdict.ACCEPTED, "True")
    }


def test_words_of_a_mesh_are_cut_and_made_printable() -> None:
    found = judged(
        evidence(ONE), Mouth(one=MeshStatus(verdict=Verdict.WARNED, text="\x1b[2J\u202e" + "x" * 9000))
    )
    text = found.of[ONE][1]
    assert len(text) <= 512
    assert text.isprintable()
    assert (len(found.findings[0].message) < 600, found.findings[0].detail) == (True, text)


# --- answers to writes


def test_a_refused_write_is_rejected_whether_the_object_is_there_or_not() -> None:
    given = evidence(ONE, TWO, lives=[live(ONE)], outcomes=[outcome(ONE), outcome(TWO, action=Action.CREATE)])
    assert judged(given, now=WRITTEN + 99).of == {
        ONE: (Verdict.REJECTED, "denied"),
        TWO: (Verdict.REJECTED, "denied"),
    }


@pytest.mark.parametrize(
    "more",
    [{"retryable": True}, {"code": "GM501"}, {"code": "GM503"}, {"action": Action.DELETE}],
    ids=["race", "down", "rights", "deletion"],
)
def test_a_write_that_failed_otherwise_is_not(more: dict[str, Any]) -> None:
    given = evidence(ONE, TWO, lives=[live(ONE)], outcomes=[outcome(ONE, **more), outcome(TWO, **more)])
    given = replace(
        given, plan=Plan(cluster="east", changes=(change(Action.UPDATE, ONE), change(Action.CREATE, TWO)))
    )
    assert judged(given, now=WRITTEN + 99).of == {ONE: (Verdict.UNKNOWN, "")}


def test_what_was_written_in_this_cycle_has_no_verdict_yet() -> None:
    mouth = Mouth(one=MeshStatus(verdict=Verdict.REJECTED, text="about what was there before"))
    given = evidence(
        ONE,
        TWO,
        lives=[live(ONE)],
        outcomes=[outcome(ONE, ok=True), outcome(TWO, ok=True, action=Action.CREATE)],
    )
    assert judged(given, mouth, now=WRITTEN + 99).of == {
        ONE: (Verdict.UNKNOWN, ""),
        TWO: (Verdict.UNKNOWN, ""),
    }
    assert mouth.asked == []


def test_a_warning_at_the_write_stays_for_as_long_as_the_object_does() -> None:
    entries = {ONE: Entry(uid="u", warnings=("is deprecated", "is odd"))}
    now = evidence(ONE, outcomes=[outcome(ONE, ok=True)], entries=entries)
    later = evidence(ONE, entries=entries)
    for given, at in ((now, WRITTEN), (later, WRITTEN + 99)):
        found = judged(given, now=at)
        assert found.of == {ONE: (Verdict.WARNED, "is deprecated; is odd")}
        assert [(one.code, one.message, one.detail) for one in found.findings] == [
            ("GM510", f"{ONE} in east: the API server took it with a warning", "is deprecated; is odd")
        ]


def test_an_error_of_the_mesh_outweighs_a_warning_at_the_write() -> None:
    given = evidence(ONE, entries={ONE: Entry(warnings=("is odd",))})
    found = judged(given, Mouth(one=MeshStatus(verdict=Verdict.REJECTED, text="IST0101")))
    assert found.of[ONE] == (Verdict.REJECTED, "IST0101")
    assert [one.code for one in found.findings] == ["GM511", "GM510"]


@pytest.mark.parametrize(
    "step",
    [
        change(Action.UPDATE, ONE),
        change(Action.CONFLICT, ONE),
        change(Action.HELD, ONE),
        change(Action.KEEP, ONE, staged=True),
    ],
)
def test_what_is_not_as_we_want_it_has_no_verdict(step: Change) -> None:
    given = replace(evidence(ONE), plan=Plan(cluster="east", changes=(step,)))
    assert judged(
        given, Mouth(one=MeshStatus(verdict=Verdict.REJECTED, text="not ours")), now=WRITTEN + 99
    ).of == {ONE: (Verdict.UNKNOWN, "")}


# --- cost


def test_a_quiet_tick_asks_nobody_until_a_silence_is_long_enough() -> None:
    memo: dict[Any, Any] = {}
    mouth, given = Mouth(two=MeshStatus()), evidence(ONE, TWO)
    first = judged(given, mouth, memo=memo)
    assert first.due == WRITTEN + 20
    assert judged(replace(given), mouth, now=WRITTEN + 19, memo=memo) is first
    late = judged(given, mouth, now=WRITTEN + 20, memo=memo)
    assert late.of == {ONE: (Verdict.ACCEPTED, ""), TWO: (Verdict.UNKNOWN, "")}
    assert judged(given, mouth, now=WRITTEN + 9999, memo=memo) is late
    assert sorted(mouth.asked) == ["one", "two"]


def test_only_objects_that_moved_are_asked_about_again() -> None:
    memo: dict[Any, Any] = {}
    mouth = Mouth()
    kept = live(TWO)
    judged(evidence(ONE, TWO, lives=[live(ONE), kept]), mouth, memo=memo)
    judged(evidence(ONE, TWO, lives=[live(ONE, status=b"{}"), kept]), mouth, memo=memo)
    assert mouth.asked == ["one", "two", "one"]


def test_other_meshes_are_asked_anew() -> None:
    memo: dict[Any, Any] = {}
    mouth, given = Mouth(), evidence(ONE)
    judged(given, mouth, memo=memo)
    judged(replace(given, built=replace(given.built, meshes=())), mouth, memo=memo)
    assert mouth.asked == ["one", "one"]


def test_a_cluster_in_memory_has_the_time_that_it_is_given() -> None:
    cluster = MemoryCluster("east")
    cluster.time = 5.0
    assert cluster.clock() == 5.0


# --- memory of warnings


def recorded(
    count: int, *texts: str, before: Mapping[ObjectKey, Entry] | None = None
) -> Mapping[ObjectKey, Entry]:
    """The entries after a creation of some objects, each with these warnings."""
    keys = [rule(f"r{number:03d}") for number in range(count)]
    given = evidence(*keys, outcomes=[outcome(key, ok=True, warnings=texts) for key in keys], entries=before)
    return record(given.ledger, given.plan, given.outcomes, given.observed, given.built, {}, {}, "").entries


def test_the_ledger_keeps_a_few_short_warnings_of_a_write() -> None:
    (entry,) = recorded(1, "a" * 999, "b", "c", "d").values()
    assert entry.warnings == ("a" * 256, "b", "c")


def test_another_write_without_warnings_ends_them() -> None:
    assert recorded(1, before=recorded(1, "old"))[rule("r000")].warnings == ()


def test_warnings_of_too_many_objects_do_not_fill_the_ledger() -> None:
    first = recorded(MOST_WARNED + 5, "odd")
    assert sum(bool(entry.warnings) for entry in first.values()) == MOST_WARNED
    again = recorded(MOST_WARNED + 5, "odd", before=first)
    assert again == first
