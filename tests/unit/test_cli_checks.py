"""What `gitmesh check` says of a cluster before the first sync."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from gitmesh.adapters.fleet import LocalFleet
from gitmesh.adapters.memory import MemoryCluster
from gitmesh.cli.checks import AnsweredRight as AnyRight
from gitmesh.cli.checks import cluster_checks
from gitmesh.model.ledger import NAMESPACE
from gitmesh.render.checks import Level
from tests.factories import facts, service


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
