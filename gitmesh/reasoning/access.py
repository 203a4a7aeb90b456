"""Who is admitted (docs/concepts.md#who-may-call), told from units: a ruling for each pair of pods and port
behind the destination, and the answer that these come to.

Answers are of three values: what hangs on something that is not known (a held unit, an address that was not
given) is `Unknown`, unless what is known decides already.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from msgspec.structs import replace

from gitmesh.model.services import Service
from gitmesh.reasoning.aliases import answering
from gitmesh.reasoning.answers import Admission, Answer, Basis, Ruling
from gitmesh.reasoning.foreign import ForeignWord, words_ahead
from gitmesh.reasoning.questions import Known, Pair, Question
from gitmesh.reasoning.rulings import AtPair
from gitmesh.reasoning.ways import Way, by_proxy_ahead, shutting, way_of


def can(question: Question, known: Known) -> Admission:
    """Whether the destination admits the request. Raises KeyError where the cluster has no such Service."""
    called = known.index.facts.service_index[question.service]
    service = answering(called, known.index.facts)
    if service is None:
        text = f"it stands for {called.alias}, and whether that is a Service of the cluster is not known"
        return _whole(Answer.UNKNOWN, Basis.NO_PODS, text)
    if service is not called:
        question = _asked_of(service, question)
    if not service.selector:
        return _whole(
            Answer.ALLOWED,
            Basis.NO_SELECTOR,
            "the Service has no selector, so there are no pods that could be guarded",
        )
    asked = [port for port in service.ports if port.number == question.port]
    if asked and not any(port.seen for port in asked):
        text = (
            f"port {question.port} carries {asked[0].protocol.upper()}, which proxies never see, so nothing"
            " guards it"
        )
        return _whole(Answer.ALLOWED, Basis.NO_PROXY, text)
    pairs = known.behind(service, question.port)
    if not pairs:
        return _whole(Answer.UNKNOWN, Basis.NO_PODS, _no_pods(known, service))
    # By ground: of thousands of shapes behind a Service most are decided alike.
    rulings: dict[object, tuple[Ruling, ...]] = {}
    for pair in pairs:
        if pair.ground not in rulings:
            rulings[pair.ground] = tuple(_rulings(question, known, pair))
    pods = tuple((pair.workload, pair.number, ruling) for pair in pairs for ruling in rulings[pair.ground])
    answers = {ruling.answer for _, _, ruling in pods}
    if len(answers) == 1:
        return Admission(answer=answers.pop(), pods=pods)
    return Admission(answer=Answer.UNKNOWN if Answer.UNKNOWN in answers else Answer.DEPENDS, pods=pods)


def _asked_of(service: Service, question: Question) -> Question:
    """The same of the Service that an alias stands for; its name is all that DNS puts in another's place."""
    http = next((one.http for one in service.ports if one.number == question.port), question.http)
    return replace(question, service=service.key, http=http)


def ruled(question: Question, pair: Pair, known: Known) -> Ruling:
    """The answer for the pods of one pair, whichever Service leads there."""
    return AtPair(question, known, pair).ruling()


def _no_pods(known: Known, service: Service) -> str:
    if keys := known.index.unsure(service):
        return f"its pods are unknown: the facts leave out labels by which it selects ({', '.join(keys)})"
    return "no pods are behind this port of the Service"


def _whole(answer: Answer, basis: Basis, text: str) -> Admission:
    return Admission(answer=answer, ruling=Ruling(answer=answer, basis=basis, text=text))


def _rulings(question: Question, known: Known, pair: Pair) -> Iterator[Ruling]:
    """One for the pods of a pair, and another where the connection may be no HTTP and that is answered
    otherwise.
    """
    asked = _decided(question, known, pair)
    yield asked
    if question.sniffed:
        other = _decided(replace(question, http=False), known, pair)
        # Told only where it makes a difference.
        if other.answer is not asked.answer:
            yield replace(other, text=f"where the connection is not HTTP: {other.text}")


def _decided(question: Question, known: Known, pair: Pair) -> Ruling:
    """As the pods decide what comes to them; none of what comes by a proxy that they refuse."""
    shut = next((one for one in shutting(known, pair) if question.service in one.around.shut), None)
    by_proxy = by_proxy_ahead(question, known) if shut else False
    found = _beside_ahead(_come(question, known, pair), question, known, pair)
    if shut is None or by_proxy is False or found.answer is Answer.DENIED:
        return found
    text = (
        f"the pods refuse the proxy that leads to Service {'/'.join(question.service)}, as it sends on other"
        f" requests past what is decided for {shut.service.namespace}/{shut.service.name}"
    )
    # No policy's line: none of them denies it.
    if by_proxy:
        return Ruling(answer=Answer.DENIED, basis=Basis.SHUT, text=text)
    text = f"it is not known whether the request comes by a proxy; if so, {text}; else: {found.text}"
    return Ruling(answer=Answer.UNKNOWN, basis=Basis.SHUT, text=text)


def _beside_ahead(found: Ruling, question: Question, known: Known, pair: Pair) -> Ruling:
    """The ruling, and what others say at proxies ahead of the pods, if the request comes by one: these refuse
    what the pods would admit, or add to what ours admit there."""
    if pair.workload.dataplane != "ambient" or by_proxy_ahead(question, known) is False:
        return found
    facts, admitted = known.index.facts, found.answer is Answer.ALLOWED
    denies, allows = (words_ahead(action, question, facts) for action in ("Deny", "Allow"))
    words: Iterable[ForeignWord] = ()
    if not admitted:
        added = found.basis in (Basis.NO_ALLOW, Basis.CLOSED, Basis.DEFAULT)
        words = (one for one in allows if added and one.meets is not False)
    else:
        # Their Allows close what none admits, and so do ours: what ours admit there stays admitted.
        opened = found.basis is Basis.ALLOW or any(one.meets for one in allows)
        words = (*(one for one in denies if one.meets is not False), *(() if opened else allows))
    by, says = next((one.by for one in words), None), "refuse" if admitted else "admit"
    if by is None:
        return found
    text = f"{by}, which is not ours, may {says} it at a proxy ahead of the pods; else: {found.text}"
    return Ruling(answer=Answer.UNKNOWN, basis=Basis.FOREIGN, text=text)


def _come(question: Question, known: Known, pair: Pair) -> Ruling:
    """As somebody on the way decides who sees the request; else as who sees connections alone."""
    way = way_of(question, known, pair)
    seen = AtPair(question, known, pair, ahead=way in (Way.AHEAD, Way.UNSURE)).ruling()
    if way in (Way.SEEN, Way.AHEAD):
        return seen
    unseen = AtPair(question, known, pair, unseen=True).ruling()
    # The answer is the same whether or not somebody on the way sees the request.
    if unseen.answer is seen.answer:
        return unseen
    if way is Way.UNSEEN:
        return replace(unseen, text=f"{unseen.text}: nobody on the way to its pods sees requests")
    text = (
        "it is not known whether somebody on the way to its pods sees requests; where somebody does:"
        f" {seen.text}"
    )
    return Ruling(answer=Answer.UNKNOWN, basis=Basis.UNSEEN, text=text)
