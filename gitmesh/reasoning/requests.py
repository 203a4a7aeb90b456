"""Everything that can be asked at one port, in classes that no rule tells apart, with a request of each and words for sets of them.

A request has several parts (path, method, host, each header that some rule names), and a rule is a conjunction over them: so requests
of which the same rules hold are one class, however many there are.
"""

from __future__ import annotations

import json
import operator
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import TypeAlias

from msgspec import Struct

from gitmesh.confidential import MASK, is_credential
from gitmesh.model.units import NamedCondition, Operation
from gitmesh.reasoning.operations import asks_http, is_host, like
from gitmesh.reasoning.values import MOST, Terms, UntoldError, Value, cut, samples, spoken, strange, terms
from gitmesh.resolution.conditions import holds
from gitmesh.resolution.matching import named_holds

RAW = "connections that are not HTTP"
"""Words for connections in which proxies see no requests, on a port whose protocol they sniff."""


class Sample(Struct, frozen=True, kw_only=True):
    """A request of a class; `http` false: a connection in which proxies see no requests."""

    http: bool = True
    method: str = "GET"
    path: str = "/"
    authority: str = ""
    headers: Mapping[str, str] = {}


class Dimension(Struct, frozen=True, kw_only=True):
    """One part of a request: its values, those of which the same rules hold together. `rules` are bits, one for each rule."""

    name: str
    groups: tuple[tuple[int, tuple[Value, ...]], ...]

    @property
    def values(self) -> tuple[Value, ...]:
        """All kinds of values."""
        return tuple(value for _, values in self.groups for value in values)


Region: TypeAlias = "bool | tuple[int, tuple[tuple[frozenset[int], Region], ...]]"
"""Classes as a decision: all, none, or by the groups of a dimension's values."""
Box = Mapping[int, frozenset[int]]
"""Of some dimensions the groups that are meant; of the others all."""


class Requests:
    """The classes of one port, numbered; `http` and `raw`: whether proxies see requests on it, or none, or may see either."""

    def __init__(self, operations: Iterable[Operation], *, http: bool, raw: bool) -> None:
        self._rules = sorted({_asked(one) for one in operations if asks_http(one)}, key=repr) if http else []
        self._dimensions = tuple(one for one in _dimensions(self._rules) if len(one.groups) > 1)
        classes = _classes(self._dimensions, (1 << len(self._rules)) - 1) if http else {}
        self._numbers = {rules: number for number, rules in enumerate(classes)}
        self.samples = tuple(self._sample(groups) for groups in classes.values()) + ((Sample(http=False),) if raw else ())
        self._raw = len(classes) if raw else -1

    def _sample(self, groups: Sequence[int]) -> Sample:
        chosen = {one.name: one.groups[group][1][0].sample for one, group in zip(self._dimensions, groups, strict=True)}
        headers = {name: text for name, text in chosen.items() if name not in _WORDS and text is not None}
        return Sample(
            method=chosen.get("Method") or "GET", path=chosen.get("Path") or "/", authority=chosen.get("Host") or "", headers=headers
        )

    def told(self, chosen: Collection[int]) -> tuple[str, ...]:
        """Words for some of the classes; none for all of them."""
        if len(set(chosen)) == len(self.samples):
            return ()
        wanted = frozenset(chosen) - {self._raw}
        boxes = min((self._boxes(order, wanted) for order in self._orders()), key=len)
        texts = sorted(text for box in boxes for text in self._texts(box))
        return (*texts, *((RAW,) if self._raw in chosen else ()))

    def _orders(self) -> list[tuple[int, ...]]:
        """Ways to ask for one dimension after the other, each with another one first."""
        every = range(len(self._dimensions))
        return [(first, *(one for one in every if one != first)) for first in every] or [()]

    def _boxes(self, order: Sequence[int], wanted: frozenset[int]) -> list[Box]:
        return list(_boxes(_Regions(self._dimensions, order, self._numbers, wanted).region((1 << len(self._rules)) - 1)))

    def _texts(self, box: Box) -> Iterator[str]:
        said = {}
        for number, groups in box.items():
            dimension = self._dimensions[number]
            chosen = [value for group in groups for value in dimension.groups[group][1]]
            said[dimension.name] = terms(chosen, dimension.values)
        yield from _sentences(said) if said else ("every HTTP request",)


class _Regions:
    """Which of the wanted classes the groups of each dimension lead to; what leads to the same is one."""

    def __init__(self, dimensions: Sequence[Dimension], order: Sequence[int], numbers: Mapping[int, int], wanted: frozenset[int]) -> None:
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
        if len(further) > MOST:
            raise UntoldError(f"its rules tell more than {MOST} kinds of requests apart")
        found = further
    return found


# --- the parts of requests

_Rule = tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...], tuple[NamedCondition, ...]]
"""Paths, methods, hosts and headers of a rule."""
_WORDS = {"Path": "any path", "Method": "any method", "Host": "any host"}
"""Dimensions that are no headers, whose names have no capitals -> what all of them are called."""


def _asked(operation: Operation) -> _Rule:
    return operation.paths, operation.methods, operation.hosts, operation.headers


def _dimensions(rules: Sequence[_Rule]) -> Iterator[Dimension]:
    yield _listed("Path", [paths for paths, *_ in rules], like, _paths)
    yield _listed("Method", [methods for _, methods, *_ in rules], operator.eq, _methods)
    yield _listed("Host", [hosts for _, _, hosts, _ in rules], is_host, _hosts)
    names = sorted({condition.name for *_, headers in rules for condition in headers})
    yield from (_header(name, [[one for one in headers if one.name == name] for *_, headers in rules]) for name in names)


def _listed(
    name: str, lists: Sequence[Sequence[str]], holds: Callable[[str, str], bool], tried: Callable[[Collection[str]], Iterator[str]]
) -> Dimension:
    """A part of which rules list patterns, an empty list meaning any."""
    patterns = sorted({pattern for each in lists for pattern in each})
    values = cut(tried(patterns), {pattern: partial(holds, pattern) for pattern in patterns})

    def meant(value: Value) -> int:
        assert value.sample is not None
        return _bits(not each or any(holds(pattern, value.sample) for pattern in each) for each in lists)

    return _grouped(name, values, meant)


def _header(name: str, lists: Sequence[Sequence[NamedCondition]]) -> Dimension:
    """A header of which rules list conditions, all of which must hold."""
    conditions = {one.condition for each in lists for one in each}
    if any(one.ignore_case or one.form not in ("exact", "prefix", "suffix", "present") for one in conditions):
        raise UntoldError(f"a rule asks for the header {name} by an expression, and which values that tells apart is not known")
    by_form = {form: [one.value for one in conditions if one.form == form] for form in ("exact", "prefix", "suffix")}
    other = strange(one.value for one in conditions)
    words = {_condition(name, one.form, one.value): partial(holds, one, path=False) for one in sorted(conditions)}
    values = cut((None, *samples(by_form["exact"], by_form["prefix"], by_form["suffix"], other)), words)

    def meant(value: Value) -> int:
        given = {} if value.sample is None else {name: value.sample}
        return _bits(all(named_holds(one, given) for one in each) for each in lists)

    return _grouped(name, values, meant)


def _condition(name: str, form: str, value: str) -> str:
    """A condition in a word of its own, which `_shown` makes fit to be read."""
    if form == "present":
        return name
    text = value if value and '"' not in value and "*" not in value else json.dumps(value)
    return f"{name}: {'*' * (form == 'suffix')}{text}{'*' * (form == 'prefix')}"


def _shown(condition: str) -> str:
    """Without what may be a credential."""
    name, colon, _ = condition.partition(": ")
    return f"{name}: {MASK}" if colon and is_credential(name) else condition


def _bits(holding: Iterable[bool]) -> int:
    return sum(1 << number for number, one in enumerate(holding) if one)


def _grouped(name: str, values: Iterable[Value], meant: Callable[[Value], int]) -> Dimension:
    groups: dict[int, list[Value]] = {}
    for value in values:
        groups.setdefault(meant(value), []).append(value)
    return Dimension(name=name, groups=tuple((rules, tuple(found)) for rules, found in groups.items()))


def _split(patterns: Iterable[str]) -> tuple[list[str], list[str], list[str]]:
    """(exact texts, beginnings, endings) of patterns with `*`."""
    exact, begin, end = [], [], []
    for one in patterns:
        if one.startswith("*"):
            end.append(one[1:])
        elif one.endswith("*"):
            begin.append(one[:-1])
        else:
            exact.append(one)
    return exact, begin, end


def _paths(patterns: Collection[str]) -> Iterator[str]:
    """A path begins with a slash."""
    for text in samples(*_split(patterns), strange(patterns)):
        yield text if text.startswith("/") else f"/{text}"


def _methods(patterns: Collection[str]) -> Iterator[str]:
    yield from patterns
    longest = max((len(one) for one in patterns), default=0)
    yield "OTHER" if "OTHER" not in patterns else "O" * (longest + 1)


def _hosts(patterns: Collection[str]) -> Iterator[str]:
    """Hosts, each without a port and with every port that the patterns tell apart. A text before or after a colon is a host's or a
    port's; an ending without one may be either's."""
    exact, begin, end = _split(one.lower() for one in patterns)
    (heads, whole), (starts, firsts), (tails, lasts) = (_by_colon(each) for each in (exact, begin, end))
    other = strange(patterns)
    hosts = list(samples([*exact, *heads, *starts], begin, [*end, *tails], other))
    hosts += [f"{host}]" for host in hosts if host.startswith("[") and "]" not in host]
    numbers = list(samples([*whole, *lasts], firsts, filter(str.isdigit, end), other))
    if len(hosts) * len(numbers) > MOST:
        raise UntoldError(f"the rules name {len(patterns)} hosts, with more ports than can be told apart")
    yield from hosts
    yield from (f"{host}:{number}" for host in hosts for number in numbers)


def _by_colon(texts: Iterable[str]) -> tuple[list[str], list[str]]:
    """What stands before the last colon, and after it, of the texts that have one."""
    parts = [one.rpartition(":") for one in texts if ":" in one]
    return [before for before, _, _ in parts], [after for *_, after in parts]


# --- words


def _sentences(said: Mapping[str, Terms]) -> Iterator[str]:
    """`GET, HEAD /admin/*`; a path that is told by what it is not has a sentence of its own."""
    headers = [_with(one) for name, found in sorted(said.items()) if name not in _WORDS for one in (found,)]
    host = [f"to {_alternatives('Host', said['Host'])}"] if "Host" in said else []
    methods = _alternatives("Method", said["Method"]) if "Method" in said else ""
    paths = said.get("Path", ())
    plain = tuple(one for one in paths if one[0] and not one[1])
    rest = [one for one in paths if one not in plain]
    texts = ([_alternatives("Path", plain)] if plain else []) + [_alternatives("Path", (one,)) for one in rest]
    for path in texts or [""]:
        on = "on " if path and methods and (path.startswith("any") or methods.startswith("any")) else ""
        yield " ".join(part for part in (methods, f"{on}{path}", *host, *headers) if part)


def _alternatives(name: str, found: Terms) -> str:
    return spoken(found, _WORDS[name])


def _with(found: Terms) -> str:
    texts = []
    for conditions, refused in found:
        base = f"with {' and '.join(map(_shown, conditions))}" if conditions else ""
        without = f"without {' or '.join(map(_shown, refused))}" if refused else ""
        texts.append(" ".join(part for part in (base, without) if part))
    return " or ".join(texts)
