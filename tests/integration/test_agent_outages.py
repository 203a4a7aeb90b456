"""`gitmesh agent` while repositories, or a cluster, do not answer: drift is healed, probes are answered,
SIGTERM ends it.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.gitrepo import Repo
from tests.integration.test_agent_process import edit_by_hand, timeout_of
from tests.lab.githttp import UPLOAD, GitHttpServer
from tests.shop import Agent, Shop, text_of, traffic

RATINGS = traffic("ratings", timeout="1s")
NAMES = ("policies", "team-b")


@pytest.fixture
def host(tmp_path: Path) -> Iterator[GitHttpServer]:
    """A Git host for everybody, of the repositories below `tmp_path`."""
    with GitHttpServer(tmp_path, username="", anonymous_read=True) as server:
        yield server


def shop_of(root: Path, host: GitHttpServer, intervals: dict[str, str]) -> Shop:
    """A shop with a source on the host for each name; the first one has the policy of ratings."""
    shop = Shop(root)
    shop.commit(RATINGS)
    for name in intervals:
        if name != "policies":
            Repo(root / f"{name}.git").commit(
                {"policies/all.yaml": text_of(traffic("reviews", timeout="2s"))}
            )
    sources = [
        {
            "name": name,
            "url": host.url(name),
            "allowInsecure": True,
            "paths": ["policies"],
            "interval": interval,
        }
        for name, interval in intervals.items()
    ]
    shop.configure(sources=sources)
    return shop


def heals(agent: Agent, shop: Shop, seconds: float) -> None:
    edit_by_hand(shop)
    agent.until(lambda: timeout_of(shop) == "1s", "heal", seconds)


def test_silent_hosts_hold_up_neither_healing_nor_probes_nor_the_end(
    tmp_path: Path, host: GitHttpServer
) -> None:
    shop = shop_of(tmp_path, host, dict.fromkeys(NAMES, "1s"))
    with shop.agent() as agent:
        agent.ready()
        agent.until(lambda: timeout_of(shop) == "1s", "the first sync")
        host.hang = True
        hanging = host.count()
        agent.until(lambda: host.count() >= hanging + 2, "polls of both that hang")
        heals(agent, shop, 10)
        assert agent.get("/healthz")[0] == 200

        def silences() -> list[str]:
            return sorted(line["at"] for line in agent.events("finding") if line["code"] == "GM601")

        agent.until(lambda: len(silences()) >= 2, "the silence is told", 30)
        heals(agent, shop, 10)
        assert silences() == ["source policies", "source team-b"], "each once"
        assert agent.metrics()['gitmesh_source_up{source="team-b"}'] == 0
        assert agent.metrics()['gitmesh_source_refused{source="team-b"}'] == 0
        assert (agent.get("/healthz")[0], agent.get("/readyz")[0]) == (200, 200)
        assert agent.terminate(20) == 0


def test_a_restart_on_silent_hosts_heals_out_of_the_local_copies(tmp_path: Path, host: GitHttpServer) -> None:
    shop = shop_of(tmp_path, host, dict.fromkeys(NAMES, "1s"))
    with shop.agent() as agent:
        agent.ready()
        agent.until(lambda: timeout_of(shop) == "1s", "the first sync")
        assert agent.terminate() == 0
    host.hang = True
    edit_by_hand(shop)
    with shop.agent() as agent:
        agent.until(lambda: timeout_of(shop) == "1s", "heal", 25)
        assert agent.get("/healthz")[0] == 200
        assert agent.terminate(20) == 0


def test_sigterm_ends_a_first_cycle_that_waits_for_silent_hosts(tmp_path: Path, host: GitHttpServer) -> None:
    shop = shop_of(tmp_path, host, dict.fromkeys(NAMES, "1s"))
    host.hang = True
    with shop.agent() as agent:
        agent.until(lambda: host.count() >= 2, "polls that hang")
        assert agent.terminate(20) == 0


def test_each_source_is_asked_at_its_own_interval_and_counts_as_read_between(
    tmp_path: Path, host: GitHttpServer
) -> None:
    shop = shop_of(tmp_path, host, {"policies": "1s", "team-b": "1h"})
    shop.configure(writeBack={"enabled": False})
    with shop.agent() as agent:
        agent.ready()

        def asked(name: str) -> int:
            return sum(name in request.path for request in host.requests if "info/refs" in request.path)

        before = asked("team-b")
        often = asked("policies.git")
        agent.until(lambda: asked("policies.git") >= often + 5, "five polls")
        assert asked("team-b") == before
        assert not agent.events("finding")
        assert agent.metrics()['gitmesh_source_up{source="team-b"}'] == 1
        heals(agent, shop, 10)


def test_a_commit_over_http_is_live_soon(tmp_path: Path, host: GitHttpServer) -> None:
    shop = shop_of(tmp_path, host, {"policies": "2s"})
    with shop.agent() as agent:
        agent.ready()
        agent.until(lambda: timeout_of(shop) == "1s", "the first sync")
        shop.commit(traffic("ratings", timeout="3s"))
        agent.until(lambda: timeout_of(shop) == "3s", "the commit")


def test_sync_reads_its_sources_side_by_side(tmp_path: Path, host: GitHttpServer) -> None:
    shop = shop_of(tmp_path, host, dict.fromkeys(NAMES, "1s"))
    shop.configure(writeBack={"enabled": False})
    report = shop.sync()
    assert report.code in (0, 2)
    paths = [request.path for request in host.requests if request.service == UPLOAD]
    assert {name for name in NAMES if any(name in path for path in paths)} == set(NAMES)


def test_a_cluster_that_never_answers_holds_up_its_neighbours_for_its_own_deadline_at_most(
    tmp_path: Path,
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        kubeconfig = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "lab",
            "contexts": [{"name": "lab", "context": {"cluster": "lab", "user": "lab"}}],
            "clusters": [
                {"name": "lab", "cluster": {"server": f"https://127.0.0.1:{silent.getsockname()[1]}"}}
            ],
            "users": [{"name": "lab", "user": {"token": "t"}}],
        }
        (tmp_path / "kubeconfig").write_text(yaml.safe_dump(kubeconfig), encoding="utf-8")
        far = {"name": "far", "kubeconfig": {"path": "kubeconfig"}, "timeout": "3s", "settle": "1s"}
        shop = Shop(tmp_path, clusters=({"name": "east", "directory": "clusters/east"}, far))
        shop.commit(RATINGS)
        with shop.agent() as agent:
            agent.until(lambda: timeout_of(shop) == "1s", "the first sync beside it")
            heals(agent, shop, 15)
            agent.ticks(3)
            assert agent.get("/healthz")[0] == 200
            assert [line["cluster"] for line in agent.events("finding") if line["code"] == "GM501"] == [
                "far"
            ], "once"
            assert agent.terminate(20) == 0
