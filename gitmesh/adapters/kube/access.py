"""The way to an API server as files describe it that others rotate: read again when they change, and when it
is refused.

A file that is missing, half written or unfit at the moment changes nothing: what was read last serves on, and
the fault is told.
"""

from __future__ import annotations

from threading import Lock
from typing import TYPE_CHECKING, Protocol

from gitmesh.adapters.kube.credentials import Endpoint, stamp
from gitmesh.errors import ClusterError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from gitmesh.adapters.kube.credentials import Stamp


class EndpointAccess(Protocol):
    """What knows the endpoint of one cluster. An `Endpoint` that nobody changes is one itself."""

    def endpoint(self, *, refused: bool = False) -> Endpoint:
        """The endpoint as it is now; `refused`: the server took the last one's credentials for void.

        Raises ClusterError where none was ever known.
        """

    @property
    def fault(self) -> ClusterError | None:
        """Why the last reading failed, while an older one serves."""


class Rotated:
    """What `read` makes of a file that others write, and the last good answer while it raises ClusterError.

    Without `path`, reading costs nothing and is done each time. For any thread.
    """

    def __init__(self, read: Callable[[], Endpoint], path: Path | None = None) -> None:
        self._read = read
        self._path = path
        self._lock = Lock()
        self._good: Endpoint | None = None
        self._stamp: Stamp | None = None
        self.fault: ClusterError | None = None

    def endpoint(self, *, refused: bool = False) -> Endpoint:
        """As `Access` says."""
        with self._lock:
            seen = (
                stamp(self._path) if self._path else None
            )  # before it is read: what changes meanwhile is read once more
            # After a fault, too, though the file be the same: what failed may have been another file that
            # it names.
            if self._good is None or refused or self.fault or seen is None or seen != self._stamp:
                self._stamp = seen
                self._look()
            if self._good is None:
                assert self.fault is not None
                raise self.fault
            return self._good

    def _look(self) -> None:
        try:
            found = self._read()
            if self._good is not None and found != self._good:
                found.context()  # a CA or certificate that is none shows while there is something better
        except ClusterError as error:
            self.fault = error
        else:
            self._good, self.fault = found, None
