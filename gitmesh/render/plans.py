"""Plans as text: one block per cluster, clusters with equal plans told once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from gitmesh.model.plan import Action, FieldChange
from gitmesh.model.policies import Origin
from gitmesh.model.report import ClusterResult, Report, State
from gitmesh.render.changes import MARKS, ObjectChange, object_changes
from gitmesh.render.escape import printable, width
from gitmesh.render.paint import Paint, plain
from gitmesh.render.summary import WORDS, objects_total
from gitmesh.render.values import listed, shown

FIELDS_SHOWN = 30
_COLUMN = 46


def plan_text(report: Report, *, paint: Paint = plain, done: bool = False) -> str:
    """What would be written (or, with `done`, what was), per cluster."""
    blocks: dict[str, list[ClusterResult]] = {}
    for result in report.clusters.values():
        blocks.setdefault("\n".join(_block(result, paint, done=done)), []).append(result)
    return "".join(f"{_title(results, paint, done=done)}\n{body + chr(10) if body else ''}" for body, results in blocks.items())


def _title(results: list[ClusterResult], paint: Paint, *, done: bool) -> str:
    names = paint("strong", ", ".join(_named(result) for result in results))
    first = results[0]
    if first.plan is None:
        return f"{names}: {paint('error', first.state.value)}, nothing is known of it"
    every = " each" if len(results) > 1 else ""
    notice = ", mode Observe: nothing is written" if first.observe_only else ""
    return f"{names}: {objects_total(first.plan.counts(), done=done and not first.observe_only)}{every}{notice}"


def _named(result: ClusterResult) -> str:
    meshes = result.facts.meshes if result.facts else ()
    said = ", ".join(printable(f"{mesh.name} {mesh.version}".strip()) for mesh in meshes)
    return f"{result.name} ({said})" if said else result.name


def _block(result: ClusterResult, paint: Paint, *, done: bool) -> Iterator[str]:
    if result.state is State.UNREACHABLE:
        yield f"  {result.name} did not answer"
    for change in object_changes(result):
        yield from object_lines(change, paint, done=done)


def object_lines(change: ObjectChange, paint: Paint = plain, *, done: bool = False) -> Iterator[str]:
    """`~ DestinationRule shop/reviews   policies/reviews.yaml:14`, then its fields and notes."""
    mark, role = MARKS[change.action]
    name = printable(f"{mark} {change.key}")
    yield f"  {paint(role, name)}{_right(width(name), origins_text(change.origins), paint)}"
    yield from (f"      {line}" for line in _fields(change, paint))
    yield from (f"      {paint('faint', 'note:')} {printable(note)}" for note in change.notes)
    if change.failure:
        yield f"      {paint('error', 'failed:')} {printable(change.failure)}"
    elif done and change.action in (Action.CONFLICT, Action.HELD):
        yield f"      {paint('faint', WORDS[change.action][done] + ': left as it is')}"


def _right(used: int, text: str, paint: Paint) -> str:
    return " " * max(2, _COLUMN - used) + paint("faint", text) if text else ""


def _fields(change: ObjectChange, paint: Paint) -> Iterator[str]:
    if change.action not in (Action.UPDATE, Action.ADOPT, Action.CONFLICT):
        return
    for field in change.fields[:FIELDS_SHOWN]:
        yield field_text(field, paint)
    if len(change.fields) > FIELDS_SHOWN:
        yield f"... and {len(change.fields) - FIELDS_SHOWN} more fields (-o yaml shows all)"


def field_text(field: FieldChange, paint: Paint = plain) -> str:
    """`spec.http[0].timeout: 5s -> 10s   policies/reviews.yaml:12`, naming the manager who set the live value."""
    path = printable(field.path)
    live, want = shown(field.path, field.live), shown(field.path, field.want)
    by = f" (set by {printable(field.manager)})" if field.manager else ""
    origin = paint("faint", f"   {origin_text(field.origin)}") if field.origin else ""
    return f"{path}: {paint('remove', live)}{by} -> {paint('add', want)}{origin}"


def origin_text(origin: Origin) -> str:
    """`policies/reviews.yaml:12`."""
    return printable(f"{origin.at.path}:{origin.at.line}")


def origins_text(origins: tuple[Origin, ...]) -> str:
    """The places behind an object, each once."""
    places: Mapping[str, None] = dict.fromkeys(origin_text(origin) for origin in origins)
    return listed(places)
