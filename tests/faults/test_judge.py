"""The judge notices: each law is broken on purpose, as by an agent gone wrong, and mended by a good one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.faults.judge import KINDS, STATUS, USER, LawBrokenError
from tests.faults.scene import Scene
from tests.lab.apiclient import MERGE_PATCH

pytestmark = [pytest.mark.lab, pytest.mark.faults]


def as_agent(scene: Scene, method: str, path: str, body: Any = None) -> None:
    """A request with the agent's credentials."""
    token = scene.server.token(USER)
    assert scene.server.request(method, path, body, content_type=MERGE_PATCH, token=token).ok


def path(kind: str, name: str, namespace: str = "bookshop") -> str:
    plural, version = next((plural, version) for plural, (version, found) in KINDS.items() if found == kind)
    return f"/apis/{version}/namespaces/{namespace}/{plural}/{name}"


def touches_a_stranger(scene: Scene) -> None:
    body = {"metadata": {"annotations": {"a": scene.shop.repo.tip()}}}
    as_agent(scene, "PATCH", path("VirtualService", "productpage"), body)


def deletes_a_ledger(scene: Scene) -> None:
    as_agent(scene, "DELETE", "/api/v1/namespaces/gitmesh-system/configmaps/gitmesh-shop?dryRun=All")
    as_agent(scene, "DELETE", "/api/v1/namespaces/gitmesh-system/configmaps/gitmesh-shop")


def writes_elsewhere(scene: Scene) -> None:
    body = {"metadata": {"labels": {"a": scene.shop.repo.tip()}}}
    as_agent(scene, "PATCH", "/apis/apps/v1/namespaces/bookshop/deployments/ratings-v1", body)


@pytest.mark.parametrize("breaks", [touches_a_stranger, writes_elsewhere, deletes_a_ledger])
def test_what_is_foreign(scene: Scene, breaks: Callable[[Scene], None]) -> None:
    breaks(scene)
    with pytest.raises(LawBrokenError, match="foreign"):
        scene.judge.look()
    scene.forgive()


def test_what_is_forbidden(scene: Scene) -> None:
    (name,) = {key[2] for key in scene.judge.window[-1].specs if key[2] == "gitmesh-default-deny"}
    as_agent(scene, "DELETE", path("AuthorizationPolicy", name, "istio-system"))
    scene.judge.look()
    assert "wider" in scene.judge.wider[0]
    scene.forgive()


def test_what_is_lost_or_orphaned(scene: Scene) -> None:
    live = scene.judge.live()
    key = min(key for key in live if key[0] == "PeerAuthentication")
    scene.server.client.call("DELETE", path(key[0], key[2], key[1]))
    assert "lost" in scene.judge.differs()
    body = {"apiVersion": KINDS["peerauthentications"][0], "kind": key[0], "spec": live[key]["spec"]}
    kept = {name: live[key]["metadata"][name] for name in ("name", "namespace", "labels", "annotations")}
    scene.server.apply({**body, "metadata": kept})
    assert "uids" in scene.judge.differs(), "its ledger has the one of before"
    scene.server.client.call("DELETE", path(key[0], key[2], key[1]))
    scene.forgive()


def test_a_status_that_is_rewritten(scene: Scene) -> None:
    repo = scene.shop.repo
    for message in (b"first\n", b"another history\n"):
        commit = repo.git("commit-tree", f"{repo.tip()}^{{tree}}", stdin=message).decode().strip()
        repo.git("update-ref", "--create-reflog", "-m", "push", f"refs/heads/{STATUS}", commit)
    with pytest.raises(LawBrokenError, match="lost: the status"):
        scene.judge.reflog()
    repo.git("update-ref", "-d", f"refs/heads/{STATUS}")  # with its reflog
    scene.forgive()
