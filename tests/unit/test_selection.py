"""Selecting destinations, and what selectors name that is not there."""

from __future__ import annotations

from typing import Any

from gitmesh.model.facts import ClusterFacts
from gitmesh.resolution.index import Index, KnownClusters
from gitmesh.resolution.selection import Selection, select
from tests.factories import access, facts, service, shop, traffic, workload


def world(**clusters: ClusterFacts | None) -> KnownClusters:
    return KnownClusters({name: None if known is None else Index(known) for name, known in clusters.items()})


def selected(to: Any, seen: KnownClusters, **spec: Any) -> Selection:
    return select(traffic("p", to, **{"timeout": "1s", **spec}), seen)


def codes(selection: Selection) -> list[str]:
    return [diagnostic.code for diagnostic in selection.diagnostics]


def test_greatest_form_counts() -> None:
    found = selected([{"all": True}, {"labels": {"app": "reviews"}}, {"name": "ratings"}], world(east=shop()))
    assert found.services == {"east": {("shop", "reviews"): 3, ("shop", "ratings"): 4}}


def test_keys_of_an_item_are_anded() -> None:
    both = facts("east", service(), service("reviews", "other"))
    assert selected([{"labels": {"app": "reviews"}, "namespaces": ["other"]}], world(east=both)).services == {
        "east": {("other", "reviews"): 3}
    }


def test_clusters_restrict() -> None:
    found = selected(
        [{"all": True, "clusters": None}, {"name": "reviews", "clusters": ["west"]}][1:],
        world(east=shop(), west=shop("west")),
    )
    assert found.services == {"west": {("shop", "reviews"): 4}}


def test_missing_exact_name_with_suggestion() -> None:
    found = selected("review", world(east=shop()))
    assert codes(found) == ["GM208"]
    assert found.diagnostics[0].hint == "did you mean reviews?"
    assert found.held == (("east", ("shop", "review")),)


def test_missing_exact_name_is_elsewhere() -> None:
    found = selected([{"name": "reviews", "namespaces": ["web"]}], world(east=shop()))
    assert found.diagnostics[0].hint == "did you mean shop/reviews?"


def test_without_clusters_one_cluster_is_enough() -> None:
    assert codes(selected("reviews", world(east=shop(), west=facts("west")))) == []


def test_each_named_cluster_must_have_it() -> None:
    found = selected(
        [{"name": "reviews", "clusters": ["east", "west"]}], world(east=shop(), west=facts("west"))
    )
    assert [(d.code, d.cluster) for d in found.diagnostics] == [("GM208", "west")]


def test_unknown_facts_are_not_empty() -> None:
    found = selected("gone", world(east=shop(), west=None))
    assert codes(found) == []
    assert {cluster for cluster, _ in found.held} == {"east", "west"}


def test_incomplete_facts_prove_nothing_missing() -> None:
    assert codes(selected("gone", world(east=shop(complete=False)))) == []
    assert codes(selected([{"labels": {"no": "such"}}], world(east=shop(complete=False)))) == []


def test_labels_that_find_nothing_are_a_warning() -> None:
    found = selected([{"labels": {"no": "such"}}], world(east=shop()))
    assert codes(found) == ["GM209"]
    assert not found.diagnostics[0].is_error


def test_a_namespace_that_is_nowhere_is_missing() -> None:
    known = world(east=shop(), west=facts("west", service(namespace="web")))
    found = selected([{"namespaces": ["shpo", "web"]}], known)
    assert [(d.code, d.field, d.message) for d in found.diagnostics] == [
        (
            "GM208",
            "spec.destinations[0].namespaces[0]",
            "Namespace shpo does not exist in any managed cluster",
        )
    ]
    assert found.diagnostics[0].hint == "did you mean shop?"
    assert found.pending == {"east", "west"}
    assert codes(selected([{"labels": {"app": "reviews"}, "namespaces": ["shpo"]}], known)) == ["GM208"]
    assert codes(selected([{"namespaces": ["web"], "clusters": ["east"]}], known)) == ["GM208"]
    assert codes(selected([{"name": "reviews", "namespaces": ["shop", "shpo"]}], known)) == ["GM208"]


def test_a_clients_namespace_that_is_nowhere_is_a_warning_with_a_suggestion() -> None:
    denied = access("a", action="Deny", sources=[{"namespaces": ["shpo", "shop"]}])
    found = select(denied, world(east=shop()))
    assert [(d.code, d.field, d.hint) for d in found.diagnostics] == [
        ("GM209", "spec.sources[0].namespaces[0]", "did you mean shop?")
    ]
    assert (found.broken, found.pending) == (False, frozenset())
    assert codes(select(denied, world(east=shop(complete=False)))) == []
    assert codes(selected("reviews", world(east=shop()), sources=[{"namespaces": ["shpo"]}])) == ["GM209"]


def test_a_namespace_that_is_there_and_empty_is_a_warning() -> None:
    found = selected([{"namespaces": ["empty"]}], world(east=shop(namespaces={"shop": {}, "empty": {}})))
    assert (codes(found), found.pending) == (["GM209"], frozenset())


def test_a_namespace_that_may_be_unseen_withdraws_nothing_and_is_not_called_missing() -> None:
    found = selected([{"namespaces": ["shpo"]}], world(east=shop(complete=False)))
    assert (codes(found), found.pending) == ([], frozenset({"east"}))


def test_a_cluster_that_is_not_managed_here_is_not_applicable() -> None:
    found = selected([{"name": "reviews", "clusters": ["north"]}], world(east=shop()))
    assert (codes(found), found.held) == (["GM215"], ())
    sources = selected("reviews", world(east=shop()), sources=[{"clusters": ["north"]}, {"all": True}])
    assert [(d.code, d.field) for d in sources.diagnostics] == [("GM215", "spec.sources[0]")]


def test_P14_missing_service_account_of_a_workload_selector() -> None:
    found = selected("reviews", world(east=shop()), sources=[{"serviceAccounts": ["defualt"]}])
    assert codes(found) == ["GM208"]
    assert found.broken
    assert found.diagnostics[0].hint == "did you mean default?"


def test_P14_missing_service_account_of_an_identity() -> None:
    known = world(east=shop(), west=shop("west", service_accounts=frozenset({("web", "client")})))
    ok = access("a", sources=[{"serviceAccounts": [{"name": "client", "namespace": "web"}]}])
    assert codes(select(ok, known)) == []
    bound = access(
        "a", sources=[{"serviceAccounts": [{"name": "client", "namespace": "web", "cluster": "east"}]}]
    )
    assert codes(select(bound, known)) == ["GM208"]


def test_index_finds_workloads_and_compatible_services() -> None:
    index = Index(
        facts("east", service(), service("other", selector={"tier": "web"}), service("ratings"), workload())
    )
    assert [s.name for s in index.compatible(index.facts.services[0])] == ["other"]
    assert [w.name for w in index.behind(index.facts.services[0])] == ["reviews"]
