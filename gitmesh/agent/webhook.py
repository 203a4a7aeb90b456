"""POST /webhook: a forge says that something happened. It wakes who looks for themselves, and brings about
nothing else.

Who sends it proves that he knows the secret. What the body says is no authority: at most it tells that the
message is about something else, so that nobody need be woken.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Mapping
from pathlib import Path
from urllib.parse import parse_qs

import msgspec
from msgspec import Struct
from structlog.typing import FilteringBoundLogger

from gitmesh.agent.server import Page
from gitmesh.errors import WorldError

PATH = "/webhook"
_HEADS = "refs/heads/"
_SIGNATURES: Mapping[str, tuple[str, ...]] = {
    "github": ("x-hub-signature-256",),
    "gitea": ("x-hub-signature-256", "x-gitea-signature", "x-forgejo-signature"),
}
"""Headers that hold the HMAC-SHA256 of the body, in hex."""
_TOKENS: Mapping[str, tuple[str, ...]] = {"gitlab": ("x-gitlab-token",)}
"""Headers that hold the secret itself."""
_MOST_SECRET = 4096


class _Named(Struct):
    full_name: str = ""
    path_with_namespace: str = ""


class _Message(Struct):
    """What is looked at of a message; nothing in it need be there."""

    ref: str = ""
    repository: _Named = msgspec.field(default_factory=_Named)
    project: _Named = msgspec.field(default_factory=_Named)

    @property
    def about(self) -> str:
        """The repository, as each forge names it."""
        return self.project.path_with_namespace or self.repository.full_name


class ForgeHook:
    """Checks messages for one repository. `pushed` is told of a branch that moved ("" = anything may have).
    May be called from one thread at a time."""

    def __init__(
        self,
        kind: str,
        repository: str,
        secret_file: Path,
        *,
        pushed: Callable[[str], None],
        log: FilteringBoundLogger,
    ) -> None:
        self._kind, self._repository, self._secret_file = kind, repository, secret_file
        self._pushed, self._log = pushed, log
        self._told = ""

    def answer(self, headers: Mapping[str, str], body: bytes) -> Page:
        """What the sender gets: 401 without proof, 503 where the secret cannot be read; both are logged."""
        try:
            secret = _secret(self._secret_file)
        except WorldError as error:
            self._tell(str(error))
            return _page(503, "not ready")
        if not self._is_proven(secret, headers, body):
            self._tell(
                "somebody called it without proof; the forge must have the secret of forge.webhook.secretFile"
            )
            return _page(401, "no proof")
        self._told = ""
        message = _message(headers, body)
        # Only to leave others asleep: the body proves nothing, and a message without a name wakes.
        if message.about and message.about.lower() != self._repository.lower():
            return _page(200, "another repository")
        if not message.ref or message.ref.startswith(_HEADS):
            self._log.info("woken by the forge", branch=message.ref.removeprefix(_HEADS))
            self._pushed(message.ref.removeprefix(_HEADS))
        return _page(200, "ok")

    def _is_proven(self, secret: bytes, headers: Mapping[str, str], body: bytes) -> bool:
        """Compared in constant time, whatever was sent."""
        proofs = [headers.get(name, "").removeprefix("sha256=") for name in _SIGNATURES.get(self._kind, ())]
        expected = hmac.new(secret, body, hashlib.sha256).hexdigest().encode()
        # All of them are compared before any decides, so that the time tells nothing of which one came
        # close.
        is_signed = [hmac.compare_digest(proof.encode("latin-1", "replace"), expected) for proof in proofs]
        is_known = [
            hmac.compare_digest(headers.get(name, "").encode("latin-1", "replace"), secret)
            for name in _TOKENS.get(self._kind, ())
        ]
        return any([*is_signed, *is_known])

    def _tell(self, text: str) -> None:
        """Once while it lasts: whoever reaches the webhook fills no log."""
        log = self._log.debug if text == self._told else self._log.warning
        log("webhook", error=text)
        self._told = text


def _secret(file: Path) -> bytes:
    """The secret. Raises WorldError."""
    try:
        with file.open("rb") as opened:
            secret = opened.read(_MOST_SECRET + 1).strip()
    except OSError as error:
        raise WorldError(f"forge.webhook.secretFile {file}: {error.strerror or error}") from None
    # An empty one would be known to everybody.
    if not 0 < len(secret) <= _MOST_SECRET:
        raise WorldError(f"forge.webhook.secretFile {file} holds no secret")
    return secret


def _message(headers: Mapping[str, str], body: bytes) -> _Message:
    """What is known of a message; one that cannot be read is about anything."""
    try:
        if headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
            body = parse_qs(body.decode(), max_num_fields=8).get("payload", [""])[0].encode()
        return msgspec.json.decode(body, type=_Message)
    except (msgspec.DecodeError, ValueError, RecursionError):
        return _Message()


def _page(status: int, text: str) -> Page:
    return status, "text/plain; charset=utf-8", f"{text}\n".encode()
