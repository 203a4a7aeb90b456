"""The agent's HTTP door: three pages, on every address that is asked for, whoever else holds connections
open.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing

import pytest

from gitmesh.agent import server as http
from gitmesh.agent.health import Health
from gitmesh.agent.listening import ListenError, listening
from gitmesh.agent.metrics import Metrics
from gitmesh.agent.server import AgentServer, Page, pages, serve
from tests.lab.process import wait_until

Serving = Callable[..., AgentServer]


def all_pages() -> Mapping[str, Callable[[], Page]]:
    return pages(Health(0.0, 1.0), Metrics().registry, lambda: 0.0)


@pytest.fixture
def serving() -> Iterator[Serving]:
    """Makes a server on an address, and ends it."""
    with ExitStack() as ended:

        def make(
            listen: str = "127.0.0.1:0", routes: Mapping[str, Callable[[], Page]] | None = None
        ) -> AgentServer:
            made = serve(listen, all_pages() if routes is None else routes)
            ended.callback(made.close)
            return made

        yield make


def port(made: AgentServer) -> int:
    return int(made.addresses.rpartition(":")[2])


def connect(made: AgentServer, host: str = "127.0.0.1", source: str = "") -> socket.socket:
    return socket.create_connection(
        (host, port(made)), timeout=20, source_address=(source, 0) if source else None
    )


def ask(made: AgentServer, request: str, host: str = "127.0.0.1", source: str = "") -> bytes:
    with closing(connect(made, host, source)) as connection:
        connection.sendall(request.encode())
        return rest(connection)


def rest(connection: socket.socket) -> bytes:
    """What comes until the other side closes or cuts."""
    found = b""
    try:
        while part := connection.recv(65536):
            found += part
    except ConnectionResetError:
        pass
    return found


def status(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1])


HEALTH = "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"

# --- pages


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/healthz", 200),
        ("/readyz", 503),
        ("/metrics", 200),
        ("/metrics?x=1", 200),
        ("/", 404),
        ("/healthz/", 404),
        ("/static/..%2f..%2fproc%2fself%2fenviron", 404),
        ("/../../etc/passwd", 404),
        ("//evil.example/healthz", 404),
    ],
)
@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_W10_only_the_fixed_pages_exist(serving: Serving, path: str, expected: int, version: str) -> None:
    answer = ask(serving(), f"GET {path} HTTP/{version}\r\n\r\n")
    assert status(answer) == expected
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"X-Content-Type-Options: nosniff" in head
    assert b"Connection: close" in head
    assert f"Content-Length: {len(body)}".encode() in head


def test_head_has_the_headers_and_no_body(serving: Serving) -> None:
    head, _, body = ask(serving(), "HEAD /healthz HTTP/1.0\r\n\r\n").partition(b"\r\n\r\n")
    assert status(head) == 200
    assert b"Content-Length: 0" not in head
    assert body == b""


@pytest.mark.parametrize(
    ("request_text", "expected"),
    [
        ("POST /healthz HTTP/1.0\r\n\r\n", 405),
        ("nonsense\r\n\r\n", 400),
        ("\r\n\r\n", 400),
        ("GET http://evil.example/healthz HTTP/1.1\r\n\r\n", 400),
        ("GET /healthz HTTP/2\r\n\r\n", 400),
        ("GET /healthz\x85\xff HTTP/1.1\r\n\r\n", 404),
        (f"GET /{'a' * 70_000} HTTP/1.0\r\n\r\n", 400),
        (f"GET /healthz HTTP/1.0\r\nX: {'a' * 70_000}\r\n\r\n", 400),
    ],
)
def test_other_requests_are_refused(serving: Serving, request_text: str, expected: int) -> None:
    assert status(ask(serving(), request_text)) == expected


def test_a_large_page_arrives_whole(serving: Serving) -> None:
    body = bytes(range(256)) * 40_000
    made = serving(routes={"/metrics": lambda: (200, "text/plain", body)})
    assert ask(made, "GET /metrics HTTP/1.1\r\n\r\n").partition(b"\r\n\r\n")[2] == body


# --- W05: clients that hold connections open


def test_W05_a_slow_client_is_cut_however_often_it_sends_something(
    monkeypatch: pytest.MonkeyPatch, serving: Serving
) -> None:
    assert http.SLOWEST_CLIENT == 10.0
    monkeypatch.setattr(http, "SLOWEST_CLIENT", 0.3)
    made = serving()
    assert ask(made, "GET /healthz HT") == b""
    with closing(connect(made)) as dripping:
        dripping.settimeout(0.01)

        def is_cut() -> bool:
            try:
                dripping.sendall(b"x")
                return dripping.recv(1) == b""
            except TimeoutError:
                return False
            except OSError:
                return True

        wait_until(is_cut, "end of a client that sends a byte at a time", 20)
    assert status(ask(made, HEALTH)) == 200


def test_W05_a_client_that_does_not_read_its_answer_is_cut(
    monkeypatch: pytest.MonkeyPatch, serving: Serving
) -> None:
    monkeypatch.setattr(http, "SLOWEST_CLIENT", 0.3)
    body = b"x" * (64 << 20)  # more than any buffer
    made = serving(
        routes={"/metrics": lambda: (200, "text/plain", body), "/healthz": lambda: (200, "text/plain", b"ok")}
    )
    with closing(connect(made)) as lazy:
        lazy.sendall(b"GET /metrics HTTP/1.1\r\n\r\n")
        wait_until(lambda: not made.connections, "its end", 20)
        assert len(rest(lazy)) < len(body)
    assert status(ask(made, HEALTH)) == 200


@pytest.mark.parametrize("sources", [["127.0.0.1"], [f"127.0.0.{number}" for number in range(2, 250)]])
def test_W05_500_connections_that_say_nothing_do_not_keep_a_probe_out(
    serving: Serving, sources: list[str]
) -> None:
    """From one peer, also the probe's own, or from many: the oldest are cut for new ones."""
    made = serving()
    with ExitStack() as held:
        for number in range(500):
            one = held.enter_context(closing(connect(made, source=sources[number % len(sources)])))
            one.sendall(b"GET /healthz HTTP/1.1\r\nX")
        for _ in range(3):
            assert status(ask(made, HEALTH)) == 200
        assert made.connections <= http.MOST_CONNECTIONS


def test_W05_a_peer_with_many_connections_costs_the_others_none(serving: Serving) -> None:
    made = serving()
    with ExitStack() as held:
        quiet = held.enter_context(closing(connect(made, source="127.0.0.9")))
        for _ in range(3 * http.MOST_CONNECTIONS):
            held.enter_context(closing(connect(made, source="127.0.0.7")))
        wait_until(lambda: made.connections == 1 + http.MOST_OF_A_PEER, "the cap of a peer", 20)
        quiet.sendall(HEALTH.encode())
        assert status(rest(quiet)) == 200


def test_closing_ends_the_connections_that_are_open(serving: Serving) -> None:
    made = serving()
    with closing(connect(made)) as one:
        wait_until(lambda: made.connections == 1, "the connection", 20)
        made.close()
        assert rest(one) == b""
    made.close()
    with pytest.raises(ConnectionRefusedError):
        connect(made)


# --- where it listens


def has_ipv6() -> bool:
    try:
        with closing(socket.create_server(("::1", 0), family=socket.AF_INET6)):
            return True
    except OSError:
        return False


needs_ipv6 = pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6")


@pytest.mark.parametrize(
    ("listen", "logged", "answers"),
    [
        ("127.0.0.1:0", "127.0.0.1:{}", ["127.0.0.1"]),
        ("0.0.0.0:0", "0.0.0.0:{}", ["127.0.0.1"]),
        pytest.param("[::1]:0", "[::1]:{}", ["::1"], marks=needs_ipv6),
        pytest.param("[::]:0", "[::]:{}", ["::1", "127.0.0.1"], marks=needs_ipv6),
        pytest.param("[::ffff:127.0.0.1]:0", "[::ffff:127.0.0.1]:{}", ["127.0.0.1"], marks=needs_ipv6),
        pytest.param("[0:0::0]:0", "[::]:{}", ["::1", "127.0.0.1"], marks=needs_ipv6),
        pytest.param(":0", "[::]:{}", ["::1", "127.0.0.1"], marks=needs_ipv6),
    ],
)
def test_the_address_family_follows_the_address(
    serving: Serving, listen: str, logged: str, answers: list[str]
) -> None:
    made = serving(listen)
    assert made.addresses == logged.format(port(made))
    assert {host: status(ask(made, HEALTH, host)) for host in answers} == dict.fromkeys(answers, 200)


@needs_ipv6
def test_one_address_is_not_the_other_ones_too(serving: Serving) -> None:
    made = serving("[::1]:0")
    with pytest.raises(ConnectionRefusedError):
        connect(made, "127.0.0.1")


def test_a_name_is_listened_on_wherever_it_resolves_to(
    serving: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = [
        ("127.0.0.1", socket.AF_INET),
        ("127.0.0.2", socket.AF_INET),
        ("192.0.2.1", socket.AF_INET),
        ("127.0.0.1", socket.AF_INET),
    ]
    monkeypatch.setattr(
        socket, "getaddrinfo", lambda *_, **__: [(family, 1, 6, "", (host, 0)) for host, family in given]
    )
    made = serving("node.example:0")
    chosen = port(made)
    assert made.addresses == f"127.0.0.1:{chosen},127.0.0.2:{chosen}", (
        "one port for all; what this machine has not is left out"
    )
    for host in ("127.0.0.1", "127.0.0.2"):
        with closing(socket.socket()) as connection:
            connection.connect((host, chosen))


@needs_ipv6
def test_the_scope_of_an_address_belongs_to_it(serving: Serving, monkeypatch: pytest.MonkeyPatch) -> None:
    bound: list[object] = []
    made = socket.create_server

    def noted(address: tuple[str, int], **_given: object) -> socket.socket:
        bound.append(address)
        return made(address, family=socket.AF_INET6)

    monkeypatch.setattr(socket, "create_server", noted)
    monkeypatch.setattr(
        socket, "getaddrinfo", lambda *_, **__: [(socket.AF_INET6, 1, 6, "", ("::1", 0, 0, 7))]
    )
    assert serving("[fe80::1%eth0]:0")
    assert bound == [("::1", 0, 0, 7)]


def test_localhost_is_a_name(serving: Serving) -> None:
    made = serving("localhost:0")
    hosts = {str(found[4][0]) for found in socket.getaddrinfo("localhost", 0, type=socket.SOCK_STREAM)}
    usable = hosts if has_ipv6() else hosts - {"::1"}
    assert {host: status(ask(made, HEALTH, host)) for host in usable} == dict.fromkeys(usable, 200)


def test_without_ipv6_every_address_is_every_ipv4_one(
    serving: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(socket, "has_dualstack_ipv6", lambda: False)
    made = serving(":0")
    assert made.addresses == f"0.0.0.0:{port(made)}"
    assert status(ask(made, HEALTH)) == 200


@pytest.mark.parametrize(
    "listen",
    [
        "127.0.0.1:99999",
        "127.0.0.1:x",
        "8080:",
        "8080",
        f"127.0.0.1:{'9' * 5000}",
        "203.0.113.1:80",
        "[2001:db8::1]:80",
        "[::1:80",
        "no-such-name.invalid:80",
    ],
)
def test_an_address_that_cannot_be_listened_on_is_said(listen: str) -> None:
    with pytest.raises(ListenError, match="cannot listen on"):
        listening(listen, backlog=1)


def test_an_ipv6_address_without_brackets_is_told_how_it_is_written() -> None:
    with pytest.raises(ListenError, match=r"in brackets, \[::1\]:8080"):
        listening("::1:8080", backlog=1)


@pytest.mark.parametrize("listen", ["127.0.0.1:{}", pytest.param(":{}", marks=needs_ipv6), "localhost:{}"])
def test_a_port_in_use_is_said(listen: str, serving: Serving) -> None:
    taken = port(serving(listen.format(0)))
    with pytest.raises(ListenError, match="in use"):
        serving(listen.format(taken))


# --- POST


class HandedOver:
    """A hook that remembers what it was handed."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []

    def __call__(self, headers: Mapping[str, str], body: bytes) -> Page:
        self.bodies.append(body)
        return 200, "text/plain", headers.get("x-proof", "").encode()


@pytest.fixture
def hooked() -> Iterator[tuple[AgentServer, HandedOver]]:
    taken = HandedOver()
    made = serve("127.0.0.1:0", all_pages(), {"/webhook": taken})
    yield made, taken
    made.close()


def post(length: str, more: str = "") -> str:
    return f"POST /webhook?x=1 HTTP/1.1\r\nHost: x\r\n{length}X-Proof: here\r\n{more}\r\n"


def test_a_post_is_handed_over_whole(hooked: tuple[AgentServer, HandedOver]) -> None:
    made, taken = hooked
    body = "x" * http.MOST_BODY
    answer = ask(made, post(f"Content-Length: {len(body)}\r\n") + body)
    assert status(answer) == 200
    assert answer.endswith(b"\r\n\r\nhere")
    assert taken.bodies == [body.encode()]
    assert status(ask(made, HEALTH)) == 200


def test_one_that_asks_first_is_told_to_go_on(hooked: tuple[AgentServer, HandedOver]) -> None:
    made, taken = hooked
    with closing(connect(made)) as connection:
        connection.sendall(post("Content-Length: 2\r\n", "Expect: 100-continue\r\n").encode())
        assert connection.recv(100).startswith(b"HTTP/1.1 100 ")
        connection.sendall(b"ab")
        assert status(rest(connection)) == 200
    assert taken.bodies == [b"ab"]


@pytest.mark.parametrize(
    ("length", "expected"),
    [
        ("", 411),
        ("Transfer-Encoding: chunked\r\n", 411),
        ("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", 411),
        (f"Content-Length: {http.MOST_BODY + 1}\r\n", 413),
        (f"Content-Length: {'9' * 5000}\r\n", 413),
        ("Content-Length: -1\r\n", 400),
        ("Content-Length: \u0663\r\n", 400),
        ("Content-Length: 1\r\nContent-Length: 2\r\n", 400),
    ],
)
def test_a_body_that_is_too_large_or_of_unknown_length_is_not_read(
    hooked: tuple[AgentServer, HandedOver], length: str, expected: int
) -> None:
    made, taken = hooked
    assert status(ask(made, post(length))) == expected
    assert taken.bodies == []


@pytest.mark.parametrize(
    "line", ["POST /webhook HTTP/1.1", "POST /webhook/ HTTP/1.1", "POST /other HTTP/1.1"]
)
def test_where_nothing_takes_it_there_is_nothing(serving: Serving, line: str) -> None:
    assert status(ask(serving(), f"{line}\r\nContent-Length: 0\r\n\r\n")) == 404


@pytest.mark.parametrize(
    ("line", "expected"),
    [("GET /webhook HTTP/1.1", 404), ("PUT /webhook HTTP/1.1", 404), ("POST /webhook HTTP/2", 400)],
)
def test_only_a_post_is_one(hooked: tuple[AgentServer, HandedOver], line: str, expected: int) -> None:
    made, taken = hooked
    assert status(ask(made, f"{line}\r\nContent-Length: 0\r\n\r\n")) == expected
    assert taken.bodies == []


def test_a_body_that_does_not_come_is_cut_and_probes_get_through(
    monkeypatch: pytest.MonkeyPatch, hooked: tuple[AgentServer, HandedOver]
) -> None:
    made, taken = hooked
    waiting = [connect(made) for _ in range(http.MOST_BODIES)]
    for one in waiting:
        one.sendall(post("Content-Length: 10\r\n").encode() + b"abc")
    wait_until(lambda: made.connections == len(waiting), "all of them", 20)
    wait_until(lambda: status(ask(made, post("Content-Length: 0\r\n"))) == 503, "one too many", 20)
    assert status(ask(made, HEALTH)) == 200
    for one in waiting:
        one.close()
    wait_until(lambda: status(ask(made, post("Content-Length: 0\r\n"))) == 200, "room again", 20)
    assert taken.bodies == [b""]
    monkeypatch.setattr(http, "SLOWEST_CLIENT", 0.3)
    assert ask(made, post("Content-Length: 10\r\n") + "abc") == b""
