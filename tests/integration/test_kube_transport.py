"""Connections: kept and given up, and cut at the deadline wherever they hang."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.client import parse_headers

import pytest

from gitmesh.adapters.kube.client import Client, Request
from gitmesh.adapters.kube.credentials import Endpoint
from gitmesh.errors import ClusterError

GET = Request(method="GET", path="/x")
ONCE = Request(method="POST", path="/x", body=b"{}", safe=False)
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
SHORT = b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{}"


def _request(connection: socket.socket) -> bool:
    """Whether a whole request came; a server that closes with some of it unread resets the connection."""
    with connection.makefile("rb") as stream:
        if not stream.readline():
            return False
        stream.read(int(parse_headers(stream).get("Content-Length", "0")))
    return True


class Wire:
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
def facing(serve: Callable[[socket.socket], None], *, scheme: str = "http", timeout: float = 10.0) -> Iterator[tuple[Client, Wire]]:
    """A client of such a server."""
    wire = Wire(serve)
    client = Client(Endpoint(server=f"{scheme}://{wire.address}"), timeout=timeout, user_agent="gitmesh-tests", jitter=lambda: 0.0)
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
        with pytest.raises(ClusterError, match=r"no answer within 0\.3 s"):
            client.send(GET)
        assert time.monotonic() - start < 2
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
        with pytest.raises(ClusterError, match="the connection broke: IncompleteRead"):
            client.send(ONCE)
        assert wire.accepted == 1


def test_a_server_that_is_no_http_server_is_an_error() -> None:
    with (
        facing(lambda connection: connection.sendall(b"220 ready\r\n")) as (client, _),
        pytest.raises(ClusterError, match="the connection broke"),
    ):
        client.send(ONCE)


@pytest.mark.parametrize("host", ["a..b", f"{'a' * 70}.example"])
def test_a_host_that_cannot_be_a_name_fails_its_cluster_alone(host: str) -> None:
    client = Client(Endpoint(server=f"https://{host}:6443"), timeout=5, user_agent="test", jitter=lambda: 0.0)
    with pytest.raises(ClusterError, match="cannot connect"):
        client.send(ONCE)
    client.close()
