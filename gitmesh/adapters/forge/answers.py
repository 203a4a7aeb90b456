"""What a forge's answer means: the next page, how long it asks us to wait, and what is wrong."""

from __future__ import annotations

import re
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Generic, TypeAlias, TypeVar
from urllib.parse import parse_qsl, urlsplit

import msgspec
from msgspec import Struct

from gitmesh.adapters.kube.errors import clean
from gitmesh.errors import ForgeError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from gitmesh.adapters.forge.site import Purpose, Site

T = TypeVar("T")
Query: TypeAlias = "Mapping[str, str]"

_NEXT = re.compile(r'<([^<>]{1,4096})>[^<]*?;\s*rel="?next"?')
# Seconds. GitHub asks for a minute after a secondary limit that names no time (REST API, Best practices).
_UNSAID_WAIT = 60.0
_LONGEST_DETAIL = 300
_DEEPEST = 4
_SPOKEN = ("message", "error", "error_description", "errors")
_REFUSALS = frozenset({401, 403, 404, 410})


class HttpAnswer(Struct, Generic[T], frozen=True, kw_only=True):
    """An answer, whatever its status. Names of headers are in lower case; `value` is the body of a good
    one.
    """

    status: int
    headers: Mapping[str, str] = {}
    body: bytes = b""
    value: T | None = None

    @property
    def is_good(self) -> bool:
        """Whether what was asked for was done."""
        return 200 <= self.status < 300

    @property
    def is_limit(self) -> bool:
        """Whether nothing was done because we ask too often: 429, or GitHub's 403."""
        if self.status == 403:
            # GitHub says 403 of both, a limit and a missing right (REST API, 'Rate limits'): the headers
            # tell them apart.
            spent = self.headers.get("x-ratelimit-remaining") == "0"
            return spent or "retry-after" in self.headers or "rate limit" in words_of(self.body).lower()
        return self.status == 429

    @property
    def wait(self) -> float | None:
        """Seconds that it asks us to wait; None where it says nothing."""
        if "retry-after" in self.headers:
            after = _number(self.headers["retry-after"])
            return _UNSAID_WAIT if after is None else after
        remaining = self.headers.get("x-ratelimit-remaining", self.headers.get("ratelimit-remaining"))
        if remaining == "0":
            return self._until_reset()
        return _UNSAID_WAIT if self.status == 403 else None

    def _until_reset(self) -> float:
        """Seconds until the limit begins anew."""
        reset = _number(self.headers.get("x-ratelimit-reset", self.headers.get("ratelimit-reset", "")))
        try:
            # By the server's own clock, as ours may differ.
            now = parsedate_to_datetime(self.headers.get("date", "")).timestamp()
        except (ValueError, OverflowError):
            return _UNSAID_WAIT
        # One more: both moments are whole seconds, so the reset may come up to one later than it seems.
        return _UNSAID_WAIT if reset is None else max(0.0, reset - now) + 1.0

    def next_page(self, query: Query) -> Query | None:
        """The query of the page after this one."""
        link = _NEXT.search(self.headers.get("link", ""))
        if link is not None:
            # Our own parameters first: a link that leaves one out still asks for what we asked for.
            # Only the query is taken of the link. Where it leads to is not asked: Gitea writes its public
            # address even to whoever came by another one, and the token goes to no other host.
            return {**query, **dict(parse_qsl(urlsplit(link[1]).query))}
        page = self.headers.get("x-next-page", "").strip()
        return {**query, "page": page} if page.isascii() and page.isdigit() else None


def _number(text: str) -> float | None:
    text = text.strip()
    return float(text[:12]) if text.isascii() and text.isdigit() else None


def words_of(body: bytes) -> str:
    """What an answer says of itself, as one short line; "" where it is no API's."""
    try:
        data = msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError):
        return ""
    said = {key: data[key] for key in _SPOKEN if key in data} if isinstance(data, dict) else {}
    return clean("; ".join(_texts(said, 0)), _LONGEST_DETAIL)


def _texts(value: object, depth: int) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    # The nesting is a stranger's: deep enough it would exhaust the stack here.
    elif isinstance(value, (dict, list)) and depth < _DEEPEST:
        for part in value.values() if isinstance(value, dict) else value:
            yield from _texts(part, depth + 1)


def failure(site: Site, purpose: Purpose, answer: HttpAnswer[T]) -> ForgeError:
    """The error that an answer other than 2xx is. Its `detail` is not yet free of the token."""
    status, detail = f"(HTTP {answer.status})", words_of(answer.body)
    if answer.is_limit:
        wait = f"wait {answer.wait:.0f} s" if answer.wait is not None else ""
        text = "; ".join(part for part in (wait, detail) if part)
        return ForgeError(f"{site.host} takes no more requests for now {status}", detail=text)
    if answer.status in _REFUSALS:
        return _refusal(site, purpose, answer.status, detail)
    if 300 <= answer.status < 400:
        hint = (
            "Set forge.url and forge.repository to where it is now. No redirect is followed, since the token"
            " would go along."
        )
        where = clean(answer.headers.get("location", ""), _LONGEST_DETAIL)
        return ForgeError(
            f"{site.host} says that this is elsewhere {status}", retryable=False, detail=where, hint=hint
        )
    if answer.status == 409:
        return ForgeError(f"{site.host} has somebody else at work there {status}", detail=detail)
    if answer.status >= 500:
        return ForgeError(f"{site.host} failed {status}", detail=detail)
    return ForgeError(f"{site.host} refused a request to {purpose} {status}", retryable=False, detail=detail)


def _refusal(site: Site, purpose: Purpose, status: int, detail: str) -> ForgeError:
    right = site.rights[purpose]
    if status == 401:
        text, hint = (
            f"{site.host} does not accept the token (HTTP 401)",
            f"It may be revoked or have expired. It needs: {right}.",
        )
    elif status == 403:
        text, hint = (
            f"{site.host} does not allow the token to {purpose} (HTTP 403)",
            f"The token needs: {right}.",
        )
    else:
        text = f"{site.host} does not find what is needed to {purpose} (HTTP {status})"
        hint = (
            "It is gone, or forge.repository is wrong, or the token lacks a right, which is answered alike."
            f" It needs: {right}."
        )
    return ForgeError(text, retryable=False, refused=True, detail=detail, hint=hint)
