"""What strangers' objects say of who may call some pods. Three values: what hangs on something that facts do
not hold (conditions whose values may be secrets, addresses) is None.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from msgspec import Struct

from gitmesh.model.facts import ClusterFacts
from gitmesh.model.objects import ObjectKey
from gitmesh.model.strangers import ForeignGuard, ForeignOperation, ForeignRule, ForeignSource
from gitmesh.reasoning.operations import is_host, like
from gitmesh.reasoning.questions import Client, ForeignWords, Pair, Question

# In this order, so that among objects of equal width the laxest is the least.
_LAX_FIRST = ("Disabled", "Permissive", "Strict")
_EVERYWHERE = 2


class ForeignWord(Struct, frozen=True, kw_only=True):
    """What one object says: whether its rules mean the request, and whether it selects the pods for sure."""

    by: ObjectKey
    meets: bool | None
    selects: bool


def words(action: str, pair: Pair, question: Question, client: Client) -> tuple[ForeignWord, ...]:
    """What the objects of one action say, Ask as something that may refuse."""
    return tuple(
        ForeignWord(
            by=one.by,
            meets=_sure(_meets(one.guard, pair.number, question, client), one.sure),
            selects=one.sure,
        )
        for one in pair.foreign
        if one.guard.action == action or (action, one.guard.action) == ("Deny", "Ask")
    )


def words_ahead(action: str, question: Question, facts: ClusterFacts) -> tuple[ForeignWord, ...]:
    """The same of what is said at proxies ahead of the pods. That one of them is on the way, is never
    sure."""
    client = question.client
    return tuple(
        ForeignWord(by=stranger.key, meets=_meets(one.guard, question.port, question, client), selects=False)
        for stranger in facts.strangers
        for one in stranger.ahead
        if one.means(question.service)
        and (one.guard.action == action or (action, one.guard.action) == ("Deny", "Ask"))
    )


def _sure(meets: bool | None, sure: bool) -> bool | None:
    return meets if sure or meets is False else None


def mode_of(words: Iterable[ForeignWords], number: int, meshwide: str) -> tuple[str, ObjectKey | None]:
    """The mode of mTLS of a port of the pods that these words are about, and by which object of a stranger:
    the narrowest counts, and policies' `meshwide` ("" = they set none) before a stranger's. One that may
    select only some of the pods counts where it is lax.
    """
    found: list[tuple[int, int, ObjectKey]] = []
    for one in words:
        guard = one.guard
        mode = guard.ports.get(str(number)) or guard.mode
        # A Strict that may select only some of the pods does not promise that all of them refuse plaintext.
        if guard.action == "Mtls" and mode and (one.sure or mode != "Strict"):
            width = 0 if guard.selector else 1 if guard.namespace else _EVERYWHERE
            found.append((width, _LAX_FIRST.index(mode) if mode in _LAX_FIRST else 0, one.by))
    if not found or (min(found)[0] == _EVERYWHERE and meshwide):
        return meshwide, None
    _, place, by = min(found)
    return _LAX_FIRST[place], by


def _meets(guard: ForeignGuard, port: int, question: Question, client: Client) -> bool | None:
    if guard.action == "Ask":
        # An external service decides, and what it would answer is not known.
        return None if guard.rules else False
    asked = _Request(question, client, port, deny=guard.action == "Deny")
    return _any(_ruled(rule, asked) for rule in guard.rules)


class _Request(Struct, frozen=True):
    question: Question
    client: Client
    port: int
    deny: bool


def _ruled(rule: ForeignRule, asked: _Request) -> bool | None:
    if not (rule.sources or rule.operations or rule.unsure):
        return True
    parts = [
        _any(_from(one, asked) for one in rule.sources) if rule.sources else True,
        _any(_to(one, asked) for one in rule.operations) if rule.operations else True,
        None if rule.unsure else True,
    ]
    # A sample stands for requests that policies do not tell apart; a stranger's conditions might.
    if not asked.question.sample or not (
        rule.sources or rule.unsure or any(map(_asks_more, rule.operations))
    ):
        return _all(parts)
    return None if not rule.operations or any(_port(one, asked) for one in rule.operations) else False


def _asks_more(one: ForeignOperation) -> bool:
    """Whether it asks for more than a port."""
    return one != ForeignOperation(ports=one.ports, no_ports=one.no_ports)


def _any(found: Iterable[bool | None]) -> bool | None:
    answers = list(found)
    return True if True in answers else None if None in answers else False


def _all(found: Iterable[bool | None]) -> bool | None:
    answers = list(found)
    return False if False in answers else None if None in answers else True


def _from(one: ForeignSource, asked: _Request) -> bool | None:
    client = asked.client
    named = client.trust_domain is not None
    principal = f"{client.trust_domain}/ns/{client.namespace}/sa/{client.service_account}"
    return _all(
        (
            _listed(one.principals, one.no_principals, principal if named else None, like),
            _listed(one.namespaces, one.no_namespaces, client.namespace if named else None, like),
            None if one.unsure else True,
        )
    )


def _to(one: ForeignOperation, asked: _Request) -> bool | None:
    """Whether the operation means the request."""
    question = asked.question
    http = (*one.methods, *one.no_methods, *one.paths, *one.no_paths, *one.hosts, *one.no_hosts)
    if http and not question.http:
        # A Deny with parts that only requests have is wider on what is none, by how much is not known.
        return None if asked.deny else False
    return _all(
        (
            _port(one, asked),
            _listed(one.methods, one.no_methods, question.method, like),
            _listed(one.paths, one.no_paths, question.path, like),
            _listed(one.hosts, one.no_hosts, question.authority, is_host),
        )
    )


def _port(one: ForeignOperation, asked: _Request) -> bool:
    return _listed(one.ports, one.no_ports, str(asked.port), like)


def _listed(
    wanted: tuple[str, ...], unwanted: tuple[str, ...], value: str | None, fits: Callable[[str, str], bool]
) -> bool:
    """Whether a value is one that is wanted and none that is not; None is no value, so none of either."""
    if value is None:
        # Without a value a condition on wanted ones fails, while one that only excludes values holds.
        return not wanted
    return (not wanted or any(fits(one, value) for one in wanted)) and not any(
        fits(one, value) for one in unwanted
    )
