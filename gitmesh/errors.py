"""The world's failures, raised only by adapters. Users' mistakes are findings (diagnostics.py); bugs are any
other exception.

The message says what GitMesh knows of a failure: its class, the host, a status. The same failure has the same
message each time, since messages are compared and committed to the status branch. What the other side said in
its own words (request ids, ports, durations, in any order) is `detail`, for people to read.
"""

from __future__ import annotations


class WorldError(Exception):
    """Something outside of us failed. Message, `detail` and `hint` (what helps, "" = what the register says)
    hold no secret.
    """

    def __init__(self, message: str, *, detail: str = "", hint: str = "") -> None:
        super().__init__(message)
        self.detail = detail
        self.hint = hint

    @property
    def in_full(self) -> str:
        """Message and detail, for a person who is told once."""
        return f"{self} ({self.detail})" if self.detail else str(self)


class SourceError(WorldError):
    """A repository could not be read."""


class GoneError(SourceError):
    """The repository answered, and no longer gives a commit away. While it cannot be read, nothing is known
    to be gone.
    """


class ClusterError(WorldError):
    """A cluster could not be read or written. `code` is a GM5xx of the register."""

    def __init__(
        self, message: str, *, retryable: bool = True, code: str = "GM501", detail: str = "", hint: str = ""
    ) -> None:
        super().__init__(message, detail=detail, hint=hint)
        self.retryable = retryable
        self.code = code


class ForgeError(WorldError):
    """A forge did not do what it was asked. `retryable`: the same may well succeed later. `refused`: the
    token lacks the right, or the thing that was asked about is not there."""

    def __init__(
        self, message: str, *, retryable: bool = True, refused: bool = False, detail: str = "", hint: str = ""
    ) -> None:
        super().__init__(message, detail=detail, hint=hint)
        self.retryable = retryable
        self.refused = refused
