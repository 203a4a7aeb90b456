"""Everything that can be asked of one destination, in finitely many classes on each of which every decision
is constant.

A class is a port, a class of clients and a class of requests, told apart by what any side (one set of
policies, or two revisions) says: so what `can` answers to the one question of a class, on each side, it
answers to all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Iterable, Iterator, Mapping, Sequence
from typing import Generic, Protocol, TypeVar

from msgspec import Struct
from msgspec.structs import replace

from gitmesh.model.grants import Caller, Operation
from gitmesh.model.services import ServicePort
from gitmesh.reasoning.access import can
from gitmesh.reasoning.answers import Admission
from gitmesh.reasoning.questions import Client, Known, Question, ServiceKey
from gitmesh.reasoning.requests import Requests, Sample
from gitmesh.reasoning.stakes import Stake
from gitmesh.reasoning.values import MOST, UntoldError

MOST_WORK = 4_000_000
"""Looks at single rules and callers, for one destination; some seconds."""

V = TypeVar("V", bound=Hashable)


class Askers(Protocol):
    """Classes of clients, numbered."""

    @property
    def samples(self) -> Sequence[Client]:
        """A client of each."""
        ...

    def may_mean(self, number: int, callers: tuple[Caller, ...], deny: bool) -> bool:
        """False only if a list never means one of them, nor would if it showed no identity."""
        ...

    def told(self, chosen: Iterable[int]) -> tuple[str, ...]:
        """Words for some of them."""
        ...


class Askable(Protocol):
    """Classes of requests, numbered."""

    @property
    def samples(self) -> Sequence[Sample]:
        """A request of each."""
        ...

    @property
    def rules(self) -> Sequence[int]:
        """The rules that hold of each, as bits."""
        ...

    @property
    def work(self) -> int:
        """What it cost to tell them apart, as in MOST_WORK."""
        ...

    def bits(self, operations: Iterable[Operation]) -> int:
        """The bits of the rules of some operations."""
        ...

    def told(self, chosen: Collection[int]) -> tuple[str, ...]:
        """Words for some of them; none for all."""
        ...


class OneRequest:
    """A single request in place of all that can be asked."""

    def __init__(self, sample: Sample) -> None:
        self.samples = (sample,)
        self.rules, self.work = (0,), 0

    def bits(self, operations: Iterable[Operation]) -> int:  # noqa: ARG002  nothing is told apart
        """None."""
        return 0

    def told(self, chosen: Collection[int]) -> tuple[str, ...]:  # noqa: ARG002  one is all
        """What it is."""
        (sample,) = self.samples
        return (f"{sample.method} {sample.path}",) if sample.http else ()


class Cell(Struct, frozen=True, kw_only=True):
    """A class: its port, the numbers of its client and its request, and the answer of each side to
    `question`, which is a question of this class, or of one that differs by rules which do not mean the
    client.
    """

    port: int
    client: int
    request: int
    question: Question
    answers: tuple[Admission, ...]


class ClassRow(Struct, Generic[V], frozen=True, kw_only=True):
    """Classes of which the same is said, as people read them: `requests` empty = all of them. `cells` are the
    classes themselves.
    """

    verdict: V
    ports: tuple[int, ...]
    callers: tuple[str, ...]
    requests: tuple[str, ...]
    cells: tuple[Cell, ...]


class Destination:
    """A Service with what is at stake for it on each side; of `ports` these alone, if there are some, and of
    requests `request` alone. Raises UntoldError where there are too many classes, or unknown ones. `work` is
    what its answers cost, as in MOST_WORK.
    """

    def __init__(
        self,
        key: ServiceKey,
        sides: Sequence[Known],
        stakes: Sequence[Stake],
        askers: Askers,
        *,
        ports: Collection[int] = (),
        request: Sample | None = None,
    ) -> None:
        self._key, self._sides, self._askers = key, sides, askers
        self._words: dict[tuple[int, frozenset[int]], tuple[str, ...]] = {}
        found = {port for one in stakes for port in one.ports}
        numbers = sorted({port.number for port in found if not ports or port.number in ports})
        self._requests: Mapping[int, Askable] = {
            number: (
                _requests(found, number, stakes)
                if request is None
                else OneRequest(_sent(request, key, found, number))
            )
            for number in numbers
        }
        self._relevant = {port: tuple(self._bits(port, stakes)) for port in numbers}
        # Counted before anything is asked, so that a policy that tells too much apart costs no more than
        # counting.
        asked = sum(
            len(set(self._projected(port, client)))
            for port in numbers
            for client in range(len(askers.samples))
        )
        self.work = asked * (1 + max(one.size for one in stakes)) + sum(
            one.work for one in self._requests.values()
        )
        if asked > MOST or self.work > MOST_WORK:
            raise UntoldError(
                f"{asked} kinds of clients and requests must be told apart, each by all of its rules, which"
                " is too much"
            )

    def _bits(self, port: int, stakes: Iterable[Stake]) -> Iterator[int]:
        """For each class of clients the rules at a port that can mean one of them."""
        grants = {grant for one in stakes for access in one.accesses(port) for grant in access.grants()}
        bits = [
            (callers, deny, self._requests[port].bits(operations)) for callers, deny, operations in grants
        ]
        for client in range(len(self._askers.samples)):
            found = 0
            for callers, deny, rules in bits:
                # Rules that are known to mean the client already need no second look.
                if rules & ~found and self._askers.may_mean(client, callers, deny):
                    found |= rules
            yield found

    def _projected(self, port: int, client: int) -> Iterator[int]:
        """For each class of requests the rules that hold of it and can mean the client: what is equal is
        decided alike.
        """
        relevant = self._relevant[port][client]
        # -1 stands for connections in which nobody sees a request: its bits are no rules.
        yield from (rules if rules < 0 else rules & relevant for rules in self._requests[port].rules)

    def cells(self) -> Iterator[Cell]:
        """Each class with its answers."""
        for port, requests in self._requests.items():
            for number, client in enumerate(self._askers.samples):
                answers: dict[int, tuple[Question, tuple[Admission, ...]]] = {}
                for request, (sample, rules) in enumerate(
                    zip(requests.samples, self._projected(port, number), strict=True)
                ):
                    if rules not in answers:
                        question = _question(self._key, port, client, sample)
                        answers[rules] = (
                            question,
                            tuple(can(question, side) for side in self._sides),
                        )
                    question, found = answers[rules]
                    yield Cell(port=port, client=number, request=request, question=question, answers=found)

    def rows(self, cells: Iterable[Cell], verdict: Callable[[Cell], V | None]) -> Iterator[ClassRow[V]]:
        """The classes with a verdict, folded: first by their requests, then by ports, then by callers."""
        found: dict[V, dict[int, dict[int, list[Cell]]]] = {}
        for cell in cells:
            if (said := verdict(cell)) is not None:
                found.setdefault(said, {}).setdefault(cell.client, {}).setdefault(cell.port, []).append(cell)
        for said, clients in found.items():
            alike: dict[tuple[tuple[tuple[str, ...], tuple[int, ...]], ...], list[int]] = {}
            for number, ports in clients.items():
                alike.setdefault(self._asked(ports), []).append(number)
            for asked, numbers in alike.items():
                told = self._askers.told(numbers)
                for requests, ports_alike in asked:
                    inside = tuple(
                        cell for number in numbers for port in ports_alike for cell in clients[number][port]
                    )
                    yield ClassRow(
                        verdict=said, ports=ports_alike, callers=told, requests=requests, cells=inside
                    )

    def _asked(
        self, ports: Mapping[int, Sequence[Cell]]
    ) -> tuple[tuple[tuple[str, ...], tuple[int, ...]], ...]:
        """Words for the requests, each with the ports of which they are all."""
        found: dict[tuple[str, ...], list[int]] = {}
        for port, cells in ports.items():
            found.setdefault(self._told(port, frozenset(cell.request for cell in cells)), []).append(port)
        return tuple((requests, tuple(numbers)) for requests, numbers in found.items())

    def _told(self, port: int, requests: frozenset[int]) -> tuple[str, ...]:
        if (port, requests) not in self._words:
            self._words[port, requests] = self._requests[port].told(requests)
        return self._words[port, requests]


def _sent(request: Sample, key: ServiceKey, ports: Iterable[ServicePort], number: int) -> Sample:
    """The request as it is sent to a port: by the Service's name, unless it says otherwise, and as no request
    where proxies see none.
    """
    namespace, name = key
    # Clients leave the default port out of the Host header (RFC 9110, section 7.2).
    host = f"{name}.{namespace}{'' if number == 80 else f':{number}'}"
    asked = [port for port in ports if port.number == number]
    http = any(port.http for port in asked)
    sniffed = http and any(port.raw for port in asked)
    return replace(request, http=http, sniffed=sniffed, authority=request.authority or host)


def _requests(ports: Iterable[ServicePort], number: int, stakes: Iterable[Stake]) -> Requests:
    """What can be asked at a port. A port without a protocol is sniffed: proxies see requests on it, or
    none.
    """
    seen = [port for port in ports if port.number == number and port.seen]
    rules = (
        rule
        for one in stakes
        for access in one.accesses(number)
        for *_, rules in access.grants()
        for rule in rules
    )
    http = any(port.http for port in seen)
    return Requests(rules, http=http, raw=not http or any(port.raw for port in seen))


def _question(key: ServiceKey, port: int, client: Client, sample: Sample) -> Question:
    return Question(
        client=client,
        service=key,
        port=port,
        method=sample.method,
        path=sample.path,
        headers=sample.headers,
        authority=sample.authority,
        http=sample.http,
        sample=True,
        sniffed=sample.sniffed,
    )
