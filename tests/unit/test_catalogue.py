"""Faults of the catalogue that belong to no single module."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from gitmesh.adapters.git import GitSource
from gitmesh.adapters.kube.exchange import ApiRequest
from gitmesh.adapters.kube.lists import everything
from gitmesh.cli.main import cli
from gitmesh.errors import SourceError
from gitmesh.parsing.parse import parse
from tests.factories import snapshot_of
from tests.properties.history import document
from tests.serving import LoopbackServer
from tests.unit.test_pipeline import PipelineWorld, actions, codes, slow

ROOT = Path(__file__).parent.parent.parent


@pytest.mark.parametrize(
    "labels", [{"app": "a" * 64}, {"a" * 64: "x"}, {"x/y/z": "a"}, {"app": "-"}, {"app": "a b"}]
)
def test_P15_labels_that_no_object_can_have_are_refused_before_any_call(labels: dict[str, str]) -> None:
    text = yaml.safe_dump(document("TrafficPolicy", "a", destinations=[{"labels": labels}], timeout="5s"))
    policies, said = parse(snapshot_of({"p.yaml": text}))
    assert not policies
    assert said[0].at is not None
    assert (
        text.splitlines()[said[0].at.line - 1]
        .strip()
        .removeprefix("- ")
        .startswith(("labels", *labels, "? ", "aaa"))
    )


def test_P19_the_agent_takes_its_configuration_from_nowhere_but_the_option(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "gitmesh.yaml").write_text("apiVersion: gitmesh.io/v1alpha1\nkind: Config\n")
    monkeypatch.delenv("GITMESH_CONFIG", raising=False)
    ran = CliRunner().invoke(cli, ["agent"])
    assert ran.exit_code != 0
    assert "--config" in ran.output


@contextmanager
def redirecting(to: str) -> Iterator[tuple[str, list[str]]]:
    """A server that sends everybody elsewhere; yields its URL and the paths that were asked for."""
    asked: list[str] = []

    class CatalogueHandler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(302)
            self.send_header("Location", f"{to}{self.path}")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            """Quiet."""

    with LoopbackServer(CatalogueHandler) as server:
        yield f"http://127.0.0.1:{server.server_port}", asked


def test_G19_git_does_not_follow_a_redirect(tmp_path: Path) -> None:
    with redirecting("http://nowhere.invalid") as (inner, never), redirecting(inner) as (url, asked):
        source = GitSource("policies", f"{url}/mesh.git", store=tmp_path / "store", allow_insecure=True)
        with pytest.raises(SourceError, match="redirect"):
            source.fetch()
    assert asked
    assert not never


@dataclass
class Pages:
    """A client that answers a list of two pages."""

    requests: list[ApiRequest] = field(default_factory=list)
    timeout: float = 5.0

    def send(self, request: ApiRequest) -> Any:
        self.requests.append(request)
        last = len(self.requests) > 1
        content = {
            "items": [{"metadata": {"name": "one"}, "page": len(self.requests)}],
            "metadata": {} if last else {"continue": "next"},
        }
        return type("Answer", (), {"status": 200, "body": b"", "json": lambda _: content})()


def test_K10_lists_are_read_from_the_quorum_and_whole() -> None:
    client: Any = Pages()
    found = everything(client, "/apis/x/v1/rules", lambda item: item["page"])
    assert found == [1, 2]
    assert [sorted(request.query) for request in client.requests] == [["limit"], ["continue", "limit"]], (
        "no resourceVersion: not from a cache"
    )


@pytest.mark.parametrize("jump", [-600.0, 600.0, 1e9])
def test_K20_a_clock_that_jumps_changes_no_decision(jump: float) -> None:
    world = PipelineWorld()
    world.commit(slow("a"), slow("b", "ratings"))
    before = world.run()
    world.now += jump
    after = world.run()
    assert set(actions(after).values()) == {"keep"}
    assert codes(after) == codes(before) == []
    assert after.clusters["east"].state == before.clusters["east"].state


def test_K27_the_agent_may_not_read_secrets_so_no_diff_can_show_one() -> None:
    documents = [
        body
        for path in (ROOT / "deploy").rglob("*.yaml")
        for body in yaml.safe_load_all(path.read_text())
        if body
    ]
    rules = [
        rule for body in documents if body.get("kind") in ("Role", "ClusterRole") for rule in body["rules"]
    ]
    granted = {resource for rule in rules for resource in rule.get("resources", ())}
    assert granted
    assert not {"secrets", "*", "*/*"} & granted
