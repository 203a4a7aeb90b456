"""HTTP/1.1 messages: a request as bytes, an answer out of the bytes that come. Framing is llhttp's, which is
strict.
"""

from __future__ import annotations

import re
import zlib
from typing import TYPE_CHECKING, NamedTuple

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

from gitmesh.errors import ClusterError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

MOST_BYTES = 64 * 1024 * 1024
_MOST_HEADER_BYTES = 256 * 1024
GZIP = 31
"""zlib's window bits for the gzip format."""
_TARGET = re.compile(r"[!-~]+")
_FIELD = re.compile(r"[ -~]*")


class MessageError(OSError):
    """What came is no whole HTTP answer; the text says why."""


class TooLargeError(Exception):
    """An answer of more than 64 MiB."""


class Reply(NamedTuple):
    """An answer with its whole body, unpacked. Names of headers are in lower case, their values in the order
    in which they came.
    """

    status: int
    headers: Mapping[str, Sequence[str]]
    body: bytes

    def first(self, name: str) -> str | None:
        """The first value of a header."""
        return next(iter(self.headers.get(name, ())), None)


def request(method: str, target: str, headers: Mapping[str, str], body: bytes | None) -> bytes:
    """The bytes of a request. Raises ClusterError."""
    length = {} if body is None else {"Content-Length": len(body)}
    fields = [f"{name}: {value}" for name, value in {**headers, **length}.items()]
    # A line break in a header or path would be another header, or another request.
    if not (_TARGET.fullmatch(target) and all(map(_FIELD.fullmatch, fields))):
        raise ClusterError(
            f"{method}: the path or a header holds characters that none may have", retryable=False
        )
    return "\r\n".join([f"{method} {target} HTTP/1.1", *fields, "\r\n"]).encode("ascii") + (body or b"")


class Response:
    """An answer as it comes in: `feed` it until `is_whole`. The `on_` methods are for the parser alone."""

    def __init__(self) -> None:
        self.is_whole = False
        self.keeps_alive = False
        self._headers: dict[str, list[str]] = {}
        self._has_headers = False
        self._body = bytearray()
        self._received = 0
        self._parser = HttpResponseParser(self)

    def feed(self, data: bytes) -> None:
        """What came next, empty where the server closed. Raises MessageError, and TooLargeError beyond 64
        MiB.
        """
        self._received += len(data)
        if self._received > MOST_BYTES:
            raise TooLargeError
        if self._received > _MOST_HEADER_BYTES and not self._has_headers:
            raise MessageError("its header is longer than 256 KiB")
        try:
            self._parser.feed_data(data)
        except (HttpParserError, HttpParserUpgrade):
            raise MessageError("what came is no HTTP answer") from None
        if not data:
            self._end()

    def reply(self) -> Reply:
        """The whole answer. Raises MessageError where its body cannot be unpacked, and TooLargeError."""
        status = self._parser.get_status_code()
        del self._parser  # it knows our methods: a circle, and commands run without a collector
        return Reply(
            status, self._headers, _unpacked(bytes(self._body), self._headers.get("content-encoding", ()))
        )

    def on_message_begin(self) -> None:
        """Another message after the answer would be an answer to nobody."""
        if self.is_whole:
            raise MessageError

    def on_header(self, name: bytes, value: bytes) -> None:
        """One line of the header; a trailer says nothing to us."""
        if self._has_headers:
            return
        self._headers.setdefault(name.decode("latin-1").lower(), []).append(value.decode("latin-1"))

    def on_headers_complete(self) -> None:
        """Only now does the parser know."""
        self._has_headers = True
        self.keeps_alive = self._parser.should_keep_alive()

    def on_body(self, body: bytes) -> None:
        """A piece of the body."""
        self._body += body

    def on_message_complete(self) -> None:
        """The answer, or a word before it that says nothing (RFC 9110, 15.2)."""
        self.is_whole = self._parser.get_status_code() >= 200
        if not self.is_whole:
            self._headers.clear()
            self._has_headers = False

    def _end(self) -> None:
        """The server closed."""
        if not self._received:
            raise MessageError("the server closed it without an answer")
        # Only an answer without a length and without chunks ends when the server closes (RFC 9112, section
        # 6.3); any other one ended too early.
        if not self._has_headers or self._headers.keys() & {"content-length", "transfer-encoding"}:
            raise MessageError("the answer ended early")
        self.is_whole = True


def _unpacked(body: bytes, encodings: Sequence[str]) -> bytes:
    """The body as it was before a proxy packed it, though we asked for it as it is."""
    encoding = ", ".join(encodings).lower()
    if encoding in ("", "identity"):
        return body
    if encoding != "gzip":
        raise MessageError("its content encoding was not asked for")
    unpacker = zlib.decompressobj(wbits=GZIP)
    try:
        # Bounded while it is unpacked: a few kilobytes may stand for gigabytes.
        content = unpacker.decompress(body, MOST_BYTES + 1)
    except zlib.error:
        raise MessageError("its body is no gzip") from None
    if len(content) > MOST_BYTES:
        raise TooLargeError
    if not unpacker.eof or unpacker.unused_data:
        raise MessageError("its body is no whole gzip")
    return content
