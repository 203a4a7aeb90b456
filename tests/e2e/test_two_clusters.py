"""Two clusters with their own istiod and trust domain, from one repository, as the traffic sees them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.accidents import admission
from tests.e2e.asks import FILE, Ask, files, hold, marked
from tests.e2e.cases import POLICIES
from tests.e2e.conftest import connected
from tests.e2e.stage import ARRIVAL, BASE_WATCHES, PATIENCE, LiveStage, Watch
from tests.integration.webhook import WebhookWords
from tests.lab.apiclient import MERGE_PATCH
from tests.lab.apiserver import ApiServer
from tests.lab.bookshop import WEST
from tests.lab.build import Binaries
from tests.lab.installation import OWN_NAMESPACE, control_plane, pod_places, pod_status, world
from tests.lab.wire import WireRequest
from tests.shop import policy

pytestmark = pytest.mark.e2e
PAGE = {"name": "productpage"}
BOTH = ("east", "west")
IN_VAIN = "GM327"
"""Told where an Allow names callers of a trust domain of which the pods of a cluster take nobody."""


def access(name: str, account: Mapping[str, str], **spec: Any) -> dict[str, Any]:
    """An AccessPolicy about one caller of ratings, in all clusters."""
    return policy(
        "AccessPolicy",
        name,
        {"destinations": [{"name": "ratings"}], "sources": [{"serviceAccounts": [dict(account)]}], **spec},
    )


def page(cluster: str, host: str = "ratings", status: int = 200, won: str | None = None) -> Ask:
    """What comes back when productpage of a cluster asks a service of its own."""
    return Ask(host, cluster=cluster, status=status, won=won)


def watch(cluster: str, client: str = "productpage", host: str = "ratings", *, admitted: bool) -> Watch:
    request = WireRequest(f"http://{host}:9080/", timeout=PATIENCE)
    return Watch(cluster=cluster, client=client, request=request, admitted=admitted, per_second=100)


PLAIN = tuple(watch(cluster, "plain", "ratings.bookshop", admitted=False) for cluster in BOTH)


def state(stage: LiveStage, cluster: str) -> str:
    """What the status branch says of a cluster."""
    return str(stage.status().get("clusters", {}).get(cluster, {}).get("state", ""))


def principals(stage: LiveStage, cluster: str) -> list[str]:
    """Whom the live object of ratings admits."""
    found = stage.world.clusters[cluster].api.get(
        "security.istio.io/v1", "AuthorizationPolicy", "bookshop", "ratings-allow"
    )
    assert found is not None
    sources = [one["source"] for rule in found["spec"].get("rules", ()) for one in rule.get("from", ())]
    return sorted(name for source in sources for name in source.get("principals", ()))


def test_a_policy_acts_in_the_clusters_that_it_selects(stage: LiveStage) -> None:
    effects = [stage.commit(files(marked("ratings", "west", "west"), marked("reviews", "both")))]
    hold(
        stage,
        page("east"),
        page("west", won="west"),
        *(page(cluster, "reviews", won="both") for cluster in BOTH),
    )
    watches = [*BASE_WATCHES, *(watch(cluster, admitted=True) for cluster in BOTH)]
    effects.append(stage.commit(files(marked("ratings", "east", "east"), marked("reviews", "both")), watches))
    hold(
        stage,
        page("east", won="east"),
        page("west"),
        *(page(cluster, "reviews", won="both") for cluster in BOTH),
    )
    assert [text for effect in effects for text in effect.broken] == []


class TestIdentitiesOfOneCluster:
    def test_the_same_name_in_another_cluster_is_somebody_else(self, stage: LiveStage) -> None:
        """Watched while it changes over from the one to the other: who has no identity never gets in."""
        effects = [stage.commit(files(access("page", {**PAGE, "cluster": "east"})))]
        hold(stage, page("east"), page("west", status=403))
        assert principals(stage, "west") == ["east.local/ns/bookshop/sa/productpage"]
        effects.append(stage.commit(files(access("page", PAGE)), [*PLAIN, watch("east", admitted=True)]))
        hold(stage, page("east"), page("west"))
        assert principals(stage, "east") == [
            f"{cluster}.local/ns/bookshop/sa/productpage" for cluster in BOTH
        ]
        effects.append(
            stage.commit(
                files(access("page", {**PAGE, "cluster": "west"})), [*PLAIN, watch("west", admitted=True)]
            )
        )
        hold(stage, page("east", status=403), page("west"))
        assert [text for effect in effects for text in effect.broken] == []

    def test_a_deny_of_one_clusters_caller(self, stage: LiveStage) -> None:
        effects = [stage.commit(files(access("not", {**PAGE, "cluster": "west"}, action="Deny")))]
        hold(stage, page("east"), page("west", status=403))
        watches = [*PLAIN, watch("east", admitted=True), watch("west", admitted=False)]
        effects.append(stage.commit(files(access("page", {**PAGE, "cluster": "east"})), watches))
        hold(stage, page("east"), page("west", status=403))
        assert [text for effect in effects for text in effect.broken] == []

    def test_where_two_meshes_share_a_trust_domain_nobody_is_taken_for_somebody_else(
        self, stage: LiveStage, mesh_binaries: Binaries, tmp_path: Path
    ) -> None:
        """A third cluster comes whose mesh has east's trust domain: `productpage of east` cannot be told any
        more, and is closed.
        """
        bound = files(access("page", {**PAGE, "cluster": "east"}))
        stage.commit(bound)
        hold(stage, page("east"), page("west", status=403))
        with (
            twin(mesh_binaries, tmp_path) as api,
            stage.watching([*PLAIN, watch("west", admitted=False)]) as streamed,
        ):
            with managed(stage, "twin", api):
                stage.agent.until(lambda: "GM301" in codes(stage), "finding", ARRIVAL)
                text = next(text for (code, _), text in stage.findings([FILE]).items() if code == "GM301")
                assert "clusters east and twin share the trust domain east.local" in text
                stage.settle()
                hold(stage, page("east", status=403), page("west", status=403))
                stage.commit(files(access("page", {**PAGE, "cluster": "west"})))
                assert codes(stage) == {IN_VAIN}, "west's trust domain is still its own"
                hold(stage, page("east", status=403), page("west", status=200))
                stage.commit(bound)
                assert codes(stage) == {"GM301"}
                hold(stage, page("east", status=403), page("west", status=403))
            stage.agent.until(lambda: codes(stage) == {IN_VAIN}, "end of the finding", ARRIVAL)
            stage.settle()
            hold(stage, page("east"), page("west", status=403))
        assert [str(one) for one in streamed if one.watch in PLAIN and one.forbidden] == []


def codes(stage: LiveStage) -> set[str]:
    """Codes of the findings at the policies of this module."""
    return {code for code, _ in stage.findings([FILE])}


@contextlib.contextmanager
def twin(binaries: Binaries, folder: Path) -> Iterator[ApiServer]:
    """A cluster that says of itself that it has a mesh in east's trust domain; only its API server runs."""
    cluster = replace(WEST, name="twin", trust_domain="east.local")
    assert binaries.istio_crds is not None
    with ApiServer(binaries, name="twin") as api:
        api.install_crds(binaries.istio_crds)
        plane = [one for one in control_plane(cluster, "") if one["kind"] != "ValidatingWebhookConfiguration"]
        api.apply([OWN_NAMESPACE, *plane, *world(cluster)])
        for place in pod_places(cluster):
            path = api.client.resource_path("v1", "Pod", place.workload.namespace, place.name)
            api.client.call("PATCH", f"{path}/status", pod_status(place), content_type=MERGE_PATCH)
        api.kubeconfig(folder / "twin.kubeconfig")
        yield api


@contextlib.contextmanager
def managed(stage: LiveStage, name: str, api: ApiServer) -> Iterator[None]:
    """The agent manages one more cluster while the block runs."""
    shop, before = stage.agent.shop, stage.agent.shop.clusters
    api.kubeconfig(shop.root / f"{name}.kubeconfig")
    try:
        reconfigure(stage, [*before, connected(shop.root, name)])
        yield
    finally:
        reconfigure(stage, before)


def reconfigure(stage: LiveStage, clusters: Sequence[Mapping[str, Any]]) -> None:
    """End the agent as a deployment does, and start it with these clusters."""
    stage.agent.terminate()
    stage.agent.shop.clusters = clusters
    stage.agent.shop.configure()
    stage.agent.__enter__()


class TestOneClusterFails:
    def test_what_one_cluster_refuses_leaves_the_other_and_the_rest_alone(self, stage: LiveStage) -> None:
        """west's admission takes no object `ratings`: there ratings stay as they were, and all else follows
        the commit.
        """
        stage.commit(files(marked("ratings", "old"), marked("reviews", "old")))
        refused = files(marked("ratings", "new"), marked("reviews", "new"))
        watches = [*BASE_WATCHES, *(watch(cluster, admitted=True) for cluster in BOTH)]
        with admission(
            stage.world.clusters["west"].api, WebhookWords(refusals={"ratings": "the shop is closed"})
        ):
            effect = stage.commit(refused, watches)
            assert (state(stage, "east"), state(stage, "west")) == ("Synced", "Failed")
            found = {
                (code, at)
                for (code, at), text in stage.findings([FILE]).items()
                if "denied the request" in text
            }
            last = refused[f"{POLICIES}/{FILE}"].partition("---")[0].count("\n")
            assert {code for code, _ in found} == {"GM505"}
            assert all(int(at.rpartition(":")[2]) <= last for _, at in found), (
                "at the policy that ratings come from"
            )
            hold(
                stage,
                page("east", won="new"),
                *(page(cluster, "reviews", won="new") for cluster in BOTH),
                page("west", won="old"),
            )
        stage.agent.until(lambda: state(stage, "west") == "Synced", "west to catch up", ARRIVAL)
        stage.settle()
        hold(stage, *(page(cluster, won="new") for cluster in BOTH))
        assert effect.broken == []

    def test_one_cluster_is_down_and_comes_back(self, stage: LiveStage) -> None:
        """Down it keeps its traffic, the other one follows two commits and restarts of the agent; back it
        catches up.
        """
        east, west = (stage.world.clusters[name] for name in BOTH)
        bound = {**PAGE, "cluster": "west"}
        stage.commit(
            files(
                marked("ratings", "old"),
                access("not", bound, action="Deny", destinations=[{"name": "reviews"}]),
            )
        )
        watches = [
            *BASE_WATCHES,
            watch("east", admitted=True),
            watch("west", admitted=True),
            watch("west", host="reviews", admitted=False),
        ]
        with stage.watching(watches) as streamed:
            with west.api.down():
                for value in ("new", "newer"):
                    commit = stage.repo.commit(
                        files(
                            marked("ratings", value),
                            access("not", bound, action="Deny", destinations=[{"name": "reviews"}]),
                        )
                    )
                    stage.agent.until(lambda c=commit: east_has(stage, c), f"east at {commit[:12]}", ARRIVAL)
                    assert state(stage, "west") == "Unreachable"
                    east.settled(ARRIVAL)
                    hold(
                        stage,
                        page("east", won=value),
                        page("east", "reviews"),
                        page("west", won="old"),
                        page("west", "reviews", 403),
                    )
                    reconfigure(stage, stage.agent.shop.clusters)
            # Left alone it finds its API server again too, but after ever longer intervals.
            west.istiod.stop()
            stage.agent.until(lambda: is_back(stage), "west to catch up", ARRIVAL)
            stage.settle()
            hold(stage, *(page(cluster, won="newer") for cluster in BOTH), page("west", "reviews", 403))
        assert [str(one) for one in streamed if one.lost or one.forbidden] == []


def is_back(stage: LiveStage) -> bool:
    """Whether west has the tip; its kubelet looks after istiod."""
    istiod = stage.world.clusters["west"].istiod
    istiod.revive()
    return istiod.ready() and stage.converged(stage.repo.tip()) and state(stage, "west") == "Synced"


def east_has(stage: LiveStage, commit: str) -> bool:
    """Whether the status says that east has a commit, and that west does not answer."""
    said = stage.status()
    source = said.get("sources", {}).get("policies", {})
    states = {name: cluster["state"] for name, cluster in said.get("clusters", {}).items()}
    return source.get("lastGood") == commit and states == {"east": "Synced", "west": "Unreachable"}
