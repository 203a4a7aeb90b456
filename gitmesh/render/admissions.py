"""Answers to `can` as text and as documents: who is admitted, and the lines that decide."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from msgspec import Struct

from gitmesh.model.workloads import Workload, WorkloadKey, by_controller
from gitmesh.reasoning.answers import Admission, Led, Ruling
from gitmesh.render.answers import (
    ROLES,
    Answers,
    answers_document,
    blocks,
    place,
    question_document,
    question_text,
    target_document,
    target_text,
)
from gitmesh.render.document import Document, origins
from gitmesh.render.escape import printable
from gitmesh.render.paint import Paint, plain


def admissions_text(asked: Answers[Admission], paint: Paint = plain) -> str:
    """The answer of each cluster, and for each kind of pods behind the destination why."""
    told = {}
    for name, found in asked.answers.items():
        verdict = paint(ROLES[found.answer], found.answer.value)
        told[name] = (f"{verdict}  {question_text(asked.questions[name])}", *_reasons(found, paint))
    return blocks(told, asked.silent, paint)


def _reasons(found: Admission, paint: Paint) -> Iterator[str]:
    """Why, for each place that serves a share of the requests."""
    if not found.led:
        yield from _rulings(found, paint)
    for one in found.led:
        verdict = paint(ROLES[one.admission.answer], one.admission.answer.value)
        by = f", led there by {place(one.origin)}" if one.origin else ""
        target = target_text(one.service, one.port, one.subset)
        yield f"  {verdict}  {printable(target)}{by}"
        yield from (f"  {line}" for line in _rulings(one.admission, paint))


def _rulings(found: Admission, paint: Paint) -> Iterator[str]:
    groups: dict[Ruling, list[str]] = {found.ruling: []} if found.ruling else {}
    for one in _together(found):
        apart = "".join(f" {key}={value}" for key, value in one.labels.items())
        groups.setdefault(one.ruling, []).append(f"{one.workload.name}:{one.port}{apart}")
    for ruling, pods in groups.items():
        # Where all pods are decided alike, the answer stands above already.
        mixed = f"{ruling.answer.value}, " if len(groups) > 1 else ""
        yield f"  {mixed}{ruling.text}" + (
            paint("faint", f"  ({printable(', '.join(pods))})") if pods else ""
        )
        yield from (f"    {place(origin)}" for origin in ruling.deciding)
        yield from (f"    tried {place(one.origin)}: {printable(one.why)}" for one in ruling.tried)


class _Pods(Struct, frozen=True, kw_only=True):
    """Pods of one workload that are decided alike. `labels` are those that they share and others of the
    workload have not."""

    workload: Workload
    port: int
    ruling: Ruling
    labels: Mapping[str, str]


def _together(found: Admission) -> Iterator[_Pods]:
    """The pods of a workload of which the same is decided, with what tells them from its others."""
    # People know workloads, and not their shapes.
    groups: dict[tuple[WorkloadKey, int, Ruling], list[Workload]] = {}
    for workload, port, ruling in found.pods:
        groups.setdefault((workload.key, port, ruling), []).append(workload)
    every = by_controller(workload for workload, _, _ in found.pods)
    for (key, port, ruling), shapes in groups.items():
        # What all pods of the workload have does not tell these from the others.
        labels = dict(sorted(_shared(shapes) - _shared(every[key])))
        yield _Pods(workload=shapes[0], port=port, ruling=ruling, labels=labels)


def _shared(shapes: Sequence[Workload]) -> set[tuple[str, str]]:
    return set(shapes[0].labels.items()).intersection(*(one.labels.items() for one in shapes))


def admissions_document(asked: Answers[Admission]) -> Document:
    """What `can` answers."""
    clusters = [
        {
            "name": name,
            "answer": found.answer.value,
            **question_document(asked.questions[name]),
            "pods": list(_pods(found)),
            "led": [_led(one) for one in found.led],
        }
        for name, found in asked.answers.items()
    ]
    return answers_document(asked, "Admission", clusters, "answer")


def _led(one: Led) -> Document:
    return {
        "destination": target_document(one.service, one.port, one.subset),
        "answer": one.admission.answer.value,
        "by": origins([one.origin])[0] if one.origin else None,
        "pods": list(_pods(one.admission)),
    }


def _pods(found: Admission) -> Iterator[Document]:
    for one in _together(found):
        yield {"workload": _workload(one), "port": one.port, **_ruling(one.ruling)}
    if found.ruling:
        yield _ruling(found.ruling)


def _workload(pods: _Pods) -> Document:
    one = pods.workload
    told = {"kind": one.kind, "namespace": one.namespace, "name": one.name}
    return {**told, "labels": dict(pods.labels)} if pods.labels else told


def _ruling(ruling: Ruling) -> Document:
    return {
        "answer": ruling.answer.value,
        "basis": ruling.basis.value,
        "message": ruling.text,
        "deciding": origins(ruling.deciding),
        "tried": [{**origins([one.origin])[0], "message": one.why} for one in ruling.tried],
    }
