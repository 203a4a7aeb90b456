"""Design law 2 while lists are from before: what is written by them admits nothing that neither the policies
in force nor the new ones admit.

Objects by name are as they are, and so is the ledger, whose save comes before all writes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hypothesis import given, note
from hypothesis import strategies as st

from gitmesh.model.facts import ClusterFacts
from gitmesh.model.objects import ObjectKey, decode
from gitmesh.model.plan import SETTLE, Live
from gitmesh.planning.converge import Cycle, converge
from gitmesh.planning.guard import Consent
from gitmesh.planning.revisions import Revisions
from tests.belated import BelatedCluster
from tests.properties.test_transition_soundness import Policies, Watched, check, move, render, shown
from tests.rendered import Rendered, translators
from tests.soundness.access_documents import changes
from tests.soundness.profile import searching
from tests.soundness.worlds import clusters


class Belated(BelatedCluster, Watched):
    """A cluster that is watched, and whose lists may be from before."""


def glance(cluster: Belated, past: dict[ObjectKey, Live], found: Rendered) -> None:
    """One tick that is shown lists from before; what it cannot write by them is refused."""
    cluster.listed = past
    cycle = Cycle(
        translators=translators(),
        revisions=Revisions(),
        consent=Consent(prune_approved=True),
        apply=True,
        now=100 * SETTLE,
        clock=lambda: 100 * SETTLE,
    )
    converge(cluster, cluster.current_facts, found.builds[cluster.name], cluster.load("golden"), cycle, {})
    cluster.listed = None


def mixed(old: Policies, new: Policies, picks: Sequence[bool]) -> Policies:
    """Of each policy the one of before or the one of now."""
    named: dict[str, list[dict[str, Any] | None]] = {}
    for place, policies in enumerate((old, new)):
        for one in policies:
            named.setdefault(one["metadata"]["name"], [None, None])[place] = one
    chosen = (pair[pick] for pair, pick in zip(named.values(), picks, strict=False))
    return [one for one in chosen if one is not None]


@searching(100)
@given(clusters("east", ("cluster.local",)), changes(), st.lists(st.booleans(), min_size=4, max_size=4))
def test_never_wider_by_lists_from_before(
    facts: ClusterFacts, change: tuple[Policies, Policies], picks: list[bool]
) -> None:
    old, new = change
    last = mixed(old, new, picks)
    cluster = Belated(facts)
    renders = [render(policies, facts) for policies in (old, new, last)]
    move(cluster, renders[0])
    past = dict(cluster.objects)
    move(cluster, renders[1])
    at = len(cluster.states)
    glance(cluster, past, renders[2])
    note(shown((old, new, last), cluster.states[at:]))
    check(facts, new, last, cluster.states[at:])
    move(cluster, renders[2])
    wanted = {
        key: decode(manifest.body)["spec"] for key, manifest in renders[2].builds["east"].manifests.items()
    }
    assert {key: decode(live.body)["spec"] for key, live in cluster.objects.items()} == wanted
    entries = cluster.load("golden").ledger.entries
    assert {key: entry.uid for key, entry in entries.items()} == {
        key: live.uid for key, live in cluster.objects.items()
    }
