"""The parts of a request (path, method, host, each header that some rule names), each cut by what rules ask
of it.
"""

from __future__ import annotations

import json
import operator
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from functools import partial
from typing import TypeAlias

from msgspec import Struct

from gitmesh.model.conditions import NamedCondition
from gitmesh.model.grants import Operation
from gitmesh.reasoning.operations import is_host, like
from gitmesh.reasoning.values import MOST, UntoldError, Value, cut, samples, strange
from gitmesh.resolution.conditions import holds
from gitmesh.resolution.matching import named_holds

PATH, METHOD, HOST = "Path", "Method", "Host"
"""Dimensions that are no headers: those have no capitals."""
Rule: TypeAlias = tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...], tuple[NamedCondition, ...]]
"""Paths, methods, hosts and headers that a rule asks for."""


def rule_of(operation: Operation) -> Rule:
    """What it asks of a request."""
    return operation.paths, operation.methods, operation.hosts, operation.headers


class Dimension(Struct, frozen=True, kw_only=True):
    """One part of a request: its values, those of which the same rules hold together. `rules` are bits, one
    for each rule.
    """

    name: str
    groups: tuple[tuple[int, tuple[Value, ...]], ...]

    @property
    def values(self) -> tuple[Value, ...]:
        """All kinds of values."""
        return tuple(value for _, values in self.groups for value in values)


def dimensions(rules: Sequence[Rule]) -> Iterator[Dimension]:
    """Each part of requests that rules may ask for."""
    yield _listed(PATH, [paths for paths, *_ in rules], like, _paths)
    yield _listed(METHOD, [methods for _, methods, *_ in rules], operator.eq, _methods)
    yield _listed(HOST, [hosts for _, _, hosts, _ in rules], is_host, _hosts)
    names = sorted({condition.name for *_, headers in rules for condition in headers})
    yield from (
        _header(name, [[one for one in headers if one.name == name] for *_, headers in rules])
        for name in names
    )


def _listed(
    name: str,
    lists: Sequence[Sequence[str]],
    holds: Callable[[str, str], bool],
    tried: Callable[[Collection[str]], Iterator[str]],
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
        # Which values an expression tells apart cannot be found by trying some.
        raise UntoldError(
            f"a rule asks for the header {name} by an expression, and which values that tells apart is not"
            " known"
        )
    by_form = {
        form: [one.value for one in conditions if one.form == form] for form in ("exact", "prefix", "suffix")
    }
    other = strange(one.value for one in conditions)
    words = {
        _condition(name, one.form, one.value): partial(holds, one, path=False) for one in sorted(conditions)
    }
    values = cut((None, *samples(by_form["exact"], by_form["prefix"], by_form["suffix"], other)), words)

    def meant(value: Value) -> int:
        given = {} if value.sample is None else {name: value.sample}
        return _bits(all(named_holds(one, given) for one in each) for each in lists)

    return _grouped(name, values, meant)


def _condition(name: str, form: str, value: str) -> str:
    """A condition in a word of its own, which a sentence makes fit to be read."""
    if form == "present":
        return name
    # Quoted where it would not be read as it is: empty, or with a star that is meant as a character.
    text = value if value and '"' not in value and "*" not in value else json.dumps(value)
    return f"{name}: {'*' * (form == 'suffix')}{text}{'*' * (form == 'prefix')}"


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
        # A beginning that was cut out of a pattern may lack the slash that every path has.
        yield text if text.startswith("/") else f"/{text}"


def _methods(patterns: Collection[str]) -> Iterator[str]:
    yield from patterns
    longest = max((len(one) for one in patterns), default=0)
    # A method that no rule names; longer than all of them where even this one is named.
    yield "OTHER" if "OTHER" not in patterns else "O" * (longest + 1)


def _hosts(patterns: Collection[str]) -> Iterator[str]:
    """Hosts as patterns spell them, and each with further ports: a pattern without a port means any, an
    ending may be a port's.
    """
    exact, begin, end = _split(one.lower() for one in patterns)
    other = strange(patterns)
    hosts = list(samples(exact, begin, end, other))
    ports = list(
        samples([one.rpartition(":")[2] for one in end if ":" in one], (), filter(str.isdigit, end), other)
    )
    if len(hosts) * len(ports) > MOST:
        raise UntoldError(f"the rules name {len(patterns)} hosts, with more ports than can be told apart")
    yield from hosts
    yield from (f"{host}:{port}" for host in hosts for port in ports)
