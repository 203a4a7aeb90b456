"""The way to a forge: one deadline, private CAs, proxies, what is tried again, and what never happens."""

from __future__ import annotations

import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from gitmesh.adapters.forge import forge
from gitmesh.errors import ForgeError
from gitmesh.model.config_forge import ForgeConfig
from gitmesh.ports import Forge
from tests.forges import ForgeAnswer, GiteaServer
from tests.integration.faultserver import (
    FaultServer,
    Handler,
    Reply,
    breaks_off,
    floods,
    resets,
    says,
    trickles,
)

A, B = "a" * 40, "b" * 40
SOON = 0.3


def config_of(url: str, folder: Path, token: str = "secret", **more: str) -> ForgeConfig:
    """That of a Gitea at this address, with the token in a file."""
    (folder / "token").write_text(token)
    fields = {"kind": "gitea", "url": url, "repository": "a/b", "tokenFile": "token", "allowInsecure": True}
    return ForgeConfig.model_validate({**fields, **more})


def at(url: str, folder: Path, *, timeout: float = 20.0, **more: str) -> Forge:
    """A Gitea at this address, whose pauses take no time."""
    return forge(
        config_of(url, folder, **more), folder, timeout=timeout, sleep=lambda _: None, jitter=lambda: 0.5
    )


def trickling_headers(handler: Handler) -> None:
    """A header of one byte every 20 ms, without end; tells the server when the client hung up."""
    handler.connection.settimeout(0.02)
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
    while True:
        try:
            if handler.connection.recv(1) == b"":
                break
        except TimeoutError:
            handler.wfile.write(b"x")
        except OSError:
            break
    handler.server.dropped.set()
    handler.close_connection = True


@pytest.mark.parametrize("reply", [trickles, trickling_headers])
def test_who_trickles_gains_no_time(tmp_path: Path, reply: Reply) -> None:
    with FaultServer(reply) as server:
        with pytest.raises(ForgeError, match=r"127\.0\.0\.1:\d+ did not answer within 0\.3 s") as caught:
            at(server.url, tmp_path, timeout=SOON).pulls("main")
        assert caught.value.retryable
        assert server.dropped.wait(20), "the connection is closed with the call"


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_who_never_answers(tmp_path: Path, scheme: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"{scheme}://127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(ForgeError, match=r"did not answer within 0\.3 s"):
            at(url, tmp_path, timeout=SOON).pulls("main")


def test_a_name_server_that_never_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ended = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: ended.wait(60))
    try:
        with pytest.raises(ForgeError, match=r"git\.example did not answer within 0\.3 s"):
            at("http://git.example", tmp_path, timeout=SOON).pulls("main")
    finally:
        ended.set()


def test_the_pauses_count_as_well(tmp_path: Path) -> None:
    """With a clock that only pauses move: five attempts would need more than the deadline has."""
    now = [0.0]

    def wait(seconds: float) -> None:
        now[0] += seconds

    with FaultServer(says(503, b"{}", Retry_After="8")) as server:
        made = forge(
            config_of(server.url, tmp_path),
            tmp_path,
            timeout=20,
            clock=lambda: now[0],
            sleep=wait,
            jitter=lambda: 0.0,
        )
        with pytest.raises(ForgeError, match=r"failed \(HTTP 503\)"):
            made.pulls("main")
        assert now == [16.0]
        assert len(server.seen) == 3


def test_nobody_listens(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    with pytest.raises(ForgeError, match=rf"127\.0\.0\.1:{port} could not be reached") as caught:
        at(f"http://127.0.0.1:{port}", tmp_path).pulls("main")
    assert caught.value.retryable
    assert "refused" in caught.value.detail


def test_a_request_that_was_never_sent_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with GiteaServer() as server:
        number = server.open_pull(A)
        find, failures = (
            socket.getaddrinfo,
            [socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")],
        )

        def flaky(*args: object, **named: object) -> object:
            if failures:
                raise failures.pop()
            return find(*args, **named)  # type: ignore[arg-type]

        monkeypatch.setattr(socket, "getaddrinfo", flaky)
        server.forge(tmp_path).add_comment(number, "text")
        assert server.own_comments(number) == ["text"]


def speaks_otherwise(handler: Handler) -> None:
    """Something that is no HTTP."""
    handler.wfile.write(b"\x1b[31m220 mail.example ESMTP " + b"x" * 1000 + b"\r\n\r\n")
    handler.close_connection = True


@pytest.mark.parametrize("reply", [breaks_off, resets, speaks_otherwise])
def test_broken_connections_are_told_and_tried_again(tmp_path: Path, reply: Reply) -> None:
    with FaultServer(reply) as server:
        with pytest.raises(ForgeError, match="broke the connection off") as caught:
            at(server.url, tmp_path).pulls("main")
        assert caught.value.retryable
        assert caught.value.detail.isprintable()
        assert len(caught.value.detail) <= 1000
        assert len(server.seen) == 5


def test_an_answer_without_end(tmp_path: Path) -> None:
    with FaultServer(floods) as server:
        with pytest.raises(ForgeError, match="answers with more than 32 MiB") as caught:
            at(server.url, tmp_path).pulls("main")
        assert not caught.value.retryable
        assert len(server.seen) == 1


@pytest.mark.parametrize(
    "body", [b"<html>log in</html>", b"[]]", b'{"no": "list"}', b'[{"number": "7"}]', b"\xff", b"[" * 100_000]
)
def test_answers_that_are_not_the_api(tmp_path: Path, body: bytes) -> None:
    with (
        FaultServer(says(200, body)) as server,
        pytest.raises(ForgeError, match="answers something else than its API does") as caught,
    ):
        at(server.url, tmp_path).pulls("main")
    assert "forge.kind" in caught.value.hint


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_no_redirect_is_followed(tmp_path: Path, status: int) -> None:
    with (
        FaultServer(says(200, b"[]")) as other,
        FaultServer(says(status, b"", Location=f"{other.url}/api/v1/x")) as server,
    ):
        with pytest.raises(ForgeError, match=rf"says that this is elsewhere \(HTTP {status}\)") as caught:
            at(server.url, tmp_path).pulls("main")
        assert other.seen == []
        assert len(server.seen) == 1
    assert "forge.repository" in caught.value.hint
    assert other.url in caught.value.detail


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (None, "cannot be read: No such file or directory"),
        (b"", "is empty"),
        (b"\n", "is empty"),
        (b"one\ntwo\n", "does not hold one line without spaces"),
        (b"one two", "does not hold one line without spaces"),
        (b"to\x00ken", "does not hold one line without spaces"),
        ("tökén".encode(), "does not hold one line without spaces"),
        (b"\xff\xfe", "is not text"),
    ],
)
def test_token_files_that_cannot_be_used(tmp_path: Path, content: bytes | None, why: str) -> None:
    with FaultServer(says(200, b"[]")) as server:
        made = at(server.url, tmp_path)
        (tmp_path / "token").unlink()
        if content is not None:
            (tmp_path / "token").write_bytes(content)
        with pytest.raises(ForgeError) as caught:
            made.pulls("main")
        assert server.seen == []
    assert str(caught.value) == f"forge.tokenFile: {tmp_path / 'token'} {why}"
    assert "one line" in caught.value.hint
    assert not caught.value.retryable


def test_texts_of_the_other_side_are_one_short_line(tmp_path: Path) -> None:
    body = b'{"message": "a\\n\\u001b[31mb' + b"x" * 1000 + b'", "errors": [["deep", {"a": ["er"]}]]}'
    with (
        FaultServer(says(400, body)) as server,
        pytest.raises(
            ForgeError, match=r"refused a request to read pull requests and comments \(HTTP 400\)"
        ) as caught,
    ):
        at(server.url, tmp_path).pulls("main")
    assert len(caught.value.detail) <= 300
    assert caught.value.detail.isprintable()


def test_a_wait_that_is_no_number_is_a_minute(tmp_path: Path) -> None:
    pauses: list[float] = []
    with GiteaServer() as server:
        server.open_pull(A)
        server.script = [
            ForgeAnswer(status=429, data={}, headers={"Retry-After": "Wed, 21 Oct 2037 07:28:00 GMT"})
        ]
        assert server.forge(tmp_path, timeout=600, sleep=pauses.append).pulls("main")
    assert 60 <= pauses[0] < 66


def test_the_environment_is_not_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    with GiteaServer() as server:
        server.open_pull(A)
        assert server.forge(tmp_path).pulls("main")


def test_through_a_proxy_in_the_clear(tmp_path: Path) -> None:
    with GiteaServer("a/b") as server:
        server.open_pull(A)
        made = at("http://git.example", tmp_path, token=server.token, proxy=server.url)
        assert [pull.head for pull in made.pulls("main")] == [A]


@pytest.mark.parametrize("host", ["[::1]:8080", "git.example:8080", "git.example"])
def test_the_host_is_named_as_it_is_configured(tmp_path: Path, host: str) -> None:
    with GiteaServer("a/b") as server:
        server.open_pull(A)
        assert at(f"http://{host}", tmp_path, token=server.token, proxy=server.url).pulls("main")
        assert server.asked[0].headers["host"] == host


def test_a_name_that_no_name_server_can_be_asked_for(tmp_path: Path) -> None:
    with pytest.raises(ForgeError, match="could not be reached"):
        at(f"http://{'a' * 70}.example", tmp_path).pulls("main")


# -- TLS ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for 127.0.0.1 that signed itself, and beside it its key."""
    folder = tmp_path_factory.mktemp("tls")
    command = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
        "-nodes",
        "-days",
        "2",
    ]
    names = [
        "-subj",
        "/CN=forge",
        "-addext",
        "subjectAltName=IP:127.0.0.1",
        "-addext",
        "keyUsage=critical,keyCertSign,digitalSignature",
    ]
    files = ["-keyout", str(folder / "key.pem"), "-out", str(folder / "ca.pem")]
    subprocess.run([*command, *names, *files], check=True, capture_output=True)
    return folder / "ca.pem"


@pytest.fixture
def secure(certificate: Path) -> Iterator[GiteaServer]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, certificate.parent / "key.pem")
    with GiteaServer(tls=context) as server:
        yield server


def test_a_private_ca(secure: GiteaServer, certificate: Path, tmp_path: Path) -> None:
    secure.open_pull(A)
    secure.most = 1
    secure.open_pull(B)
    assert [pull.head for pull in secure.forge(tmp_path, caFile=str(certificate)).pulls("main")] == [A, B]


def test_a_server_that_is_not_trusted_gets_no_token(secure: GiteaServer, tmp_path: Path) -> None:
    with pytest.raises(ForgeError, match=r"the certificate of 127.* could not be verified") as caught:
        secure.forge(tmp_path).pulls("main")
    assert "forge.caFile" in caught.value.hint
    assert not caught.value.retryable
    assert secure.asked == []


def test_a_certificate_for_another_host(secure: GiteaServer, certificate: Path, tmp_path: Path) -> None:
    url = secure.url.replace("127.0.0.1", "localhost")
    with pytest.raises(ForgeError, match=r"the certificate of localhost.* could not be verified"):
        at(url, tmp_path, caFile=str(certificate)).pulls("main")


@pytest.mark.parametrize("content", [None, "no certificate"])
def test_a_ca_file_that_cannot_be_used(secure: GiteaServer, tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "ca.pem").write_text(content)
    with pytest.raises(ForgeError, match=r"forge\.caFile: .*ca\.pem cannot be read as certificates"):
        secure.forge(tmp_path, caFile="ca.pem").pulls("main")


class Proxy:
    """An HTTP proxy for CONNECT alone, one connection at a time: `heads` are the requests that it got."""

    def __init__(self, answer: bytes) -> None:
        self.heads: list[bytes] = []
        self._answer = answer
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listening.getsockname()[1]}"
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                near, _ = self._listening.accept()
            except OSError:
                return
            head = b""
            while b"\r\n\r\n" not in head:
                head += near.recv(4096)
            self.heads.append(head)
            near.sendall(self._answer)
            if b" 200 " not in self._answer:
                near.close()
                continue
            host, port = head.split()[1].decode().split(":")
            far = socket.create_connection((host, int(port)))
            for ends in ((near, far), (far, near)):
                threading.Thread(target=_pump, args=ends, daemon=True).start()

    def close(self) -> None:
        self._listening.close()


def _pump(near: socket.socket, far: socket.socket) -> None:
    while True:
        try:
            data = near.recv(65536)
            far.sendall(data)
        except OSError:
            data = b""
        if not data:
            for end in (near, far):
                end.close()
            return


def test_through_a_proxy(secure: GiteaServer, certificate: Path, tmp_path: Path) -> None:
    secure.open_pull(A)
    proxy = Proxy(b"HTTP/1.1 200 Connection established\r\n\r\n")
    assert secure.forge(tmp_path, caFile=str(certificate), proxy=proxy.url).pulls("main")
    proxy.close()
    assert proxy.heads[0].startswith(b"CONNECT 127.0.0.1:")
    assert secure.token.encode() not in b"".join(proxy.heads), "the proxy sees no token"


def test_a_proxy_that_refuses(secure: GiteaServer, certificate: Path, tmp_path: Path) -> None:
    proxy = Proxy(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
    with pytest.raises(
        ForgeError, match=r"the proxy of forge\.proxy does not lead to 127\.0\.0\.1"
    ) as caught:
        secure.forge(tmp_path, caFile=str(certificate), proxy=proxy.url).pulls("main")
    proxy.close()
    assert "407" in caught.value.detail
    assert secure.asked == []
