"""`gitmesh init --from CONTEXT` on a real API server: what it wrote passes, and nothing is ever written to
the cluster.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.lab.apiserver import ApiServer
from tests.shop import bookshop
from tests.unit.commandline import Run, runner

pytestmark = pytest.mark.lab


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    (tmp_path / "mesh").mkdir()
    call = runner(tmp_path / "mesh", capsys, monkeypatch)
    monkeypatch.setenv(
        "GITMESH_INSTANCE", "starter"
    )  # other tests have been at this server as the instance shop
    return call


def test_what_it_wrote_passes_and_writes_nothing(apiserver: ApiServer, run: Run, tmp_path: Path) -> None:
    for body in bookshop("east"):
        apiserver.apply(body)
    mark = apiserver.audit_mark()
    config = apiserver.kubeconfig(tmp_path / "admin")
    code, out, err = run("init", "--from", "lab", "--kubeconfig", str(config))
    assert (code, err) == (0, ""), out
    for words in (("validate",), ("diff",), ("sync",), ("status",)):
        code, out, err = run(*words)
        assert code in ((0, 1) if words == ("diff",) else (0,)), f"{words}: {out}{err}"
        assert "error" not in out.replace("0 errors", ""), out
    asked = [event for event in apiserver.audit_events(mark) if event.user_agent.startswith("gitmesh/")]
    assert {event.verb for event in asked} <= {"get", "list", "watch"}
