"""What a reviewer must see is not hidden by what somebody puts beside it: the risk, the order of rows, and
what is cut.
"""

from __future__ import annotations

import pytest

from gitmesh.diagnostics import Location
from gitmesh.model.comparison import (
    AccessChange,
    ClusterComparison,
    Comparison,
    ProtectionChange,
    RightChange,
    RiskLevel,
    RouteChange,
)
from gitmesh.model.policies import Origin
from gitmesh.render.comment import comparison_markdown
from gitmesh.reviewing.risk import risk_of


def access(
    service: str,
    effect: RightChange,
    *callers: str,
    before: str = "Denied",
    after: str = "Allowed",
    request: str = "",
) -> AccessChange:
    """A change of one destination in namespace shop."""
    requests = (request,) if request else ()
    return AccessChange(
        service=("shop", service),
        ports=(80,),
        effect=effect,
        callers=callers,
        requests=requests,
        before=before,
        after=after,
    )


def lost(number: int) -> AccessChange:
    """One of many changes that are not the one that matters."""
    return access(f"a{number:04}", RightChange.LOST, "shop/web", before="Allowed", after="Denied")


def compared(*clusters: ClusterComparison) -> Comparison:
    """A comparison with its risk."""
    named = {one.name: one for one in clusters}
    return Comparison(base="1" * 40, head="2" * 40, clusters=named, risk=risk_of(named, ()))


def comment(*clusters: ClusterComparison) -> str:
    """What is posted."""
    return comparison_markdown(compared(*clusters), limit=60_000, whole="the report")


@pytest.mark.parametrize(
    ("before", "after"), [("Denied", "Depends"), ("Depends", "Allowed"), ("Depends", "Depends")]
)
def test_strangers_who_are_let_in_by_some_pods_are_a_high_risk(before: str, after: str) -> None:
    change = access("web", RightChange.CHANGED, "anybody else", before=before, after=after)
    risk = compared(ClusterComparison(name="east", access=(change,))).risk
    assert risk.level is RiskLevel.HIGH
    assert f"({before} -> {after})" in risk.reasons[0][0]


@pytest.mark.parametrize(("before", "after"), [("Allowed", "Depends"), ("Depends", "Denied")])
def test_callers_whom_some_pods_shut_out_are_a_high_risk(before: str, after: str) -> None:
    change = access("web", RightChange.CHANGED, "shop/api", before=before, after=after)
    assert compared(ClusterComparison(name="east", access=(change,))).risk.level is RiskLevel.HIGH


def test_a_namespace_called_anybody_is_somebody() -> None:
    change = access("web", RightChange.GAINED, "anybody/web", "anybody-else/web")
    assert compared(ClusterComparison(name="east", access=(change,))).risk.level is RiskLevel.LOW


@pytest.mark.parametrize(
    "matters",
    [
        ClusterComparison(name="west", access=(access("zz-secret", RightChange.GAINED, "anybody"),)),
        ClusterComparison(
            name="west",
            protection=(ProtectionChange(subject="zz-secret", text="1 Deny taken back", weaker=True),),
        ),
        ClusterComparison(
            name="west",
            routes=(
                RouteChange(
                    service=("z", "zz-secret"),
                    requests="",
                    field="mirror",
                    before="",
                    after="100% to x/y",
                    elsewhere=True,
                ),
            ),
        ),
    ],
    ids=["access", "protection", "routes"],
)
def test_what_weighs_most_is_shown_however_much_stands_beside_it(matters: ClusterComparison) -> None:
    """In another cluster, another section, and last by name."""
    body = comment(ClusterComparison(name="east", access=tuple(map(lost, range(2000)))), matters)
    assert "Cut to fit a comment" in body
    assert body.count("zz-secret") == 2, "once as a reason, once as a row"


def test_no_row_is_so_long_that_it_hides_others() -> None:
    long = access("long", RightChange.GAINED, "anybody else", request="~ /" + "x" * 30_000)
    body = comment(
        ClusterComparison(name="east", access=(long, access("web", RightChange.GAINED, "without identity")))
    )
    assert "without identity -&gt; shop/web:80" in body
    assert "anybody else -&gt; shop/long:80" in body


def test_long_paths_and_names_make_no_comment_that_a_forge_refuses() -> None:
    """Each of them may be as long as Git allows, and of characters that are escaped."""
    places = tuple(
        Origin(
            policy="p",
            field="spec",
            at=Location(source="s", path=f"{n}" + "/\u202e`" * 2000, line=n, column=1),
        )
        for n in range(9)
    )
    changes = tuple(
        AccessChange(
            service=("n" * 60, f"s{n}"),
            ports=(80,),
            effect=RightChange.GAINED,
            callers=("anybody else from " + "\u202e" * 5000,),
            requests=(),
            before="Denied",
            after="Allowed",
            origins=places,
        )
        for n in range(40)
    )
    body = comment(ClusterComparison(name="east", access=changes))
    assert len(body) <= 60_000
    assert "**high risk**" in body
    assert "more reasons" in body
