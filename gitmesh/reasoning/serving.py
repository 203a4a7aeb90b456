"""Who is admitted, told by whoever really serves the request."""

from __future__ import annotations

from msgspec.structs import replace

from gitmesh.model.services import Service
from gitmesh.reasoning.access import can
from gitmesh.reasoning.answers import Admission, Answer, Basis, Led, Ruling
from gitmesh.reasoning.arriving import End, ends
from gitmesh.reasoning.questions import Known, Question


def served(question: Question, known: Known) -> Admission:
    """Whether the request is admitted where it goes: of several places each has its own answer. Raises
    KeyError where the cluster has no such Service.
    """
    found = [(end, _admission(end, known)) for end in ends(question, known)]
    if len(found) == 1 and found[0][0].origin is None:
        return found[0][1]
    answers = {admission.answer for _, admission in found}
    return Admission(
        answer=_together(answers),
        pods=tuple(pod for _, admission in found for pod in admission.pods),
        led=tuple(
            Led(
                service=end.question.service,
                port=end.question.port,
                subset=end.subset,
                origin=end.origin,
                admission=admission,
            )
            for end, admission in found
        ),
    )


def _together(answers: set[Answer]) -> Answer:
    if len(answers) == 1:
        return next(iter(answers))
    return Answer.UNKNOWN if Answer.UNKNOWN in answers else Answer.DEPENDS


def served_by(
    question: Question, service: Service, port: int, subset: tuple[tuple[str, str], ...], known: Known
) -> Admission:
    """What the pods behind a port of another Service answer to the request."""
    asked = replace(question, service=service.key, port=port)
    return _admission(End(question=asked, subset=subset), known)


def _admission(end: End, known: Known) -> Admission:
    """Of the pods of the subset alone."""
    found = can(end.question, known)
    if not end.subset or found.ruling:
        return found
    pods = tuple(pod for pod in found.pods if pod[0].may_carry(dict(end.subset)))
    if pods:
        return replace(found, answer=_together({ruling.answer for *_, ruling in pods}), pods=pods)
    shown = ", ".join(f"{key}={value}" for key, value in end.subset)
    text = f"no pod behind the Service carries {shown}"
    ruling = Ruling(answer=Answer.UNKNOWN, basis=Basis.NO_PODS, text=text)
    return Admission(answer=Answer.UNKNOWN, ruling=ruling)
