"""Two revisions of a control plane share a root namespace: what is mesh-wide is for the selected one."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from gitmesh.cli.asking import known_clusters
from gitmesh.diagnostics import Severity
from gitmesh.reasoning.access import can
from gitmesh.reasoning.answers import Answer
from gitmesh.reasoning.questions import Client, Question
from tests.folders import AUTHORIZATION, Body, Folders, app, istiod, said, service, thing, virtual_mesh
from tests.properties.history import document

PEER = "peerauthentication.security.istio.io"
PLACES = ((PEER, "default"), (AUTHORIZATION, "gitmesh-default-deny"))
CLOSED = {"mtls": {"mode": "Strict"}, "accessDefault": "Deny"}


@pytest.fixture
def town(tmp_path: Path) -> Folders:
    found = Folders(tmp_path, names=("east",))
    found.put("east", "istiod", istiod(revision="blue"), istiod(revision="green", version="1.31.0"))
    found.drop("east", "mesh")
    namespaces = {"old": "blue", "new": "green"}
    found.put(
        "east",
        "towns",
        *(thing("Namespace", name, labels={"istio.io/rev": rev}) for name, rev in namespaces.items()),
        *(thing("ServiceAccount", "app", name) for name in namespaces),
        *(service("app", name) for name in namespaces),
        *(app("app", name) for name in namespaces),
    )
    return found


def only(mesh: str, name: str = "one", **spec: object) -> Body:
    return document("VirtualMesh", name, meshes=[{"cluster": "east", "name": mesh}], **(spec or CLOSED))


def revisions(town: Folders) -> list[str | None]:
    """Whom each object that is mesh-wide is for; None for all."""
    root = town.root / "east" / "istio-system"
    bodies = [yaml.safe_load((root / kind / f"{name}.yaml").read_text()) for kind, name in PLACES]
    return [body["metadata"]["labels"].get("istio.io/rev") for body in bodies]


def test_the_objects_are_for_the_selected_revision_and_the_calculator_says_so(town: Folders) -> None:
    town.commit(only("istio-green"))
    report = town.settle()
    assert revisions(town) == ["green", "green"]
    assert not report.diagnostics
    known = known_clusters(report)["east"]

    def answer(source: str, mesh: str, to: str) -> Answer:
        client = Client(namespace=source, service_account="app", trust_domain="cluster.local", mesh=mesh)
        return can(Question(client=client, service=(to, "app"), port=80), known).answer

    assert answer("new", "istio-green", "old") is Answer.ALLOWED
    assert answer("old", "istio-blue", "new") is Answer.DENIED


@pytest.mark.parametrize(("one", "other"), [("blue", "green"), ("green", "blue")])
def test_the_label_goes_when_all_are_selected_alike_and_comes_again(
    town: Folders, one: str, other: str
) -> None:
    town.commit(only(f"istio-{one}"))
    town.settle()
    town.commit(virtual_mesh(**CLOSED))
    town.settle()
    assert revisions(town) == [None, None]
    town.commit(only(f"istio-{other}"))
    town.settle()
    assert revisions(town) == [other, other]


def test_the_label_goes_with_the_other_control_plane(town: Folders) -> None:
    town.commit(only("istio-green"))
    town.settle()
    town.put("east", "istiod", istiod(revision="green", version="1.31.0"), istiod("elsewhere", "blue"))
    town.homes = {"east": {"istio": ("istio-system", "elsewhere")}}
    assert not town.settle().diagnostics
    assert revisions(town) == [None, None]


def test_somebody_elses_label_is_drift(town: Folders) -> None:
    town.commit(only("istio-green"))
    town.settle()
    for kind, name in PLACES:
        file = town.root / "east" / "istio-system" / kind / f"{name}.yaml"
        file.write_text(file.read_text().replace("istio.io/rev: green", "istio.io/rev: blue"))
    town.run()
    assert revisions(town) == ["green", "green"]


def test_a_revision_is_left_out_after_access_has_changed(town: Folders) -> None:
    """Until then the mode of both stays: a revision without one takes plaintext."""
    town.commit(virtual_mesh(**CLOSED))
    town.settle()
    town.commit(only("istio-green"))
    town.run()
    assert revisions(town) == [None, "green"]
    town.run()
    assert revisions(town) == ["green", "green"]


@pytest.mark.parametrize("other", [{"mtls": {"mode": "Permissive"}}, {"mtls": {"mode": "Strict"}}])
def test_two_virtual_meshes_cannot_both_have_the_one_object(town: Folders, other: Body) -> None:
    town.commit(only("istio-green"), only("istio-blue", "two", **other))
    report = town.settle()
    assert not town.live("east")
    assert {(one.policy, one.severity) for one in said(report, "GM301")} == {
        (f"VirtualMesh/shop/{name}", Severity.ERROR) for name in ("one", "two")
    }


def test_some_of_several_revisions_cannot_share_the_one_object(town: Folders) -> None:
    revisions = ("blue", "green", "red")
    town.put("east", "istiod", *(istiod(revision=revision) for revision in revisions))
    meshes = [{"cluster": "east", "name": f"istio-{revision}"} for revision in revisions[:2]]
    town.commit(document("VirtualMesh", "two", meshes=meshes, **CLOSED))
    report = town.settle()
    assert not town.live("east")
    assert said(report, "GM301")
