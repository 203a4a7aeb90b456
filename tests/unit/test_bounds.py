"""Work is bounded before it is done: small inputs that ask for hours or gigabytes are refused at once, at the
line that asks most.

Work is counted here; `test_bounds_of_commands` measures it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from gitmesh_istio.reading import settings_of

from gitmesh.diagnostics import Diagnostic
from gitmesh.model.policies import Policy
from gitmesh.model.traffic import TrafficPolicySpec
from gitmesh.resolution import matching, routes
from gitmesh.resolution import rules as rules_module
from gitmesh.resolution.check import MOST_CALLERS, check
from gitmesh.resolution.comparing import MOST_COMPARISONS, MOST_IN_ALL, comparisons, extent
from gitmesh.resolution.resolve import Resolution, resolve
from gitmesh.resolution.slots import slots_of
from gitmesh.yaml_documents import DocumentError, read_documents
from tests.factories import access, facts, service, traffic, workload

BOMB = "a: &a [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{after}: &{after} [{', '.join([f'*{before}'] * 10)}]\n"
    for before, after in zip("abcdefgh", "bcdefghi", strict=True)
)


def paths(count: int, form: str = "exact") -> list[dict[str, Any]]:
    return [{"path": {form: f"/{n}"}} for n in range(count)]


def said(found: Resolution | Sequence[Diagnostic], code: str = "GM212") -> list[Diagnostic]:
    diagnostics = found.diagnostics if isinstance(found, Resolution) else found
    return [diagnostic for diagnostic in diagnostics if diagnostic.code == code]


def resolved(policies: Sequence[Policy], *services: str, memo: dict[Any, Any] | None = None) -> Resolution:
    known = facts("east", *map(service, services or ("reviews", "ratings")), workload())
    return resolve(policies, {"east": known}, {"east": {}}, memo)


def size(policy: Policy) -> int:
    assert isinstance(policy.spec, TrafficPolicySpec)
    return extent(policy.spec, slots_of(policy))


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The rules that are made from now on."""
    count: list[int] = []
    normal = matching.normal

    def counted(match: Any) -> Any:
        count.append(1)
        return normal(match)

    monkeypatch.setattr(rules_module, "normal", counted)
    return count


# --- what a policy counts for


def test_one_rule_counts_once_and_each_match_and_source_again() -> None:
    assert size(traffic("a", timeout="1s")) == 1
    assert size(traffic("a", timeout="1s", matches=paths(7))) == 7
    assert (
        size(
            traffic(
                "a", timeout="1s", matches=paths(7), sources=[{"namespaces": [f"n{n}"]} for n in range(5)]
            )
        )
        == 35
    )


@pytest.mark.parametrize(
    "larger",
    [
        {"matches": [{"path": {"regex": ".{500}"}}]},
        {"matches": [{"path": {"exact": "/" + "a" * 1000}}]},
        {"matches": [{"headers": [{"name": f"x{n}", "exact": "a"} for n in range(64)]}]},
        {"matches": [{"queryParams": [{"name": f"x{n}", "exact": "a"} for n in range(64)]}]},
        {"sources": [{"namespaces": [f"n{n}" for n in range(320)]}]},
        {"headers": {"request": {"set": {f"x{n}": "a" for n in range(160)}}}},
        {"cors": {"allowOrigins": [{"exact": f"https://a{n}.example.com"} for n in range(1000)]}},
    ],
)
def test_a_large_rule_counts_several_times(larger: dict[str, Any]) -> None:
    assert size(traffic("a", timeout="1s", **larger)) > 10


def test_rules_of_different_policies_cost_more_to_compare_than_those_of_one() -> None:
    assert comparisons([1000]) == MOST_COMPARISONS
    assert comparisons([1] * 500) == MOST_COMPARISONS - 3 * 500


# --- rules of one destination


def test_as_many_rules_as_can_be_compared_are_decided() -> None:
    resolution = resolved([traffic("a", timeout="1s", matches=paths(200))])
    assert not said(resolution)
    assert len(resolution.units["east"][0].routes) == 200  # type: ignore[union-attr]


def test_too_many_rules_are_refused_before_any_is_made(made: list[int]) -> None:
    large = traffic("large", timeout="1s", matches=paths(1001))
    small = traffic("small", [{"all": True}], retries={"attempts": 1})
    [finding] = said(resolved([small, large]))
    assert (finding.policy, finding.field, finding.cluster) == (
        "TrafficPolicy/shop/large",
        "spec.matches",
        "east",
    )
    assert "Service shop/reviews" in finding.message
    assert len(made) == 1  # of `small` on ratings


def test_what_is_refused_is_held_and_nothing_else() -> None:
    resolution = resolved(
        [traffic("large", timeout="1s", matches=paths(1001)), traffic("other", "ratings", timeout="1s")]
    )
    assert [key.name for key in resolution.held["east"]] == ["reviews"]
    assert resolution.waiting == {"east": frozenset({"TrafficPolicy/shop/large"})}
    assert [unit.key.name for unit in resolution.units["east"]] == ["ratings"]


def test_matches_times_sources_count(made: list[int]) -> None:
    wide = traffic(
        "wide", timeout="1s", matches=paths(100), sources=[{"namespaces": [f"n{n}"]} for n in range(200)]
    )
    [finding] = said(resolved([wide]))
    assert finding.field == "spec.sources"
    assert not made


def test_the_revision_itself_is_refused_without_any_facts(made: list[int]) -> None:
    [finding] = said(check([traffic("large", timeout="1s", matches=paths(1001))], {"east": {}}))
    assert (finding.policy, finding.field) == ("TrafficPolicy/shop/large", "spec.matches")
    some = [traffic(f"p{n:03}", timeout=f"{n + 1}s") for n in range(501)]
    [finding] = said(check(some, {"east": {}, "west": {}}))
    assert finding.policy == "TrafficPolicy/shop/p000"
    assert not made


def test_conflicts_are_found_once_for_clusters_in_which_the_same_policies_act(made: list[int]) -> None:
    two = [traffic("a", timeout="1s"), traffic("b", timeout="2s")]
    one = check(two, {"east": {}})
    assert check(two, {f"c{n}": {} for n in range(500)}) == one
    assert len(made) == 4
    by_client = [
        traffic("a", timeout="1s", sources=[{"clusters": ["east"]}]),
        traffic("b", timeout="2s", sources=[{"clusters": ["west"]}]),
    ]
    assert not said(check(by_client, {"east": {}, "west": {}}), "GM210")


def test_of_very_many_conflicts_the_first_are_shown() -> None:
    found = said(resolved([traffic(f"p{n}", timeout=f"{n + 1}s") for n in range(400)]), "GM210")
    assert len(found) == 201
    assert sum("more than 100 conflicts" in finding.message for finding in found) == 1


@pytest.mark.parametrize("priority", [0, 1])
def test_rows_that_double_with_each_rule_are_ended_while_they_are_made(
    priority: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []
    within = routes.Row.within

    def counted(one: routes.Row, other: routes.Row) -> bool:
        seen.append(1)
        return within(one, other)

    monkeypatch.setattr(routes.Row, "within", counted)
    some = [
        traffic(
            f"p{n}",
            [{"all": True}],
            priority=n * priority,
            matches=[{"headers": [{"name": f"x{n}", "present": True}]}],
            headers={"request": {"set": {f"y{n}": "a"}}},
        )
        for n in range(300)
    ]
    services = [f"s{n}" for n in range(10)]
    assert len(said(resolved(some, *services))) >= len(services)
    assert len(seen) <= MOST_COMPARISONS // 4, "for all of them: each costs little"


def test_as_many_overlaps_as_are_allowed_are_made() -> None:
    some = [
        traffic(f"p{n}", matches=[{"headers": [{"name": f"x{n}", "present": True}]}], timeout="1s")
        for n in range(60)
    ]
    assert not said(resolved([*some, traffic("q", matches=[{"method": "GET"}], retries={"attempts": 1})]))


def test_connection_fields_for_very_many_groups_of_clients_are_refused() -> None:
    def pools(count: int) -> list[Policy]:
        return [
            traffic(
                "p",
                sources=[{"namespaces": [f"n{n}"]} for n in range(count)],
                connectionPool={"tcp": {"maxConnections": 1}},
            )
        ]

    assert not said(resolved(pools(64)))
    [finding] = said(resolved(pools(990)))
    assert (finding.field, "more than 64 groups of clients" in finding.message) == (
        "spec.connectionPool",
        True,
    )


# --- all destinations together


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> int:
    """So many comparisons for all destinations as 55 of `broad` need."""
    monkeypatch.setattr("gitmesh.resolution.preparing.MOST_IN_ALL", 55 * comparisons([20]))
    return 55 * comparisons([20])


SOME = [f"s{n:03}" for n in range(60)]
BROAD = traffic("broad", [{"all": True}], timeout="1s", matches=paths(20))


def test_all_destinations_together_are_bounded_and_the_costliest_are_held(few: int) -> None:
    more = traffic("more", "s007", retries={"attempts": 1}, matches=paths(10))
    resolution = resolved([BROAD, more], *SOME)
    assert [key.name for key in resolution.held["east"]] == ["s000", "s001", "s002", "s003", "s007"]
    spent = 59 * comparisons([20]) + comparisons([20, 10])
    assert spent > few
    assert {(finding.policy, finding.field) for finding in said(resolution)} == {
        ("TrafficPolicy/shop/broad", "spec.matches")
    }
    assert all(f"for all destinations {spent:,}" in finding.message for finding in said(resolution))


@pytest.mark.usefixtures("few")
def test_what_is_held_does_not_depend_on_what_is_remembered() -> None:
    memo: dict[Any, Any] = {}
    small = traffic("broad", [{"all": True}], timeout="1s", matches=paths(5))
    assert not resolved([small], *SOME, memo=memo).held["east"]
    assert len(resolved([BROAD], *SOME, memo=memo).held["east"]) == 5
    assert resolved([BROAD], *SOME, memo=memo).held == resolved([BROAD], *SOME).held
    assert not resolved([small], *SOME, memo=memo).held["east"]


def test_what_is_usual_is_far_from_the_bounds() -> None:
    assert 3000 * comparisons([1] * 10 + [20, 5]) < MOST_IN_ALL / 1.2


# --- access


def test_rules_times_callers_of_an_access_policy_are_bounded() -> None:
    def wide(callers: int, rules: int) -> Policy:
        return access(
            "a",
            sources=[{"namespaces": [f"n{n}" for n in range(callers - 1)]}],
            rules=[{"paths": [f"/{n}"]} for n in range(rules)],
        )

    assert not check([wide(MOST_CALLERS // 10, 10)], {})
    [finding] = check([wide(MOST_CALLERS // 10 + 1, 10)], {})
    assert (finding.code, finding.field) == ("GM103", "spec.sources")
    [finding] = check([wide(100, 300)], {})
    assert (finding.code, finding.field) == ("GM103", "spec.rules")
    assert not check([wide(MOST_CALLERS + 5, 1)], {})


# --- YAML of other tools


def test_aliases_are_counted_before_they_are_followed() -> None:
    assert len(BOMB) < 810
    with pytest.raises(DocumentError, match="more than 200,000 nodes"):
        read_documents(BOMB)
    assert settings_of(BOMB) is None


@pytest.mark.parametrize(
    ("content", "settings"),
    [
        (None, {}),
        ("", {}),
        ("# nothing\n", {}),
        ("trustDomain: a.b\n", {"trustDomain": "a.b"}),
        ("a: &x 1\nb: *x\n", {"a": 1, "b": 1}),
        ("[a]", None),
        ("a: [", None),
        ("a: 1\n---\nb: 1\n", None),
        ("!!python/object:os.system x", None),
        (5, None),
        ("[" * 5000, None),
    ],
)
def test_settings_are_read_or_known_to_be_unreadable(
    content: object, settings: Mapping[str, Any] | None
) -> None:
    assert settings_of(content) == settings
