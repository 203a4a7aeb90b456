"""The bridge between one HTTP request and one run of ``git http-backend`` (a CGI program)."""

from __future__ import annotations

import base64
import binascii
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Protocol
from urllib.parse import parse_qs, unquote, urlsplit

from tests.lab.process import LOOPBACK

UPLOAD = "git-upload-pack"
RECEIVE = "git-receive-pack"


@dataclass(frozen=True)
class GitRequest:
    """One request that arrived; ``service`` is empty for one that names none, ``status`` 0 for one hung."""

    method: str
    path: str
    service: str
    user: str
    status: int


class Switches(Protocol):
    """What the handler asks of the server it belongs to."""

    @property
    def hang(self) -> bool:
        """Whether to stay silent."""

    def wait_released(self) -> None:
        """Stay silent until the hang is over."""

    def refusal(self, service: str, login: tuple[str, str]) -> int | None:
        """The status to refuse a request with, or None to serve it."""

    def backend(self, environment: Mapping[str, str], body: bytes) -> bytes:
        """Run the backend."""

    def record(self, request: GitRequest) -> None:
        """Remember a request."""


class BridgeServer(ThreadingHTTPServer):
    """Handlers may hang for ever: nobody waits for them."""

    daemon_threads = True
    block_on_close = False
    lab: Switches

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that went away is a test's business; anything else is a fault of the lab."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]


class BridgeHandler(BaseHTTPRequestHandler):
    """Turns one HTTP request into one CGI call."""

    protocol_version = "HTTP/1.1"
    server: BridgeServer

    def do_GET(self) -> None:
        """The first request of a clone, fetch or push; files for dumb clients."""
        self._handle()

    def do_POST(self) -> None:
        """The packs."""
        self._handle()

    def log_message(self, format: str, *args: object) -> None:
        """Stay quiet: ``requests`` tells what arrived."""

    def _handle(self) -> None:
        # Each request has a connection of its own, so that stop() leaves none behind.
        self.close_connection = True
        lab = self.server.lab
        body = self._body()
        if lab.hang:
            self._record(0)
            lab.wait_released()
            return
        status = lab.refusal(self._service, self._login())
        if status is not None:
            self._answer(status, {"Content-Type": "text/plain"}, f"lab: {status}\n".encode())
            return
        status, headers, content = _parse_cgi(lab.backend(self._cgi_environment(len(body)), body))
        self._answer(status, headers, content)

    @property
    def _service(self) -> str:
        parts = urlsplit(self.path)
        last = parts.path.rsplit("/", 1)[-1]
        return last if last in (UPLOAD, RECEIVE) else parse_qs(parts.query).get("service", [""])[0]

    def _login(self) -> tuple[str, str]:
        """The user and password of the request, empty without any."""
        scheme, _, value = self.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "basic":
            return "", ""
        try:
            user, _, password = base64.b64decode(value).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            return "", ""
        return user, password

    def _body(self) -> bytes:
        """The request's body, whichever way its length is told."""
        if "chunked" not in self.headers.get("Transfer-Encoding", "").lower():
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        parts: list[bytes] = []
        while size := int(self.rfile.readline().split(b";")[0], 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        while self.rfile.readline().strip():
            pass
        return b"".join(parts)

    def _cgi_environment(self, length: int) -> dict[str, str]:
        parts = urlsplit(self.path)
        return {
            "REQUEST_METHOD": self.command,
            "PATH_INFO": unquote(parts.path),
            "QUERY_STRING": parts.query,
            "CONTENT_TYPE": self.headers.get("Content-Type", ""),
            "CONTENT_LENGTH": str(length),
            "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
            "HTTP_GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
            "REMOTE_USER": self._login()[0],
            "REMOTE_ADDR": LOOPBACK,
        }

    def _answer(self, status: int, headers: Mapping[str, str], content: bytes) -> None:
        self._record(status)
        self.send_response(status)
        if status == 401:
            self.send_header("WWW-Authenticate", 'Basic realm="lab"')
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(content)

    def _record(self, status: int) -> None:
        path = urlsplit(self.path).path
        self.server.lab.record(GitRequest(self.command, path, self._service, self._login()[0], status))


def _parse_cgi(output: bytes) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and content of a CGI answer; nothing at all means the backend failed."""
    head, separator, content = output.partition(b"\r\n\r\n")
    if not separator:
        return 500, {"Content-Type": "text/plain"}, b"git http-backend gave no answer\n"
    headers = dict(line.split(": ", 1) for line in head.decode().split("\r\n"))
    status = int(headers.pop("Status", "200").split()[0])
    return status, headers, content
