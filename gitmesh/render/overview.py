"""How an instance stands, as text and as a document; and the next command to type."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

from gitmesh.model.overview import ClusterStanding, Complaint, Overview, SourceStanding, Waiting
from gitmesh.model.report import State, worst
from gitmesh.render.document import Document, document
from gitmesh.render.escape import printable
from gitmesh.render.findings import folded, place_of
from gitmesh.render.paint import Paint, plain
from gitmesh.render.summary import revision
from gitmesh.render.text import table
from gitmesh.render.values import ago, counted, shortened

_SHOWN = 10
"""Errors and holds that a person is shown of each sort; documents have all."""
_LONGEST = 400


def overview_text(overview: Overview, now: float, *, paint: Paint = plain) -> str:
    """What is in force, what is refused and why, what waits, each cluster, and what to type next. `now`:
    seconds since the epoch.
    """
    step, why = next_step(overview)
    blocks = [
        [
            paint("strong", f"{overview.instance}: {worst(overview.states).value}")
            + printable(f", {_origin(overview, now)}")
        ],
        [
            *table(("SOURCE", "STATE", "IN FORCE", "SEEN"), map(_source_row, overview.sources)),
            *_causes(overview.refusals, paint),
        ],
        [
            *table(
                ("CLUSTER", "STATE", "OBJECTS", "HELD", "POLICIES", "APPLIED"),
                map(_cluster_row, overview.clusters),
            )
        ],
        _causes(overview.troubles, paint),
        list(_waiting(overview.waiting, now, paint)),
        [f"{paint('strong', f'next: {step}')}   {printable(why)}" if step else why],
    ]
    return "\n".join("".join(f"{line}\n" for line in block) for block in blocks if block)


def next_step(overview: Overview) -> tuple[str, str]:
    """The command to type next, and why; no command where nothing waits for anybody."""
    sources, clusters = overview.sources, overview.clusters
    if State.UNREACHABLE in overview.states:
        return "gitmesh check", "says what does not answer"
    if overview.waiting and not overview.refusals:
        return (
            overview.waiting[0].command,
            "where it is meant; otherwise it ends by itself once what is doubted is right again",
        )
    if any(one.state is State.INVALID for one in sources):
        return "gitmesh validate", "until the policies are clean; then push them"
    failing = [*overview.refusals, *overview.troubles]
    if failing:
        return f"gitmesh explain {failing[0].code}", "says what causes it and how to fix it"
    left = [one for one in clusters if one.state is not State.SYNCED]
    if left and all(one.observed for one in left):
        return "gitmesh diff", "shows what mode Observe does not write"
    if left and all(one.state is State.HELD for one in left):
        return "gitmesh diff", "shows what is held, and why"
    return ("gitmesh sync", "writes what is left, unless an agent does") if left else ("", "nothing waits")


def overview_document(overview: Overview) -> Document:
    """The same for programs."""
    return document(
        "Status",
        instance=overview.instance,
        state=worst(overview.states).value,
        live=not overview.commit,
        statusCommit=overview.commit,
        time=iso(overview.seconds),
        sources=[
            {"name": one.name, "state": one.state.value, "seen": one.seen, "accepted": one.accepted}
            for one in overview.sources
        ],
        clusters=[cluster_document(one) for one in overview.clusters],
        waiting=[_waiting_document(one) for one in overview.waiting],
        refusals=[_cause_document(one) for one in overview.refusals],
        troubles=[_cause_document(one) for one in overview.troubles],
        findings=dict(overview.findings),
        next=next_step(overview)[0],
    )


def cluster_document(one: ClusterStanding) -> Document:
    """One cluster's numbers."""
    counts = {"objects": one.objects, "held": one.held, "policies": dict(one.policies)}
    return {
        "name": one.name,
        "state": one.state.value,
        **counts,
        "appliedCommit": dict(one.applied),
        "observeOnly": one.observed,
    }


def iso(seconds: int) -> str:
    """`2026-11-29T23:17:05Z`; "" for 0, and for what is no time."""
    try:
        return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ") if seconds else ""
    except (OverflowError, ValueError, OSError):
        return ""


def _waiting_document(one: Waiting) -> Document:
    return {
        "hold": one.hold,
        "text": one.text,
        "clusters": list(one.clusters),
        "since": iso(one.since),
        "command": one.command,
    }


def _cause_document(one: Complaint) -> Document:
    content = {
        "code": one.code,
        "text": one.text,
        "at": one.at,
        "hint": one.hint,
        "source": one.source,
        "cluster": one.cluster,
        "mesh": one.mesh,
    }
    return {key: value for key, value in content.items() if value}


def _origin(overview: Overview, now: float) -> str:
    if not overview.commit:
        return "live"
    when = f" of {iso(overview.seconds)}, {ago(now - overview.seconds)} ago" if overview.seconds else ""
    return f"by the status branch at {overview.commit[:12]}{when}"


def _source_row(one: SourceStanding) -> tuple[str, ...]:
    refused = one.state in (State.INVALID, State.HELD)
    folder = not one.seen and not one.accepted and one.state is not State.UNREACHABLE
    force = one.accepted[:12] or ("the folder" if folder and not refused else "nothing")
    seen = one.seen[:12] or ("the folder" if folder else "-")
    return (one.name, one.state.value, force, f"{seen} (refused)" if refused else seen)


def _cluster_row(one: ClusterStanding) -> tuple[str, ...]:
    policies = ", ".join(f"{number} {state}" for state, number in sorted(one.policies.items()))
    applied = ", ".join(revision(source, commit) for source, commit in sorted(one.applied.items()) if commit)
    state = f"{one.state.value}{' (Observe)' if one.observed else ''}"
    return (
        one.name,
        state,
        "?" if one.objects is None else str(one.objects),
        str(one.held),
        policies or "-",
        applied or "-",
    )


def _causes(causes: Sequence[Complaint], paint: Paint) -> list[str]:
    lines: list[str] = []
    told = folded(causes)
    for one in told[:_SHOWN]:
        where = one.at or (f"source {one.source}" if one.source else one.cluster)
        place = place_of(one, beside=where)
        text = f"{shortened(one.text, _LONGEST)}{f' ({place})' if place else ''}"
        lines.append(f"  {paint('error', one.code)} {printable(where)}: {printable(text)}")
        lines += (
            [f"    {paint('faint', 'hint:')} {printable(shortened(one.hint, _LONGEST))}"] if one.hint else []
        )
    return (
        [*lines, f"  and {counted(len(told) - _SHOWN, 'more error')} (-o yaml shows all)"]
        if len(told) > _SHOWN
        else lines
    )


def _waiting(waiting: Sequence[Waiting], now: float, paint: Paint) -> Iterator[str]:
    if waiting:
        yield paint("strong", "waiting:")
    for one in waiting[:_SHOWN]:
        since = (
            f"for {ago(now - one.since)}, since {iso(one.since)}" if one.since else "since an unknown time"
        )
        where = f" in {', '.join(one.clusters)}" if one.clusters else ""
        yield (
            f"  {paint('warning', one.hold)}{printable(f'{where}, {since}: {shortened(one.text, _LONGEST)}')}"
        )
        yield f"    where it is meant: {one.command}"
    if len(waiting) > _SHOWN:
        yield f"  and {len(waiting) - _SHOWN} more (-o yaml shows all)"
