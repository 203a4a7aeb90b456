"""GitSource and StatusBranch over real smart HTTP with logins."""

from __future__ import annotations

import base64
import os
from pathlib import Path
from typing import Any

import pytest

from gitmesh.adapters.git import GitSource, process
from gitmesh.adapters.git import repository as repository_module
from gitmesh.adapters.kube.together import Ahead
from gitmesh.adapters.statusbranch import StatusBranch
from gitmesh.errors import SourceError
from gitmesh.model.config import Author
from gitmesh.model.config_sources import SourceAuth
from gitmesh.model.report import Report, Stage
from tests.gitrepo import Repo
from tests.lab.githttp import RECEIVE, GitHttpServer
from tests.lab.process import wait_until

POLICY = {"policies/a.yaml": "kind: TrafficPolicy\n"}
REPORT = Report(instance="shop", until=Stage.APPLY)


@pytest.fixture
def origin(git_http: GitHttpServer) -> Repo:
    made = Repo(git_http.repo_path("config"))
    made.commit(POLICY)
    return made


@pytest.fixture
def secrets(tmp_path: Path, git_http: GitHttpServer) -> Path:
    (tmp_path / "user").write_text(git_http.username + "\n")
    (tmp_path / "password").write_text(git_http.password + "\n")
    return tmp_path


def source(server: GitHttpServer, folder: Path, *, login: bool = True, **options: Any) -> GitSource:
    auth = SourceAuth.model_validate({"usernameFile": "user", "passwordFile": "password"} if login else {})
    settings: dict[str, Any] = {
        "store": folder / "store",
        "base": folder,
        "auth": auth,
        "allow_insecure": True,
        **options,
    }
    return GitSource("policies", settings.pop("url", server.url("config")), **settings)


def status(reader: GitSource) -> StatusBranch:
    return StatusBranch(reader, "gitmesh-status", author=Author(), now=lambda: 1_700_000_000.0)


def test_reads_with_credentials(git_http: GitHttpServer, origin: Repo, secrets: Path) -> None:
    snapshot = source(git_http, secrets).fetch()
    assert (snapshot.commit, [file.path for file in snapshot.files]) == (origin.tip(), ["policies/a.yaml"])
    assert {request.user for request in git_http.requests} == {"gitmesh"}


def test_no_change_is_asked_in_two_requests(git_http: GitHttpServer, origin: Repo, secrets: Path) -> None:
    """Capabilities and ls-refs; nothing is fetched."""
    reader = source(git_http, secrets)
    first = reader.fetch()
    git_http.reset_requests()
    assert reader.fetch() is first
    assert git_http.count() == 2


def test_G15_wrong_credentials(git_http: GitHttpServer, origin: Repo, secrets: Path) -> None:
    (secrets / "password").write_text("wrong")
    with pytest.raises(SourceError, match="credentials") as caught:
        source(git_http, secrets).fetch()
    assert "wrong" not in str(caught.value)


def test_G15_missing_credentials(git_http: GitHttpServer, origin: Repo, secrets: Path) -> None:
    with pytest.raises(SourceError, match="without valid credentials"):
        source(git_http, secrets, login=False).fetch()


def test_rotated_password_is_read_again(git_http: GitHttpServer, origin: Repo, secrets: Path) -> None:
    reader = source(git_http, secrets)
    reader.fetch()
    git_http.password = "rotated"
    with pytest.raises(SourceError, match="credentials"):
        reader.fetch()
    (secrets / "password").write_text("rotated")
    assert reader.fetch().commit == origin.tip()


def test_G22_secrets_are_in_no_argument_list(
    git_http: GitHttpServer, origin: Repo, secrets: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []

    def run(arguments: Any, limits: Any, **rest: Any) -> Any:
        seen.extend(arguments)
        return process.run(arguments, limits, **rest)

    monkeypatch.setattr(repository_module, "run", run)
    source(git_http, secrets).fetch()
    token = base64.b64encode(f"{git_http.username}:{git_http.password}".encode()).decode()
    assert seen
    assert not any(git_http.password in argument or token in argument for argument in seen)
    store = secrets / "store"
    files = [path for path in store.rglob("*") if path.is_file()]
    assert not any(token.encode() in path.read_bytes() for path in files)


def test_G15_missing_repository(git_http: GitHttpServer, secrets: Path) -> None:
    with pytest.raises(SourceError, match="not found"):
        source(git_http, secrets, url=git_http.url("none")).fetch()


def test_server_errors_and_recovery(git_http: GitHttpServer, origin: Repo, secrets: Path) -> None:
    reader = source(git_http, secrets)
    git_http.fail_with(503, times=1)
    with pytest.raises(SourceError, match="server failed"):
        reader.fetch()
    assert reader.fetch().commit == origin.tip()


def test_G14_server_hangs(git_http: GitHttpServer, origin: Repo, secrets: Path) -> None:
    reader = source(git_http, secrets, timeout=1.0)
    git_http.hang = True
    with pytest.raises(SourceError, match="longer than 1 s"):
        reader.fetch()
    git_http.hang = False
    assert reader.fetch().commit == origin.tip()


def test_G15_server_is_down(git_http: GitHttpServer, origin: Repo, secrets: Path) -> None:
    reader = source(git_http, secrets)
    kept = reader.fetch()
    git_http.stop()
    with pytest.raises(SourceError, match="did not answer"):
        reader.fetch()
    assert reader.read(kept.commit) is kept
    git_http.start()
    assert reader.fetch() is kept


@pytest.mark.parametrize("where", ["http.proxy", "credential.helper"])
def test_settings_of_the_user_have_no_say(
    where: str, git_http: GitHttpServer, origin: Repo, secrets: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (secrets / ".gitconfig").write_text(
        f'[{where.partition(".")[0]}]\n\t{where.partition(".")[2]} = "http://127.0.0.1:1"\n'
    )
    monkeypatch.setenv("HOME", str(secrets))
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(secrets / ".gitconfig"))
    assert source(git_http, secrets).fetch().commit == origin.tip()


def test_G13_limit_holds_over_http(git_http: GitHttpServer, origin: Repo, secrets: Path) -> None:
    origin.update({"noise": os.urandom(300_000)})
    reader = source(git_http, secrets)
    reader.repository.max_pack = 100_000
    with pytest.raises(SourceError, match="larger than the limit"):
        reader.fetch()


class TestWriteBack:
    def test_publishes(self, git_http: GitHttpServer, origin: Repo, secrets: Path) -> None:
        reader = source(git_http, secrets)
        reader.fetch()
        assert status(reader).publish(REPORT) == REPORT
        assert "status.yaml" in origin.files("gitmesh-status")

    def test_S02_S04_denied_push_is_a_finding_and_not_repeated_at_once(
        self, git_http: GitHttpServer, origin: Repo, secrets: Path
    ) -> None:
        reader = source(git_http, secrets)
        reader.fetch()
        git_http.deny_push = True
        branch = status(reader)
        first = branch.publish(REPORT)
        assert [d.code for d in first.diagnostics] == ["GM603"]
        assert "403" in first.diagnostics[0].message
        pushes = git_http.count(RECEIVE)
        assert branch.publish(REPORT).diagnostics == first.diagnostics
        assert git_http.count(RECEIVE) == pushes

    def test_S13_the_newest_state_is_delivered_after_an_outage(
        self, git_http: GitHttpServer, origin: Repo, secrets: Path
    ) -> None:
        reader = source(git_http, secrets)
        reader.fetch()
        branch = status(reader)
        git_http.stop()
        for count in range(3):
            said = branch.publish(Report(instance="shop", until=Stage.APPLY, seconds={"x": float(count)}))
            assert [d.code for d in said.diagnostics] == ["GM603"]
        git_http.start()
        assert branch.publish(REPORT).diagnostics == ()
        assert len(origin.log("gitmesh-status")) == 1


def test_the_copy_answers_while_a_fetch_hangs_and_the_fetch_can_be_ended(
    git_http: GitHttpServer, origin: Repo, secrets: Path
) -> None:
    old, new = origin.tip(), origin.commit({"policies/b.yaml": "kind: TrafficPolicy\n"})
    assert source(git_http, secrets).fetch().commit == new
    reader = source(git_http, secrets)  # without anything in memory
    git_http.hang = True
    git_http.reset_requests()
    fetching = Ahead(reader.fetch)
    wait_until(lambda: git_http.count() > 0, "a request that hangs", 20)
    recalled = reader.recall(old)
    assert recalled is not None
    assert recalled.commit == old
    with pytest.raises(SourceError, match="does not lead to"):
        reader.recall("a" * 40)
    assert (reader.follows(new, old), reader.follows(old, new), reader.follows("a" * 40, old)) == (
        True,
        False,
        None,
    )
    assert reader.read(old) is recalled
    assert not fetching.has_ended
    reader.abandon()
    with pytest.raises(SourceError):
        fetching.result()
