"""The status tree and the commit message, as functions of a report."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from msgspec.structs import replace

from gitmesh.diagnostics import Location, finding
from gitmesh.model.facts import ClusterFacts, Mesh
from gitmesh.model.ledger import Entry, Ledger
from gitmesh.model.manifests import Build, Manifest
from gitmesh.model.objects import ObjectKey
from gitmesh.model.plan import Action, Change, FieldChange, Outcome, Plan
from gitmesh.model.report import ClusterResult, Report, SourceResult, Stage, State, Verdict
from gitmesh.model.workloads import Workload
from gitmesh.status.documents import MOST_FINDINGS
from gitmesh.status.tree import StatusMemo, heals, message, status_tree
from tests.factories import policies_of

POLICY = """apiVersion: gitmesh.io/v1alpha1
kind: TrafficPolicy
metadata: {name: slow, namespace: shop}
spec:
  destinations: [{name: reviews, namespaces: [shop]}]
  timeout: 5s
"""
ID = "TrafficPolicy/shop/slow"
FILE = "policies/TrafficPolicy/shop/slow.yaml"
KEY = ObjectKey(group="networking.istio.io", kind="VirtualService", namespace="shop", name="reviews")
COMMIT = "a" * 40


def cluster(name: str = "east", **changes: Any) -> ClusterResult:
    manifest = Manifest(key=KEY, version="v1", decides="routing", body=b"{}", digest="d", policies=(ID,))
    result = ClusterResult(
        name=name,
        state=State.SYNCED,
        facts=ClusterFacts(cluster=name, meshes=(Mesh(translator="istio", name="istio", version="1.30.3"),)),
        build=Build(cluster=name, manifests={KEY: manifest}),
        plan=Plan(cluster=name, changes=(change(Action.KEEP),)),
        ledger=Ledger(
            instance="shop", sources={"policies": COMMIT}, entries={KEY: Entry(uid="u", commit=COMMIT)}
        ),
    )
    return replace(result, **changes)


def change(action: Action, **changes: Any) -> Change:
    return replace(Change(action=action, key=KEY, decides="routing", policies=(ID,)), **changes)


def report(*clusters: ClusterResult, **changes: Any) -> Report:
    base = Report(
        instance="shop",
        until=Stage.APPLY,
        sources={"policies": SourceResult(name="policies", seen=COMMIT, accepted=COMMIT)},
        policies=policies_of(POLICY),
        clusters={result.name: result for result in clusters or (cluster(),)},
    )
    return replace(base, **changes)


def healed_report() -> tuple[Report, Report]:
    """A quiet report, and one in which a changed field was put right."""
    update = change(
        Action.UPDATE, drift=True, fields=(FieldChange(path="spec.http[0].timeout", want="5s", live="9s"),)
    )
    healing = cluster(
        plan=Plan(cluster="east", changes=(update,)),
        outcomes=(Outcome(key=KEY, action=Action.UPDATE, ok=True),),
    )
    return report(), report(healing)


def read(given: Report, path: str) -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load(status_tree(given)[path])
    return document


class TestTree:
    def test_layout(self) -> None:
        tree = status_tree(report(cluster("west"), cluster("east")))
        assert list(tree) == [
            "README.md",
            "clusters/east.yaml",
            "clusters/west.yaml",
            "facts/east.yaml",
            "facts/west.yaml",
            "findings.yaml",
            FILE,
            "status.yaml",
        ]

    def test_policy(self) -> None:
        assert read(report(cluster(verdicts={KEY: (Verdict.ACCEPTED, "")})), FILE) == {
            "apiVersion": "gitmesh.io/v1alpha1",
            "kind": "PolicyStatus",
            "policy": ID,
            "state": "Synced",
            "source": {"source": "policies", "file": "p0.yaml", "line": 1},
            "clusters": {
                "east": {
                    "state": "Synced",
                    "verdict": "Accepted",
                    "appliedCommit": COMMIT,
                    "objects": ["VirtualService shop/reviews"],
                }
            },
        }

    def test_cluster(self) -> None:
        assert read(report(), "clusters/east.yaml") == {
            "apiVersion": "gitmesh.io/v1alpha1",
            "kind": "ClusterStatus",
            "cluster": "east",
            "state": "Synced",
            "meshes": [{"name": "istio", "version": "1.30.3"}],
            "appliedCommit": {"policies": COMMIT},
            "objects": [
                {
                    "kind": "VirtualService",
                    "namespace": "shop",
                    "name": "reviews",
                    "policies": [ID],
                    "source": ["p0.yaml:1"],
                    "commit": COMMIT,
                }
            ],
        }

    @pytest.mark.parametrize("verdict", Verdict)
    def test_an_object_that_its_mesh_has_not_accepted_says_so(self, verdict: Verdict) -> None:
        given = report(cluster(verdicts={KEY: (verdict, "words of the mesh")}))
        (row,) = read(given, "clusters/east.yaml")["objects"]
        assert row.get("verdict") == (None if verdict is Verdict.ACCEPTED else verdict.value)
        assert read(given, "status.yaml")["clusters"]["east"]["counts"]["verdicts"] == {verdict.value: 1}
        assert read(given, FILE)["clusters"]["east"]["verdict"] == verdict.value

    def test_a_verdict_that_moved_moves_the_row_and_nothing_else(self) -> None:
        memo = StatusMemo()
        waiting, accepted = (
            report(cluster(verdicts={KEY: (verdict, "")})) for verdict in (Verdict.UNKNOWN, Verdict.ACCEPTED)
        )
        before = status_tree(waiting, memo)
        after = status_tree(accepted, memo)
        assert {path for path in before if before[path] != after[path]} == {
            "clusters/east.yaml",
            FILE,
            "status.yaml",
        }
        assert after == status_tree(accepted)

    def test_status(self) -> None:
        assert read(report(), "status.yaml") == {
            "apiVersion": "gitmesh.io/v1alpha1",
            "kind": "Status",
            "instance": "shop",
            "sources": {"policies": {"seen": {"commit": COMMIT, "state": "Synced"}, "lastGood": COMMIT}},
            "clusters": {
                "east": {
                    "state": "Synced",
                    "counts": {"objects": 1, "held": 0, "policies": {"Synced": 1}},
                    "appliedCommit": {"policies": COMMIT},
                }
            },
            "findings": {"error": 0, "warning": 0, "info": 0},
        }

    def test_deletions_that_wait_for_consent_are_held(self) -> None:
        held = cluster(plan=Plan(cluster="east", prune_held=(change(Action.DELETE),)))
        assert read(report(held), "status.yaml")["clusters"]["east"]["counts"]["held"] == 1

    def test_drift_that_was_not_healed(self) -> None:
        field = FieldChange(path="spec.http[0].timeout", want="5s", live="9s", manager="kubectl")
        seen = cluster(
            state=State.DRIFTED,
            plan=Plan(cluster="east", changes=(change(Action.UPDATE, fields=(field,)),)),
            observe_only=True,
        )
        assert read(report(seen), "clusters/east.yaml")["drift"] == [
            {
                "object": "VirtualService shop/reviews",
                "action": "update",
                "field": "spec.http[0].timeout",
                "want": '"5s"',
                "live": '"9s"',
                "manager": "kubectl",
            }
        ]

    def test_S12_a_finding_has_no_excerpt(self) -> None:
        said = replace(
            finding(
                "GM203", "not a duration", at=Location(source="policies", path="a.yaml", line=3, column=9)
            ),
            excerpt="hunter2",
        )
        tree = status_tree(report(diagnostics=(said,)))
        assert not any(b"hunter2" in content for content in tree.values())
        [row] = read(report(diagnostics=(said,)), "findings.yaml")["findings"]
        assert (row["code"], row["severity"], row["file"], row["line"], row["column"]) == (
            "GM203",
            "error",
            "a.yaml",
            3,
            9,
        )

    def test_what_others_say_of_a_lasting_fault_is_no_change(self) -> None:
        first, then = (
            report(diagnostics=(finding("GM601", "HTTP 503", detail=f"request {number}"),))
            for number in (1, 2)
        )
        assert status_tree(first) == status_tree(then)
        assert message(first) == message(then)
        assert not any(b"request" in content for content in status_tree(first).values())

    @pytest.mark.parametrize(
        "policy",
        ["TrafficPolicy/../../x", "TrafficPolicy/shop/a b", "Evil/shop/a", "TrafficPolicy/shop/x/y", "x"],
    )
    def test_a_name_that_is_no_name_is_no_path(self, policy: str) -> None:
        tree = status_tree(report(diagnostics=(finding("GM203", "bad", policy=policy),)))
        assert [path for path in tree if path.startswith("policies/")] == [FILE]

    def test_same_report_same_bytes_with_and_without_memo(self) -> None:
        memo = StatusMemo()
        quiet, healing = healed_report()
        for given in (quiet, healing, quiet, report(cluster("west"))):
            assert dict(status_tree(given, memo)) == dict(status_tree(given))

    @pytest.mark.parametrize(
        ("pods", "bare", "is_shown"),
        [(9, 0, False), (3, 0, False), (0, 0, True), (9, 1, True)],
        ids=["more", "same", "none", "bare"],
    )
    def test_facts_stay_as_they_are_until_they_mean_something_else(
        self, pods: int, bare: int, is_shown: bool
    ) -> None:
        def seen(pods: int, bare: int) -> Report:
            shapes = tuple(
                Workload(kind="Deployment", namespace="shop", name="reviews", mesh=mesh, pods=count)
                for mesh, count in (("istio", pods), ("", bare))
                if count or mesh
            )
            return report(replace(cluster("east"), facts=ClusterFacts(cluster="east", workloads=shapes)))

        memo = StatusMemo()
        before = status_tree(seen(3, 0), memo)["facts/east.yaml"]
        after = status_tree(seen(pods, bare), memo)["facts/east.yaml"]
        assert (after != before) == is_shown
        assert not is_shown or after == status_tree(seen(pods, bare))["facts/east.yaml"]

    @pytest.mark.parametrize("more", [0, 7])
    def test_of_very_many_findings_the_foremost_are_listed_and_the_others_counted(self, more: int) -> None:
        doubts = [
            finding("GM209", f"doubt {number}", cluster="east") for number in range(MOST_FINDINGS - 1 + more)
        ]
        bad = finding("GM601", "the one error", cluster="west")
        given = report(diagnostics=(*doubts, bad))
        document = read(given, "findings.yaml")
        assert (len(document["findings"]), document.get("more", 0)) == (MOST_FINDINGS, more)
        assert (document["findings"][0]["code"] == "GM601") == (more > 0)
        assert "GM601" in {row["code"] for row in document["findings"]}
        assert read(given, "status.yaml")["findings"]["warning"] == len(doubts)

    def test_order_of_clusters_and_findings_does_not_matter(self) -> None:
        said = (finding("GM507", "x", cluster="east"), finding("GM209", "y", policy=ID, cluster="west"))
        one = report(cluster("east"), cluster("west"), diagnostics=said)
        two = report(cluster("west"), cluster("east"), diagnostics=said[::-1])
        assert list(status_tree(one).items()) == list(status_tree(two).items())

    def test_what_did_not_change_is_the_same_object(self) -> None:
        memo = StatusMemo()
        before = dict(status_tree(report(cluster("east"), cluster("west")), memo))
        after = status_tree(report(cluster("east"), cluster("west", state=State.FAILED)), memo)
        assert after[FILE] is before[FILE]
        assert after["facts/east.yaml"] == before["facts/east.yaml"]
        assert after["clusters/west.yaml"] != before["clusters/west.yaml"]


class TestStates:
    @pytest.mark.parametrize(
        ("changes", "state"),
        [
            ({}, State.SYNCED),
            ({"state": State.UNREACHABLE}, State.UNREACHABLE),
            ({"plan": Plan(cluster="east", changes=(change(Action.UPDATE, drift=True),))}, State.DRIFTED),
            ({"plan": Plan(cluster="east", changes=(change(Action.UPDATE),))}, State.PENDING),
            ({"plan": Plan(cluster="east", changes=(change(Action.CONFLICT),))}, State.HELD),
            ({"plan": Plan(cluster="east", changes=(change(Action.HELD),))}, State.HELD),
            ({"plan": Plan(cluster="east", changes=(change(Action.KEEP, staged=True),))}, State.PENDING),
            ({"outcomes": (Outcome(key=KEY, action=Action.UPDATE, ok=False, message="no"),)}, State.FAILED),
        ],
    )
    def test_from_the_cluster(self, changes: dict[str, Any], state: State) -> None:
        assert read(report(cluster(**changes)), FILE)["clusters"]["east"]["state"] == state.value

    @pytest.mark.parametrize(
        ("code", "where", "state"),
        [
            ("GM208", "east", State.PENDING),
            ("GM216", "east", State.PENDING),
            ("GM301", "east", State.HELD),
            ("GM210", "east", State.HELD),
            ("GM505", "east", State.FAILED),
            ("GM303", "east", State.SYNCED),
            ("GM203", "", State.INVALID),
            ("GM210", "", State.INVALID),
            ("GM301", "west", State.SYNCED),
        ],
    )
    def test_from_findings(self, code: str, where: str, state: State) -> None:
        given = report(
            cluster("east"), cluster("west"), diagnostics=(finding(code, "x", policy=ID, cluster=where),)
        )
        assert read(given, FILE)["clusters"]["east"]["state"] == state.value

    def test_a_policy_without_objects_is_shown_where_findings_name_it(self) -> None:
        empty = cluster(build=Build(cluster="east", manifests={}))
        assert read(report(empty), FILE)["clusters"] == {}
        held = read(
            report(empty, diagnostics=(finding("GM208", "no service", policy=ID, cluster="east"),)), FILE
        )
        assert held["clusters"] == {"east": {"state": "Pending", "objects": [], "findings": ["GM208"]}}
        assert held["state"] == "Pending"

    def test_a_policy_that_exists_in_the_refused_tip_only(self) -> None:
        said = finding(
            "GM203",
            "bad",
            policy="AccessPolicy/shop/new",
            at=Location(source="policies", path="b.yaml", line=4),
        )
        given = report(
            diagnostics=(said,),
            sources={"policies": SourceResult(name="policies", seen="b" * 40, accepted=COMMIT, refused=True)},
        )
        assert read(given, "policies/AccessPolicy/shop/new.yaml")["state"] == "Invalid"
        assert read(given, "status.yaml")["sources"]["policies"] == {
            "seen": {"commit": "b" * 40, "state": "Invalid"},
            "lastGood": COMMIT,
        }

    @pytest.mark.parametrize(
        ("result", "codes", "state"),
        [
            (
                SourceResult(name="policies", accepted=COMMIT, unavailable=True, refused=True),
                (),
                "Unreachable",
            ),
            (SourceResult(name="policies", seen="b" * 40, accepted=COMMIT, refused=True), ("GM602",), "Held"),
        ],
    )
    def test_source(self, result: SourceResult, codes: tuple[str, ...], state: str) -> None:
        said = tuple(finding(code, "x", at=Location(source="policies", path="policies")) for code in codes)
        assert (
            read(report(sources={"policies": result}, diagnostics=said), "status.yaml")["sources"][
                "policies"
            ]["seen"]["state"]
            == state
        )


class TestMessage:
    def test_template(self) -> None:
        given = report(
            cluster("east"), cluster("west", state=State.FAILED), diagnostics=(finding("GM507", "x"),)
        )
        text = message(given)
        assert (
            text == f"gitmesh shop: {COMMIT[:12]} 1/2 clusters synced, 1 finding [skip ci]\n\nGitMesh-Source:"
            f" {COMMIT}\n"
        )

    def test_heals_are_named(self) -> None:
        quiet, healing = healed_report()
        assert heals(quiet) == ()
        assert heals(healing) == ("healed east VirtualService/shop/reviews: spec.http[0].timeout",)
        assert (
            "\n\nhealed east VirtualService/shop/reviews: spec.http[0].timeout\n\nGitMesh-Source: "
            in message(healing, heals(healing))
        )

    def test_a_failed_or_ordinary_write_is_no_heal(self) -> None:
        _, healing = healed_report()
        east = healing.clusters["east"]
        failed = replace(east, outcomes=(Outcome(key=KEY, action=Action.UPDATE, ok=False),))
        ordinary = replace(east, plan=Plan(cluster="east", changes=(change(Action.UPDATE),)))
        assert heals(report(failed)) == heals(report(ordinary)) == ()

    def test_S11_names_and_fields_cannot_write_the_message(self) -> None:
        evil = "x\n\nSigned-off-by: x"
        key = KEY._replace(name=evil)
        update = replace(change(Action.UPDATE, drift=True, fields=(FieldChange(path=evil),)), key=key)
        given = report(
            cluster(
                plan=Plan(cluster="east", changes=(update,)),
                outcomes=(Outcome(key=key, action=Action.UPDATE, ok=True),),
            )
        )
        [line] = heals(given)
        assert line == "healed east VirtualService/shop/(name not shown): (field not shown)"
