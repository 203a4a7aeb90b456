"""What the three servers have in common: HTTP on loopback, tokens and their rights, a budget of requests,
pages, faults.
"""

from __future__ import annotations

import json
import re
import select
import socket
import ssl
import threading
from collections.abc import Callable, Mapping, Sequence
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from types import TracebackType
from typing import Any, ClassVar, Self
from urllib.parse import parse_qsl, urlencode, urlsplit

from msgspec import Struct

from gitmesh.adapters.forge import forge
from gitmesh.model.config_forge import ForgeConfig
from gitmesh.ports import Forge
from tests.forges.faults import Faults, Trouble
from tests.forges.state import Hosted
from tests.serving import LoopbackServer

NOW = 1_700_000_000
"""The servers' time, in seconds since the epoch: what their Date headers say."""
GARBAGE = b"<!DOCTYPE html><html><body>Please log in.</body></html>"


class ForgeRequest(Struct, frozen=True, kw_only=True):
    """A request. `path` is as it was sent, escapes and all; names of headers are in lower case."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: Any = None
    match: Sequence[str] = ()

    @property
    def number(self) -> int:
        """The last number in the path."""
        return int(self.match[-1])


class ForgeAnswer(Struct, frozen=True, kw_only=True):
    """An answer; `data` is sent as JSON, None as no body at all."""

    status: int = 200
    data: Any = None
    headers: Mapping[str, str] = {}


class ForgeServer(Hosted):
    """A forge with one repository. Switches may be set at any time.

    `rights` are what the token may do (read, comment, status); `budget` is the number of requests until the
    rate limit, None for no limit; `script` are answers that the next requests get without being looked at;
    `most` is the greatest page; unless it `keeps_alive`, it closes each connection after its answer without
    having said so.
    """

    kind: ClassVar[str]
    routes: ClassVar[Sequence[tuple[str, str, str]]]
    """Method, path below the API's address as a regular expression, and the method that answers."""
    prefix: ClassVar[str]
    size: ClassVar[str] = "per_page"
    """The parameter for the size of a page."""

    def __init__(self, repository: str = "shop/policies", *, tls: ssl.SSLContext | None = None) -> None:
        super().__init__()
        self.repository = repository
        self.token = f"{self.kind}-token-of-the-tests"
        self.rights = {"read", "comment", "status"}
        self.budget: int | None = None
        self.script: list[ForgeAnswer] = []
        self.keeps_alive = True
        self.faults = Faults(0, 0.0)
        self.most = 100
        self.link_root: str | None = None
        self.asked: list[ForgeRequest] = []
        self.troubles: list[Trouble] = []
        self.connections = 0
        self.ending = threading.Event()
        self._http = _ForgeHttp(self, tls)

    # -- for tests --------------------------------------------------------------------------------------

    @property
    def url(self) -> str:
        """Its address."""
        return f"{'https' if self._http.is_tls else 'http'}://127.0.0.1:{self._http.server_port}"

    def config(self, folder: Path, **more: str) -> ForgeConfig:
        """The configuration that leads here, with a token file in the folder."""
        (folder / "token").write_text(f"{self.token}\n")
        fields = {
            "kind": self.kind,
            "url": self.url,
            "repository": self.repository,
            "tokenFile": "token",
            "allowInsecure": True,
        }
        return ForgeConfig.model_validate({**fields, **more})

    def forge(
        self,
        folder: Path,
        *,
        timeout: float = 20.0,
        sleep: Callable[[float], None] = lambda _: None,
        **more: str,
    ) -> Forge:
        """The adapter, which takes no time for its pauses."""
        return forge(self.config(folder, **more), folder, timeout=timeout, sleep=sleep, jitter=lambda: 0.5)

    def requests(self, method: str = "", part: str = "") -> list[ForgeRequest]:
        """What was asked so far, of this method, with this part in its path."""
        return [one for one in self.asked if method in ("", one.method) and part in one.path]

    def __enter__(self) -> Self:
        self._http.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.ending.set()
        self._http.__exit__(kind, error, trace)

    # -- for the three ----------------------------------------------------------------------------------

    def authenticated(self, asked: ForgeRequest) -> bool:
        """Whether the request has the token in the way of this forge."""
        raise NotImplementedError

    def refused(self, status: int) -> ForgeAnswer:
        """401, 403 or 404 in the words of this forge."""
        raise NotImplementedError

    def limited(self) -> ForgeAnswer:
        """The answer when the budget is spent."""
        raise NotImplementedError

    def common(self) -> Mapping[str, str]:
        """Headers of every answer."""
        return {}

    def paged(
        self, asked: ForgeRequest, items: Sequence[object], default: int = 30
    ) -> tuple[list[Any], Mapping[str, str]]:
        """One page, and the headers that lead on."""
        size = min(self.most, int(asked.query.get(self.size, default)))
        page = int(asked.query.get("page", 1))
        pages = max(1, -(-len(items) // size))
        return list(items[(page - 1) * size : page * size]), self.leading_on(asked, page, pages)

    def leading_on(self, asked: ForgeRequest, page: int, pages: int) -> Mapping[str, str]:
        """The Link header, by which all three lead on."""
        links = [("next", page + 1), ("last", pages)] if page < pages else []
        return (
            {"Link": ", ".join(f'<{self._linked(asked, number)}>; rel="{rel}"' for rel, number in links)}
            if links
            else {}
        )

    def _linked(self, asked: ForgeRequest, page: int) -> str:
        return f"{self.link_root or self.url}{asked.path}?{urlencode({**asked.query, 'page': page})}"

    # -- answering --------------------------------------------------------------------------------------

    def answer(self, asked: ForgeRequest) -> ForgeAnswer:
        """One request, whole."""
        with self.lock:
            self.asked.append(asked)
            if self.script:
                return self.script.pop(0)
            if self.budget is not None:
                if self.budget == 0:
                    return self.limited()
                self.budget -= 1
            said = self._routed(asked)
            return ForgeAnswer(status=said.status, data=said.data, headers={**self.common(), **said.headers})

    def _routed(self, asked: ForgeRequest) -> ForgeAnswer:
        if not self.authenticated(asked):
            return self.refused(401)
        for method, pattern, name in self.routes:
            match = re.fullmatch(self.prefix + pattern, asked.path)
            if match and method == asked.method:
                answer: Callable[[ForgeRequest], ForgeAnswer] = getattr(self, name)
                named = ForgeRequest(
                    method=method,
                    path=asked.path,
                    query=asked.query,
                    headers=asked.headers,
                    body=asked.body,
                    match=match.groups(),
                )
                return answer(named)
        return self.refused(404)


class _ForgeHandler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1
    disable_nagle_algorithm = True
    server: _ForgeHttp

    def setup(self) -> None:
        super().setup()
        self.server.forge.connections += 1

    def _answer(self) -> None:
        content = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        forge, trouble = self.server.forge, self.server.forge.faults.draw()
        if trouble is not None:
            forge.troubles.append(trouble)
        if trouble in (None, Trouble.LOST):
            said = forge.answer(self._asked(content))
            return self._end() if trouble else self._say(said)
        return self._fail(trouble)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _answer  # noqa: N815 - names that http.server calls

    def _asked(self, content: bytes) -> ForgeRequest:
        parts = urlsplit(self.path)
        headers = {name.lower(): value for name, value in self.headers.items()}
        body = json.loads(content) if content else None
        return ForgeRequest(
            method=self.command,
            path=parts.path,
            query=dict(parse_qsl(parts.query)),
            headers=headers,
            body=body,
        )

    def _fail(self, trouble: Trouble) -> None:
        if trouble in (Trouble.LIMIT, Trouble.FAILURE, Trouble.GATEWAY):
            return self._say(
                ForgeAnswer(
                    status=int(trouble.value), data={"message": "trouble"}, headers={"Retry-After": "1"}
                )
            )
        if trouble is Trouble.GARBAGE:
            return self._send(200, GARBAGE, {"Content-Type": "text/html"})
        if trouble is Trouble.SILENCE:
            while (
                not self.server.forge.ending.is_set()
                and not select.select([self.connection], [], [], 0.05)[0]
            ):
                pass
        return self._end()

    def _say(self, said: ForgeAnswer) -> None:
        body = b"" if said.data is None else json.dumps(said.data).encode()
        self._send(said.status, body, {"Content-Type": "application/json", **said.headers})

    def _send(self, status: int, body: bytes, headers: Mapping[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if status != 204:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
        self.close_connection |= not self.server.forge.keeps_alive

    def _end(self) -> None:
        self.close_connection = True
        self.connection.shutdown(socket.SHUT_RDWR)

    def date_time_string(self, timestamp: float | None = None) -> str:
        return formatdate(NOW if timestamp is None else timestamp, usegmt=True)

    def log_message(self, format: str, *args: object) -> None:
        """Quiet."""


class _ForgeHttp(LoopbackServer):
    def __init__(self, forge: ForgeServer, tls: ssl.SSLContext | None) -> None:
        super().__init__(_ForgeHandler, poll=0.01, tls=tls)
        self.forge, self.is_tls = forge, tls is not None

    def handle_error(self, request: object, client_address: object) -> None:
        """Broken connections are what it is for."""
