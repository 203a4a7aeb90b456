"""What GitMesh wrote on a branch is told from what people did."""

from __future__ import annotations

import pytest

from gitmesh.status.ours import instance_of, is_ours, may_be_ours
from gitmesh.status.tree import status_tree
from tests.unit.test_status import cluster, report

HEAD = b"apiVersion: gitmesh.io/v1alpha1\nkind: Status\n"


@pytest.mark.parametrize(
    ("content", "instance"),
    [
        (HEAD + b"instance: shop\n", "shop"),
        (HEAD + b'instance: "123"\nclusters: {}\n', "123"),
        (b"# edited\nkind: 'Status'\ninstance: shop\napiVersion: gitmesh.io/v1\n", "shop"),
        (HEAD.replace(b"\n", b"\r\n") + b"instance: shop\r\n", "shop"),
        (HEAD + b"  instance: shop\n", ""),
        (HEAD + b"instance: [shop]\nx:\n", "[shop]"),
        (HEAD, ""),
        (b"kind: Status\ninstance: shop\n", ""),
        (b"apiVersion: v1\nkind: Status\ninstance: shop\n", ""),
        (HEAD.replace(b"Status", b"StatusPage") + b"instance: shop\n", ""),
        (b"", ""),
        (b"\xff\xfe\x00", ""),
    ],
)
def test_the_instance_of_a_status_file(content: bytes, instance: str) -> None:
    assert instance_of(content) == instance


def test_every_file_that_is_written_is_recognised() -> None:
    given = report(cluster("east"), cluster("west"))
    tree = status_tree(given)
    assert instance_of(tree["status.yaml"]) == given.instance
    in_folders = [path for path in tree if "/" in path]
    assert {path.partition("/")[0] for path in in_folders} == {"policies", "clusters", "facts"}
    assert all(may_be_ours(path) and is_ours(path, tree[path]) for path in in_folders)


@pytest.mark.parametrize(
    "path", ["notes.txt", "clusters/east.md", "clusters", "docs/clusters/east.yaml", "Policies/a.yaml"]
)
def test_a_path_of_people(path: str) -> None:
    assert not may_be_ours(path)


@pytest.mark.parametrize(
    ("path", "kind", "more"),
    [
        ("policies/TrafficPolicy/shop/copy.yaml", "PolicyStatus", "policy: TrafficPolicy/shop/a\n"),
        ("policies/TrafficPolicy/shop/a.yaml", "TrafficPolicy", "policy: TrafficPolicy/shop/a\n"),
        ("policies/TrafficPolicy/shop/a.yaml", "ClusterStatus", "policy: TrafficPolicy/shop/a\n"),
        ("clusters/east.yaml", "ClusterStatus", "cluster: west\n"),
        ("clusters/east.yaml", "ClusterStatus", "objects:\n  cluster: east\n"),
        ("facts/east.yaml", "Config", ""),
    ],
)
def test_a_file_of_people_where_ours_would_stand(path: str, kind: str, more: str) -> None:
    assert not is_ours(path, f"apiVersion: gitmesh.io/v1alpha1\nkind: {kind}\n{more}".encode())
