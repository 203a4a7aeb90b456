"""The world's failures, raised only by adapters. Users' mistakes are findings (diagnostics.py); bugs are any other exception.

The message says what GitMesh knows of a failure: its class, the host, a status. The same failure has the same message each
time, since messages are compared and committed to the status branch. What the other side said in its own words (request
ids, ports, durations, in any order) is `detail`, for people to read.
"""

from __future__ import annotations


class WorldError(Exception):
    """Something outside of us failed. Message and `detail` are fit for people and hold no secret."""

    def __init__(self, message: str, *, detail: str = "") -> None:
        super().__init__(message)
        self.detail = detail

    @property
    def in_full(self) -> str:
        """Message and detail, for a person who is told once."""
        return f"{self} ({self.detail})" if self.detail else str(self)


class SourceError(WorldError):
    """A repository could not be read."""


class ClusterError(WorldError):
    """A cluster could not be read or written. `code` is a GM5xx of the register; `hint` says what helps where the code's own
    advice would not."""

    def __init__(self, message: str, *, retryable: bool = True, code: str = "GM501", detail: str = "", hint: str = "") -> None:
        super().__init__(message, detail=detail)
        self.retryable = retryable
        self.code = code
        self.hint = hint
