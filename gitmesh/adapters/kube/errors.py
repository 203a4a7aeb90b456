"""What the API server says when it refuses, in words fit for a finding."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson
from msgspec import Struct

from gitmesh.errors import ClusterError

if TYPE_CHECKING:
    from collections.abc import Mapping

LONGEST_TEXT = 512
_CODES: Mapping[int, str] = {401: "GM502", 403: "GM503", 404: "GM504", 400: "GM505", 405: "GM504", 409: "GM505", 413: "GM505", 422: "GM505"}
_ADMISSION = ("admission webhook ", "ValidatingAdmissionPolicy ")
_SCHEMA_ERRORS = ("failed to create typed patch object", "field not declared in schema")


def clean(text: object, longest: int = LONGEST_TEXT) -> str:
    """Text of an API as one printable line of at most `longest` characters."""
    line = " ".join("".join(ch if ch.isprintable() else " " for ch in str(text)[: 4 * longest]).split())
    return line if len(line) <= longest else line[: longest - 3] + "..."


class Cause(Struct, frozen=True, kw_only=True):
    """One cause of a Status: `reason` such as FieldManagerConflict, `field` such as .spec.hosts."""

    reason: str
    field: str
    message: str


class ApiError(ClusterError):
    """An answer other than 2xx. `status` is HTTP's, `reason` and `causes` those of the Status object."""

    def __init__(self, what: str, status: int, reason: str, message: str, causes: tuple[Cause, ...] = ()) -> None:
        schema = status == 500 and any(sign in message for sign in _SCHEMA_ERRORS)
        # A webhook chooses the status of its refusal, and 403 would look like a missing right; one that cannot be called is
        # another matter, and reads "failed calling webhook".
        refused = schema or ("denied" in message and any(sign in message for sign in _ADMISSION))
        super().__init__(
            f"{what}: {status} {reason}: {message}" if reason else f"{what}: {status} {message}",
            retryable=not refused and (status in (401, 409, 429) or status >= 500),
            code="GM505" if refused else _CODES.get(status, "GM501"),
        )
        self.status = status
        self.reason = reason
        self.text = message
        self.causes = causes


def api_error(what: str, status: int, body: bytes) -> ApiError:
    """The exception for an answer; a body that is no Status object is quoted, shortened and without control characters."""
    content = _status(body)
    if content is None:
        return ApiError(what, status, "", clean(body[:2048].decode(errors="replace")))
    details = content.get("details")
    causes = details.get("causes") if isinstance(details, dict) else None
    found = tuple(_cause(cause) for cause in causes if isinstance(cause, dict)) if isinstance(causes, list) else ()
    return ApiError(what, status, clean(content.get("reason") or "", 64), clean(content.get("message") or ""), found)


def is_schema_error(status: int, body: bytes) -> bool:
    """Whether a 500 says that a field is unknown (server-side apply answers so): asking again does not help."""
    return status == 500 and not api_error("", status, body).retryable


def _cause(raw: Mapping[str, Any]) -> Cause:
    return Cause(
        reason=clean(raw.get("reason", ""), 64), field=clean(raw.get("field", ""), 256), message=clean(raw.get("message", ""), 256)
    )


def _status(body: bytes) -> dict[str, Any] | None:
    try:
        content = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    return content if isinstance(content, dict) and content.get("kind") == "Status" else None
