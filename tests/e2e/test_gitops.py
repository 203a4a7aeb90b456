"""GitOps as the traffic sees it: revert, hand edits, bad commits, and an agent that is killed in the middle
of its work.
"""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.e2e.accidents import Gate, admission, edit, is_agents_write, killed, paused
from tests.e2e.asks import FILE, Ask, files, hold, marked
from tests.e2e.cases import POLICIES
from tests.e2e.stage import ARRIVAL, BASE_WATCHES, PATIENCE, STATUS, LiveStage, Watch
from tests.e2e.summary import SuiteSummary
from tests.lab.audit import AuditEvent
from tests.lab.process import wait_until
from tests.lab.wire import WireRequest
from tests.shop import environment, policy, traffic

pytestmark = pytest.mark.e2e
EAST = {"clusters": ["east"]}
MANAGED = "app.kubernetes.io/managed-by=gitmesh"
KINDS = "virtualservices,destinationrules,authorizationpolicies,peerauthentications"


def watch(client: str, host: str, path: str = "/", *, admitted: bool) -> Watch:
    return Watch(
        cluster="east",
        client=client,
        request=WireRequest(f"http://{host}:9080{path}", timeout=PATIENCE),
        admitted=admitted,
    )


def allow(service: str, *accounts: str) -> dict[str, Any]:
    """An AccessPolicy that lets these of the bookshop in."""
    sources = [{"serviceAccounts": [{"name": account} for account in accounts]}]
    return policy("AccessPolicy", service, {"destinations": [{"name": service, **EAST}], "sources": sources})


def routed(service: str, **spec: Any) -> dict[str, Any]:
    """A TrafficPolicy on a service of east."""
    return traffic(service, **{"destinations": [{"name": service, **EAST}], **spec})


def live(stage: LiveStage, cluster: str = "east") -> dict[str, Any]:
    """Objects that carry our label: `Kind/namespace/name` -> spec."""
    listed = stage.world.clusters[cluster].api.kubectl("get", KINDS, "-A", "-l", MANAGED, "-o", "yaml").stdout
    items = yaml.safe_load(listed)["items"]
    return {
        f"{i['kind']}/{i['metadata']['namespace']}/{i['metadata']['name']}": i.get("spec") or {}
        for i in items
    }


class TestRevert:
    BEFORE = (
        routed("reviews", split=[{"destination": {"name": "reviews", "subset": {"version": "v1"}}}]),
        marked("ratings", "before", "east"),
        allow("ratings", "productpage"),
    )
    AFTER = (
        routed("reviews", split=[{"destination": {"name": "reviews-next"}}]),
        allow("ratings", "productpage", "ratings"),
        allow("details", "probe"),
    )

    def test_git_revert_gives_the_earlier_behaviour_back(self, stage: LiveStage, tmp_path: Path) -> None:
        watches = [
            *BASE_WATCHES,
            watch("productpage", "reviews", admitted=True),
            watch("productpage", "ratings", admitted=True),
        ]
        watches += [watch("probe", "ratings", admitted=False)]
        stage.commit(files(*self.BEFORE))
        objects = live(stage)
        before = (Ask("reviews", pods=["reviews-v1-0"]), Ask("ratings", won="before"))
        others = (Ask("ratings", "probe", status=403), Ask("details"))
        hold(stage, *before, *others)
        there = stage.commit(files(*self.AFTER), watches)
        hold(stage, Ask("reviews", pods=["reviews-next-0"]), Ask("ratings"))
        hold(stage, Ask("details", status=403), Ask("details", "probe"))
        back = stage.change(lambda: reverted(stage, tmp_path), watches)
        hold(stage, *before, *others)
        assert live(stage) == objects
        assert there.broken + back.broken == []


def reverted(stage: LiveStage, folder: Path) -> str:
    """`git revert` of the tip in a clone, pushed; the new tip."""
    who = {
        f"GIT_{role}_{key}": value
        for role in ("AUTHOR", "COMMITTER")
        for key, value in (("NAME", "A"), ("EMAIL", "a@example.com"))
    }
    clone = folder / "clone"
    for arguments in (
        ["clone", "-q", stage.repo.url, str(clone)],
        ["-C", str(clone), "revert", "--no-edit", "HEAD"],
        ["-C", str(clone), "push", "-q"],
    ):
        done = subprocess.run(
            ["git", *arguments],
            env=environment(folder, **who),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr
    return stage.repo.tip()


@dataclass(frozen=True)
class Edit:
    """A hand edit of `resource`, and what it breaks while nobody heals it."""

    resource: str
    patch: Mapping[str, Any] | None
    broken: Ask
    namespace: str = "bookshop"


WIDE: dict[str, Any] = {"spec": {"rules": [{}]}}
CLOSED: dict[str, Any] = {
    "spec": {
        "http": [
            {
                "fault": {"abort": {"httpStatus": 418, "percentage": {"value": 100}}},
                "route": [{"destination": {"host": "ratings"}}],
            }
        ]
    }
}
ALLOW = "authorizationpolicy/ratings-allow"
STRICT: dict[str, Any] = {"spec": {"mtls": {"mode": "STRICT"}}}
REFUSED = Ask("reviews.bookshop", "plain", status=0, error=("reset", "eof"))
EDITS = {
    "a route is changed": Edit("virtualservice/ratings", CLOSED, Ask("ratings", status=418)),
    "a route is deleted": Edit("virtualservice/ratings", None, Ask("ratings")),
    "a subset is deleted": Edit("destinationrule/reviews", None, Ask("reviews", status=503)),
    "access is widened": Edit(ALLOW, WIDE, Ask("ratings", "probe", won="git")),
    "access is deleted": Edit(ALLOW, None, Ask("ratings", "probe", won="git")),
    "access is turned": Edit(ALLOW, {"spec": {"action": "DENY"}}, Ask("ratings", status=403)),
    "the mode is changed": Edit("peerauthentication/default", STRICT, REFUSED, namespace="istio-system"),
}


class TestHandEdits:
    POLICIES = (
        marked("ratings", "git", "east"),
        allow("ratings", "productpage"),
        routed("reviews", split=[{"destination": {"name": "reviews", "subset": {"version": "v1"}}}]),
    )
    RIGHT = (
        Ask("ratings", won="git"),
        Ask("ratings", "probe", status=403),
        Ask("reviews", pods=["reviews-v1-0"]),
        Ask("reviews.bookshop", "plain"),
    )

    @pytest.mark.parametrize("name", EDITS)
    def test_a_hand_edit_is_healed_and_the_traffic_is_back(self, name: str, stage: LiveStage) -> None:
        edited, api = EDITS[name], stage.world.clusters["east"].api
        stage.commit(files(*self.POLICIES))
        objects, before = live(stage), healed(stage)
        with stage.watching(BASE_WATCHES) as streamed:
            with paused(stage.agent):
                edit(api, edited.resource, edited.namespace, edited.patch)
                stage.settle()
                hold(stage, edited.broken)
            stage.agent.until(lambda: healed(stage) == before + 1, "heal")
            stage.settle()
            hold(stage, *self.RIGHT)
        assert live(stage) == objects
        assert [str(one) for one in streamed if one.lost or one.forbidden] == []
        kind, _, name = edited.resource.partition("/")
        line = f"healed east {kind}/{edited.namespace}/{name}"
        stage.agent.until(
            lambda: any(line in text.lower() for text in stage.repo.log(STATUS, "%B")[:3]),
            f"status commit with {line}",
        )


def healed(stage: LiveStage) -> float:
    """How many objects the agent has put right in east so far."""
    return stage.agent.metrics().get('gitmesh_drift_healed_total{cluster="east"}', 0.0)


class TestBadCommit:
    def test_it_changes_nothing_and_the_status_branch_says_why(self, stage: LiveStage) -> None:
        """While it stands, the last good revision is kept up: a hand edit is healed towards it."""
        api = stage.world.clusters["east"].api
        good = stage.commit(files(marked("ratings", "good", "east"), allow("ratings", "productpage")))
        right = (Ask("ratings", won="good"), Ask("ratings", "probe", status=403))
        hold(stage, *right)
        mark, before = api.audit_mark(), healed(stage)
        broken = files(
            marked("ratings", "bad", "east"),
            {**marked("reviews", "bad", "east"), "kind": "TraficPolicy"},
            allow("ratings", "probe"),
        )
        bad = stage.commit(
            broken,
            [
                *BASE_WATCHES,
                watch("productpage", "ratings", admitted=True),
                watch("probe", "ratings", admitted=False),
            ],
        )
        source = stage.status()["sources"]["policies"]
        assert (source["seen"], source["lastGood"]) == (
            {"commit": bad.commit, "state": "Invalid"},
            good.commit,
        )
        line = broken[f"{POLICIES}/{FILE}"].splitlines().index("kind: TraficPolicy") + 1
        assert ("GM201", f"{FILE}:{line}") in stage.findings([FILE])
        assert [event for event in api.audit_events(mark) if is_agents_write(event)] == []
        edit(api, "authorizationpolicy/ratings-allow", "bookshop", None)
        stage.agent.until(lambda: healed(stage) == before + 1, "heal while the tip is refused")
        stage.settle()
        hold(stage, *right)
        assert bad.broken == []


SERVICES = ("reviews", "reviews-next", "ratings", "details", "lighthouse", "vault")


@dataclass(frozen=True)
class LargeRevision:
    """A revision of many objects: the subset of reviews that is asked, its pods, and who may call besides
    productpage.
    """

    name: str
    subset: str
    pods: Sequence[str]
    caller: str


OLD = LargeRevision("old", "v1", ["reviews-v1-0"], "ratings")
NEWER = LargeRevision("newer", "v2", ["reviews-v2-0", "reviews-v2-1"], "details")


def many(revision: LargeRevision) -> list[dict[str, Any]]:
    """Routes, settings and access of every service."""
    version = revision.name
    pool = {"http": {"maxRequests": 1000 + len(version)}}
    found = [
        marked(service, version, "east", connectionPool=pool) for service in SERVICES if service != "reviews"
    ]
    split = [{"destination": {"name": "reviews", "subset": {"version": revision.subset}}}]
    granted = [allow(s, "productpage", revision.caller) for s in SERVICES if s not in ("vault", "lighthouse")]
    return [*found, marked("reviews", version, "east", split=split), *granted]


class TestKilled:
    # Back and forth, so that each begins where the one before it ended.
    @pytest.mark.parametrize(
        ("held", "before", "after"),
        [
            ("DestinationRule/reviews", OLD, NEWER),
            ("AuthorizationPolicy/ratings-allow", NEWER, OLD),
            ("VirtualService/reviews", OLD, NEWER),
        ],
        ids=lambda one: one.name if isinstance(one, LargeRevision) else one,
    )
    def test_killed_while_it_writes_and_started_again_it_ends_in_the_right_state(
        self, held: str, before: LargeRevision, after: LargeRevision, stage: LiveStage
    ) -> None:
        """The write of one object hangs in the API server's admission; killed once another was seen in its
        audit log.
        """
        api, agent = stage.world.clusters["east"].api, stage.agent
        kind, _, name = held.partition("/")
        gate = Gate(kind=kind, name=name)
        stage.commit(files(*many(before)))
        mark = api.audit_mark()
        early: list[AuditEvent] = []

        def written() -> list[AuditEvent]:
            return [event for event in api.audit_events(mark) if is_agents_write(event)]

        def act() -> str:
            commit = stage.repo.commit(files(*many(after)))
            wait_until(gate.arrived.is_set, f"write of {held}", ARRIVAL)
            api.wait_audit(is_agents_write, mark)
            with killed(agent):
                early.extend(written())
                gate.opened.set()
            return commit

        watches = [
            watch("productpage", "reviews", admitted=True),
            watch("productpage", "ratings", admitted=True),
        ]
        watches += [watch("probe", "reviews", admitted=False), watch("probe", "ratings", admitted=False)]
        with admission(api, gate):
            effect = stage.change(act, [*BASE_WATCHES, *watches])
        assert 0 < len(early) < len(written()), "the kill was meant to come in between"
        assert agent.shop.gitmesh("diff").code == 0
        assert set(live(stage)) == status_objects(stage), "nothing is lost, doubled or left behind"
        hold(stage, Ask("reviews", won=after.name, pods=after.pods), Ask("reviews", "probe", status=403))
        hold(stage, Ask("ratings", won=after.name))
        assert effect.broken == []


def status_objects(stage: LiveStage) -> set[str]:
    """The objects that the status branch lists for east."""
    listed = yaml.safe_load(stage.repo.files(STATUS)["clusters/east.yaml"])["objects"]
    return {f"{one['kind']}/{one['namespace']}/{one['name']}" for one in listed}


def test_figures_of_all_changes_are_kept(stage: LiveStage, summary: SuiteSummary) -> None:
    """Every change that was committed is in the figures that are printed at the end, phase by phase."""
    count = len(summary.effects)
    effect = stage.commit(files(marked("ratings", "timed", "east")))
    figures = summary.figures()
    assert figures["changes"] == count + 1
    assert effect.seconds.total == effect.seconds.fetch + effect.seconds.apply + effect.seconds.proxies > 0
    assert figures["commitToEffectSeconds"]["total"]["worst"] >= round(effect.seconds.total, 2)
