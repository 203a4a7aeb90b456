"""The mesh's own verdict on a real API server with a real validating webhook; the analysis' words are put
into the status.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.integration.webhook import Webhook, WebhookWords
from tests.lab.apiserver import ApiServer
from tests.lab.build import Binaries
from tests.lab.installation import OWN_NAMESPACE
from tests.lab.process import wait_until
from tests.shop import Shop, SyncReport, bookshop, traffic

pytestmark = pytest.mark.lab

NETWORKING = "networking.istio.io/v1"
REFUSAL = "configuration is invalid: http route cannot contain both route and redirect"
DEADLINE = 180.0


@pytest.fixture(scope="module")
def server(binaries: Binaries) -> Iterator[ApiServer]:
    """A server of its own: its webhook is asked about every object of Istio's kinds."""
    with ApiServer(binaries, name="verdicts") as made:
        assert binaries.istio_crds is not None
        made.install_crds(binaries.istio_crds)
        made.apply([_analysing(body) for body in bookshop("east")])
        made.apply(OWN_NAMESPACE)
        yield made


def _analysing(body: dict[str, Any]) -> dict[str, Any]:
    """istiod's Deployment says that it analyses, every second; other objects stay as they are."""
    if (body["kind"], body["metadata"]["name"]) == ("Deployment", "istiod"):
        (container,) = body["spec"]["template"]["spec"]["containers"]
        settings = {"PILOT_ENABLE_ANALYSIS": "true", "PILOT_ANALYSIS_INTERVAL": "1s"}
        container["env"] = [
            *container.get("env", ()),
            *({"name": name, "value": value} for name, value in settings.items()),
        ]
    return body


@pytest.fixture
def words(server: ApiServer) -> Iterator[WebhookWords]:
    """What the webhook says, which is registered for the time of a test."""
    with Webhook(server.folder / "certs") as webhook:
        server.apply(webhook.configuration())
        wait_until(lambda: _is_asked(server, webhook.words), "the API server to ask the webhook", DEADLINE)
        yield webhook.words
        # Not to be asked any more, once it is gone.
        server.client.call(
            "DELETE",
            "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations/istiod-default-validator",
        )
        wait_until(lambda: not _is_asked(server, webhook.words), "the API server to ask no more", DEADLINE)


def _is_asked(server: ApiServer, words: WebhookWords) -> bool:
    """Whether a refusal of the webhook has an effect: the API server learns of registrations a moment
    later.
    """
    words.refusals["probe"] = "probe"
    body = {
        "apiVersion": NETWORKING,
        "kind": "VirtualService",
        "metadata": {"name": "probe", "namespace": "bookshop"},
    }
    path = server.client.resource_path(NETWORKING, "VirtualService", "bookshop", "probe")
    spec = {"hosts": ["probe"], "http": [{"route": [{"destination": {"host": "probe"}}]}]}
    answer = server.request(
        "PATCH",
        f"{path}?fieldManager=probe&dryRun=All",
        {**body, "spec": spec},
        content_type="application/apply-patch+yaml",
    )
    return answer.status == 400


@pytest.fixture
def shop(server: ApiServer, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Shop]:
    """An instance of its own on the server."""
    server.kubeconfig(tmp_path / "east.kubeconfig")
    clusters = ({"name": "east", "kubeconfig": {"path": "east.kubeconfig"}},)
    instance = f"verdicts-{zlib.crc32(request.node.name.encode()):08x}"
    yield Shop(tmp_path, clusters=clusters, more={"instance": instance})
    path = server.client.resource_path(NETWORKING, "VirtualService", "bookshop", "x").rpartition("/")[0]
    server.client.call("DELETE", path)


def verdict_of(report: SyncReport, name: str, kind: str = "VirtualService") -> tuple[str, str]:
    """(verdict, text) of an object; Accepted where it is not listed."""
    (cluster,) = report.document["clusters"]
    rows = [
        (one["verdict"], one["text"])
        for one in cluster["verdicts"]
        if (one["kind"], one["name"]) == (kind, name)
    ]
    return rows[0] if rows else ("Accepted", "")


def until_accepted(shop: Shop, accepted: int) -> SyncReport:
    """Sync until so many objects are accepted, and none is anything else."""
    last: list[SyncReport] = []

    def look() -> bool:
        last[:] = [shop.sync()]
        counts = last[0].document["summary"]["verdicts"]
        return bool(counts == {"Accepted": accepted, "Warned": 0, "Rejected": 0, "Unknown": 0})

    wait_until(look, f"{accepted} accepted objects", DEADLINE)
    return last[0]


def row_of(shop: Shop, name: str) -> dict[str, Any]:
    """The row of a VirtualService on the status branch."""
    rows = yaml.safe_load(shop.repo.files("gitmesh-status")["clusters/east.yaml"])["objects"]
    (row,) = [row for row in rows if (row["kind"], row["name"]) == ("VirtualService", name)]
    return dict(row)


def policy_status(shop: Shop, name: str) -> dict[str, Any]:
    """What the status branch says of a TrafficPolicy in the cluster."""
    document = yaml.safe_load(
        shop.repo.files("gitmesh-status")[f"policies/TrafficPolicy/bookshop/{name}.yaml"]
    )
    return dict(document["clusters"]["east"])


def both_are_accepted(shop: Shop) -> bool:
    """Whether the status branch says so of the policies on reviews and ratings."""
    return all(policy_status(shop, name).get("verdict") == "Accepted" for name in ("reviews", "ratings"))


def analysed(server: ApiServer, name: str, level: str, generation: int, query: str = "") -> None:
    """Write what istiod's analysis writes: a message on one generation of a VirtualService, or with level ""
    that it has none.
    """
    link = f"https://istio.io/latest/docs/reference/config/analysis/ist0101/{query}"
    message = {"documentationUrl": link, "level": level, "type": {"code": "IST0101"}}
    status = {"observedGeneration": str(generation), "validationMessages": [message] if level else []}
    path = (
        server.client.resource_path(NETWORKING, "VirtualService", "bookshop", name)
        + "/status?fieldManager=istiod"
    )
    server.client.call("PATCH", path, {"status": status}, content_type="application/merge-patch+json")


def test_what_the_webhook_refuses_is_rejected_and_stops_nothing_else(
    server: ApiServer, shop: Shop, words: WebhookWords
) -> None:
    words.refusals["reviews"] = REFUSAL
    shop.commit(traffic("ratings", timeout="2s"), traffic("reviews", timeout="3s"))
    report = shop.sync(code=2)
    refused = report.one("GM505")
    assert (refused["policy"], refused["file"], refused["cluster"]) == (
        "TrafficPolicy/bookshop/reviews",
        "policies/all.yaml",
        "east",
    )
    assert refused["line"] > 9, "the line of the second policy"
    assert refused["message"].endswith('failed: admission webhook "validation.istio.io" denied the request')
    assert refused["detail"] == f'admission webhook "validation.istio.io" denied the request: {REFUSAL}'
    assert verdict_of(report, "reviews") == ("Rejected", refused["message"].partition(" failed: ")[2])
    assert verdict_of(report, "ratings") == ("Unknown", "")
    assert server.get(NETWORKING, "VirtualService", "bookshop", "ratings") is not None
    assert server.get(NETWORKING, "VirtualService", "bookshop", "reviews") is None
    assert (row_of(shop, "reviews")["verdict"], policy_status(shop, "reviews")["verdict"]) == (
        "Rejected",
        "Rejected",
    )
    assert (policy_status(shop, "ratings")["state"], policy_status(shop, "reviews")["state"]) == (
        "Synced",
        "Failed",
    )
    said = shop.gitmesh("sync", code=2).out
    assert re.search(
        r"^verdicts of the meshes: (1 rejected, 1 unknown|1 accepted, 1 rejected)$", said, re.MULTILINE
    ), said


def test_a_refused_update_leaves_the_object_as_it_was(
    server: ApiServer, shop: Shop, words: WebhookWords
) -> None:
    shop.commit(traffic("details", timeout="2s"))
    shop.sync(code=0)
    before = server.get(NETWORKING, "VirtualService", "bookshop", "details")
    words.refusals["details"] = REFUSAL
    shop.commit(traffic("details", timeout="5s"))
    report = shop.sync(code=2)
    assert verdict_of(report, "details")[0] == "Rejected"
    assert server.get(NETWORKING, "VirtualService", "bookshop", "details") == before
    words.refusals.clear()
    assert verdict_of(shop.sync(code=0), "details") == (
        "Unknown",
        "",
    ), "just written: the mesh has not yet looked at it"
    until_accepted(shop, 1)


def test_a_warning_of_the_webhook_stays_until_the_object_is_written_anew(
    shop: Shop, words: WebhookWords
) -> None:
    words.warnings["reviews"] = "rule 0 will never match"
    shop.commit(traffic("reviews", timeout="2s"))
    first = shop.sync(code=0)
    words.warnings.clear()
    tip = shop.repo.tip("gitmesh-status")
    for report in (first, shop.sync(code=0)):
        warned = report.one("GM510")
        assert (warned["severity"], warned["policy"], warned["file"]) == (
            "warning",
            "TrafficPolicy/bookshop/reviews",
            "policies/all.yaml",
        )
        assert warned["detail"] == "rule 0 will never match"
        assert verdict_of(report, "reviews") == ("Warned", "rule 0 will never match")
    assert shop.repo.tip("gitmesh-status") == tip, "nothing moved, so nothing is committed"
    assert row_of(shop, "reviews")["verdict"] == "Warned"
    shop.commit(traffic("reviews", timeout="4s"))
    assert "GM510" not in until_accepted(shop, 1).codes("warning")
    assert "verdict" not in row_of(shop, "reviews")


@pytest.mark.parametrize(
    ("level", "verdict", "code", "ends"),
    [("ERROR", "Rejected", "GM511", 2), ("WARNING", "Warned", "GM512", 0)],
)
def test_what_the_analysis_says_of_this_generation(
    server: ApiServer, shop: Shop, words: WebhookWords, level: str, verdict: str, code: str, ends: int
) -> None:
    shop.commit(traffic("reviews", timeout="2s"))
    until_accepted(shop, 1)
    analysed(server, "reviews", level, 1)
    mark = server.audit_mark()
    report = shop.sync(code=ends)
    said = report.one(code)
    assert (said["policy"], said["file"], said["cluster"]) == (
        "TrafficPolicy/bookshop/reviews",
        "policies/all.yaml",
        "east",
    )
    assert "IST0101" in said["message"]
    assert verdict_of(report, "reviews")[0] == verdict
    assert policy_status(shop, "reviews")["verdict"] == verdict
    assert not [e for e in server.audit_events(mark) if e.is_write and e.resource == "virtualservices"], (
        "words are no difference to heal"
    )
    assert not {"GM511", "GM512"} & {one["code"] for one in shop.sync("--dry-run").findings}, (
        "a review is about the change"
    )
    shop.commit(traffic("reviews", timeout="3s"))
    changed = shop.sync(code=0)
    assert verdict_of(changed, "reviews") == ("Unknown", ""), "what was said is about generation 1"
    until_accepted(shop, 1)


def commits(shop: Shop) -> int:
    """How many status commits there are."""
    return len(shop.repo.log("gitmesh-status"))


@pytest.mark.parametrize(("level", "code", "ends"), [("ERROR", "GM511", 2), ("WARNING", "GM512", 0)])
def test_an_analysis_with_other_words_each_time_is_a_commit_at_its_beginning_and_one_at_its_end(
    server: ApiServer, shop: Shop, words: WebhookWords, level: str, code: str, ends: int
) -> None:
    shop.commit(traffic("reviews", timeout="2s"))
    until_accepted(shop, 1)
    before = commits(shop)
    for port in (40001, 40002, 40003):
        analysed(server, "reviews", level, 1, f"?from={port}")
        assert str(port) in shop.sync(code=ends).one(code)["detail"]
        assert commits(shop) == before + 1
    analysed(server, "reviews", "", 1)
    until_accepted(shop, 1)
    assert commits(shop) == before + 2


def test_a_refusal_with_other_words_each_time_is_a_commit_at_its_beginning_and_one_at_its_end(
    shop: Shop, words: WebhookWords
) -> None:
    shop.commit(traffic("reviews", timeout="2s"))
    until_accepted(shop, 1)
    shop.commit(traffic("reviews", timeout="5s"))
    before = commits(shop)
    for port in (40001, 40002, 40003):
        words.refusals["reviews"] = f"connection from port {port} was reset"
        assert str(port) in shop.sync(code=2).one("GM505")["detail"]
        assert commits(shop) == before + 1
    words.refusals.clear()
    shop.sync(code=0)
    assert commits(shop) == before + 2


def test_the_agent_accepts_after_two_intervals_and_is_quiet_then(
    server: ApiServer, shop: Shop, words: WebhookWords
) -> None:
    shop.commit(traffic("reviews", timeout="2s"), traffic("ratings", timeout="2s"))
    with shop.agent() as agent:
        accepted = 'gitmesh_object_verdicts{cluster="east",verdict="Accepted"}'
        agent.until(lambda: agent.metrics().get(accepted) == 2, "two accepted objects")
        # The branch is written beside the cycles: a commit of an earlier one may accept only the first of
        # them.
        agent.until(lambda: both_are_accepted(shop), "the status branch")
        tip = shop.repo.tip("gitmesh-status")
        agent.ticks(3)
        assert shop.repo.tip("gitmesh-status") == tip
        analysed(server, "ratings", "ERROR", 1)
        agent.until(lambda: agent.metrics().get(accepted) == 1, "one accepted object")
        assert agent.metrics()['gitmesh_object_verdicts{cluster="east",verdict="Rejected"}'] == 1
    with shop.agent() as again:
        again.ready()
        assert again.metrics()[accepted] == 1, "an agent that starts anew needs no second wait"


def test_where_nobody_must_be_asked_silence_is_no_consent(
    server: ApiServer, shop: Shop, words: WebhookWords
) -> None:
    shop.commit(traffic("reviews", timeout="2s"))
    until_accepted(shop, 1)
    path = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations/istiod-default-validator"
    steps = [{"op": "replace", "path": "/webhooks/0/failurePolicy", "value": "Ignore"}]
    server.client.call("PATCH", path, steps, content_type="application/json-patch+json")
    assert verdict_of(shop.sync(code=0), "reviews") == ("Unknown", "")
