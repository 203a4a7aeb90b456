"""Answers against expectations: every difference is a line of text, none means that the row holds."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence

from tests.e2e.bounds import FALSE_ALARM, binomial_bounds
from tests.e2e.schema import NOBODY, Count, Expect, HeaderValues, Pattern, Received, Slow, Took
from tests.lab.wire import Seen, WireAnswer

Calls = Mapping[str, int]
"""Pod -> how often it was called."""
AccountOf = Callable[[str], str]
"""Pod -> its ServiceAccount."""


def is_called(name: str, pod: str, account: str) -> bool:
    """Whether a name means the pod: its own, that of its workload (without the number at the end), or its
    ServiceAccount.
    """
    return name in (pod, re.sub(r"-\d+$", "", pod), account)


def disagreements(expect: Expect, answers: Sequence[WireAnswer]) -> list[str]:
    """What is different from what the row expects, but for the calls, which the servers count."""
    found = [text for answer in answers for text in _one(expect, answer)]
    repeated = Counter(found)
    texts = [f"{text} ({times} times)" if times > 1 else text for text, times in repeated.items()]
    return [*texts, *_together(expect, answers)]


def _one(expect: Expect, answer: WireAnswer) -> Iterator[str]:
    yield from _outcome(expect, answer)
    if expect.by is not None and not _is_by(expect.by, answer.seen):
        yield f"answered by {answer.seen.pod if answer.seen else NOBODY}, not by {expect.by}"
    if expect.body is not None and answer.body != expect.body:
        yield f"body {answer.body[:200]!r}, not {expect.body!r}"
    yield from _headers(expect.headers, answer.headers, "answer")
    if expect.server is not None:
        yield from _received(expect.server, answer.seen)
    if expect.took is not None:
        yield from _took(expect.took, answer)


def _outcome(expect: Expect, answer: WireAnswer) -> Iterator[str]:
    if expect.error is not None and answer.error not in expect.error:
        yield f"{answer.error or answer.status}, not {' or '.join(expect.error)}"
    wanted = expect.only_status
    if wanted is not None and answer.status != wanted:
        yield f"status {answer.status or answer.error}, not {wanted}" + (
            f": {answer.body[:120]!r}" if answer.seen is None else ""
        )
    if expect.statuses is not None and answer.status not in expect.statuses:
        yield f"status {answer.status or answer.error}, which is not expected at all"


def _is_by(name: str, seen: Seen | None) -> bool:
    return (
        seen is None
        if name == NOBODY
        else seen is not None and is_called(name, seen.pod, seen.service_account)
    )


def _headers(wanted: HeaderValues, got: Mapping[str, str], whose: str) -> Iterator[str]:
    for name, value in wanted.items():
        found = got.get(name.lower())
        if isinstance(value, Pattern):
            if found is None or not re.fullmatch(value.matches, found):
                yield f"header {name} of the {whose} is {found!r}, which is not like {value.matches}"
        elif found != value:
            yield f"header {name} of the {whose} is {found!r}, not {value!r}"


def _received(wanted: Received, seen: Seen | None) -> Iterator[str]:
    if seen is None:
        yield "no application saw the request"
        return
    for name in ("method", "path", "query", "authority", "port", "body"):
        value = getattr(wanted, name)
        if value is not None and getattr(seen, name) != value:
            yield f"the server saw {name} {getattr(seen, name)!r}, not {value!r}"
    yield from _headers(wanted.headers, seen.headers, "request at the server")


def _took(wanted: Took, answer: WireAnswer) -> Iterator[str]:
    millis = answer.seconds * 1000
    if millis < wanted.at_least:
        yield f"answered before {wanted.at_least} ms had passed"
    if wanted.below is not None and millis >= wanted.below:
        yield f"took {wanted.below} ms or more"


def _together(expect: Expect, answers: Sequence[WireAnswer]) -> Iterator[str]:
    total = len(answers)
    for status, often in (expect.statuses or {}).items():
        yield from _often(
            f"status {status}",
            sum(answer.status == status for answer in answers),
            often,
            total,
            len(expect.statuses or {}),
        )
    shares = expect.shares or {}
    for name, percent in shares.items():
        count = sum(_is_by(name, answer.seen) for answer in answers)
        yield from _often(f"answers by {name}", count, Count(percent=percent), total, len(shares))
    if expect.slow is not None:
        yield from _slow(expect.slow, answers)
    if expect.sticks is not None:
        pods = {answer.seen.pod if answer.seen else NOBODY for answer in answers}
        if (len(pods) == 1) != expect.sticks:
            yield (
                f"answered by {', '.join(sorted(pods))},"
                f" {'not by one pod' if expect.sticks else 'not by several'}"
            )


def _slow(slow: Slow, answers: Sequence[WireAnswer]) -> Iterator[str]:
    count = sum(answer.seconds * 1000 >= slow.at_least for answer in answers)
    return _often(f"answers after {slow.at_least} ms", count, Count(percent=slow.percent), len(answers), 1)


def _often(what: str, count: int, often: Count, total: int, among: int) -> Iterator[str]:
    """`among`: how many shares the row's chance of a false alarm is divided among."""
    low, high = often.at_least, often.at_most
    if often.percent is not None:
        low, high = binomial_bounds(total, often.percent / 100, FALSE_ALARM / among)
    if not low <= count <= high:
        said = (
            f"{often.percent:g} percent of {total}: {low} to {high}"
            if often.percent is not None
            else f"{low} to {high}"
        )
        yield f"{what}: {count}, not {said}"


def call_disagreements(
    wanted: Mapping[str, Count], calls: Calls, account_of: AccountOf, total: int
) -> list[str]:
    """What is different in how often servers were called."""
    counted = {
        name: sum(n for pod, n in calls.items() if is_called(name, pod, account_of(pod))) for name in wanted
    }
    return [
        text
        for name, often in wanted.items()
        for text in _often(f"calls of {name}", counted[name], often, total, len(wanted))
    ]
