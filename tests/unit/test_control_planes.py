"""Control planes count only where the configuration allows them, and what is missing of one is no order
(design laws 3 and 9).
"""

from __future__ import annotations

from pathlib import Path
from typing import cast

import pytest

from gitmesh.discovery.discover import assemble
from gitmesh.discovery.reducer import Reducer
from gitmesh.model.facts import Mesh, Remembered
from gitmesh.model.report import State
from gitmesh.planning.ledger_codec import SCHEMA
from gitmesh.plugins import load_translators
from tests.folders import (
    Folders,
    allow,
    app,
    codes,
    deny,
    istiod,
    mesh_config,
    said,
    thing,
    virtual_mesh,
    webhook,
)

STRICT = virtual_mesh(accessDefault="Deny", mtls={"mode": "Strict"})
FROM_EAST = deny("not-from-east", "web", sources=[{"clusters": ["east"]}])
POLICIES = (STRICT, FROM_EAST, allow("api", "api", "web"))


@pytest.fixture
def world(tmp_path: Path) -> Folders:
    made = Folders(tmp_path)
    made.commit(*POLICIES)
    made.settle()
    return made


# --- a tenant makes none


@pytest.mark.parametrize("namespace", ["aaa", "zzz", "shop"])
def test_what_a_tenant_calls_a_control_plane_counts_for_nothing_and_is_told(
    world: Folders, namespace: str
) -> None:
    before = {name: world.live(name) for name in world.names}
    world.put(
        "east",
        "evil",
        istiod(namespace),
        mesh_config(namespace, trustDomain="evil.example", rootNamespace=namespace),
    )
    report = world.run()
    assert {name: world.live(name) for name in world.names} == before
    [told] = report.diagnostics
    assert (told.code, told.severity, told.cluster) == ("GM523", "warning", "east")
    assert namespace in told.message
    assert f"controlPlanes: {{istio: [istio-system, {namespace}]}}" in told.hint


def test_a_ztunnel_of_a_tenant_makes_no_mesh_ambient(world: Folders) -> None:
    world.put(
        "east",
        "evil",
        thing("DaemonSet", "ztunnel", "aaa", "apps/v1", spec={"template": {"spec": {"containers": []}}}),
    )
    facts = world.run().clusters["east"].facts
    assert facts is not None
    assert not facts.meshes[0].ambient


def test_a_control_plane_where_the_configuration_allows_one_counts(tmp_path: Path) -> None:
    world = Folders(tmp_path, ("east",), homes={"east": {"istio": ("istio-prod",)}})
    world.put("east", "istiod", istiod("istio-prod"))
    world.put("east", "mesh", mesh_config("istio-prod", trustDomain="prod.example"))
    world.commit(STRICT)
    report = world.settle()
    assert codes(report) == []
    assert "istio-prod/authorizationpolicy.security.istio.io/gitmesh-default-deny.yaml" in world.live("east")


def test_one_that_the_ledger_knows_elsewhere_is_held_with_the_line_to_add(world: Folders) -> None:
    before = {name: world.live(name) for name in world.names}
    world.put("east", "istiod", istiod("istio-prod"))
    world.put("east", "mesh", mesh_config("istio-prod", trustDomain="east.example"))
    report = world.run()
    assert {name: world.live(name) for name in world.names} == before
    [held] = said(report, "GM507")
    assert "namespace istio-prod" in held.message
    assert "controlPlanes: {istio: [istio-system, istio-prod]}" in held.hint
    assert report.clusters["east"].state is State.HELD


# --- one that is away


def test_a_mesh_that_is_away_holds_its_cluster_and_changes_not_a_byte_of_others(world: Folders) -> None:
    before = {name: world.live(name) for name in world.names}
    world.drop("east", "istiod")
    report = world.run()
    assert {name: world.live(name) for name in world.names} == before
    [held] = report.diagnostics
    assert (held.code, held.severity, held.cluster, held.mesh) == ("GM507", "warning", "east", "istio")
    assert "until now" in held.message
    assert f"gitmesh approve {held.hold}" in held.hint
    assert (report.clusters["east"].state, report.clusters["west"].state) == (State.HELD, State.SYNCED)
    world.restore("east", "istiod")
    assert codes(world.run()) == []
    assert {name: world.live(name) for name in world.names} == before


def test_it_is_held_over_runs_and_with_one_age(world: Folders) -> None:
    world.drop("east", "istiod")
    world.run()
    [(hold, first)] = world.ledger("east")["holds"].items()
    world.run()
    assert world.ledger("east")["holds"] == {hold: first}
    assert first["since"] > 1_700_000_000


def test_a_mesh_that_is_gone_for_good_is_forgotten_by_itself(world: Folders) -> None:
    world.drop("east", "istiod")
    world.drop("east", "pods")
    world.put(
        "east",
        "pods",
        *(
            app(name, labels={}) | {"spec": {"containers": [{"name": "app"}]}}
            for name in ("web", "api", "db")
        ),
    )
    world.run()
    assert world.ledger("east")["holds"] == {}
    assert world.ledger("east")["meshes"]["east"] == []


def test_while_something_injects_its_proxies_it_is_not_forgotten(world: Folders) -> None:
    world.put("east", "webhook", webhook())
    world.drop("east", "istiod")
    world.put(
        "east",
        "pods",
        *(app(name) | {"spec": {"containers": [{"name": "app"}]}} for name in ("web", "api", "db")),
    )
    assert [one.mesh for one in said(world.run(), "GM507")] == ["istio"]
    world.drop("east", "webhook")
    assert not said(world.run(), "GM507") or world.ledger("east")["holds"] == {}


@pytest.mark.parametrize("kind", ["Pod", "MutatingWebhookConfiguration"])
def test_what_is_not_read_says_nothing_of_a_mesh_that_is_away(kind: str) -> None:
    known = Remembered(
        meshes=(Mesh(translator="istio", name="istio", namespace="istio-system", trust_domain="t"),)
    )
    translators = list(load_translators().values())
    pod = Reducer(translators).reduce(thing("Pod", "bare", "shop", spec={"containers": [{"name": "app"}]}))
    seen = [pod] if pod else []
    away = assemble("east", {}, seen, translators, remembered=known, unread=(kind,))
    assert [mesh.name for mesh in away.meshes] == ["istio"]
    assert away.held_meshes == {"istio"}
    assert not assemble("east", {}, seen, translators, remembered=known).meshes, (
        "while all is read, nothing speaks of it"
    )


def test_an_upgrade_by_revisions_ends_without_hands(tmp_path: Path) -> None:
    world = Folders(tmp_path, ("east",))
    world.put("east", "istiod", istiod(), webhook())
    world.commit(STRICT, allow("api", "api", "web"))
    world.settle()
    world.put(
        "east",
        "new",
        istiod(revision="1-31"),
        webhook("1-31"),
        mesh_config(revision="1-31", trustDomain="east.example"),
    )
    world.settle()
    world.put("east", "pods", *(app(name, revision="1-31") for name in ("web", "api", "db")))
    world.settle()
    world.drop("east", "istiod")
    world.drop("east", "mesh")
    report = world.settle()
    assert codes(report) == []
    assert [mesh["name"] for mesh in world.ledger("east")["meshes"]["east"]] == ["istio-1-31"]


def test_while_pods_carry_the_old_revision_only_its_units_are_held(tmp_path: Path) -> None:
    world = Folders(tmp_path, ("east",))
    world.put(
        "east", "new", istiod(revision="1-31"), mesh_config(revision="1-31", trustDomain="east.example")
    )
    world.put("east", "pods", app("web"), app("db"), app("api", revision="1-31"))
    world.commit(allow("api", "api", "web"), allow("db", "db", "api"))
    world.settle()
    world.drop("east", "istiod")
    world.commit(allow("api", "api", "web", "db"), allow("db", "db", "api", "web"))
    report = world.run()
    assert [one.mesh for one in said(report, "GM507")] == ["istio"]
    assert "/sa/db" in str(world.spec("east", "api-allow"))
    assert "/sa/web" not in str(world.spec("east", "db-allow"))


def test_approving_its_absence_ends_the_hold(world: Folders) -> None:
    world.drop("east", "istiod")
    [held] = said(world.run(), "GM507")
    world.approve(held.hold)
    report = world.run()
    assert "until now" not in str([one.message for one in report.diagnostics])
    world.run()
    assert world.ledger("east")["holds"] == {}, "an approval that is needed no more is forgotten"


def test_it_is_remembered_for_others_while_its_own_ledger_is_lost(world: Folders) -> None:
    before = world.live("west")
    world.drop("east", "istiod")
    (world.root / "east" / ".gitmesh" / "ledger.yaml").unlink()
    report = world.run()
    assert world.live("west") == before
    assert said(report, "GM507")


# --- settings that are not read


def test_a_setting_that_may_not_be_read_is_no_default(world: Folders) -> None:
    before = {name: world.live(name) for name in world.names}
    world.put("east", "mesh", thing("ConfigMap", "istio", "istio-system", data={"mesh": "a: [b"}))
    report = world.run()
    assert {name: world.live(name) for name in world.names} == before
    [told] = report.diagnostics
    assert (told.code, told.severity, told.mesh) == ("GM521", "error", "istio")
    assert told.hold in world.ledger("east")["holds"]
    assert (report.clusters["east"].state, report.clusters["west"].state) == (State.HELD, State.SYNCED)


@pytest.mark.parametrize("gone", ["file", "key"])
def test_a_value_that_the_ledger_remembers_and_nobody_gives_any_more_is_no_default(
    world: Folders, gone: str
) -> None:
    before = {name: world.live(name) for name in world.names}
    if gone == "file":
        world.drop("east", "mesh")
    else:
        world.put("east", "mesh", mesh_config(accessLogFile="/dev/stdout"))
    report = world.run()
    assert {name: world.live(name) for name in world.names} == before
    [told] = report.diagnostics
    assert "trust domain was east.example" in told.message
    world.approve(told.hold)
    world.settle()
    assert "cluster.local/*" in str(world.spec("west", "web-deny")), "the default is meant now"


def test_where_no_ledger_remembers_another_value_the_default_counts(tmp_path: Path) -> None:
    world = Folders(tmp_path, ("east",))
    world.drop("east", "mesh")
    world.commit(allow("api", "api", "web"))
    assert codes(world.settle()) == []
    assert "cluster.local/ns/shop/sa/web" in str(world.spec("east", "api-allow"))
    world.restore("east", "mesh")
    world.settle()
    assert "east.example/ns/shop/sa/web" in str(world.spec("east", "api-allow"))


def test_settings_that_were_never_read_hold_what_depends_on_them_everywhere(tmp_path: Path) -> None:
    world = Folders(tmp_path)
    world.put("east", "mesh", thing("ConfigMap", "istio", "istio-system", data={"mesh": "- no\n- mapping"}))
    world.commit(*POLICIES)
    report = world.run()
    assert said(report, "GM521")
    assert not any("shop" in path for path in world.live("east"))
    assert "shop/authorizationpolicy.security.istio.io/web-deny.yaml" not in world.live("west"), (
        "who east is nobody knows"
    )
    assert "shop/authorizationpolicy.security.istio.io/api-allow.yaml" in world.live("west")


def test_a_changed_trust_domain_is_followed_and_told(world: Folders) -> None:
    world.put("east", "mesh", mesh_config(trustDomain="new.example"))
    report = world.run()
    [told] = said(report, "GM522")
    assert (told.cluster, told.severity) == ("east", "warning")
    assert "was east.example and is new.example now" in told.message
    assert "new.example/*" in str(world.spec("west", "web-deny"))
    assert codes(world.settle()) == []


@pytest.mark.parametrize("name", ["big apple", "a/b", "*", "east.example\nx", "\u00c9ast", "a" * 256])
def test_a_trust_domain_that_none_can_have_is_no_change(world: Folders, name: str) -> None:
    before = {cluster: world.live(cluster) for cluster in world.names}
    world.put("east", "mesh", mesh_config(trustDomain=name))
    for _ in range(2):
        report = world.run()
        [told] = report.diagnostics
        assert (told.code, told.severity, told.cluster) == ("GM521", "error", "east")
        assert {cluster: world.live(cluster) for cluster in world.names} == before
    assert (report.clusters["east"].state, report.clusters["west"].state) == (State.HELD, State.SYNCED)
    world.put("east", "mesh", mesh_config(trustDomain="east.example"))
    assert codes(world.run()) == []


def test_a_trust_domain_that_none_can_have_names_nobody_from_the_start(tmp_path: Path) -> None:
    world = Folders(tmp_path)
    world.put("east", "mesh", mesh_config(trustDomain="*"))
    world.commit(*POLICIES)
    assert "GM521" in codes(world.run())
    assert not any("shop" in path for path in world.live("east"))
    assert "'*'" not in str(world.live("west"))


def test_a_changed_root_namespace_is_followed_in_a_safe_order(world: Folders) -> None:
    world.put("east", "roots", thing("Namespace", "istio-root"))
    world.put("east", "mesh", mesh_config(trustDomain="east.example", rootNamespace="istio-root"))
    report = world.run()
    assert [one.message for one in said(report, "GM522")]
    order = [(str(one.action), one.key.namespace, one.key.name) for one in report.clusters["east"].outcomes]
    denies = [(action, namespace) for action, namespace, name in order if name == "gitmesh-default-deny"]
    assert denies == [("create", "istio-root"), ("delete", "istio-system")]


def test_a_ledger_of_an_older_version_is_taken_over(world: Folders) -> None:
    before = {name: world.live(name) for name in world.names}

    def older(document: dict[str, object]) -> None:
        for key in ("origins", "units", "parts", "kinds", "holds", "heals", "writers"):
            del document[key]
        document["schema"] = 1
        entries = cast("dict[str, dict[str, dict[str, list[object]]]]", document["entries"])
        for namespaces in entries.values():
            for names in namespaces.values():
                for row in names.values():
                    del row[3:5]
        meshes: dict[str, list[dict[str, str]]] = document["meshes"]  # type: ignore[assignment]
        document["meshes"] = {
            name: [[m["translator"], m["name"], m["trustDomain"]] for m in found]
            for name, found in meshes.items()
        }

    for name in world.names:
        world.tamper(name, older)
    report = world.run()
    assert (codes(report), {name: world.live(name) for name in world.names}) == ([], before)
    assert world.ledger("east")["schema"] == SCHEMA


def test_another_cluster_in_the_place_of_one_does_not_lend_it_its_callers(world: Folders) -> None:
    before = world.live("west")
    world.put(
        "east",
        "identity",
        {**thing("Namespace", "kube-system"), "metadata": {"name": "kube-system", "uid": "other"}},
    )
    world.put("east", "mesh", mesh_config(trustDomain="other.example"))
    report = world.run()
    assert "GM506" in codes(report)
    assert world.live("west") == before
