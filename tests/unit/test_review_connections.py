"""TLS of clients that weakens, and requests that go elsewhere, are said as such."""

from __future__ import annotations

from typing import Any

import pytest

from gitmesh.model.comparison import ClusterComparison, RiskLevel, RouteChange
from gitmesh.model.policies import Policy
from gitmesh.reviewing.protection import destination_changes
from gitmesh.reviewing.risk import risk_of
from gitmesh.reviewing.routes import Effort, route_changes
from tests.asking import known
from tests.factories import service, shop, traffic

FILES = {"clientCertificate": "/etc/c", "privateKey": "/etc/k"}
VERIFIED = {"mode": "Simple", "caCertificates": "/etc/ca", "subjectAltNames": ["a"]}


def weakened(old: list[Policy], new: list[Policy]) -> list[str]:
    """What protects the destination less."""
    before, after = (known(side, shop())["east"].routing.get(("shop", "reviews")) for side in (old, new))
    changes = destination_changes(("shop", "reviews"), (before, after), (None, None))
    return [one.text for one in changes if one.weaker]


def tls(value: Any, name: str = "t", **spec: Any) -> Policy:
    """A policy that sets it."""
    return traffic(name, **spec, tls=value)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (None, {"mode": "Disable"}),
        (None, {"mode": "Simple"}),
        ({"mode": "MeshMutual"}, {"mode": "Simple"}),
        ({"mode": "Simple"}, {"mode": "Disable"}),
        ({"mode": "Mutual", **FILES}, {"mode": "Disable"}),
        (VERIFIED, {"mode": "Simple"}),
        (VERIFIED, {"mode": "Simple", "caCertificates": "/etc/ca"}),
        (VERIFIED, {"mode": "Simple", "caCertificates": "/etc/ca", "subjectAltNames": ["a", "evil"]}),
    ],
)
def test_tls_of_clients_that_weakens_is_a_protection_that_weakens(old: Any, new: Any) -> None:
    one, other = ([] if value is None else [tls(value)] for value in (old, new))
    assert len(weakened(one, other)) == 1
    assert weakened(other, one) == []
    assert weakened(other, other) == []


def test_for_some_clients_alone() -> None:
    some = tls({"mode": "Disable"}, "some", sources=[{"labels": {"app": "web"}}])
    (told,) = weakened([], [some])
    assert told.startswith("tls of its clients (from pods app=web): (the mesh's own) -> ")


def routes(old: list[Policy], new: list[Policy], *names: str) -> tuple[RouteChange, ...]:
    """What changes of the destination's routes in a cluster that has more Services."""
    world = shop("east", *map(service, names))
    before, after = (known(side, world)["east"].routing.get(("shop", "reviews")) for side in (old, new))
    return route_changes(before, after)


def test_a_redirect_to_another_host_sends_clients_elsewhere() -> None:
    (change,) = routes([], [traffic("r", redirect={"hostname": "evil.example"})])
    assert change.elsewhere
    assert risk_of({"east": ClusterComparison(name="east", routes=(change,))}, ()).level is RiskLevel.HIGH
    (path,) = routes(
        [traffic("r", redirect={"hostname": "a.example"})],
        [traffic("r", redirect={"hostname": "a.example", "port": 81})],
    )
    assert not path.elsewhere


def test_where_requests_go_now_is_named_however_many_others_stand_before_it() -> None:
    names = [f"reviews-number-{number:02}" for number in range(30)]
    parts: list[dict[str, Any]] = [{"destination": {"name": name}, "weight": 1} for name in names]
    old = [traffic("s", split=parts)]
    new = [traffic("s", split=[*parts, {"destination": {"name": "thief"}, "weight": 1}])]
    (change,) = routes(old, new, *names, "thief")
    assert change.elsewhere
    assert "shop/thief" in change.after


def table(header: str, rows: int) -> list[Policy]:
    """As many rows, none of which means what another one does."""
    return [
        traffic(
            f"{header}{row}",
            matches=[{"headers": [{"name": header, "exact": f"v{row}"}]}],
            timeout=f"{row + 1}s",
        )
        for row in range(rows)
    ]


def test_tables_that_cost_too_much_are_unknown_and_a_high_risk() -> None:
    """Each row of one side meets each of the other: what is told apart grows with the third power of the
    rows.
    """
    old, new = table("x-a", 24), table("x-b", 24)
    before, after = (known(side, shop())["east"].routing.get(("shop", "reviews")) for side in (old, new))
    assert len(route_changes(before, after)) > 24 * 24
    (change,) = route_changes(before, after, Effort(most=24 * 24))
    assert change.unknown
    risk = risk_of({"east": ClusterComparison(name="east", routes=(change,))}, ())
    assert risk.level is RiskLevel.HIGH
    assert "cannot be told" in risk.reasons[0][0]


def test_a_comparison_of_routes_ends_when_its_time_is_up() -> None:
    class TimeUpError(Exception):
        """The time is up."""

    def tick() -> None:
        raise TimeUpError

    before, after = (
        known(side, shop())["east"].routing.get(("shop", "reviews"))
        for side in (table("x-a", 2), table("x-b", 2))
    )
    with pytest.raises(TimeUpError):
        route_changes(before, after, Effort(tick))
