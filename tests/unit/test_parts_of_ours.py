"""Objects of ours that are not a spec alone: the data of a ConfigMap, and an object of which another manager
writes a field. In memory, and in a folder as Argo CD or Flux would take it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from gitmesh.adapters.directory import DirectoryCluster
from gitmesh.adapters.fleet import LocalFleet
from gitmesh.model.objects import decode
from gitmesh.model.plan import Action
from gitmesh.model.report import Report, Stage, State
from gitmesh.pipeline import run
from gitmesh.planning.options import Memo, Options
from tests.owning_mesh import CONFIG_MAP, ROUTE, SERVICE, THEIRS, TIMEOUT, OwningMesh, key_of
from tests.properties.history import History, ledger_of
from tests.unit.test_fields_of_others import changes, wrote
from tests.unit.test_pipeline import PipelineWorld, codes, slow

STORED, SHARED = key_of(CONFIG_MAP, name="reviews-mesh"), key_of(ROUTE, name="reviews-mesh")


def world_of(mesh: OwningMesh) -> PipelineWorld:
    world = PipelineWorld(mesh=mesh)
    world.commit(slow("a"), slow("b", "ratings"))
    world.run()
    return world


def edited(world: PipelineWorld, key: Any, **content: Any) -> None:
    """Somebody changes top-level fields of an object."""
    world.east.put({**decode(world.east.objects[key].body), **content})


# --- data


def test_the_data_of_an_object_is_ours_as_a_spec_is() -> None:
    world = world_of(OwningMesh(CONFIG_MAP))
    body = decode(world.east.objects[STORED].body)
    assert (body["data"], "spec" in body) == ({"timeout": "5000"}, False)
    assert body["metadata"]["labels"]["gitmesh.io/instance"] == "shop"
    assert wrote(world.run()) == []
    edited(world, STORED, data={"timeout": "5000", "more": "1"})
    (change,) = [one for one in changes(world.run(Stage.PLAN)) if one.writes]
    assert [(field.path, field.live, change.drift) for field in change.fields] == [("data.more", "1", True)]
    world.run()
    assert decode(world.east.objects[STORED].body) == body


def test_an_object_with_data_goes_as_a_whole() -> None:
    world = world_of(OwningMesh(CONFIG_MAP))
    world.commit(slow("b", "ratings"))
    assert wrote(world.run()) == [("reviews-mesh", Action.DELETE)]
    assert STORED not in world.east.objects


# --- all but some fields


def spec_of(world: PipelineWorld) -> dict[str, Any]:
    found: dict[str, Any] = decode(world.east.objects[SHARED].body)["spec"]
    return found


def test_a_field_that_another_writes_is_no_drift_and_stays() -> None:
    world = world_of(OwningMesh(ROUTE))
    ours = spec_of(world)
    edited(world, SHARED, spec={**ours, "exportTo": ["."]})
    report = world.run()
    assert (wrote(report), codes(report)) == ([], [])
    world.commit(slow("a", timeout="7s"), slow("b", "ratings"))
    world.run()
    assert spec_of(world)["http"][0]["timeout"] == "7000ms"
    assert spec_of(world)["exportTo"] == ["."], "a change of ours leaves it"
    assert wrote(world.run()) == []


def test_any_other_field_is_drift_as_ever() -> None:
    world = world_of(OwningMesh(ROUTE))
    ours = spec_of(world)
    edited(world, SHARED, spec={**ours, "exportTo": ["."], "gateways": ["mesh"]})
    world.run()
    assert spec_of(world) == {**ours, "exportTo": ["."]}


def test_the_object_goes_with_what_another_wrote_in_it() -> None:
    world = world_of(OwningMesh(ROUTE))
    edited(world, SHARED, spec={**spec_of(world), "exportTo": ["."]})
    assert ledger_of(world.east)[0].entries[SHARED].ownership.excepted == (THEIRS,)
    world.memo = Memo()
    world.commit(slow("b", "ratings"))
    world.run()
    assert SHARED not in world.east.objects


# --- in a folder


SERVICE_FILE = """\
# Made by hand.
apiVersion: v1
kind: Service
metadata:
  name: reviews
  namespace: shop
spec:
  ports:
  - port: 80
  selector:
    app: reviews
status:
  loadBalancer: {}
"""


class Folder:
    """A directory cluster with a Service in a file of its owner's, and policies for it."""

    def __init__(self, root: Path) -> None:
        self.file = root / "theirs" / "reviews.yaml"
        self.file.parent.mkdir(parents=True)
        self.file.write_text(SERVICE_FILE)
        (root / "theirs" / "ratings.yaml").write_text(SERVICE_FILE.replace("reviews", "ratings"))
        self.root, self.mesh, self.source = root, OwningMesh(SERVICE, CONFIG_MAP), History("alpha")

    def commit(self, *policies: dict[str, Any]) -> None:
        self.source.commit(yaml.safe_dump_all(list(policies)), good=True)

    def run(self) -> Report:
        """A cycle of a process of its own."""
        return run(
            [self.source],
            LocalFleet([DirectoryCluster("east", self.root, [self.mesh])]),
            {"fake": self.mesh},
            until=Stage.APPLY,
            options=Options(instance="shop", clusters={"east": {}}),
            memo=Memo(),
            clock=lambda: 0.0,
        )

    @property
    def service(self) -> dict[str, Any]:
        found: dict[str, Any] = yaml.safe_load(self.file.read_text())
        return found


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path / "east")


def test_in_a_folder_a_field_is_set_in_its_owners_file_and_taken_off_again(folder: Folder) -> None:
    plain = folder.service
    folder.commit(slow("a"), slow("b", "ratings"))
    report = folder.run()
    assert report.clusters["east"].state is State.SYNCED
    metadata = {**plain["metadata"], "annotations": {TIMEOUT: "5000"}}
    assert folder.service == {**plain, "metadata": metadata}, "what is no part of a live object stays, too"
    assert wrote(folder.run()) == []
    folder.commit(slow("b", "ratings"))
    report = folder.run()
    assert ("reviews", Action.RELEASE) in wrote(report)
    assert folder.service == plain
    assert wrote(folder.run()) == []
