"""Connections: kept and given up, and cut at the deadline wherever they hang."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.client import parse_headers
from pathlib import Path

import pytest

from gitmesh.adapters.kube.client import KubeClient
from gitmesh.adapters.kube.credentials import Endpoint
from gitmesh.adapters.kube.exchange import ApiRequest
from gitmesh.errors import ClusterError
from tests.lab.apiserver import ApiServer
from tests.patience import GIVEN_UP

GET = ApiRequest(method="GET", path="/x")
ONCE = ApiRequest(method="POST", path="/x", body=b"{}", safe=False)
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
SHORT = b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{}"


def _request(connection: socket.socket) -> bool:
    """Whether a whole request came; a server that closes with some of it unread resets the connection."""
    with connection.makefile("rb") as stream:
        if not stream.readline():
            return False
        stream.read(int(parse_headers(stream).get("Content-Length", "0")))
    return True


class BareServer:
    """A server of bare bytes: `serve` is given each connection in turn, on one thread."""

    def __init__(self, serve: Callable[[socket.socket], None]) -> None:
        self.accepted = 0
        self._serve = serve
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        while True:
            connection, _ = self._listener.accept()
            with connection:
                connection.settimeout(20)
                if not _request(connection):
                    return
                self.accepted += 1
                self._serve(connection)

    def close(self) -> None:
        """A connection that says nothing is the sign to stop."""
        host, _, port = self.address.partition(":")
        socket.create_connection((host, int(port))).close()
        self._thread.join(5)
        self._listener.close()
        assert not self._thread.is_alive(), "the client left a connection open"


@contextmanager
def facing(
    serve: Callable[[socket.socket], None], *, scheme: str = "http", timeout: float = 10.0
) -> Iterator[tuple[KubeClient, BareServer]]:
    """A client of such a server."""
    wire = BareServer(serve)
    client = KubeClient(
        Endpoint(server=f"{scheme}://{wire.address}"),
        timeout=timeout,
        user_agent="gitmesh-tests",
        jitter=lambda: 0.0,
    )
    try:
        yield client, wire
    finally:
        client.close()
        wire.close()


def until_closed(connection: socket.socket) -> None:
    """Say nothing until the client goes."""
    while connection.recv(65536):
        pass


def workers() -> list[threading.Thread]:
    """Threads of clients."""
    return [thread for thread in threading.enumerate() if thread.name.startswith("gitmesh-kube")]


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_K07_a_silent_server_is_cut_at_the_deadline_in_the_handshake_too(scheme: str) -> None:
    with facing(until_closed, scheme=scheme, timeout=0.3) as (client, _):
        start = time.monotonic()
        with pytest.raises(ClusterError) as found:
            client.send(GET)
        assert found.value.in_full == "the API server does not answer (GET /x: no answer within 0.3 s)"
        assert time.monotonic() - start < GIVEN_UP
    for thread in workers():
        thread.join(5)
    assert not workers(), "what waited was woken"


def test_a_connection_is_used_again() -> None:
    def serve(connection: socket.socket) -> None:
        connection.sendall(OK)
        while connection.recv(65536):
            connection.sendall(OK)

    with facing(serve) as (client, wire):
        for _ in range(5):
            assert client.send(GET).body == b"{}"
        assert wire.accepted == 1


def test_a_connection_that_the_server_closed_meanwhile_is_not_used_again() -> None:
    with facing(lambda connection: connection.sendall(OK)) as (client, wire):
        client.send(GET)
        end = time.monotonic() + 5
        while wire.accepted < 3 and time.monotonic() < end:
            assert client.send(GET).status == 200
        assert wire.accepted == 3


def test_a_body_that_ends_early_is_an_error() -> None:
    with facing(lambda connection: connection.sendall(SHORT)) as (client, wire):
        with pytest.raises(ClusterError, match="does not answer") as found:
            client.send(ONCE)
        assert found.value.detail == "POST /x: the connection broke: the answer ended early"
        assert wire.accepted == 1


def test_a_server_that_is_no_http_server_is_an_error() -> None:
    with (
        facing(lambda connection: connection.sendall(b"220 ready\r\n")) as (client, _),
        pytest.raises(ClusterError) as found,
    ):
        client.send(ONCE)
    assert "the connection broke" in found.value.detail


@pytest.mark.parametrize("host", ["a..b", f"{'a' * 70}.example", f"ü.{'a' * 60}"])
def test_a_host_that_cannot_be_a_name_fails_its_cluster_alone(host: str) -> None:
    client = KubeClient(
        Endpoint(server=f"https://{host}:6443"), timeout=5, user_agent="test", jitter=lambda: 0.0
    )
    with pytest.raises(ClusterError) as found:
        client.send(ONCE)
    assert "cannot connect" in found.value.detail
    client.close()


class Secure:
    """A TLS server that answers one request a connection and says of each whether it took a session up again.

    The next `refusals` handshakes fail.
    """

    def __init__(self, certs: Path) -> None:
        self._certs = certs
        self.context = self._fresh()
        self.resumed: list[bool] = []
        self.refusals = 0

    def _fresh(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self._certs / "apiserver.crt", self._certs / "apiserver.key")
        return context

    def forget(self) -> None:
        """As a server that was started anew: no session of before is known."""
        self.context = self._fresh()

    def serve(self, listener: socket.socket, connections: int) -> None:
        """So many connections, one after the other."""
        for _ in range(connections):
            connection, _ = listener.accept()
            if self.refusals:
                self.refusals -= 1
                connection.close()
                continue
            with self.context.wrap_socket(connection, server_side=True) as secured:
                _request(secured)
                self.resumed.append(bool(secured.session_reused))
                secured.sendall(OK.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))


@contextmanager
def secured(server: ApiServer) -> Iterator[tuple[KubeClient, Secure, socket.socket]]:
    """A client of such a server, with the certificate of an API server."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = f"https://127.0.0.1:{listener.getsockname()[1]}"
        client = KubeClient(
            Endpoint(server=address, ca=server.ca_file),
            timeout=10.0,
            user_agent="gitmesh-tests",
            jitter=lambda: 0.0,
        )
        try:
            yield client, Secure(server.folder / "certs"), listener
        finally:
            client.close()


def exchanges(client: KubeClient, server: Secure, listener: socket.socket, requests: int) -> None:
    """So many requests, each answered at last."""
    serving = threading.Thread(target=server.serve, args=(listener, requests + server.refusals))
    serving.start()
    assert [client.send(GET).body for _ in range(requests)] == [b"{}"] * requests
    serving.join(10)


def test_a_session_is_taken_up_again_and_made_anew_where_the_server_forgot_it(apiserver: ApiServer) -> None:
    with secured(apiserver) as (client, server, listener):
        exchanges(client, server, listener, 3)
        server.forget()
        exchanges(client, server, listener, 3)
    assert server.resumed == [False, True, True] * 2


def test_a_session_that_a_handshake_failed_with_is_not_tried_again(apiserver: ApiServer) -> None:
    with secured(apiserver) as (client, server, listener):
        exchanges(client, server, listener, 2)
        server.refusals = 1
        exchanges(client, server, listener, 2)
    assert server.resumed == [False, True, False, True]
