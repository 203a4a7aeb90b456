"""Who may call a destination, and what a client may call, told completely: nothing is sampled."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import TypeAlias

from msgspec import Struct

from gitmesh.model.grants import Caller
from gitmesh.model.policies import Origin
from gitmesh.reasoning.answers import Answer, Ruling
from gitmesh.reasoning.classes import Askers, Cell, ClassRow, Destination
from gitmesh.reasoning.clients import Clients, interest
from gitmesh.reasoning.crowd import Crowd
from gitmesh.reasoning.detours import led_round
from gitmesh.reasoning.difference import rulings
from gitmesh.reasoning.questions import Client, Known, ServiceKey
from gitmesh.reasoning.requests import Sample
from gitmesh.reasoning.stakes import Stake, stake
from gitmesh.reasoning.strangers import ANYBODY
from gitmesh.reasoning.values import UntoldError


class AccessRow(Struct, frozen=True, kw_only=True):
    """Callers and requests of one destination that are answered alike, by the same lines. `requests` empty =
    all of them; `why` are the calculator's reasons, `tried` the Allows that do not admit."""

    service: ServiceKey
    answer: Answer
    ports: tuple[int, ...]
    callers: tuple[str, ...]
    requests: tuple[str, ...]
    why: tuple[str, ...]
    deciding: tuple[Origin, ...] = ()
    tried: tuple[Origin, ...] = ()


class TableScope(Struct, frozen=True, kw_only=True):
    """What is asked of all that can be: these ports (none = all of them), and one request (None = every
    one).
    """

    ports: Collection[int] = ()
    request: Sample | None = None


EVERYTHING = TableScope()


def callers_of(
    key: ServiceKey, known: Known, crowd: Crowd, only: TableScope = EVERYTHING
) -> tuple[AccessRow, ...]:
    """Everybody who can ask, and what the destination answers to each. Raises KeyError where the cluster has
    no such Service.
    """
    found = stake(key, known)
    try:
        rows = _rows(key, known, found, Clients(crowd, interest([found])), only)
        return (*rows, *_led(key, known, found, only))
    except UntoldError as error:
        return (_untold(key, found, ANYBODY, error),)


def rows_of_client(
    client: Client, name: str, key: ServiceKey, known: Known, only: TableScope = EVERYTHING
) -> tuple[AccessRow, ...]:
    """What the destination answers to one client, which is called `name`. Raises KeyError where the cluster
    has no such Service.
    """
    found = stake(key, known)
    try:
        rows = _rows(key, known, found, _One(client, name), only)
        # Nothing is routed for a client without a proxy, and a gateway has routes of its own.
        return (*rows, *(_led(key, known, found, only, name) if client.mesh and not client.router else ()))
    except UntoldError as error:
        return (_untold(key, found, name, error),)


def _led(
    key: ServiceKey, known: Known, found: Stake, only: TableScope, name: str = ""
) -> Iterator[AccessRow]:
    """A row for each other Service to which a split leads requests, and which decides otherwise."""
    ports = tuple(sorted({one.number for one in found.ports if not only.ports or one.number in only.ports}))
    for detour in led_round(key, known):
        there = "/".join(detour.led)
        yield AccessRow(
            service=key,
            answer=Answer.UNKNOWN if detour.unknown else Answer.DEPENDS,
            ports=ports,
            callers=(name or f"whoever may call {there}",),
            requests=("those that a split leads elsewhere",),
            why=(f"some requests are led to {there}, where it is decided otherwise who may call",),
            deciding=(detour.origin,),
        )


class _One:
    """A single client in place of all that can ask."""

    def __init__(self, client: Client, name: str) -> None:
        self.samples = (client,)
        self._name = name

    # It is asked in any case.
    def may_mean(self, number: int, callers: tuple[Caller, ...], deny: bool) -> bool:  # noqa: ARG002
        """It may."""
        return True

    def told(self, chosen: Iterable[int]) -> tuple[str, ...]:  # noqa: ARG002  one is all
        """Its name."""
        return (self._name,)


_Verdict: TypeAlias = tuple[Answer, tuple[str, ...], tuple[Origin, ...], tuple[Origin, ...]]


def _rows(
    key: ServiceKey, known: Known, found: Stake, askers: Askers, only: TableScope
) -> tuple[AccessRow, ...]:
    destination = Destination(key, (known,), (found,), askers, ports=only.ports, request=only.request)
    return tuple(
        sorted((_row(key, row) for row in destination.rows(destination.cells(), _verdict)), key=_order)
    )


def _verdict(cell: Cell) -> _Verdict:
    (found,) = cell.answers
    reasons = list(rulings(found))
    return (
        found.answer,
        tuple(dict.fromkeys(one.text for one in reasons)),
        _deciding(reasons),
        _tried(reasons),
    )


def _deciding(reasons: Sequence[Ruling]) -> tuple[Origin, ...]:
    return tuple(sorted({origin for one in reasons for origin in one.deciding}))


def _tried(reasons: Sequence[Ruling]) -> tuple[Origin, ...]:
    return tuple(sorted({tried.origin for one in reasons for tried in one.tried}))


def _row(key: ServiceKey, row: ClassRow[_Verdict]) -> AccessRow:
    answer, why, deciding, tried = row.verdict
    return AccessRow(
        service=key,
        answer=answer,
        ports=row.ports,
        callers=row.callers,
        requests=row.requests,
        why=why,
        deciding=deciding,
        tried=tried,
    )


def _untold(key: ServiceKey, found: Stake, who: str, error: UntoldError) -> AccessRow:
    ports = tuple(sorted({port.number for port in found.ports}))
    return AccessRow(
        service=key, answer=Answer.UNKNOWN, ports=ports, callers=(who,), requests=(), why=(str(error),)
    )


def _order(row: AccessRow) -> tuple[object, ...]:
    return list(Answer).index(row.answer), row.ports, row.callers, row.requests, row.deciding, row.tried
