"""What `gitmesh check` says of a cluster before the first sync."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from threading import Barrier, BrokenBarrierError

import pytest

from gitmesh.adapters.fleet import LocalFleet
from gitmesh.adapters.git.source import GitSource
from gitmesh.adapters.memory import MemoryCluster
from gitmesh.cli.checks import AnsweredRight as AnyRight
from gitmesh.cli.checks import cluster_checks
from gitmesh.errors import SourceError
from gitmesh.model.ledger import NAMESPACE
from gitmesh.model.snapshot import Snapshot
from gitmesh.render.checks import Level
from tests.factories import facts, service
from tests.unit.commandline import runner


class AskableCluster(MemoryCluster):
    """A cluster that can be asked for rights, as Kubernetes can."""

    def rights(self, _instance: str) -> Sequence[AnyRight]:
        return ()


@pytest.mark.parametrize(
    ("namespace", "enforce", "missing"),
    [("shop", True, True), (NAMESPACE, True, False), ("shop", False, False)],
)
def test_the_namespace_of_the_ledger_must_be_there_where_it_is_written(
    namespace: str, enforce: bool, missing: bool
) -> None:
    cluster = AskableCluster(
        "east", facts=facts("east", service("any", namespace), namespaces={namespace: {}}), enforce=enforce
    )
    found = [one for one in cluster_checks(LocalFleet([cluster]), {}, "shop") if one.level is Level.FAIL]
    assert [one.hint for one in found] == ([f"kubectl create namespace {NAMESPACE}"] if missing else [])


def test_all_sources_are_asked_at_the_same_time(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = Barrier(3)

    def fetch(_source: GitSource) -> Snapshot:
        try:
            asked.wait(timeout=20)
        except BrokenBarrierError:
            raise SourceError("asked alone") from None
        raise SourceError("asked with the others")

    monkeypatch.setattr(GitSource, "fetch", fetch)
    sources = "".join(
        f"- {{name: s{n}, url: 'https://silent.example/{n}.git', paths: [p]}}\n" for n in range(3)
    )
    (tmp_path / "east").mkdir()
    (tmp_path / "gitmesh.yaml").write_text(
        "apiVersion: gitmesh.io/v1alpha1\nkind: Config\ninstance: shop\nsources:\n"
        f"{sources}clusters:\n- {{name: east, directory: east}}\n",
        encoding="utf-8",
    )
    code, out, _ = runner(tmp_path, capsys, monkeypatch)("check", "--config", "gitmesh.yaml")
    assert (code, out.count("asked with the others")) == (3, 3)
    lines = [line.split()[1] for line in out.splitlines() if line[:1].strip()]
    assert lines.index("source") < lines.index("cluster"), "in the order of the configuration"
