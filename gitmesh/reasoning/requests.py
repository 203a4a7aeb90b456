"""Everything that can be asked at one port, in classes that no rule tells apart, with a request of each and
words for sets of them.

A request has several parts (path, method, host, each header that some rule names), and a rule is a
conjunction over them: so requests of which the same rules hold are one class, however many there are.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import TypeAlias

from msgspec import Struct

from gitmesh.model.grants import Operation
from gitmesh.reasoning.dimensions import HOST, METHOD, PATH, Dimension, dimensions, rule_of
from gitmesh.reasoning.sentences import sentences
from gitmesh.reasoning.values import MOST, UntoldError, terms

RAW = "connections that are not HTTP"
"""Words for connections in which proxies see no requests, on a port whose protocol they sniff."""


class Sample(Struct, frozen=True, kw_only=True):
    """A request of a class; `http` false: a connection in which proxies see no requests; `sniffed`: it may be
    either.
    """

    http: bool = True
    sniffed: bool = False
    method: str = "GET"
    path: str = "/"
    authority: str = ""
    headers: Mapping[str, str] = {}


Region: TypeAlias = "bool | tuple[int, tuple[tuple[frozenset[int], Region], ...]]"
"""Classes as a decision: all, none, or by the groups of a dimension's values."""
Box = Mapping[int, frozenset[int]]
"""Of some dimensions the groups that are meant; of the others all."""


class Requests:
    """The classes of one port, numbered; `http` and `raw`: whether proxies see requests on it, or none, or
    may see either.

    `samples` has a request of each, `rules` the rules that hold of it as bits (-1 where proxies see none),
    `work` what it cost to find them.
    """

    def __init__(self, operations: Iterable[Operation], *, http: bool, raw: bool) -> None:
        self._rules = sorted({rule_of(one) for one in operations if one.asks_http}, key=repr) if http else []
        # What every request meets, or none, tells none of them apart.
        self._dimensions = tuple(one for one in dimensions(self._rules) if len(one.groups) > 1)
        classes = _classes(self._dimensions, (1 << len(self._rules)) - 1) if http else {}
        self._numbers = {rules: number for number, rules in enumerate(classes)}
        self._bits = {rule: 1 << bit for bit, rule in enumerate(self._rules)}
        self._raw = len(classes) if raw else -1
        self.samples = tuple(self._sample(groups) for groups in classes.values()) + (
            (Sample(http=False),) if raw else ()
        )
        self.rules = (*classes, *((-1,) if raw else ()))
        self.work = len(self._rules) * sum(len(one.values) for one in self._dimensions)

    def bits(self, operations: Iterable[Operation]) -> int:
        """The rules of these operations, as in `rules`."""
        return sum({bit for one in operations if (bit := self._bits.get(rule_of(one)))})

    def _sample(self, groups: Sequence[int]) -> Sample:
        chosen = {
            one.name: one.groups[group][1][0].sample
            for one, group in zip(self._dimensions, groups, strict=True)
        }
        headers = {
            name: text
            for name, text in chosen.items()
            if name not in (PATH, METHOD, HOST) and text is not None
        }
        return Sample(
            method=chosen.get(METHOD) or "GET",
            path=chosen.get(PATH) or "/",
            authority=chosen.get(HOST) or "",
            headers=headers,
        )

    def told(self, chosen: Collection[int]) -> tuple[str, ...]:
        """Words for some of the classes; none for all of them."""
        if len(set(chosen)) == len(self.samples):
            return ()
        wanted = frozenset(chosen) - {self._raw}
        # How many rows are needed depends on which part is asked for first. The fewest are read most easily.
        boxes = min((self._boxes(order, wanted) for order in self._orders()), key=len)
        texts = sorted(text for box in boxes for text in self._texts(box))
        return (*texts, *((RAW,) if self._raw in chosen else ()))

    def _orders(self) -> list[tuple[int, ...]]:
        """Ways to ask for one dimension after the other, each with another one first."""
        every = range(len(self._dimensions))
        return [(first, *(one for one in every if one != first)) for first in every] or [()]

    def _boxes(self, order: Sequence[int], wanted: frozenset[int]) -> list[Box]:
        return list(
            _boxes(
                _Regions(self._dimensions, order, self._numbers, wanted).region((1 << len(self._rules)) - 1)
            )
        )

    def _texts(self, box: Box) -> Iterator[str]:
        said = {}
        for number, groups in box.items():
            dimension = self._dimensions[number]
            chosen = [value for group in groups for value in dimension.groups[group][1]]
            said[dimension.name] = terms(chosen, dimension.values)
        yield from sentences(said) if said else ("every HTTP request",)


class _Regions:
    """Which of the wanted classes the groups of each dimension lead to; what leads to the same is one."""

    def __init__(
        self,
        dimensions: Sequence[Dimension],
        order: Sequence[int],
        numbers: Mapping[int, int],
        wanted: frozenset[int],
    ) -> None:
        self.dimensions, self.order, self.numbers, self.wanted = dimensions, order, numbers, wanted
        self.known: dict[tuple[int, int], Region] = {}

    def region(self, rules: int, level: int = 0) -> Region:
        """Of the requests of which at most these rules hold, by the dimensions from this level on."""
        if level == len(self.order):
            return self.numbers[rules] in self.wanted
        if (level, rules) not in self.known:
            self.known[level, rules] = self._region(rules, level)
        return self.known[level, rules]

    def _region(self, rules: int, level: int) -> Region:
        found: dict[Region, set[int]] = {}
        for group, (holding, _) in enumerate(self.dimensions[self.order[level]].groups):
            found.setdefault(self.region(rules & holding, level + 1), set()).add(group)
        if len(found) == 1:
            return next(iter(found))
        inner = ((frozenset(groups), region) for region, groups in found.items() if region is not False)
        return self.order[level], tuple(sorted(inner, key=lambda one: sorted(one[0])))


def _boxes(region: Region) -> Iterator[Box]:
    if isinstance(region, bool):
        yield from ({},) if region else ()
        return
    dimension, branches = region
    for groups, inner in branches:
        yield from ({dimension: groups, **box} for box in _boxes(inner))


def _classes(dimensions: Sequence[Dimension], every: int) -> dict[int, tuple[int, ...]]:
    """For each set of rules that some request meets, the groups of such a request."""
    found: dict[int, tuple[int, ...]] = {every: ()}
    for dimension in dimensions:
        further: dict[int, tuple[int, ...]] = {}
        for rules, groups in found.items():
            for group, (holding, _) in enumerate(dimension.groups):
                further.setdefault(rules & holding, (*groups, group))
        # After each part, before the next one multiplies them.
        if len(further) > MOST:
            raise UntoldError(f"its rules tell more than {MOST} kinds of requests apart")
        found = further
    return found
