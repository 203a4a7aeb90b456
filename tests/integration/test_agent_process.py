"""`gitmesh agent` as users run it: a process of its own, a real repository, directory clusters."""

from __future__ import annotations

import json
import signal
import time
from pathlib import Path

import pytest
import yaml

from gitmesh import __version__
from tests.lab.githttp import GitHttpServer
from tests.shop import Shop, text_of, traffic

RATINGS = traffic("ratings", timeout="1s")
BROKEN = traffic("ratings", timout="1s")


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    """A shop whose repository says one thing: ratings answer within a second."""
    made = Shop(tmp_path)
    made.commit(RATINGS)
    return made


def timeout_of(shop: Shop, name: str = "ratings", cluster: str = "east") -> str:
    """The live timeout of a service's routes, "" where there is no VirtualService."""
    path = shop.live(name, cluster)
    if not path.exists():
        return ""
    spec = yaml.safe_load(path.read_text(encoding="utf-8"))["spec"]
    return ",".join(route.get("timeout", "none") for route in spec["http"])


def edit_by_hand(shop: Shop, cluster: str = "east") -> None:
    """What somebody with an editor does."""
    path = shop.live("ratings", cluster)
    text = path.read_text(encoding="utf-8")
    assert "timeout: 1s" in text
    path.with_suffix(".new").write_text(text.replace("timeout: 1s", "timeout: 99s"), encoding="utf-8")
    path.with_suffix(".new").replace(path)


def test_it_syncs_answers_probes_applies_a_commit_and_heals_a_hand_edit(shop: Shop) -> None:
    with shop.agent() as agent:
        agent.ready()
        assert (timeout_of(shop), timeout_of(shop, cluster="west")) == ("1s", "1s")
        assert agent.get("/healthz")[0] == 200
        shop.commit(traffic("ratings", timeout="2s"))
        agent.until(lambda: timeout_of(shop) == timeout_of(shop, cluster="west") == "2s", "the new timeout")
        shop.commit(RATINGS)
        agent.until(lambda: timeout_of(shop) == "1s", "the old timeout")
        before = agent.metrics().get('gitmesh_drift_healed_total{cluster="east"}', 0)
        edit_by_hand(shop)
        agent.until(
            lambda: (
                timeout_of(shop) == "1s"
                and agent.metrics()['gitmesh_drift_healed_total{cluster="east"}'] == before + 1
            ),
            "heal",
        )


def test_a_plain_folder_is_followed_and_a_mistake_in_it_changes_nothing(tmp_path: Path) -> None:
    shop, file = Shop(tmp_path), tmp_path / "policies/all.yaml"
    shop.source = {"name": "policies", "path": "policies", "interval": "1s"}
    config = yaml.safe_load(shop.config.read_text(encoding="utf-8"))
    shop.config.write_text(yaml.safe_dump({**config, "sources": [shop.source]}), encoding="utf-8")
    file.parent.mkdir()
    file.write_text(text_of(RATINGS), encoding="utf-8")
    with shop.agent() as agent:
        agent.ready()
        assert timeout_of(shop) == "1s"
        file.write_text(text_of(BROKEN), encoding="utf-8")
        agent.until(
            lambda: agent.metrics().get('gitmesh_source_refused{source="policies"}') == 1, "the refusal"
        )
        agent.ticks()
        assert timeout_of(shop) == "1s"
        file.write_text(text_of(traffic("ratings", timeout="2s")), encoding="utf-8")
        agent.until(lambda: timeout_of(shop) == "2s", "the new timeout")
        assert sum("no status is written" in line for line in agent.log.splitlines()) == 1
        assert agent.terminate() == 0


def test_metrics_tell_version_sources_clusters_and_each_policy(shop: Shop) -> None:
    with shop.agent() as agent:
        agent.ready()
        agent.ticks()
        series = agent.metrics()
        assert series[f'gitmesh_build_info{{version="{__version__}"}}'] == 1
        assert series['gitmesh_source_up{source="policies"}'] == 1
        assert series['gitmesh_cluster_up{cluster="east"}'] == 1
        assert series['gitmesh_cluster_state{cluster="west",state="Synced"}'] == 1
        assert (
            series[
                'gitmesh_policy_info{kind="TrafficPolicy",name="ratings",namespace="bookshop",state="Synced"}'
            ]
            == 1
        )
        assert agent.get("/../../etc/passwd")[0] == 404


def test_a_bad_commit_is_refused_and_drift_is_healed_to_the_last_good_one_also_after_a_restart(
    shop: Shop,
) -> None:
    with shop.agent() as agent:
        agent.ready()
        good = shop.repo.tip()
        bad = shop.commit(BROKEN)
        agent.until(
            lambda: agent.metrics().get('gitmesh_source_refused{source="policies"}') == 1, "the refusal"
        )
        edit_by_hand(shop)
        agent.until(lambda: timeout_of(shop) == "1s", "heal while the tip is refused")
        assert "GM202" in {line["code"] for line in agent.events("finding")}
        assert agent.terminate() == 0
    edit_by_hand(shop, "west")
    with shop.agent() as agent:
        agent.until(lambda: timeout_of(shop, cluster="west") == "1s", "heal after a restart on the bad tip")
        agent.ready()
        agent.until(
            lambda: shop.seen().get("seen") == {"commit": bad, "state": "Invalid"},
            "the refusal in the status",
        )
        assert shop.seen()["lastGood"] == good


def test_X10_SIGTERM_ends_it_within_20_seconds_with_0(shop: Shop) -> None:
    with shop.agent() as agent:
        agent.ready()
        began = time.monotonic()
        assert agent.terminate(20) == 0
        assert time.monotonic() - began < 20
        assert [line["event"] for line in agent.events("agent stopped")] == ["agent stopped"]


def test_X10_SIGTERM_in_the_first_cycle_ends_it_too_and_the_next_start_converges(tmp_path: Path) -> None:
    shop = Shop(tmp_path)
    shop.commit_example()
    with shop.agent() as agent:
        agent.until(lambda: shop.objects(), "a first object", 60)
        assert agent.terminate(20) == 0
    assert shop.sync(code=0).state() == "Synced"


@pytest.mark.parametrize("seen", ["clusters/east/.gitmesh/ledger.yaml", "*.istio.io/reviews.yaml", "status"])
def test_X01_SIGKILL_midway_and_the_restart_converges(tmp_path: Path, seen: str) -> None:
    """Killed when the first intent, an object, or the status branch is seen; nothing is lost, doubled or
    orphaned.
    """
    shop = Shop(tmp_path)
    shop.commit_example()
    with shop.agent() as agent:
        agent.until(
            lambda: (
                shop.repo.tip("gitmesh-status")
                if seen == "status"
                else list(shop.root.rglob(Path(seen).name))
            ),
            seen,
        )
        agent.process.send_signal(signal.SIGKILL)
        agent.process.wait()
    whole = Shop(tmp_path / "whole")
    whole.commit_example()
    with shop.agent() as agent:
        agent.ready()
        whole.sync(code=0)
        assert shop.objects() == whole.objects()
        agent.until(lambda: shop.status()["clusters"]["east"]["state"] == "Synced", "status")
        shop.commit(RATINGS)
        shop.configure(prune={"maxPercent": 100})
    for _ in range(2):  # a subset goes one run after the route that used it
        report = shop.sync("--approve-prune", shop.repo.tip(), code=0)
    assert not report.codes()
    assert {Path(name).name for name in shop.objects()} == {"ratings.yaml"}, "the ledger knew of every object"


def test_S03_the_status_branch_follows_and_quiet_ticks_commit_nothing(shop: Shop) -> None:
    with shop.agent() as agent:
        agent.ready()
        agent.until(lambda: shop.repo.tip("gitmesh-status"), "the status branch")
        first = shop.repo.tip("gitmesh-status")
        files = shop.objects()
        stamps = {name: (shop.root / "clusters" / name).stat().st_mtime_ns for name in files}
        agent.ticks(3)
        assert shop.repo.tip("gitmesh-status") == first, "its own commit wakes nothing"
        assert {name: (shop.root / "clusters" / name).stat().st_mtime_ns for name in files} == stamps
        shop.commit(traffic("ratings", timeout="2s"))
        agent.until(lambda: shop.repo.tip("gitmesh-status") != first, "the next status")
        assert shop.repo.log("gitmesh-status")[1:] == [first], "one commit on top of the other"
        assert shop.repo.tip() in shop.repo.log("gitmesh-status", "%B")[0]


def test_the_later_steps_of_a_change_are_no_heals(tmp_path: Path) -> None:
    """A subset goes a tick after the route that used it; nobody has changed anything in the clusters by
    hand.
    """
    shop = Shop(tmp_path)

    def to(version: str) -> None:
        shop.commit(
            traffic("reviews", split=[{"destination": {"name": "reviews", "subset": {"version": version}}}])
        )

    def subsets() -> list[str]:
        path = shop.live("reviews", kind="destinationrule.networking.istio.io")
        return (
            [one["name"] for one in yaml.safe_load(path.read_text(encoding="utf-8"))["spec"]["subsets"]]
            if path.exists()
            else []
        )

    to("v1")
    with shop.agent() as agent:
        agent.until(lambda: subsets() == ["version-v1"], "the first subset")
        to("v2")
        agent.until(lambda: subsets() == ["version-v2"], "the other one alone")
        agent.ticks()
        assert not sum(
            value for name, value in agent.metrics().items() if name.startswith("gitmesh_drift_healed_total")
        )
        assert not any("healed" in message for message in shop.repo.log("gitmesh-status", "%B"))


def test_W14_every_line_of_the_json_log_is_json(shop: Shop) -> None:
    with shop.agent() as agent:
        agent.ready()
        shop.commit(traffic("ratings", **{"ti\nmeout\x1b[31m": "1s"}))
        agent.until(lambda: agent.events("finding"), "a finding")
        assert agent.terminate() == 0
        lines = agent.log.splitlines()
    entries = [json.loads(line) for line in lines]
    assert all({"event", "level", "timestamp"} <= entry.keys() for entry in entries)
    assert "\x1b" not in "".join(lines)


@pytest.mark.e2e
def test_X08_ticks_that_were_missed_while_suspended_become_one(shop: Shop) -> None:
    """SIGSTOP as a suspended machine does: afterwards it goes on, without catching up tick by tick."""
    with shop.agent() as agent:
        agent.ready()
        agent.ticks()
        agent.process.send_signal(signal.SIGSTOP)
        before = len(agent.events("cycle"))
        began = time.monotonic()
        commits = 0
        while time.monotonic() - began < 6:
            commits += 1
            shop.commit(traffic("ratings", timeout=f"{commits}ms"))
        woken = time.monotonic()
        agent.process.send_signal(signal.SIGCONT)
        agent.until(lambda: timeout_of(shop) == f"0.{commits:03}s", "the last commit made meanwhile")
        passed = time.monotonic() - woken
        assert len(agent.events("cycle")) - before <= passed + 3, "six missed ticks are made up by one"


@pytest.mark.e2e
def test_X13_a_hundred_commits_between_two_ticks_are_one_change(tmp_path: Path) -> None:
    shop = Shop(tmp_path, source={"interval": "3s"})
    shop.commit(RATINGS)
    with shop.agent() as agent:
        agent.ready()
        agent.ticks()
        for number in range(2, 102):
            shop.commit(traffic("ratings", timeout=f"{number}s"))
        agent.until(lambda: timeout_of(shop) == "101s", "the last of them")
        agent.ticks()
        writes = [
            line
            for line in agent.events("write")
            if line["cluster"] == "east" and "ratings" in line["object"]
        ]
        assert len(writes) < 20, "commits are not applied one by one"


def test_a_defect_in_one_cycle_is_counted_and_the_next_one_works(shop: Shop) -> None:
    """Design law 10: one handler. The ledger's folder is made a file, as a broken disk would; then it is
    mended."""
    with shop.agent() as agent:
        agent.ready()
        agent.ticks()
        folder, aside = shop.root / "clusters/east", shop.root / "aside"
        folder.rename(aside)
        folder.write_text("not a folder", encoding="utf-8")
        agent.until(
            lambda: agent.metrics()['gitmesh_cluster_up{cluster="east"}'] == 0, "a cluster that is gone"
        )
        assert agent.metrics()['gitmesh_cluster_up{cluster="west"}'] == 1
        assert agent.get("/healthz")[0] == 200
        folder.unlink()
        aside.rename(folder)
        agent.until(lambda: agent.metrics()['gitmesh_cluster_up{cluster="east"}'] == 1, "the cluster is back")
        assert 'result="bug"' not in str(agent.metrics())


def test_a_configuration_that_is_not_valid_ends_it_with_2_and_a_port_in_use_with_3(shop: Shop) -> None:
    with shop.agent() as agent:
        agent.ready()
        ran = shop.gitmesh("agent", "--listen", f"127.0.0.1:{agent.port}")
        assert ran.code == 3
        assert "Traceback" not in ran.err
        assert str(agent.port) in ran.err
        shop.config.write_text(
            "apiVersion: gitmesh.io/v1alpha1\nkind: Config\nsource: []\n", encoding="utf-8"
        )
        assert shop.gitmesh("agent").code == 2
        agent.ticks(1)


@pytest.mark.e2e
def test_X10_SIGTERM_ends_a_cycle_that_hangs_within_20_seconds(
    tmp_path: Path, git_http: GitHttpServer
) -> None:
    """The repository takes connections and never answers; git's own deadline is later than 20 seconds."""
    git_http.create_repo("silent")
    git_http.hang = True
    shop = Shop(tmp_path, source={"url": git_http.url("silent")})
    with shop.agent() as agent:
        agent.until(lambda: agent.get("/healthz")[0] == 200 and git_http.count(), "a request that hangs")
        assert agent.get("/readyz")[0] == 503
        began = time.monotonic()
        assert agent.terminate(25) == 0
        assert time.monotonic() - began < 20
