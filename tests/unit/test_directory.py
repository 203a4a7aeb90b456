"""A directory of YAML files as a cluster."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from gitmesh.adapters import files
from gitmesh.adapters.contents import uid_of
from gitmesh.adapters.directory import DirectoryCluster
from gitmesh.cli import configuration, wiring
from gitmesh.errors import ClusterError
from gitmesh.model.ledger import Entry, Ledger
from gitmesh.model.manifests import Phase
from gitmesh.model.objects import ObjectKey, canonical
from gitmesh.model.plan import Action, Change, Live
from gitmesh.model.units import half_key
from gitmesh.yaml_text import dump, dump_all
from tests.unit.bookshop import (
    NETWORKING,
    TRANSLATORS,
    VIRTUAL_SERVICE,
    bookshop,
    create,
    delete,
    key,
    plan,
    route,
    thing,
    update,
)
from tests.unit.test_discover import discovered

KINDS = (VIRTUAL_SERVICE,)
PATH = "bookshop/virtualservice.networking.istio.io/reviews.yaml"
REVIEWS = half_key("routing", "east", ("bookshop", "reviews"))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A directory with the bookshop in one file."""
    folder = tmp_path / "east"
    folder.mkdir()
    (folder / "all.yaml").write_text(dump_all(bookshop()))
    return folder


def cluster(root: Path, **options: Any) -> DirectoryCluster:
    return DirectoryCluster("east", root, TRANSLATORS, labels={"region": "eu"}, **options)


def live(at: DirectoryCluster, name: str = "reviews") -> Live:
    return at.observe(KINDS).live[key(name)]


def test_facts_are_those_of_the_objects(root: Path) -> None:
    assert cluster(root).facts() == discovered(bookshop(), assumed=cluster(root).facts().kinds)


def test_a_configured_directory_is_wired(root: Path) -> None:
    file = root.parent / "gitmesh.yaml"
    one = {
        "name": "east",
        "labels": {"region": "eu"},
        "directory": "east",
        "mode": "Observe",
        "settle": "1500ms",
    }
    source = {"name": "policies", "url": "https://git.example/mesh.git"}
    file.write_text(
        dump({"apiVersion": "gitmesh.io/v1alpha1", "kind": "Config", "sources": [source], "clusters": [one]})
    )
    found = wiring.fleet(configuration.read(file), {}).clusters["east"]
    assert (found.name, found.labels, found.enforce, found.settle) == ("east", {"region": "eu"}, False, 1.5)


def test_any_layout_gives_the_same_facts(root: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    (other / "deep" / "er").mkdir(parents=True)
    objects = bookshop()
    (other / "deep" / "list.yaml").write_text(
        dump({"apiVersion": "v1", "kind": "List", "items": objects[:9]})
    )
    (other / "deep" / "er" / "one.json").write_text(json.dumps(objects[9]))
    (other / "rest.yml").write_text("# several\n---\n" + dump_all(objects[10:]) + "---\n")
    (other / "README.md").write_text("not: [yaml")
    (other / ".hidden").mkdir()
    (other / ".hidden" / "x.yaml").write_text("not: [yaml")
    (other / "kustomization.yaml").write_text(
        "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\n"
    )
    assert cluster(other).facts() == cluster(root).facts()
    assert not cluster(other).observe(KINDS).diagnostics


def test_the_same_objects_again_while_nothing_changed(root: Path) -> None:
    east = cluster(root)
    facts, observed = east.facts(), east.observe(KINDS)
    assert east.facts() is facts
    assert east.observe(KINDS) is observed
    (root / "more.yaml").write_text(dump(route("ratings")))
    assert east.facts() is facts, "an object of ours is no fact"
    assert key("ratings") in east.observe(KINDS).live
    (root / "new.yaml").write_text(dump(thing("v1", "Service", "new", spec={})))
    assert ("bookshop", "new") in east.facts().service_index
    (root / "new.yaml").unlink()
    assert east.facts() == facts


def test_an_edit_of_the_same_size_is_noticed_at_once(root: Path) -> None:
    east = cluster(root)
    for timeout in ("5s", "6s", "7s", "8s"):
        (root / "r.yaml").write_text(dump(route(timeout=timeout)))
        assert f'"timeout":"{timeout}"'.encode() in live(east).body


def test_create_update_delete(root: Path) -> None:
    east = cluster(root)
    assert [o.ok for o in east.apply(plan(create(route())))] == [True]
    assert yaml.safe_load((root / PATH).read_text()) == route()
    created = live(east)
    assert live(cluster(root)) == created
    outcomes = east.apply(plan(update(created, route(timeout="9s"))))
    assert [(o.ok, o.uid) for o in outcomes] == [(True, created.uid)]
    assert yaml.safe_load((root / PATH).read_text()) == route(timeout="9s")
    assert live(cluster(root)) == live(east)
    assert [o.ok for o in east.apply(plan(delete(live(east))))] == [True]
    assert not (root / "bookshop").exists(), "empty folders go too"
    assert not east.observe(KINDS).live


def test_several_steps_on_one_object_in_one_plan(root: Path) -> None:
    east = cluster(root)
    east.apply(plan(create(route())))
    found = live(east)
    outcomes = east.apply(
        plan(update(found, route(timeout="6s")), update(found, route(timeout="7s")), delete(found))
    )
    assert [o.ok for o in outcomes] == [True, True, True]


@pytest.mark.parametrize("change", [update, lambda found, body: delete(found)])
def test_an_object_that_changed_since_it_was_read_is_left_alone(
    root: Path, change: Callable[[Live, Any], Change]
) -> None:
    east = cluster(root)
    east.apply(plan(create(route())))
    found = live(east)
    (root / PATH).write_text(dump(route(timeout="77s")))
    outcomes = east.apply(plan(change(found, route(timeout="9s"))))
    assert [(o.ok, o.retryable) for o in outcomes] == [(False, True)]
    assert "77s" in (root / PATH).read_text()


def test_delete_needs_the_uid(root: Path) -> None:
    east = cluster(root)
    east.apply(plan(create(route())))
    found = live(east)
    wrong = Change(
        action=Action.DELETE,
        key=found.key,
        phase=Phase.ROUTE,
        uid="",
        resource_version=found.resource_version,
    )
    assert [o.ok for o in east.apply(plan(wrong))] == [False]
    assert (root / PATH).exists()


def test_creating_what_exists_fails(root: Path) -> None:
    east = cluster(root)
    east.apply(plan(create(route())))
    assert [o.ok for o in east.apply(plan(create(route(timeout="9s"))))] == [False]
    assert "9s" not in (root / PATH).read_text()


def test_a_failed_step_stops_the_later_ones_of_its_unit_only(root: Path) -> None:
    east = cluster(root)
    east.apply(plan(create(route())))
    steps = plan(create(route(), REVIEWS), create(route("details"), REVIEWS), create(route("ratings")))
    assert [o.ok for o in east.apply(steps)] == [False, False, True]
    assert sorted(k.name for k in east.observe(KINDS).live) == ["ratings", "reviews"]


def test_an_object_is_replaced_where_it_lives(root: Path) -> None:
    before = "# kept: one\na: 1 # and two\n---\n"
    after = "---\n# three\napiVersion: v1\nkind: Service\nmetadata: {name: é, namespace: x}\n"
    (root / "mixed.yaml").write_text(before + dump(route()) + after)
    east = cluster(root)
    east.apply(plan(update(live(east), route(timeout="9s"))))
    assert (root / "mixed.yaml").read_text() == before + "---\n".join(["", dump(route(timeout="9s"))])[
        4:
    ] + after
    east.apply(plan(delete(live(east))))
    assert (root / "mixed.yaml").read_text() == before[:-4] + after


def test_an_object_inside_a_list_and_json(root: Path) -> None:
    (root / "list.json").write_text(
        json.dumps({"apiVersion": "v1", "kind": "List", "items": [route("a"), route("b")]})
    )
    east = cluster(root)
    east.apply(plan(update(live(east, "b"), route("b", "9s")), delete(live(east, "a"))))
    assert json.loads((root / "list.json").read_text())["items"] == [route("b", "9s")]


def test_an_object_in_two_files_is_reported_and_not_written(root: Path) -> None:
    (root / "a.yaml").write_text(dump(route()))
    (root / "b.yaml").write_text(dump(route(timeout="9s")))
    east = cluster(root)
    assert [d.code for d in east.observe(KINDS).diagnostics] == ["GM508"]
    assert b"5s" in live(east).body
    outcome = east.apply(plan(delete(live(east))))[0]
    assert not outcome.ok
    assert "a.yaml" in outcome.message


@pytest.mark.parametrize(
    ("content", "complete"),
    [
        (b"a: [", False),
        (b"\xff\xfe\x00", False),
        (b"[" * 60_000, False),
        (b"a: " + b"x" * 1_100_000, False),
        (b"just text", True),
        (b"kind: Service\napiVersion: v1\n", True),
        (b"kind: Service\napiVersion: v1\nmetadata: {name: 3}\n", True),
        (b"- a\n- b\n", True),
    ],
)
def test_a_bad_file_is_a_finding(root: Path, content: bytes, complete: bool) -> None:
    (root / "bad.yaml").write_bytes(content)
    east = cluster(root)
    assert [(d.code, d.at.path if d.at else "", d.cluster) for d in east.observe(KINDS).diagnostics] == [
        ("GM508", "bad.yaml", "east")
    ]
    assert east.facts().complete is complete
    assert len(east.facts().services) == 2
    (root / "bad.yaml").unlink()
    assert east.facts().complete
    assert not east.observe(KINDS).diagnostics


def test_links_out_of_the_tree_are_not_followed(root: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret.yaml").write_text(dump(route("secret")))
    (root / "file.yaml").symlink_to(outside / "secret.yaml")
    (root / "folder").symlink_to(outside)
    (root / "again.yaml").symlink_to(root / "all.yaml")
    (root / "bookshop").symlink_to(outside)
    east = cluster(root)
    assert [d.at.path for d in east.observe(KINDS).diagnostics if d.at] == ["bookshop", "file.yaml", "folder"]
    assert not east.facts().complete
    assert not east.observe(KINDS).live
    assert [o.ok for o in east.apply(plan(create(route())))] == [False]
    assert [path.name for path in outside.iterdir()] == ["secret.yaml"]


def test_an_unreadable_file_at_our_path_is_not_overwritten(root: Path) -> None:
    (root / PATH).parent.mkdir(parents=True)
    (root / PATH).write_text("mine: [")
    assert [o.ok for o in cluster(root).apply(plan(create(route())))] == [False]
    assert (root / PATH).read_text() == "mine: ["
    (root / PATH).write_text("")
    assert [o.ok for o in cluster(root).apply(plan(create(route())))] == [True]


@pytest.mark.parametrize(
    ("field", "bad"),
    [
        ("name", ""),
        *(
            (field, bad)
            for field in ("name", "namespace", "group")
            for bad in ("..", ".", "a/b", "x?force=true", "a" * 254, "A", "a\x00", "a..b")
        ),
    ],
)
def test_P09_names_that_could_leave_their_folder_are_refused_before_any_write(
    root: Path, bad: str, field: str
) -> None:
    parts = {"group": NETWORKING, "kind": "VirtualService", "namespace": "bookshop", "name": "x", field: bad}
    bent = Change(action=Action.CREATE, key=ObjectKey(**parts), phase=Phase.ROUTE, body=canonical(route()))
    with pytest.raises(ClusterError) as raised:
        cluster(root).apply(plan(create(route()), bent))
    assert not raised.value.retryable
    assert sorted(path.name for path in root.iterdir()) == ["all.yaml"]


def test_P10_a_kind_that_no_translator_writes_is_not_written(root: Path) -> None:
    secret = thing("v1", "Secret", "s")
    step = Change(
        action=Action.CREATE,
        key=ObjectKey(group="", kind="Secret", namespace="bookshop", name="s"),
        phase=Phase.ROUTE,
        body=canonical(secret),
    )
    assert [o.ok for o in cluster(root).apply(plan(step))] == [False]
    assert not (root / "bookshop").exists()


def test_a_missing_directory_is_an_error_and_never_empty(tmp_path: Path) -> None:
    absent = cluster(tmp_path / "absent")
    for call in (
        absent.facts,
        lambda: absent.observe(KINDS),
        lambda: absent.load("shop"),
        lambda: absent.save(Ledger(instance="shop"), ""),
    ):
        with pytest.raises(ClusterError):
            call()
    assert not (tmp_path / "absent").exists()


def test_an_observed_cluster_is_never_written(root: Path) -> None:
    east = cluster(root, enforce=False)
    before = sorted(root.rglob("*"))
    with pytest.raises(ClusterError):
        east.apply(plan(create(route())))
    with pytest.raises(ClusterError):
        east.save(Ledger(instance="shop"), "")
    assert east.apply(plan()) == ()
    assert not east.load("shop").version
    assert sorted(root.rglob("*")) == before


def test_ledger_is_compared_and_set(root: Path) -> None:
    east, twin = cluster(root), cluster(root)
    assert east.load("shop").version == ""
    first = east.save(Ledger(instance="shop", entries={key(): Entry(uid="u")}), "")
    with pytest.raises(ClusterError, match="another agent") as lost:
        twin.save(Ledger(instance="shop"), "")
    assert lost.value.code == "GM505"
    stored = twin.load("shop")
    assert (stored.version, stored.ledger.entries) == (first, {key(): Entry(uid="u")})
    assert twin.save(stored.ledger, first) == first


def test_a_folder_of_another_instance_or_of_a_cluster_with_another_name_is_not_touched(root: Path) -> None:
    kept = Ledger(instance="shop", cluster_uid=uid_of("east"), meshes={"east": (), "west": ()})
    cluster(root).save(kept, "")
    with pytest.raises(ClusterError, match="belongs to instance shop, and this is mart") as other:
        cluster(root).load("mart")
    with pytest.raises(ClusterError, match="kept as cluster east, and is east1 now") as renamed:
        DirectoryCluster("east1", root, []).load("shop")
    for found in (other.value, renamed.value):
        assert (found.code, "name back" in found.hint, "ledger.yaml" in found.hint) == ("GM506", True, True)
    assert cluster(root).load("shop").ledger == kept


def test_a_folder_with_the_identity_of_a_real_cluster_may_get_another_name(root: Path) -> None:
    cluster(root).save(Ledger(instance="shop", cluster_uid="of-kube-system", meshes={"east": ()}), "")
    assert DirectoryCluster("east1", root, []).load("shop").ledger.cluster_uid == "of-kube-system"


def test_X11_corrupt_and_future_ledgers(root: Path) -> None:
    east = cluster(root)
    east.save(Ledger(instance="shop"), "")
    (root / ".gitmesh" / "ledger.yaml").write_text("{")
    stored = east.load("shop")
    assert stored.corrupt
    east.save(Ledger(instance="shop"), stored.version)
    assert not east.load("shop").corrupt
    (root / ".gitmesh" / "ledger.yaml").write_text('{"schema": 99}')
    with pytest.raises(ClusterError, match="newer"):
        east.load("shop")


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO])
def test_X02_a_full_or_broken_disk_leaves_the_old_state(
    root: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    east = cluster(root)
    east.apply(plan(create(route())))
    version = east.save(Ledger(instance="shop"), "")
    found = live(east)

    def fail(path: Path, content: bytes, sync: bool) -> None:
        path.write_bytes(content[:3])
        raise OSError(code, os.strerror(code))

    with monkeypatch.context() as patched:
        patched.setattr(files, "_write", fail)
        outcomes = east.apply(plan(update(found, route(timeout="9s")), create(route("ratings"))))
        with pytest.raises(ClusterError):
            east.save(Ledger(instance="shop", cluster_uid="x"), version)
    assert [(o.ok, o.retryable) for o in outcomes] == [(False, True), (False, True)]
    assert cluster(root).observe(KINDS).live == {key(): found}
    assert cluster(root).load("shop").version == version
    assert [o.ok for o in east.apply(plan(update(found, route(timeout="9s"))))] == [True]
