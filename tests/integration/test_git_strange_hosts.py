"""Hosts that answer, but not as a Git server does: login pages, errors in their own words, one byte now and
then.
"""

from __future__ import annotations

import itertools
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from gitmesh.adapters.git import GitSource
from gitmesh.adapters.statusbranch import StatusBranch
from gitmesh.errors import GoneError, SourceError
from gitmesh.model.config import Author
from gitmesh.model.report import Report, Stage
from tests.gitrepo import Repo
from tests.lab.githttp import GitHttpServer
from tests.lab.process import LOOPBACK
from tests.patience import GIVEN_UP

POLICY = {"policies/a.yaml": "kind: TrafficPolicy\n"}
REPORT = Report(instance="shop", until=Stage.APPLY)


CAPABILITIES = b"".join(
    b"%04x%s" % (len(line) + 4, line) if line else b"0000"
    for line in (
        b"# service=git-upload-pack\n",
        b"",
        b"version 2\n",
        b"ls-refs=unborn\n",
        b"fetch=shallow\n",
        b"object-format=sha1\n",
        b"",
    )
)
"""What a Git server says first (gitprotocol-v2)."""


class Host(ThreadingHTTPServer):
    """Gives one answer to everything, or to all but GET, which `first` answers. `{n}` in its body is another
    number each time.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__((LOOPBACK, 0), _Answer)
        self.status, self.body = 200, "<html><body>Sign in</body></html>"
        self.headers: Mapping[str, str] = {"Content-Type": "text/html; charset=utf-8"}
        self.first = b""
        self.asked = itertools.count(1)

    @property
    def url(self) -> str:
        return f"http://{LOOPBACK}:{self.server_port}/config.git"


class _Answer(BaseHTTPRequestHandler):
    server: Host

    def _any(self) -> None:
        body = self.server.body.replace("{n}", str(next(self.server.asked))).encode()
        status, headers = self.server.status, self.server.headers
        if self.server.first and self.command == "GET":
            body, status, headers = (
                self.server.first,
                200,
                {"Content-Type": "application/x-git-upload-pack-advertisement"},
            )
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self) -> None:
        """What reading begins with."""
        self._any()

    def do_POST(self) -> None:
        """The rest of Git's protocol."""
        self._any()

    def do_PROPFIND(self) -> None:
        """What git tries with a file server that it pushes to."""
        self._any()

    def log_message(self, format: str, *args: object) -> None:
        """Stay quiet."""


@pytest.fixture
def host() -> Iterator[Host]:
    with Host() as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        yield server
        server.shutdown()


def source(url: str, folder: Path, **options: Any) -> GitSource:
    return GitSource("policies", url, store=folder / "store", allow_insecure=True, **options)


def status(reader: GitSource) -> StatusBranch:
    return StatusBranch(reader, "gitmesh-status", author=Author(), now=lambda: 1_700_000_000.0)


def failure(reader: GitSource) -> SourceError:
    with pytest.raises(SourceError) as caught:
        reader.fetch()
    return caught.value


class TestWebPages:
    @pytest.mark.parametrize(
        "body",
        [
            "<html><body>Sign in</body></html>",
            "<html>\n<a>\trefs/heads/main\n</html>",
            "",
            "<!doctype html>" + "x" * 100_000,
        ],
    )
    def test_a_login_page_is_no_empty_repository(self, body: str, host: Host, tmp_path: Path) -> None:
        host.body = body
        error = failure(source(host.url, tmp_path))
        assert "the host answered with a web page (text/html), not as a Git server does" in str(error)
        assert f"({LOOPBACK}:{host.server_port}, HTTP 200)" in str(error)
        assert "login page" in error.hint

    def test_no_commit_is_told_to_be_gone_while_a_login_page_answers(
        self, host: Host, tmp_path: Path
    ) -> None:
        reader = source(host.url, tmp_path)
        reader.accept("a" * 40)
        failure(reader)
        with pytest.raises(SourceError) as caught:
            reader.read("a" * 40)
        assert not isinstance(caught.value, GoneError)

    def test_no_status_is_pushed_to_a_login_page(self, host: Host, tmp_path: Path) -> None:
        reader = source(host.url, tmp_path)
        failure(reader)
        [said] = status(reader).publish(REPORT).diagnostics
        assert said.code == "GM603"
        assert "answered with a web page (text/html)" in said.message

    @pytest.mark.parametrize("kind", ["text/plain", "application/json"])
    def test_an_answer_that_git_cannot_read_is_told_with_its_type(
        self, kind: str, host: Host, tmp_path: Path
    ) -> None:
        host.headers, host.body = {"Content-Type": kind}, "nothing here"
        assert f"answered with something else ({kind}), not as a Git server does" in str(
            failure(source(host.url, tmp_path))
        )

    def test_an_empty_list_of_a_plain_file_server_is_an_empty_repository(
        self, host: Host, tmp_path: Path
    ) -> None:
        host.headers, host.body = {"Content-Type": "text/plain"}, ""
        assert "repository is empty" in str(failure(source(host.url, tmp_path)))

    def test_an_empty_repository_behind_a_git_server_is_empty(
        self, git_http: GitHttpServer, tmp_path: Path
    ) -> None:
        git_http.username = ""
        git_http.create_repo("config")
        assert "repository is empty" in str(failure(source(git_http.url("config"), tmp_path)))

    def test_a_commit_is_gone_when_the_branch_was_read_without_it(
        self, git_http: GitHttpServer, tmp_path: Path
    ) -> None:
        git_http.username = ""
        Repo(git_http.repo_path("config")).commit(POLICY)
        reader = source(git_http.url("config"), tmp_path)
        reader.accept("f" * 40)
        reader.fetch()
        with pytest.raises(GoneError, match="is not in the repository any more"):
            reader.read("f" * 40)


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (500, "the server failed or broke the connection ({host})"),
        (503, "the server failed or broke the connection ({host})"),
        (403, "the server denied access ({host}, HTTP 403)"),
        (429, "the server refused to answer ({host})"),
    ],
)
def test_what_a_host_says_in_its_own_words_is_in_the_detail_alone(
    code: int, words: str, host: Host, tmp_path: Path
) -> None:
    """So a fault that lasts has one text, which is what is compared and committed."""
    host.status, host.headers, host.body = (
        code,
        {"Content-Type": "text/plain"},
        "try again later, request id {n}",
    )
    reader = source(host.url, tmp_path)
    first, second = failure(reader), failure(reader)
    assert str(first) == str(second) == words.format(host=f"{LOOPBACK}:{host.server_port}")
    assert "request id" in first.detail
    assert f"error: {code}" in first.detail
    assert first.detail != second.detail
    branch = status(reader)
    assert len({said.message for _ in range(2) for said in branch.publish(REPORT).diagnostics}) == 1


def test_a_host_that_fails_now_so_and_then_so_is_one_lasting_fault(host: Host, tmp_path: Path) -> None:
    reader = source(host.url, tmp_path)
    branch = status(reader)
    said = set()
    for host.status in (502, 503, 500, 504, 503):
        said |= {str(failure(reader)), *(one.message for one in branch.publish(REPORT).diagnostics)}
    assert len(said) == 2, "one of the source, one of the status"


def test_a_port_that_speaks_no_tls_is_no_bad_certificate(host: Host, tmp_path: Path) -> None:
    told = failure(source(host.url.replace("http:", "https:"), tmp_path))
    assert "does not speak TLS" in str(told)
    assert "certificate" not in str(told)


def test_a_file_in_place_of_a_repository_is_no_server_that_fails(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no repository\n", encoding="utf-8")
    assert str(failure(source(f"file://{tmp_path}/file", tmp_path))) == "the repository was not found"


def test_a_login_page_in_the_middle_of_the_talk_is_no_git_server(host: Host, tmp_path: Path) -> None:
    host.first = CAPABILITIES
    assert str(failure(source(host.url, tmp_path))).startswith(
        "the host answered, but not as a Git server does"
    )
    host.status = 503
    assert str(failure(source(host.url, tmp_path))).startswith("the server failed or broke the connection")


def test_a_redirect_is_told_as_such(host: Host, tmp_path: Path) -> None:
    host.status, host.headers = 302, {"Location": "https://login.example.com/?state={n}"}
    assert "redirects to another address" in str(failure(source(host.url, tmp_path)))


def test_the_order_of_lines_and_the_words_of_the_server_do_not_change_the_text(tmp_path: Path) -> None:
    lines = [
        "fatal: the remote end hung up unexpectedly",
        "fatal: early EOF",
        "remote: request 7f3a: no space left, permission denied, error: 404",
        "remote: Connection reset by peer",
    ]
    repository = source("https://git.example.com/x.git", tmp_path).repository
    texts = {str(repository.explain("\n".join(order))) for order in itertools.permutations(lines)}
    assert texts == {"the server failed or broke the connection (git.example.com)"}


class Relay:
    """Hands connections on to a server: the first `fast` as they are, of the others a byte of the answer
    every `pause` seconds.
    """

    def __init__(self, port: int, fast: int, pause: float = 0.2) -> None:
        self._port, self._fast, self._pause = port, fast, pause
        self._listener = socket.create_server((LOOPBACK, 0))
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._accept)
        self.port = self._listener.getsockname()[1]
        self.slow = 0

    def __enter__(self) -> Relay:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._listener.close()

    def _accept(self) -> None:
        with ExitStack() as threads, suppress(OSError):
            for number in itertools.count():
                client, _ = self._listener.accept()
                self.slow += number >= self._fast
                thread = threading.Thread(target=self._relay, args=(client, number < self._fast))
                thread.start()
                threads.callback(thread.join)

    def _relay(self, client: socket.socket, fast: bool) -> None:
        with client, socket.create_connection((LOOPBACK, self._port)) as server:
            asking = threading.Thread(target=_copy, args=(client, server))
            asking.start()
            with suppress(OSError):
                while chunk := server.recv(1 << 16 if fast else 1):
                    client.sendall(chunk)
                    if not fast and self._over.wait(self._pause):
                        break
            for end in (client, server):
                with suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)
            asking.join()


def _copy(start: socket.socket, end: socket.socket) -> None:
    with suppress(OSError):
        while chunk := start.recv(1 << 16):
            end.sendall(chunk)


class TestDrip:
    @pytest.mark.parametrize("fast", [0, 1, 2, 3, 4])
    def test_G14_the_deadline_is_for_the_whole_whenever_the_bytes_come(
        self, fast: int, git_http: GitHttpServer, tmp_path: Path
    ) -> None:
        """Two connections list the branches; of three more, the last brings the pack."""
        git_http.username = ""
        Repo(git_http.repo_path("config")).commit(POLICY)
        began = time.monotonic()
        with Relay(git_http.port, fast) as relay:
            error = failure(source(f"http://{LOOPBACK}:{relay.port}/config.git", tmp_path, timeout=1.0))
        assert "longer than 1 s" in str(error)
        assert relay.slow == 1
        assert time.monotonic() - began < GIVEN_UP

    def test_G14_a_push_has_a_deadline_as_well(self, git_http: GitHttpServer, tmp_path: Path) -> None:
        git_http.username = ""
        Repo(git_http.repo_path("config")).commit(POLICY)
        began = time.monotonic()
        with Relay(git_http.port, 5) as relay:
            reader = source(f"http://{LOOPBACK}:{relay.port}/config.git", tmp_path, timeout=1.0)
            reader.fetch()
            [said] = status(reader).publish(REPORT).diagnostics
        assert (said.code, "longer than 1 s" in said.message, relay.slow) == ("GM603", True, 1)
        assert time.monotonic() - began < GIVEN_UP
