"""Faults of the wire that no real API server shows on demand, from a small server of faults."""

from __future__ import annotations

import gzip
import json
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import count

import pytest

from gitmesh.adapters.kube import lists
from gitmesh.adapters.kube.client import KubeClient
from gitmesh.adapters.kube.credentials import Endpoint
from gitmesh.adapters.kube.exchange import ApiRequest
from gitmesh.adapters.kube.lists import everything
from gitmesh.adapters.kube.store import LedgerStore
from gitmesh.errors import ClusterError
from gitmesh.model.plan import Action
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
from tests.integration.kube_support import KINDS, carry_out, cluster_at, step, vs_key, vs_spec
from tests.patience import GIVEN_UP

GET = ApiRequest(method="GET", path="/api/v1/namespaces")
OK = says(200, b'{"kind": "NamespaceList", "metadata": {}, "items": []}')
BUSY = says(429, b"{}", Retry_After="0")


@contextmanager
def facing(
    *replies: Reply, timeout: float = 5.0, jitter: Callable[[], float] = lambda: 0.0
) -> Iterator[tuple[KubeClient, FaultServer]]:
    """A client whose server answers so."""
    with FaultServer(*replies) as server:
        client = KubeClient(
            Endpoint(server=server.url), timeout=timeout, user_agent="gitmesh-tests", jitter=jitter
        )
        try:
            yield client, server
        finally:
            client.close()


def failure(client: KubeClient, request: ApiRequest = GET) -> ClusterError:
    """What a request ends in."""
    with pytest.raises(ClusterError) as found:
        decoded(client, request)
    return found.value


def decoded(client: KubeClient, request: ApiRequest = GET) -> object:
    """The object of an answer."""
    return client.send(request).json()


def test_K07_a_trickling_body_ends_at_the_deadline_and_its_socket_is_closed() -> None:
    with facing(trickles, timeout=0.5) as (client, server):
        start = time.monotonic()
        assert "no answer within 0.5 s" in failure(client).detail
        assert time.monotonic() - start < GIVEN_UP
        assert server.dropped.wait(10)


def test_K05_a_429_is_tried_again_when_the_server_says_and_others_go_slower() -> None:
    with facing(BUSY, BUSY, OK) as (client, server):
        decoded(client)
        assert len(server.seen) == 3
        assert client.in_flight == 8


def test_K05_a_long_or_senseless_retry_after_does_not_outlast_the_deadline() -> None:
    with facing(says(429, b"{}", Retry_After="21600"), timeout=20.0) as (client, server):
        start = time.monotonic()
        assert failure(client).retryable
        assert time.monotonic() - start < GIVEN_UP
        assert len(server.seen) == 1
    with facing(says(429, b"{}", Retry_After="soon"), OK) as (client, server):
        decoded(client)
        assert len(server.seen) == 2


@pytest.mark.parametrize(
    "reply", [says(500, b"oops"), says(502, b""), says(503, b""), says(504, b""), resets, breaks_off]
)
def test_K06_harmless_requests_are_tried_again_others_never(reply: Reply) -> None:
    with facing(reply, OK) as (client, server):
        decoded(client)
        assert len(server.seen) == 2
    with facing(reply, OK) as (client, server):
        failure(client, ApiRequest(method="POST", path="/x", body=b"{}", safe=False))
        assert len(server.seen) == 1


def test_K06_attempts_are_bounded() -> None:
    with facing(says(503, b"still starting")) as (client, server):
        assert (
            "the API server failed (503: GET /api/v1/namespaces: still starting)" in failure(client).in_full
        )
        assert len(server.seen) == 4


@pytest.mark.parametrize(
    ("body", "sign"),
    [
        (b"<html>\n<h1>Login</h1>", "<html> <h1>Login</h1>"),
        (b'{"items": [', '{"items": ['),
        (b"\xff\x00", "�"),
    ],
)
def test_K25_a_200_that_is_no_object_is_an_error(body: bytes, sign: str) -> None:
    with facing(says(200, body)) as (client, _):
        found = failure(client)
        assert (found.retryable, sign in found.detail, sign in str(found)) == (True, True, False)


def test_K25_an_endless_answer_is_cut_at_64_mib() -> None:
    with facing(floods, timeout=30.0) as (client, _):
        assert "larger than 64 MiB" in str(failure(client))


def test_K25_a_bomb_of_gzip_is_cut_at_64_mib() -> None:
    with facing(says(200, gzip.compress(b" " * 80 * 1024 * 1024), Content_Encoding="gzip"), timeout=30.0) as (
        client,
        _,
    ):
        assert "larger than 64 MiB" in str(failure(client))


def test_K25_a_long_text_with_control_characters_is_shortened_and_cleaned() -> None:
    text = b'{"kind": "Status", "reason": "Forbidden", "message": "\\u001b[31m\\n' + b"a" * 4_000_000 + b'"}'
    with facing(says(403, text)) as (client, _):
        found = failure(client)
        assert (found.code, found.retryable) == ("GM503", False)
        assert len(found.in_full) < 700
        assert found.in_full.isprintable()


def test_K03_a_list_that_expires_between_pages_starts_again_and_is_whole() -> None:
    def page(name: str, more: str) -> Reply:
        return says(
            200,
            b'{"metadata": {"continue": "%s"}, "items": [{"metadata": {"name": "%s"}}]}'
            % (more.encode(), name.encode()),
        )

    replies = (page("old-1", "x"), page("old-2", "y"), says(410, b"{}"), page("a", "z"), page("b", ""))
    with facing(*replies) as (client, server):
        names = everything(client, "/api/v1/pods", lambda raw: str(raw["metadata"]["name"]))
    assert names == ["a", "b"]
    assert server.seen[3] == ("GET", "/api/v1/pods?limit=500")


def test_K03_a_list_that_always_expires_or_breaks_is_an_error_never_a_part() -> None:
    first = says(200, b'{"metadata": {"continue": "x"}, "items": [{"metadata": {"name": "a"}}]}')
    for second in (
        says(410, b"{}"),
        says(403, b"{}"),
        says(200, b"{}"),
        says(200, b'{"items": null, "metadata": {}}'),
    ):
        with (
            facing(first, second, first, second, first, second, first, second) as (client, _),
            pytest.raises(ClusterError),
        ):
            everything(client, "/api/v1/pods", lambda raw: raw)


@pytest.mark.parametrize(
    "item",
    [b"null", b"7", b"[]", b"{}", b'{"metadata": null}', b'{"metadata": {}}', b'{"metadata": {"name": 7}}'],
)
def test_K03_a_list_with_something_that_is_no_object_is_an_error_never_a_part(item: bytes) -> None:
    damaged = says(200, b'{"metadata": {}, "items": [{"metadata": {"name": "a"}}, %b]}' % item)
    with facing(damaged) as (client, _), pytest.raises(ClusterError, match="is no list"):
        everything(client, "/api/v1/services", lambda raw: raw)


def test_K03_a_list_without_end_is_an_error() -> None:
    with (
        facing(says(200, b'{"metadata": {"continue": "again"}, "items": []}')) as (client, server),
        pytest.raises(ClusterError, match="does not end") as found,
    ):
        everything(client, "/api/v1/pods", lambda raw: raw, clock=lambda: 0.0)
    assert 1000 <= len(server.seen) <= 1002
    assert "1001 pages" in found.value.detail


ENDLESS = says(
    200, b'{"metadata": {"continue": "again"}, "items": [{"metadata": {"name": "%s"}}]}' % (b"a" * 1000)
)


def test_K03_a_list_that_lasts_ends_after_four_times_the_deadline_of_a_request() -> None:
    seconds = count()
    with facing(ENDLESS, timeout=5.0) as (client, server), pytest.raises(ClusterError, match="does not end"):
        everything(client, "/api/v1/pods", lambda raw: raw, clock=lambda: float(next(seconds)))
    assert 20 <= len(server.seen) <= 23


def test_K03_a_list_that_expires_again_and_again_has_no_more_time_for_that() -> None:
    seconds = count(step=8)
    expired = says(410, b"{}")
    with (
        facing(ENDLESS, expired, ENDLESS, expired, ENDLESS, timeout=5.0) as (client, _),
        pytest.raises(ClusterError, match="does not end"),
    ):
        everything(client, "/api/v1/pods", lambda raw: raw, clock=lambda: float(next(seconds)))


def test_K03_a_list_of_too_many_bytes_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lists, "_MOST_BYTES", 5000)
    with facing(ENDLESS) as (client, server), pytest.raises(ClusterError, match="does not end"):
        everything(client, "/api/v1/pods", lambda raw: raw)
    assert len(server.seen) <= 6


def test_K07_a_list_that_does_not_end_is_given_up_in_time_however_soon_each_page_comes() -> None:
    def another(handler: Handler) -> None:
        handler.server.dropped.wait(0.05)
        handler.send(200, b'{"metadata": {"continue": "%d"}, "items": []}' % len(handler.server.seen))

    with facing(another, timeout=0.5) as (client, _):
        began = time.monotonic()
        with pytest.raises(ClusterError, match=r"does not end: .* 4 times the cluster's timeout"):
            everything(client, "/api/v1/pods", lambda raw: raw)
        assert time.monotonic() - began < GIVEN_UP


@pytest.mark.parametrize(
    "date",
    ["soon", "Mon, 01 Jan 99999999999999999999 00:00:00 GMT", f"Mon, 01 Jan 2026 00:00:00 +{'9' * 20}"],
)
def test_K25_a_date_that_is_none_is_no_clock(date: str) -> None:
    def dated(handler: Handler) -> None:
        handler.send_response_only(200)
        handler.send_header("Date", date)
        handler.send_header("Content-Length", "2")
        handler.end_headers()
        handler.wfile.write(b"{}")

    with facing(dated) as (client, _):
        client.send(GET)
        assert client.clock() == 0.0


@pytest.mark.parametrize(
    "content",
    [
        {"data": "abc"},
        {"data": [1]},
        {"binaryData": "abc"},
        {"binaryData": {"ledger.json.gz": 7}},
        {"binaryData": {"ledger.json.gz": ["a"]}},
        {"binaryData": {"ledger.json.gz": "\u00e9"}},
    ],
)
def test_X11_a_ledger_of_another_shape_is_a_damaged_one(content: dict[str, object]) -> None:
    metadata = {"name": "gitmesh-x", "namespace": "gitmesh-system", "uid": "1", "resourceVersion": "2"}
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, **content}
    with facing(says(200, json.dumps(body).encode())) as (client, _):
        assert LedgerStore(client).load("x").corrupt


NOT_THERE = b'{"kind": "Status", "reason": "NotFound", "details": {"name": "gitmesh-x"}}'


@pytest.mark.parametrize("body", [b"<html>404</html>", b"404 page not found", b"{}", b""])
def test_K25_a_404_that_no_api_server_said_is_no_absence(body: bytes) -> None:
    with facing(says(404, NOT_THERE)) as (client, _):
        assert LedgerStore(client).load("x").version == ""
    with facing(says(404, body)) as (client, _), pytest.raises(ClusterError):
        LedgerStore(client).load("x")


def test_K25_a_web_page_is_no_word_on_which_kinds_are_served_or_forbidden() -> None:
    page = b"<!DOCTYPE html><html><h1>Sign in</h1></html>"
    for status in (403, 404):
        with FaultServer(says(status, page)) as server:
            cluster = cluster_at(Endpoint(server=server.url))
            for reading in (cluster.facts, lambda cluster=cluster: cluster.observe(KINDS)):
                with pytest.raises(ClusterError, match="web page") as found:
                    reading()
                assert (found.value.code, "proxy" in found.value.hint) == ("GM501", True)
            cluster.close()
    with FaultServer(says(404, b"404 page not found\n")) as server:
        cluster = cluster_at(Endpoint(server=server.url))
        assert len(cluster.observe(KINDS).missing_kinds) == len(KINDS)
        cluster.close()


def test_a_redirect_is_not_followed() -> None:
    with facing(says(302, b"", Location="http://127.0.0.1:9/")) as (client, server):
        assert "302" in str(failure(client))
        assert len(server.seen) == 1


def test_warnings_of_the_server_are_kept() -> None:
    with facing(says(200, b"{}", Warning='299 - "v1beta1 is \\u0007deprecated"')) as (client, _):
        assert client.send(GET).warnings == ("v1beta1 is \\u0007deprecated",)


def test_a_path_reaches_the_server_as_it_was_guarded() -> None:
    with facing(OK) as (client, server):
        decoded(client, ApiRequest(method="GET", path="/apis/a/%2e%2e", query={"continue": "a+b/c=&d"}))
    assert server.seen == [("GET", "/apis/a/%2e%2e?continue=a%2Bb/c%3D%26d")]


def test_many_requests_at_once_are_all_answered_through_the_limit() -> None:
    with facing(BUSY, BUSY, OK) as (client, server):
        assert len(client.each(decoded, [client] * 200)) == 200
        assert len(server.seen) == 202


@pytest.mark.parametrize(
    "body",
    [b"{}", b'{"metadata": 1}', b'{"metadata": {}}', b'{"items": [1, {}, {"metadata": []}], "metadata": {}}'],
)
def test_K25_objects_of_a_strange_shape_end_in_an_error_or_are_left_out(body: bytes) -> None:
    with FaultServer(says(200, body)) as server:
        cluster = cluster_at(Endpoint(server=server.url))
        for reading in (lambda: cluster.load("default"), cluster.facts):
            with pytest.raises(ClusterError):
                reading()
        try:
            assert cluster.observe(KINDS).live == {}
        except ClusterError as error:
            assert "no list" in str(error)  # noqa: PT017 - either answer is sound
        (outcome,) = carry_out(cluster, step(Action.CREATE, vs_key("shop"), vs_spec()))
        cluster.close()
    assert not outcome.ok


def test_a_client_that_is_closed_ends_what_still_waits() -> None:
    with FaultServer(trickles) as server:
        client = KubeClient(Endpoint(server=server.url), timeout=30.0, user_agent="gitmesh-tests")
        with ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(failure, client)
            assert server.asked.wait(5)
            client.close()
            assert "closed from this side" in str(waiting.result(timeout=5))
