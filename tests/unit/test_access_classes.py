"""Requests and addresses are cut completely: each text has a sample that every condition takes for the same,
and words mean their sets.
"""

from __future__ import annotations

import itertools
from random import Random

import pytest

from gitmesh.model.conditions import NamedCondition, TextCondition
from gitmesh.model.grants import Caller, Operation
from gitmesh.reasoning.addresses import regions
from gitmesh.reasoning.callers import is_at
from gitmesh.reasoning.operations import holds, is_host
from gitmesh.reasoning.questions import Client, Question
from gitmesh.reasoning.requests import Requests, Sample
from gitmesh.reasoning.values import Terms, UntoldError, Value, terms

HOSTS = (
    "a.b",
    "a.b:80",
    "a.*",
    "*.b",
    "*.b:80",
    "*:80",
    "*0",
    "a.b:8*",
    "A.*",
    "*b",
    "[::1]",
    "[::1]:80",
    "[::*",
    "[*",
    "*",
    "*]",
)
AUTHORITIES = (
    *(
        "a.b",
        "A.B",
        "a.b:80",
        "a.b:8",
        "a.b:8080",
        "a.b:800",
        "a.c",
        "a.c:80",
        "x.b",
        "x.b:80",
        "x.b:9090",
        "x",
        "x:80",
        "x:9",
        "",
        "b",
    ),
    *(
        "[::1]",
        "[::1]:80",
        "[::1]:9",
        "[::2]",
        "[::2]:80",
        "[fe::1]",
        "[fe::1]:80",
        "a.",
        "a.x.b:80",
        "xb",
        "xb:10",
    ),
)
PATHS = ("/", "/a", "/a*", "/a/b*", "/a/b", "*b", "*.b", "*/b", "/*", "*")
ASKED = (
    "/",
    "/a",
    "/aa",
    "/a/",
    "/a/b",
    "/a/bb",
    "/a/b/b",
    "/b",
    "/x.b",
    "/a.b",
    "/a/b.b",
    "/x",
    "/a/x/b",
    "/bb",
)
TEAMS = (None, "", "red", "redred", "red!", "!red", "blue", "r", "Red")
_FORMS = (
    ("exact", "red"),
    ("exact", ""),
    ("prefix", "red"),
    ("prefix", "r"),
    ("suffix", "red"),
    ("suffix", "d"),
    ("present", ""),
)


def asked(sample: Sample) -> Question:
    return Question(
        client=Client(),
        service=("shop", "reviews"),
        port=80,
        method=sample.method,
        path=sample.path,
        headers=sample.headers,
        authority=sample.authority,
        http=sample.http,
    )


def some(random: Random, choices: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(random.sample(choices, random.choice((0, 0, 1, 2, 3))))


def an_operation(random: Random) -> Operation:
    conditions = random.sample(_FORMS, random.choice((0, 0, 1, 2)))
    headers = (
        NamedCondition(
            name="x-team",
            condition=TextCondition(form=form, value=value),  # type: ignore[arg-type]
            invert=random.random() < 0.4,
        )
        for form, value in conditions
    )
    return Operation(
        paths=some(random, PATHS),
        methods=some(random, ("GET", "PUT", "OTHER")),
        hosts=some(random, HOSTS),
        headers=tuple(headers),
    )


@pytest.mark.parametrize("seed", range(60))
def test_each_request_is_of_the_class_of_a_sample(seed: int) -> None:
    random = Random(seed)
    rules = [an_operation(random) for _ in range(random.randrange(1, 5))]
    found = Requests(rules, http=True, raw=True)
    classes = {
        tuple(holds(rule, frozenset((80,)), asked(sample)) for rule in rules) for sample in found.samples
    }
    for path, authority, team, method in itertools.product(
        ASKED, AUTHORITIES, TEAMS, ("GET", "PUT", "OTHER", "X")
    ):
        if random.random() < 0.1:
            sample = Sample(
                path=path,
                authority=authority,
                method=method,
                headers={} if team is None else {"x-team": team},
            )
            assert tuple(holds(rule, frozenset((80,)), asked(sample)) for rule in rules) in classes, (
                sample,
                rules,
            )


@pytest.mark.parametrize("pattern", HOSTS)
def test_each_host_is_of_the_class_of_a_sample_with_any_port(pattern: str) -> None:
    for other, third in itertools.combinations(HOSTS, 2):
        rules = [Operation(hosts=(each,)) for each in (pattern, other, third)]
        found = Requests(rules, http=True, raw=False)
        classes = {
            tuple(is_host(rule.hosts[0], sample.authority) for rule in rules) for sample in found.samples
        }
        for authority in AUTHORITIES:
            assert tuple(is_host(rule.hosts[0], authority) for rule in rules) in classes, (authority, rules)


@pytest.mark.parametrize("seed", range(40))
def test_each_host_is_of_a_class_whatever_the_patterns(seed: int) -> None:
    random = Random(seed)
    for _ in range(20):
        texts = [
            "".join(random.choices("ab.:08", k=random.randint(1, 4))) for _ in range(random.randint(1, 4))
        ]
        rules = [Operation(hosts=(random.choice((text, f"{text}*", f"*{text}")),)) for text in texts]
        classes = {
            tuple(is_host(rule.hosts[0], one.authority) for rule in rules)
            for one in Requests(rules, http=True, raw=False).samples
        }
        for _ in range(40):
            authority = "".join(random.choices("ab.", k=random.randint(1, 4))) + random.choice(
                ("", ":0", ":8", ":80", ":88", ":800", ":9")
            )
            assert tuple(is_host(rule.hosts[0], authority) for rule in rules) in classes, (authority, rules)


@pytest.mark.parametrize("seed", range(200))
def test_the_words_for_values_mean_exactly_those(seed: int) -> None:
    random = Random(seed)
    sets = {
        frozenset(name for name in "abcdef" if random.random() < 0.4) for _ in range(random.randrange(1, 14))
    }
    among = [Value(sample="", meets=one) for one in sorted(sets, key=sorted)]
    chosen = [one for one in among if random.random() < 0.5]
    found = terms(chosen, among)
    assert [one for one in among if meant(one, found)] == chosen


def meant(value: Value, found: Terms) -> bool:
    """What a reader takes the words for."""
    return any(
        set(conditions) <= value.meets
        and not any(set(edge.split(" and ")) <= value.meets for edge in refused)
        for conditions, refused in found
    )


def test_each_address_is_of_a_region() -> None:
    items = [
        Caller(kind="address", ip_blocks=("10.0.0.0/8", "2001:db8::/32"), not_ip_blocks=("10.1.0.0/16",)),
        Caller(kind="address", not_ip_blocks=("10.1.2.3", "0.0.0.0/0")),
        Caller(kind="address", ip_blocks=("255.255.255.255", "::/0")),
    ]
    inside = {region.inside for region in regions(items)}
    for address in (
        "9.255.255.255",
        "10.0.0.0",
        "10.1.0.0",
        "10.1.2.3",
        "10.1.255.255",
        "10.2.0.0",
        "11.0.0.0",
        "255.255.255.255",
    ):
        assert tuple(is_at(item, address) for item in items) in inside
    for address in ("::", "2001:db8::", "2001:db8:ffff::1", "2001:db9::", "ffff::"):
        assert tuple(is_at(item, address) for item in items) in inside


def test_there_is_a_bound_on_what_is_told_apart() -> None:
    many = [Operation(paths=(f"/a{number}*", f"*b{number}")) for number in range(200)]
    with pytest.raises(UntoldError):
        Requests(many, http=True, raw=False)


def test_words_for_requests() -> None:
    found = Requests(
        [Operation(methods=("GET",), paths=("/a*",)), Operation(hosts=("r.shop",))], http=True, raw=True
    )
    rules = {
        number: [holds(rule, frozenset((80,)), asked(sample)) for rule in RULES]
        for number, sample in enumerate(found.samples)
    }
    assert found.told([number for number, (first, _) in rules.items() if first]) == ("GET /a*",)
    assert found.told([number for number, (_, second) in rules.items() if second]) == ("to r.shop",)
    assert found.told(range(len(found.samples) - 1)) == ("every HTTP request",)
    assert found.told(range(len(found.samples))) == ()
    assert found.told([number for number, each in rules.items() if not any(each)]) == (
        "any method but GET on /a* to any host but r.shop",
        "any path but /a* to any host but r.shop",
        "connections that are not HTTP",
    )


RULES = (Operation(methods=("GET",), paths=("/a*",)), Operation(hosts=("r.shop",)))
