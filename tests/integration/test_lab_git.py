"""The lab's Git server: what other tests take for granted of it is shown here."""

from __future__ import annotations

import gzip
import http.client
import os
import socket
import subprocess
import threading
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.lab.githttp import RECEIVE, UPLOAD, GitHttpServer
from tests.lab.process import LOOPBACK


class TestGitHttp:
    """git http-backend behind the bridge."""

    def test_push_then_clone(self, git_http: GitHttpServer, tmp_path: Path) -> None:
        git_http.create_repo("team/config")
        work = _working_copy(tmp_path / "work")
        assert _git(work, "push", git_http.url("team/config", credentials=True), "main").returncode == 0
        cloned = _git(tmp_path, "clone", git_http.url("team/config", credentials=True), "copy")
        assert cloned.returncode == 0, cloned.stderr
        assert (tmp_path / "copy" / "file").read_text() == "text\n"
        assert git_http.count(UPLOAD) >= 2
        assert git_http.count(RECEIVE) >= 2
        assert {r.user for r in git_http.requests if r.status == 200} == {"gitmesh"}

    def test_large_push_comes_in_chunks(self, git_http: GitHttpServer, tmp_path: Path) -> None:
        """Beyond http.postBuffer git sends a chunked body."""
        git_http.create_repo("config")
        work = _working_copy(tmp_path / "work", content=os.urandom(200_000).hex())
        url = git_http.url("config", credentials=True)
        pushed = _git(work, "-c", "http.postBuffer=65536", "push", url, "main")
        assert pushed.returncode == 0, pushed.stderr

    def test_takes_a_gzipped_body(self, git_http: GitHttpServer, tmp_path: Path) -> None:
        git_http.create_repo("config")
        git_http.username = ""
        _git(_working_copy(tmp_path / "work"), "push", git_http.url("config"), "main")
        body = gzip.compress(b"0014command=ls-refs\n0000")
        connection = http.client.HTTPConnection(LOOPBACK, git_http.port, timeout=10)
        kind = "application/x-git-upload-pack-request"
        headers = {"Content-Type": kind, "Content-Encoding": "gzip", "Git-Protocol": "version=2"}
        connection.request("POST", f"/config.git/{UPLOAD}", body=body, headers=headers)
        assert b"refs/heads/main" in connection.getresponse().read()
        connection.close()

    def test_bad_credentials_are_refused(self, git_http: GitHttpServer, tmp_path: Path) -> None:
        git_http.create_repo("config")
        url = git_http.url("config")
        for login in ("", "gitmesh:wrong@"):
            cloned = _git(tmp_path, "clone", url.replace("://", f"://{login}"), "copy")
            assert cloned.returncode != 0
        assert {r.status for r in git_http.requests} == {401}

    def test_anonymous_may_read_but_not_push(self, git_http: GitHttpServer, tmp_path: Path) -> None:
        git_http.create_repo("config")
        git_http.anonymous_read = True
        work = _working_copy(tmp_path / "work")
        assert _git(work, "push", git_http.url("config"), "main").returncode != 0
        assert _git(work, "push", git_http.url("config", credentials=True), "main").returncode == 0
        assert _git(tmp_path, "clone", git_http.url("config"), "copy").returncode == 0

    def test_denied_push_is_403(self, git_http: GitHttpServer, tmp_path: Path) -> None:
        git_http.create_repo("config")
        git_http.deny_push = True
        work = _working_copy(tmp_path / "work")
        pushed = _git(work, "push", git_http.url("config", credentials=True), "main")
        assert pushed.returncode != 0
        assert "403" in pushed.stderr
        assert _git(tmp_path, "clone", git_http.url("config", credentials=True), "copy").returncode == 0

    def test_fails_as_often_as_asked(self, git_http: GitHttpServer, tmp_path: Path) -> None:
        git_http.create_repo("config")
        git_http.fail_with(503, times=1)
        first = _git(tmp_path, "ls-remote", git_http.url("config", credentials=True))
        assert first.returncode != 0
        assert "503" in first.stderr
        assert _git(tmp_path, "ls-remote", git_http.url("config", credentials=True)).returncode == 0

    def test_hangs_until_told_otherwise(self, git_http: GitHttpServer, tmp_path: Path) -> None:
        git_http.create_repo("config")
        git_http.hang = True
        results: list[int] = []
        url = git_http.url("config", credentials=True)
        client = threading.Thread(target=lambda: results.append(_git(tmp_path, "ls-remote", url).returncode))
        client.start()
        client.join(timeout=0.5)
        assert client.is_alive()
        assert results == []
        git_http.hang = False
        client.join(timeout=10)
        assert results
        assert results[0] != 0
        assert _git(tmp_path, "ls-remote", url).returncode == 0

    def test_can_be_down(self, git_http: GitHttpServer) -> None:
        port = git_http.port
        git_http.stop()
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection((LOOPBACK, port), timeout=5)
        git_http.start()
        assert git_http.port == port
        socket.create_connection((LOOPBACK, port), timeout=5).close()


def _git(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run git with nobody's configuration and nobody to ask for a password."""
    env: Mapping[str, str] = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "LC_ALL": "C",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_CONFIG_SYSTEM": os.devnull,
        "GIT_AUTHOR_NAME": "Lab",
        "GIT_AUTHOR_EMAIL": "lab@example.com",
        "GIT_COMMITTER_NAME": "Lab",
        "GIT_COMMITTER_EMAIL": "lab@example.com",
    }
    return subprocess.run(
        ["git", *arguments], cwd=folder, env=env, capture_output=True, text=True, timeout=60, check=False
    )


def _working_copy(folder: Path, content: str = "text\n") -> Path:
    """A repository with one commit on main."""
    folder.mkdir()
    (folder / "file").write_text(content)
    for command in (["init", "-q", "-b", "main"], ["add", "file"], ["commit", "-q", "-m", "first"]):
        assert _git(folder, *command).returncode == 0
    return folder
