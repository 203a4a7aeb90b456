"""The world's failures, raised only by adapters. Users' mistakes are findings (diagnostics.py); bugs are any other exception."""


class SourceError(Exception):
    """A repository could not be read. The message is fit for people and holds no secret."""


class ClusterError(Exception):
    """A cluster could not be read or written. `code` is a GM5xx of the register."""

    def __init__(self, message: str, *, retryable: bool = True, code: str = "GM501") -> None:
        super().__init__(message)
        self.retryable = retryable
        self.code = code
