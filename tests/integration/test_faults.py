"""Bad input and a bad world, through the real command line: always a clear finding, the last good state kept,
nothing lost.

Directory clusters and real git repositories; `test_kube_world_faults` holds what needs API servers.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.gitrepo import Repo
from tests.lab.githttp import GitHttpServer
from tests.shop import Shop, policy, text_of, traffic

RATINGS = traffic("ratings", timeout="1s")
DETAILS = traffic("details", timeout="2s")


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    """A shop that was synced once: ratings and details have timeouts in east and west."""
    made = Shop(tmp_path)
    made.commit(RATINGS, DETAILS)
    made.sync(code=0)
    assert len(made.objects()) == 4
    return made


def edit(shop: Shop, change: Callable[[dict[str, Any]], None], name: str = "ratings") -> bytes:
    """Edit a live object by hand; its content before."""
    path = shop.live(name)
    before = path.read_bytes()
    body = yaml.safe_load(before)
    change(body)
    path.write_text(yaml.safe_dump(body), encoding="utf-8")
    return before


def slow(body: dict[str, Any]) -> None:
    """Somebody makes a route slower."""
    body["spec"]["http"][0]["timeout"] = "99s"


def still_heals(shop: Shop, *arguments: str, code: int) -> None:
    """Whatever is wrong: objects are untouched, and drift goes back to the last good state."""
    objects = shop.objects()
    edit(shop, slow)
    shop.sync(*arguments, code=code)
    assert shop.objects() == objects


# --- the repository


def test_an_empty_repository_is_a_finding_and_touches_nothing(tmp_path: Path) -> None:
    report = Shop(tmp_path).sync(code=3)
    assert report.codes() == {"GM601"}
    assert "empty" in report.one("GM601")["message"]


def test_a_branch_that_is_missing_is_a_finding(shop: Shop) -> None:
    shop.source["branch"] = "production"
    shop.configure()
    objects = shop.objects()
    report = shop.sync(code=3)
    assert "production" in report.one("GM601")["message"]
    assert shop.objects() == objects


def test_a_followed_branch_becomes_a_folder_of_branches_and_a_branch_again(shop: Shop) -> None:
    """With one store, which knows the last good revision: a tip that does not descend from it is still
    held.
    """
    before = "main"
    for name in ("env", "env/prod", "env/prod/eu", "env"):
        commit = shop.repo.tip(before)
        shop.repo.delete_branch(before)
        shop.repo.move(name, commit)
        shop.source["branch"] = before = name
        shop.configure()
        assert shop.sync(code=0).codes() == set()
    shop.repo.delete_branch(before)
    shop.repo.commit(
        {"policies/all.yaml": text_of(traffic("ratings", timeout="9s"))}, branch="env/test", parent=""
    )
    shop.source["branch"] = "env/test"
    shop.configure()
    assert shop.sync(code=2).codes() == {"GM602"}
    assert b"timeout: 9s" not in shop.live("ratings").read_bytes()


def test_a_tag_is_no_branch(shop: Shop) -> None:
    shop.repo.git("tag", "v1.0", shop.repo.tip())
    shop.source["branch"] = "v1.0"
    shop.configure()
    assert shop.sync(code=3).one("GM601")["message"] == "v1.0 is a tag, not a branch"


def test_G15_a_branch_that_is_deleted_later_deletes_nothing_and_drift_is_still_healed(shop: Shop) -> None:
    shop.repo.delete_branch()
    still_heals(shop, code=3)


def test_G18_a_revision_without_policies_is_refused(shop: Shop) -> None:
    shop.repo.update({"policies/all.yaml": None, "policy/all.yaml": text_of(RATINGS)})
    objects = shop.objects()
    report = shop.sync(code=2)
    assert {"GM110", "GM605"} <= report.codes()
    assert shop.objects() == objects


def test_G16_a_force_push_back_is_held_until_allowRewind(shop: Shop) -> None:
    first = shop.repo.tip()
    shop.commit(traffic("ratings", timeout="7s"), DETAILS)
    shop.sync(code=0)
    objects = shop.objects()
    shop.repo.move("main", first)
    report = shop.sync(code=2)
    assert report.codes() == {"GM602"}
    assert shop.objects() == objects
    still_heals(shop, code=2)
    shop.source["allowRewind"] = True
    shop.configure()
    shop.sync(code=0)
    assert b"timeout: 1s" in shop.live("ratings").read_bytes()


def test_G16_rewritten_history_is_held(shop: Shop) -> None:
    shop.repo.commit({"policies/all.yaml": text_of(RATINGS)}, parent="")
    assert shop.sync(code=2).codes() == {"GM602"}
    assert len(shop.objects()) == 4


@pytest.mark.parametrize(("status", "word"), [(401, "credential"), (404, "not"), (500, "500")])
def test_G15_a_server_that_refuses_is_a_finding_without_secrets(
    tmp_path: Path, git_http: GitHttpServer, status: int, word: str
) -> None:
    shop = over_http(tmp_path, git_http)
    if status == 401:
        (tmp_path / "password").write_text("hunter2-is-wrong", encoding="utf-8")
    else:
        git_http.fail_with(status)
    ran = shop.gitmesh("sync", code=3)
    assert "GM601" in ran.out
    assert word in ran.out.lower()
    assert "hunter2" not in ran.out + ran.err
    still_heals(shop, code=3)


def over_http(root: Path, server: GitHttpServer) -> Shop:
    """A shop whose repository is behind HTTP with a login, synced once."""
    server.create_repo("policies")
    (root / "user").write_text(server.username, encoding="utf-8")
    (root / "password").write_text(server.password, encoding="utf-8")
    auth = {"usernameFile": "user", "passwordFile": "password"}
    shop = Shop(root, source={"url": server.url("policies"), "auth": auth})
    shop.repo = Repo(server.repo_path("policies"))
    shop.commit(RATINGS, DETAILS)
    shop.sync(code=0)
    return shop


def test_a_repository_unreachable_for_five_ticks_leaves_objects_and_heals_drift(
    tmp_path: Path, git_http: GitHttpServer
) -> None:
    shop = over_http(tmp_path, git_http)
    objects = shop.objects()
    with shop.agent() as agent:
        agent.ready()
        git_http.stop()
        agent.until(lambda: agent.metrics().get('gitmesh_source_up{source="policies"}') == 0, "the outage")
        agent.ticks(3)
        edit(shop, slow)
        agent.until(lambda: shop.objects() == objects, "heal during the outage")
        agent.ticks(2)
        assert shop.objects() == objects
        assert [line["code"] for line in agent.events("finding")].count("GM601") == 1, (
            "told once, not at every tick"
        )
        assert agent.get("/healthz")[0] == 200
        git_http.start()
        shop.commit(traffic("ratings", timeout="8s"), DETAILS)
        agent.until(lambda: b"timeout: 8s" in shop.live("ratings").read_bytes(), "the next commit")


def test_G23_a_damaged_store_is_fetched_anew(shop: Shop) -> None:
    packs = [path for path in (shop.root / ".cache").rglob("*") if path.is_file() and "objects" in path.parts]
    assert packs
    for path in packs:
        path.chmod(0o600)
        path.write_bytes(b"broken")
    assert shop.sync(code=0).state() == "Synced"


def test_two_sources_of_which_one_breaks_keep_each_other_apart(shop: Shop) -> None:
    other = Repo(shop.root / "other.git")
    other.commit({"policies/all.yaml": text_of(traffic("productpage", timeout="3s"))})
    config = yaml.safe_load(shop.config.read_text(encoding="utf-8"))
    config["sources"].append(
        {**config["sources"][0], "name": "other", "url": other.url, "paths": ["policies"]}
    )
    shop.config.write_text(yaml.safe_dump(config), encoding="utf-8")
    shop.sync(code=0)
    assert len(shop.objects()) == 6
    other.commit({"policies/all.yaml": "kind: [broken"})
    shop.commit(traffic("ratings", timeout="9s"), DETAILS)
    report = shop.sync(code=2)
    assert {
        one.get("source") or one.get("location", {}).get("source")
        for one in report.findings
        if one["severity"] == "error"
    } <= {
        "other",
        None,
    }
    assert b"timeout: 9s" in shop.live("ratings").read_bytes(), "the good source goes on"
    assert b"timeout: 3s" in shop.live("productpage").read_bytes(), (
        "the broken one keeps its last good revision"
    )
    shutil.rmtree(other.path)
    shop.sync(code=3)
    assert len(shop.objects()) == 6


def test_P01_a_policy_in_two_sources_refuses_both_tips_and_names_both_places(shop: Shop) -> None:
    shop.repo.update({"policies/again.yaml": text_of(traffic("ratings", timeout="4s"))})
    objects = shop.objects()
    report = shop.sync(code=2)
    assert {"GM206", "GM605"} <= report.codes()
    assert "all.yaml" in str(report.one("GM206"))
    assert "again.yaml" in str(report.one("GM206"))
    assert shop.objects() == objects


# --- policies


def test_a_policy_for_a_service_that_is_not_there_is_pending_and_the_rest_goes_on(shop: Shop) -> None:
    shop.commit(traffic("ratings", timeout="6s"), DETAILS, traffic("reviewz", timeout="1s"))
    report = shop.sync()
    said = report.one("GM208")
    assert "reviewz" in said["message"]
    assert "reviews" in said["message"] + said.get("hint", ""), "did you mean"
    assert b"timeout: 6s" in shop.live("ratings").read_bytes()
    assert len(shop.objects()) == 4


def test_a_destination_that_is_misspelled_withdraws_nothing_from_the_one_that_was_meant(shop: Shop) -> None:
    before = shop.live("ratings").read_bytes()
    shop.commit(traffic("ratings", "ratingz", timeout="1s"), traffic("details", timeout="9s"))
    report = shop.sync(code=2)
    assert "GM208" in report.codes()
    assert "TrafficPolicy/bookshop/ratings names what is not there" in str(report.document), (
        "the row says why"
    )
    assert shop.live("ratings").read_bytes() == before
    assert b"timeout: 9s" in shop.live("details").read_bytes(), "the others go on"
    shop.commit(traffic("ratings", "reviews", timeout="1s"), traffic("details", timeout="9s"))
    shop.sync(code=0)
    assert not shop.live("ratings").exists(), "with a right name it moves"
    assert shop.live("reviews").exists()


def test_a_deny_whose_destination_is_misspelled_stays(shop: Shop) -> None:
    def deny(name: str) -> dict[str, Any]:
        spec = {"action": "Deny", "destinations": [{"name": name}], "sources": [{"namespaces": ["default"]}]}
        return policy("AccessPolicy", "no-strangers", spec)

    shop.commit(RATINGS, DETAILS, deny("ratings"))
    shop.sync(code=0)
    objects = shop.objects()
    assert len(objects) == 6
    shop.commit(RATINGS, DETAILS, deny("ratingz"))
    assert "GM208" in shop.sync(code=2).codes()
    assert shop.objects() == objects


@pytest.mark.parametrize("also", [{}, {"labels": {"app": "ratings"}}])
def test_a_deny_whose_namespace_is_misspelled_stays(shop: Shop, also: dict[str, Any]) -> None:
    def deny(namespace: str) -> dict[str, Any]:
        spec = {
            "action": "Deny",
            "destinations": [{"namespaces": [namespace], **also}],
            "sources": [{"namespaces": ["default"]}],
        }
        return policy("AccessPolicy", "no-strangers", spec)

    shop.commit(RATINGS, DETAILS, deny("bookshop"))
    shop.sync(code=0)
    objects = shop.objects()
    assert len(objects) > 4
    shop.commit(RATINGS, DETAILS, deny("bookshpo"))
    report = shop.sync(code=2)
    assert "did you mean bookshop?" in str(report.document)
    assert shop.objects() == objects


def test_of_two_destinations_the_misspelled_one_alone_is_kept(shop: Shop) -> None:
    def both(first: str, second: str, timeout: str) -> dict[str, Any]:
        return policy(
            "TrafficPolicy", "both", {"destinations": [{"name": first}, {"name": second}], "timeout": timeout}
        )

    shop.commit(both("ratings", "details", "1s"))
    shop.sync(code=0)
    before = shop.live("ratings").read_bytes()
    shop.commit(both("ratingz", "details", "7s"))
    assert "GM208" in shop.sync(code=2).codes()
    assert shop.live("ratings").read_bytes() == before
    assert b"timeout: 7s" in shop.live("details").read_bytes()


def test_a_mesh_that_is_misspelled_stays_closed(shop: Shop) -> None:
    def closed(mesh: str) -> dict[str, Any]:
        spec = {
            "meshes": [{"cluster": "east", "name": mesh}],
            "accessDefault": "Deny",
            "mtls": {"mode": "Strict"},
        }
        return policy("VirtualMesh", "shop", spec)

    shop.commit(RATINGS, DETAILS, closed("istio"))
    shop.sync(code=0)
    objects = shop.objects()
    assert len(objects) > 4
    shop.commit(RATINGS, DETAILS, closed("istoi"))
    assert "GM208" in shop.sync(code=2).codes()
    assert shop.objects() == objects


def test_a_new_route_to_a_subset_waits_while_a_misspelled_name_holds_its_destination(shop: Shop) -> None:
    def split(name: str, service: str, version: str) -> dict[str, Any]:
        return traffic(
            name,
            service,
            split=[{"weight": 1, "destination": {"name": "reviews", "subset": {"version": version}}}],
        )

    shop.commit(RATINGS, split("reviews", "reviews", "v1"))
    shop.sync(code=0)
    objects = shop.objects()
    shop.commit(RATINGS, split("reviews", "reviewz", "v1"), split("details", "details", "v2"))
    assert "GM208" in shop.sync(code=2).codes()
    assert shop.objects() == objects, "details would route to a subset that reviews does not get yet"


def test_P17_two_policies_in_conflict_by_name_refuse_the_revision(shop: Shop) -> None:
    shop.commit(RATINGS, DETAILS, traffic("ratings-too", "ratings", timeout="5s"))
    objects = shop.objects()
    report = shop.sync(code=2)
    assert {"GM210", "GM605"} <= report.codes()
    said = [one for one in report.findings if one["code"] == "GM210"]
    assert {one["policy"] for one in said} <= {
        "TrafficPolicy/bookshop/ratings",
        "TrafficPolicy/bookshop/ratings-too",
    }
    assert all("policies/all.yaml:" in one["message"] for one in said), "the other place is named"
    assert shop.objects() == objects
    still_heals(shop, code=2)


def test_P17_two_policies_in_conflict_by_selectors_hold_the_unit_only(shop: Shop) -> None:
    broad = [
        policy(
            "TrafficPolicy",
            name,
            {"destinations": [{"labels": {"app": "ratings"}}], "retries": {"attempts": n}, "priority": 3},
        )
        for name, n in (("one", 1), ("two", 2))
    ]
    shop.commit(RATINGS, traffic("details", timeout="9s"), *broad)
    before = shop.live("ratings").read_bytes()
    report = shop.sync(code=2)
    assert "GM210" in report.codes()
    assert "GM605" not in report.codes()
    assert shop.live("ratings").read_bytes() == before, "held: neither changed nor deleted"
    assert b"timeout: 9s" in shop.live("details").read_bytes(), "the others go on"


def test_G24_a_revision_that_deletes_too_much_applies_the_rest_and_waits(tmp_path: Path) -> None:
    shop = Shop(tmp_path)
    services = ("ratings", "details", "reviews", "productpage")
    shop.commit(*(traffic(name, timeout="1s") for name in services))
    shop.sync(code=0)
    shop.commit(
        traffic("ratings", "ratings", timeout="1s", destinations=[{"name": "ratings", "clusters": ["east"]}])
    )
    report = shop.sync(code=2)
    assert report.codes() == {"GM402"}
    assert shop.live("ratings", "west").exists(), "all of west would go: it waits"
    assert not shop.live("details", "east").exists(), "three of four of east are under ten: they go"
    shop.sync("--approve-prune", shop.repo.tip(), code=0)
    assert not shop.live("ratings", "west").exists()


# --- the cluster's objects


@pytest.mark.parametrize(
    "change",
    [
        slow,
        lambda body: body["spec"].update(gateways=["mesh"]),
        lambda body: body["spec"].pop("http"),
        lambda body: body["metadata"]["labels"].update({"istio.io/rev": "canary"}),
        lambda body: body["metadata"]["annotations"].update({"istio.io/dry-run": "true"}),
        lambda body: body["metadata"]["labels"].pop("gitmesh.io/instance"),
        lambda body: body["metadata"]["annotations"].update({"gitmesh.io/policies": "TrafficPolicy/a/b"}),
    ],
    ids=["value", "added-field", "removed-field", "hidden", "tried-out", "label", "annotation"],
)
def test_an_object_edited_by_hand_is_healed_or_reported(
    shop: Shop, change: Callable[[dict[str, Any]], None]
) -> None:
    before = edit(shop, change)
    report = shop.sync()
    if report.codes("warning") == {"GM401"}:
        assert b"gitmesh.io/instance" not in shop.live("ratings").read_bytes(), (
            "without our label it counts as foreign: left alone"
        )
        return
    assert report.code == 0
    assert shop.live("ratings").read_bytes() == before


def test_an_object_deleted_by_hand_is_made_again(shop: Shop) -> None:
    before = shop.live("ratings").read_bytes()
    shop.live("ratings").unlink()
    report = shop.sync(code=0)
    assert shop.live("ratings").read_bytes() == before
    assert "deleted by hand" in str(report.document)


def test_K11_all_objects_gone_at_once_are_made_again_with_a_warning(shop: Shop) -> None:
    objects = shop.objects()
    for name in objects:
        if name.startswith("east/"):
            (shop.root / "clusters" / name).unlink()
    report = shop.sync(code=0)
    assert report.codes("warning") == {"GM409"}
    assert shop.objects() == objects


def test_K28_a_copy_of_our_object_is_not_ours(shop: Shop) -> None:
    text = shop.live("ratings").read_text(encoding="utf-8")
    copy = shop.live("copy")
    copy.write_text(text.replace("name: ratings\n", "name: copy\n", 1), encoding="utf-8")
    content = copy.read_bytes()
    shop.sync()
    shop.commit(DETAILS)
    shop.sync()
    assert copy.read_bytes() == content
    assert not shop.live("ratings").exists()


@pytest.mark.parametrize("part", ["labels", "annotations"])
@pytest.mark.parametrize("value", [["a"], 7, "text", None])
def test_K25_marks_of_another_shape_are_drift_of_that_object(shop: Shop, part: str, value: object) -> None:
    objects = shop.objects()
    edit(shop, lambda body: body["metadata"].__setitem__(part, value))
    report = shop.sync()
    assert "GM513" not in report.codes()
    others = {
        name: content
        for name, content in shop.objects().items()
        if "east/bookshop" not in name or "ratings" not in name
    }
    assert others.items() <= objects.items()
    assert report.code in (0, 2)


def test_X11_a_ledger_that_is_a_pipe_is_a_damaged_one(shop: Shop) -> None:
    ledger = shop.root / "clusters/east/.gitmesh/ledger.yaml"
    ledger.unlink()
    os.mkfifo(ledger)
    assert "GM408" in shop.sync().codes("warning")
    assert len(shop.objects()) == 4


@pytest.mark.parametrize(
    "content", ["", "{", "apiVersion: v9\nkind: Ledger\n", "null"], ids=["empty", "broken", "future", "null"]
)
def test_X11_a_damaged_ledger_deletes_nothing(shop: Shop, content: str) -> None:
    (shop.root / "clusters/east/.gitmesh/ledger.yaml").write_text(content, encoding="utf-8")
    objects = shop.objects()
    shop.commit(RATINGS)
    report = shop.sync()
    assert shop.objects().keys() >= {name for name in objects if name.startswith("east/")}, (
        "nothing is deleted on a guess"
    )
    assert report.codes() | report.codes("warning"), "and it is said"


def test_X02_a_cluster_that_cannot_be_written_fails_alone(shop: Shop) -> None:
    """West's tree is read-only for objects: a file stands where a folder must be made."""
    shop.commit(
        RATINGS,
        DETAILS,
        traffic("reviews", timeout="4s", destinations=[{"name": "reviews"}]),
        policy_of_access(),
    )
    blocked = shop.root / "clusters/west/bookshop/authorizationpolicy.security.istio.io"
    blocked.write_text("in the way", encoding="utf-8")
    report = shop.sync()
    assert report.code in (2, 3)
    assert shop.live("reviews", "east").exists()
    assert shop.live("ratings-allow", "east", "authorizationpolicy.security.istio.io").exists()
    blocked.unlink()
    shop.sync(code=0)
    assert shop.live("ratings-allow", "west", "authorizationpolicy.security.istio.io").exists()


def policy_of_access() -> dict[str, Any]:
    """Only reviews may call ratings."""
    sources = {"sources": [{"serviceAccounts": [{"name": "reviews"}]}], "destinations": [{"name": "ratings"}]}
    return policy("AccessPolicy", "ratings", sources)


# --- the status branch


def test_S01_a_status_branch_that_someone_else_pushed_to_is_built_upon(shop: Shop) -> None:
    first = shop.repo.tip("gitmesh-status")
    stranger = shop.repo.update(
        {"NOTES.md": "mine", "status.yaml": "kind: nonsense\n"}, branch="gitmesh-status"
    )
    shop.commit(traffic("ratings", timeout="7s"), DETAILS)
    shop.sync(code=0)
    assert shop.repo.log("gitmesh-status")[1:] == [stranger, first], "never forced"
    files = shop.repo.files("gitmesh-status")
    assert files["NOTES.md"] == b"mine"
    assert yaml.safe_load(files["status.yaml"])["kind"] == "Status"


def test_S02_a_status_branch_that_was_deleted_or_rewritten_is_made_again(shop: Shop) -> None:
    shop.repo.delete_branch("gitmesh-status")
    shop.sync(code=0)
    assert shop.seen()["lastGood"] == shop.repo.tip()
    shop.repo.commit(
        {**shop.repo.files("gitmesh-status"), "findings.yaml": "rewritten"},
        branch="gitmesh-status",
        parent="",
    )
    shop.sync(code=0)
    assert shop.seen()["lastGood"] == shop.repo.tip()


def test_a_branch_of_people_is_no_status_branch_and_the_clusters_are_still_kept(shop: Shop) -> None:
    """As where statusBranch names the branch that somebody deploys from."""
    kept = {
        "README.md": "# Ours",
        "policies/all.yaml": text_of(RATINGS),
        "clusters/notes.yaml": "kept by people\n",
    }
    tip = shop.repo.commit(kept, branch="production")
    shop.configure(writeBack={"statusBranch": "production"})
    shop.commit(traffic("ratings", timeout="7s"), DETAILS)
    report = shop.sync(code=0)
    assert "branch production exists and was not made by GitMesh" in report.one("GM603")["message"]
    assert shop.repo.log("production") == [tip]
    assert b"timeout: 7s" in shop.live("ratings").read_bytes()


def test_a_branch_in_the_way_of_the_status_branch_is_named(shop: Shop) -> None:
    shop.configure(writeBack={"statusBranch": "gitmesh-status/prod"})
    report = shop.sync(code=0)
    assert "branch gitmesh-status is in the way" in report.one("GM603")["message"]
    assert "Delete branch gitmesh-status" in report.one("GM603")["hint"]


def test_S04_without_the_right_to_push_the_clusters_are_still_kept(
    tmp_path: Path, git_http: GitHttpServer
) -> None:
    shop = over_http(tmp_path, git_http)
    git_http.deny_push = True
    shop.commit(traffic("ratings", timeout="7s"), DETAILS)
    report = shop.sync(code=0)
    assert report.codes("warning") == {"GM603"}
    assert b"timeout: 7s" in shop.live("ratings").read_bytes()


def test_S11_a_policy_cannot_write_into_the_commit_message(shop: Shop) -> None:
    shop.commit(
        {**RATINGS, "metadata": {"name": "x\n\nSigned-off-by: Boss <b@x.example>", "namespace": "bookshop"}}
    )
    shop.sync(code=2)
    assert not [
        line
        for line in shop.repo.log("gitmesh-status", "%B")[0].splitlines()
        if line.startswith("Signed-off-by")
    ]


def test_S12_a_secret_in_a_rejected_file_is_never_repeated(shop: Shop) -> None:
    shop.repo.update(
        {
            "policies/oops.yaml": (
                "apiVersion: v1\nkind: Secret\nmetadata: {name: s}\nstringData: {token: hunter2-canary}\n"
            )
        }
    )
    report = shop.sync(code=2)
    assert "GM201" in report.codes()
    assert "hunter2" not in str(report.findings)
    assert "hunter2" not in str(shop.repo.files("gitmesh-status"))
