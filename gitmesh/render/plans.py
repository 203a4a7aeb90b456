"""Plans as text: one block per cluster, clusters with equal plans told once."""

from __future__ import annotations

from collections.abc import Iterator

from gitmesh.model.plan import Action, FieldChange
from gitmesh.model.policies import Origin
from gitmesh.model.report import ClusterResult, Report, State
from gitmesh.render.changes import MARKS, ObjectChange, failed, object_changes, tally
from gitmesh.render.escape import printable, width
from gitmesh.render.paint import Paint, plain
from gitmesh.render.summary import WORDS, objects_total
from gitmesh.render.values import counted, listed, shown

FIELDS_SHOWN = 30
_LINES_SHOWN = 4
_WIDEST = 56


def plan_text(report: Report, *, paint: Paint = plain, done: bool = False) -> str:
    """What would be written (or, with `done`, what was), per cluster."""
    # By all that is said of a cluster: those with equal plans are told once.
    blocks: dict[tuple[str, str, str], list[str]] = {}
    for result in report.clusters.values():
        wrote = done and not result.observe_only
        told = (
            *_title(result, paint, done=wrote),
            "".join(f"{line}\n" for line in _block(result, paint, done=wrote)),
        )
        blocks.setdefault(told, []).append(_named(result))
    return "".join(
        f"{paint('strong', ', '.join(names))}: {total}{' each' if total and len(names) > 1 else ''}{notice}\n"
        f"{body}"
        for (total, notice, body), names in blocks.items()
    )


def _title(result: ClusterResult, paint: Paint, *, done: bool) -> tuple[str, str]:
    """The numbers of a cluster, if there are any, and what is to be said of them."""
    if result.plan is None:
        return "", f"{paint('error', result.state.value)}, nothing is known of it"
    failures = len(failed(result.outcomes))
    notice = (
        ", mode Observe: nothing is written"
        if result.observe_only
        else f"; {counted(failures, 'write')} failed"
        if failures
        else ""
    )
    return objects_total(tally(result, done=done), done=done), notice


def _named(result: ClusterResult) -> str:
    meshes = result.facts.meshes if result.facts else ()
    said = ", ".join(printable(f"{mesh.name} {mesh.version}".strip()) for mesh in meshes)
    return f"{result.name} ({said})" if said else result.name


def _block(result: ClusterResult, paint: Paint, *, done: bool) -> Iterator[str]:
    if result.state is State.UNREACHABLE:
        yield f"  {result.name} did not answer"
    changes = object_changes(result)
    # Bounded, so that one long name does not push all places off the screen.
    column = min(max((width(_marked(change)) for change in changes), default=0), _WIDEST)
    for change in changes:
        yield from object_lines(change, paint, column=column, done=done)


def _marked(change: ObjectChange) -> str:
    return printable(f"{MARKS[change.action][0]} {change.key}{' (drift)' if change.drift else ''}")


def object_lines(
    change: ObjectChange, paint: Paint = plain, *, column: int = 0, done: bool = False
) -> Iterator[str]:
    """`~ DestinationRule shop/reviews   policies/reviews.yaml:14`, then its fields and notes."""
    name, origins = _marked(change), origins_text(change.origins)
    notes = list(change.notes)
    if not origins and notes:  # nothing wants the object: why, in the place of where from
        origins = printable(notes.pop(0))
    space = " " * max(2, column - width(name) + 2) if origins else ""
    yield f"  {paint(MARKS[change.action][1], name)}{space}{paint('faint', origins)}"
    yield from (f"      {line}" for line in _fields(change, paint))
    yield from (f"      {paint('faint', 'note:')} {printable(note)}" for note in notes)
    if change.failure:
        yield f"      {paint('error', 'failed:')} {printable(change.failure)}"
    elif done and change.left:
        yield f"      {paint('faint', 'not written')}"
    elif done and change.action is Action.CONFLICT:
        yield f"      {paint('faint', WORDS[change.action][done] + ': left as it is')}"


def _fields(change: ObjectChange, paint: Paint) -> Iterator[str]:
    if change.action not in (Action.UPDATE, Action.RELEASE, Action.ADOPT, Action.CONFLICT):
        return
    for field in change.fields[:FIELDS_SHOWN]:
        yield field_text(field, paint)
    if len(change.fields) > FIELDS_SHOWN:
        yield f"... and {len(change.fields) - FIELDS_SHOWN} more fields (-o yaml shows all)"


def field_text(field: FieldChange, paint: Paint = plain) -> str:
    """`spec.http[0].timeout: 5s -> 10s   policies/reviews.yaml:12`, naming the manager who set the live
    value.
    """
    path = printable(field.path)
    live, want = shown(field.path, field.live), shown(field.path, field.want)
    by = f" (set by {printable(field.manager)})" if field.manager else ""
    origin = paint("faint", f"   {origin_text(field.origin)}") if field.origin else ""
    if live == want:  # cut, or a credential that is not shown
        want = f"{want} (changed)"
    return f"{path}: {paint('remove', live)}{by} -> {paint('add', want)}{origin}"


def origin_text(origin: Origin) -> str:
    """`policies/reviews.yaml:12`."""
    return printable(f"{origin.at.path}:{origin.at.line}")


def origins_text(origins: tuple[Origin, ...]) -> str:
    """The places behind an object, by file: `policies/defaults.yaml:8,12, policies/reviews.yaml:4`."""
    files: dict[str, set[int]] = {}
    for origin in origins:
        files.setdefault(origin.at.path, set()).add(origin.at.line)
    return printable(listed(f"{path}:{_lines(lines)}" for path, lines in sorted(files.items())))


def _lines(lines: set[int]) -> str:
    first = sorted(lines)[:_LINES_SHOWN]
    return ",".join(map(str, first)) + (",..." if len(lines) > _LINES_SHOWN else "")
