"""HTTP messages: an answer is the same however its bytes arrive, and nothing is taken for an answer that is
none.
"""

from __future__ import annotations

import gzip
from collections.abc import Iterable
from itertools import chain, repeat

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gitmesh.adapters.kube.message import MessageError, Reply, Response, TooLargeError, request
from gitmesh.errors import ClusterError

SIZED = b"HTTP/1.1 200 OK\r\nDate: today\r\nWarning: a\r\nwarning: b\r\nContent-Length: 5\r\n\r\nhello"
CHUNKED = (
    b"HTTP/1.1 200 OK\r\nDate: today\r\nWarning: a\r\nWarning: b\r\nTransfer-Encoding:"
    b" chunked\r\n\r\n3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n"
)
UNFRAMED = b"HTTP/1.1 200 OK\r\nDate: today\r\nWarning: a\r\nWarning: b\r\n\r\nhello"
EARLY_HINTS = b"HTTP/1.1 103 Early Hints\r\nWarning: no\r\n\r\n"


def fed(pieces: Iterable[bytes]) -> Response:
    """An answer that came in these pieces."""
    response = Response()
    for piece in pieces:
        assert not response.is_whole
        response.feed(piece)
    return response


def received(*pieces: bytes) -> Reply:
    """Its whole content."""
    response = fed(pieces)
    assert response.is_whole
    return response.reply()


@given(st.sampled_from([SIZED, CHUNKED, UNFRAMED, EARLY_HINTS + SIZED]), st.data())
def test_an_answer_is_the_same_however_it_is_cut(whole: bytes, data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.sets(st.integers(1, len(whole) - 1))))
    pieces = [whole[start:end] for start, end in zip([0, *cuts], [*cuts, len(whole)], strict=True)]
    reply = received(*pieces, *([b""] if whole == UNFRAMED else []))
    assert (reply.status, reply.body, reply.headers["warning"], reply.first("date")) == (
        200,
        b"hello",
        ["a", "b"],
        "today",
    )


@pytest.mark.parametrize(
    ("answer", "keeps"),
    [
        (SIZED, True),
        (CHUNKED, True),
        (SIZED.replace(b"1.1", b"1.0"), False),
        (SIZED.replace(b"Date: today", b"Connection: close"), False),
        (b"HTTP/1.1 204 No Content\r\n\r\n", True),
    ],
)
def test_a_connection_is_kept_where_the_server_keeps_it(answer: bytes, keeps: bool) -> None:
    response = fed([answer])
    assert (response.is_whole, response.keeps_alive) == (True, keeps)


def test_an_answer_that_only_the_end_ends_is_the_last_one() -> None:
    assert not fed([UNFRAMED, b""]).keeps_alive


@pytest.mark.parametrize("came", [SIZED[:-1], CHUNKED[:-5], SIZED[:20], b"HTTP/1.1 100 Continue\r\n\r\n"])
def test_what_ends_early_is_no_answer(came: bytes) -> None:
    with pytest.raises(MessageError, match="ended early"):
        fed([came, b""])


def test_a_server_that_closes_at_once_gave_no_answer() -> None:
    with pytest.raises(MessageError, match="without an answer"):
        fed([b""])


@pytest.mark.parametrize(
    "came",
    [
        b"220 ready\r\n",
        b"\x15\x03\x01\x00\x02\x02\x46",
        SIZED.replace(b"Content-Length: 5", b"Content-Length: 5\r\nContent-Length: 6"),
        SIZED.replace(b"Content-Length: 5", b"Content-Length: 5\r\nTransfer-Encoding: chunked"),
        SIZED.replace(b": 5", b": -5"),
        CHUNKED.replace(b"3\r\n", b"x\r\n"),
        SIZED + SIZED,
        SIZED + b"more",
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n",
    ],
)
def test_what_can_be_read_in_two_ways_is_no_answer(came: bytes) -> None:
    with pytest.raises(MessageError, match="no HTTP answer"):
        fed([came])


@pytest.mark.parametrize(
    "endless", [b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 50_000, EARLY_HINTS * 10_000], ids=["header", "hints"]
)
def test_K25_a_header_without_end_is_cut(endless: bytes) -> None:
    with pytest.raises(MessageError, match="longer than 256 KiB"):
        fed(endless[start : start + 16_384] for start in range(0, len(endless), 16_384))


def packed(body: bytes, encoding: bytes = b"gzip") -> bytes:
    """An answer that says that its body is packed."""
    return b"HTTP/1.1 200 OK\r\nContent-Encoding: %b\r\nContent-Length: %d\r\n\r\n%b" % (
        encoding,
        len(body),
        body,
    )


def test_K25_a_body_without_end_is_cut() -> None:
    with pytest.raises(TooLargeError):
        fed(chain([UNFRAMED], repeat(b" " * 1024 * 1024)))


def test_a_packed_body_is_unpacked() -> None:
    assert received(packed(gzip.compress(b"hello", mtime=0))).body == b"hello"


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (packed(b"hello"), "is no gzip"),
        (packed(gzip.compress(b"hello", mtime=0)[:-4]), "no whole gzip"),
        (packed(gzip.compress(b"hel", mtime=0) + gzip.compress(b"lo", mtime=0)), "no whole gzip"),
        (packed(b"hello", b"br"), "not asked for"),
        (packed(gzip.compress(b"hello", mtime=0), b"gzip, identity"), "not asked for"),
    ],
)
def test_a_body_that_is_not_packed_as_it_says_is_an_error(answer: bytes, why: str) -> None:
    with pytest.raises(MessageError, match=why):
        received(answer)


def test_a_trailer_says_nothing() -> None:
    trailed = CHUNKED.removesuffix(b"\r\n") + b"Content-Encoding: gzip\r\nWarning: c\r\n\r\n"
    reply = received(trailed)
    assert (reply.body, reply.headers["warning"]) == (b"hello", ["a", "b"])


def test_a_request_leaves_in_one_piece() -> None:
    sent = request("PATCH", "/a?b=c", {"Host": "here:1", "Accept": "x"}, b"{}")
    assert sent == b"PATCH /a?b=c HTTP/1.1\r\nHost: here:1\r\nAccept: x\r\nContent-Length: 2\r\n\r\n{}"
    assert request("GET", "/", {"Host": "h"}, None) == b"GET / HTTP/1.1\r\nHost: h\r\n\r\n"


@pytest.mark.parametrize("target", ["", "/a b", "/a\r\nX: y", "/ä", "/a\x00", "/a\x7f"])
def test_K32_no_path_leaves_its_line(target: str) -> None:
    with pytest.raises(ClusterError, match="characters that none may have"):
        request("GET", target, {"Host": "h"}, None)


@pytest.mark.parametrize("value", ["a\r\nX: y", "a\nb", "a\x00", "ä", "a\x7f"])
def test_K32_no_header_leaves_its_line(value: str) -> None:
    with pytest.raises(ClusterError, match="characters that none may have"):
        request("GET", "/", {"Host": "h", "Authorization": f"Bearer {value}"}, None)
