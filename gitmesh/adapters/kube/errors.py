"""What the API server says when it refuses: the cause as GitMesh knows it, and the server's own words beside
it.

The HTTP status alone sends people the wrong way: 403 is also said of a quota, of a namespace that is being
deleted and by admission, and 500 of a webhook that is down. Its words tell them apart; they differ each time
(ports, request ids, counts), so they are `detail`.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson
from msgspec import Struct

from gitmesh.errors import ClusterError
from gitmesh.model.objects import listed, mapping
from gitmesh.planning.leaving import LEAVING

if TYPE_CHECKING:
    from collections.abc import Mapping

LONGEST_TEXT = 512
_CODES: Mapping[int, str] = {
    401: "GM502",
    403: "GM503",
    404: "GM504",
    400: "GM505",
    405: "GM504",
    409: "GM505",
    413: "GM505",
    422: "GM505",
}
_REASON = re.compile(r"[A-Za-z]{0,40}\Z")
_DENIED = re.compile(
    r'(admission webhook "[^"]{1,253}"|ValidatingAdmissionPolicy \'[^\']{1,253}\').{0,300}?denied'
)
_UNCALLED = re.compile(r'failed calling webhook "([^"]{1,253})"')
_QUOTA = re.compile(r"exceeded quota: ([a-z0-9.-]{1,253})")
_RIGHT = re.compile(
    r'User "[^"]{1,253}" cannot \S{1,40} (?:resource|path) "[^"]{1,253}"(?: in API group "[^"]{0,253}")?'
    r'(?: in the namespace "[^"]{1,253}"| at the cluster scope)?'
)
_ADMISSION = re.compile(r' is forbidden: (?!User ")')
_SCHEMA_ERRORS = ("failed to create typed patch object", "field not declared in schema")
_NAMESPACE_LEAVES = "NamespaceTerminating"
_WEB_PAGE = re.compile(r"\s*<(?:!doctype html|html)", re.IGNORECASE)


def clean(text: object, longest: int = LONGEST_TEXT) -> str:
    """Text of an API as one printable line of at most `longest` characters."""
    line = " ".join("".join(ch if ch.isprintable() else " " for ch in str(text)[: 4 * longest]).split())
    return line if len(line) <= longest else line[: longest - 3] + "..."


class Cause(Struct, frozen=True, kw_only=True):
    """One cause of a Status: `reason` such as FieldManagerConflict, `field` such as .spec.hosts."""

    reason: str
    field: str
    message: str


class _Known(NamedTuple):
    """What an answer means: `text` is the same each time. `webhook` is one that could not be called."""

    text: str
    code: str
    retryable: bool
    hint: str = ""
    webhook: str = ""


class ApiError(ClusterError):
    """An answer other than 2xx. `status` is HTTP's, `reason` and `causes` those of the Status object, `text`
    its message.
    """

    def __init__(
        self, what: str, status: int, reason: str, message: str, causes: tuple[Cause, ...] = ()
    ) -> None:
        known = _known(status, reason, message, causes)
        passes = status == 429 or status >= 500
        # Of many requests at once another one may meet a server's weakness each time: which one is no part
        # of the finding.
        text = known.text if passes and not known.webhook else f"{what}: {known.text}"
        detail = f"{what}: {message}" if message and passes else message
        # Which status it is differs as well where several servers, or a proxy before them, answer in turn.
        detail = f"{_said(status, reason)}: {detail or what}" if status >= 500 else detail
        super().__init__(text, retryable=known.retryable, code=known.code, hint=known.hint, detail=detail)
        self.status = status
        self.reason = reason
        self.text = message
        self.causes = causes
        self.known = known.text
        self.webhook = known.webhook


def api_error(what: str, status: int, body: bytes) -> ApiError:
    """The exception for an answer; a body that is no Status object is quoted, shortened and without control
    characters.
    """
    content = _status(body)
    if content is None:
        return ApiError(what, status, "", clean(body[:2048].decode(errors="replace")))
    found = tuple(map(_cause, listed(mapping(content.get("details")).get("causes"))))
    return ApiError(
        what, status, clean(content.get("reason") or "", 64), clean(content.get("message") or ""), found
    )


def is_schema_error(status: int, body: bytes) -> bool:
    """Whether a 500 says that a field is unknown."""
    # Server-side apply answers so, and asking again does not help.
    return status == 500 and not api_error("", status, body).retryable


def status_details(body: bytes) -> Mapping[str, Any]:
    """Which object a Status is about (`name`, `uid`, ...); empty for any other answer."""
    return mapping((_status(body) or {}).get("details"))


def no_object(what: str, body: bytes) -> ClusterError:
    """For a 2xx that is no JSON object."""
    words = clean(body[:256].decode(errors="replace"), 120)
    if _WEB_PAGE.match(words):
        return ClusterError(
            "a web page came, and no answer of an API server", hint=_PROXY, detail=f"{what}: {words}"
        )
    return ClusterError("the answer is not JSON", hint=_PROXY, detail=f"{what}: {words}")


def unrelated(what: str, body: bytes) -> ClusterError:
    """The error for a 2xx that is not about the object that was asked about."""
    # Whether anything was done is not known: the answer is of something in between.
    words = clean(body[:256].decode(errors="replace"), 120)
    return ClusterError(
        "the answer is not about the object that was asked about", hint=_PROXY, detail=f"{what}: {words}"
    )


def _known(status: int, reason: str, message: str, causes: tuple[Cause, ...]) -> _Known:
    """The cause, from the most telling sign to the status alone."""
    if (
        any(cause.reason == _NAMESPACE_LEAVES for cause in causes)
        or "because it is being terminated" in message
    ):
        return _Known("the namespace is being deleted", LEAVING, True)
    if uncalled := _UNCALLED.search(message):
        return _Known(
            f"the API server could not call the webhook {uncalled[1]}",
            "GM505",
            True,
            _UNCALLED_HINT,
            uncalled[1],
        )
    if denied := _DENIED.search(message):
        return _Known(f"{denied[1]} denied the request", "GM505", False)
    if status == 403:
        return _forbidden(message)
    if status == 500 and any(sign in message for sign in _SCHEMA_ERRORS):
        return _Known("the cluster's schema does not have a field of it", "GM505", False)
    if _WEB_PAGE.match(message):
        return _Known("a web page came, and no answer of an API server", "GM501", True, _PROXY)
    return _by_status(status, reason, causes)


def _forbidden(message: str) -> _Known:
    if quota := _QUOTA.search(message):
        return _Known(
            f"exceeded quota: {quota[1]}",
            "GM505",
            True,
            f"Raise the ResourceQuota {quota[1]}, or free some of it.",
        )
    if right := _RIGHT.search(message):
        return _Known(f"403 Forbidden: {right[0]}", "GM503", False)
    if _WEB_PAGE.match(message):
        return _Known("403: a web page came, and no answer of an API server", "GM501", True, _PROXY)
    if _ADMISSION.search(message):
        return _Known(
            "admission in the cluster forbids it",
            "GM505",
            False,
            "The server's words name the rule; ask who set it.",
        )
    return _Known("403 Forbidden", "GM503", False)


def _by_status(status: int, reason: str, causes: tuple[Cause, ...]) -> _Known:
    if status >= 500:
        return _Known("the API server failed", _CODES.get(status, "GM501"), True)
    said = _said(status, reason)
    fields = sorted(
        {cause.field.lstrip(".") for cause in causes if cause.field and cause.field.isprintable()}
    )
    text = f"{said}: {', '.join(fields[:5])}" if status in (409, 422) and fields else said
    retryable = status in (401, 409, 429)
    return _Known(text, _CODES.get(status, "GM501"), retryable, _REFUSED if status == 401 else "")


def _said(status: int, reason: str) -> str:
    return f"{status} {reason}".strip() if _REASON.match(reason) else str(status)


def _cause(raw: Mapping[str, Any]) -> Cause:
    return Cause(
        reason=clean(raw.get("reason", ""), 64),
        field=clean(raw.get("field", ""), 256),
        message=clean(raw.get("message", ""), 256),
    )


def _status(body: bytes) -> dict[str, object] | None:
    try:
        content = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    return content if isinstance(content, dict) and content.get("kind") == "Status" else None


_PROXY = "A login page, a proxy, or a wrong address: what does `server` of the kubeconfig lead to?"
_REFUSED = "Renew the credentials; their files are read again in each cycle."
_UNCALLED_HINT = (
    "Is what serves the webhook up and reachable from the API server? For a mesh's own it is its control"
    " plane."
)
