"""Where a forge is, and by what right we talk to it: the address of its API, the token, and the certificates
that it is known by.
"""

from __future__ import annotations

import ssl
from enum import StrEnum
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from msgspec import Struct

from gitmesh.confidential import Confidential
from gitmesh.errors import ForgeError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_MOST_TOKEN_BYTES = 16_384
_WHERE_FROM = "forge.tokenFile names a file that holds the token of the forge's account, in one line."


class Purpose(StrEnum):
    """What a request is for, as messages say it after "to"; each needs a right of its own."""

    ACCOUNT = "ask whose it is"
    READ = "read pull requests and comments"
    COMMENT = "write comments"
    READ_STATUS = "read commit statuses"
    STATUS = "set commit statuses"


class Site(Struct, frozen=True, kw_only=True):
    """One forge. `api` is the URL of its API, without a slash at its end; `rights` says what a token needs,
    in the forge's own words.

    The token goes into `header`, after `scheme`. `timeout` is in seconds, for one call of the port with all
    that it takes.
    """

    api: str
    rights: Mapping[Purpose, str]
    token_file: Path
    header: str = "Authorization"
    scheme: str = "Bearer "
    headers: Mapping[str, str] = {}
    ca_file: Path | None = None
    proxy: str | None = None
    timeout: float = 20.0

    @property
    def host(self) -> str:
        """The host, and its port if that is not the usual one, as messages name it."""
        return urlsplit(self.api).netloc

    @property
    def is_secure(self) -> bool:
        """Whether the connection is encrypted."""
        return self.api.startswith("https://")

    def token(self) -> Token:
        """The token as its file holds it now. Raises ForgeError."""
        try:
            with self.token_file.open("rb") as file:
                # Read at each call, as secrets that are mounted are renewed in place; and bounded, as the
                # path may name anything.
                text = file.read(_MOST_TOKEN_BYTES).decode().rstrip("\r\n")
        except OSError as error:
            raise self._no_token(f"cannot be read: {error.strerror}") from None
        except ValueError:  # no text, or a path with a NUL in it
            raise self._no_token("is not text") from None
        # A line end or a character outside of ASCII in a header would end in an exception of the HTTP
        # library, whose text may hold the token.
        if not text or not (text.isascii() and text.isprintable() and " " not in text):
            raise self._no_token("does not hold one line without spaces" if text else "is empty")
        return Token(text)

    def tls(self) -> ssl.SSLContext | None:
        """Whom we trust: the certificates of caFile alone, else the system's; None where nothing is
        encrypted. Raises ForgeError.
        """
        if not self.is_secure:
            return None
        try:
            # With a cafile the system's certificates are not loaded: who names one means that one alone.
            return ssl.create_default_context(cafile=str(self.ca_file) if self.ca_file else None)
        except (OSError, ValueError):  # SSLError is an OSError: a file without certificates
            text = f"forge.caFile: {self.ca_file} cannot be read as certificates"
            raise ForgeError(
                text, retryable=False, hint="It is a file of certificates in PEM form."
            ) from None

    def _no_token(self, why: str) -> ForgeError:
        return ForgeError(f"forge.tokenFile: {self.token_file} {why}", retryable=False, hint=_WHERE_FROM)


class Token(Confidential, frozen=True):
    """A secret, which stands in one header and nowhere else."""

    value: str

    def masked(self, text: str) -> str:
        """A text of the other side without the token, which it may repeat."""
        return text.replace(self.value, "***")
