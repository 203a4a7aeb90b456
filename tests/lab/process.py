"""Child processes that cannot outlive the lab, and the loopback ports they listen on."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

LOOPBACK = "127.0.0.1"
POLL_SECONDS = 0.05
_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None


class LabError(RuntimeError):
    """A part of the lab did not do what the lab itself needs."""


class PortTakenError(LabError):
    """A chosen port was taken by somebody else before the process could bind it."""


def free_ports(count: int) -> list[int]:
    """Distinct free loopback ports: all are held until the last is chosen."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for sock in sockets:
            sock.bind((LOOPBACK, 0))
        return [int(sock.getsockname()[1]) for sock in sockets]


def hold_port(port: int = 0) -> socket.socket:
    """Keep a port, 0 = any free one, from others while nobody serves it: bound but not listening, so clients
    are refused, and whoever is to serve it may."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.bind((LOOPBACK, port))
    except BaseException:
        sock.close()
        raise
    return sock


def wait_until(done: Callable[[], bool], what: str, deadline_seconds: float) -> None:
    """Poll a condition; the deadline only bounds a failure, it is never waited out on success."""
    end = time.monotonic() + deadline_seconds
    while not done():
        if time.monotonic() >= end:
            raise LabError(f"no {what} within {deadline_seconds:g} s")
        time.sleep(POLL_SECONDS)


class Process:
    """One program in a process group of its own, its output in a log file.

    The kernel kills it when the thread that started it ends, so start it from a thread that stays
    (the main thread of a test run does).
    """

    def __init__(
        self,
        command: Sequence[str | Path],
        log: Path,
        *,
        name: str = "",
        env: Mapping[str, str] | None = None,
        folder: Path | None = None,
    ) -> None:
        """`env` adds to PATH and HOME; `folder` is its working directory."""
        self.name = name or Path(command[0]).name
        self.log = log
        with log.open("ab") as output:
            self._offset = output.tell()
            self._popen = subprocess.Popen(
                [str(part) for part in command],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=_die_with_parent,
                cwd=folder,
                env={"PATH": os.environ.get("PATH", os.defpath), "HOME": str(log.parent), **(env or {})},
            )

    @property
    def pid(self) -> int:
        """The process id, which is the id of its group too."""
        return self._popen.pid

    @property
    def running(self) -> bool:
        """Whether it has not ended (a paused process runs in this sense)."""
        return self._popen.poll() is None

    def is_stopped(self) -> bool:
        """Whether it is stopped by a signal, as the kernel tells (proc(5), the third field of stat)."""
        return Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"

    def check(self) -> None:
        """Fail with the end of the log when the process has ended by itself."""
        if self.running:
            return
        with self.log.open("rb") as handle:
            handle.seek(self._offset)
            text = handle.read().decode(errors="replace")
        tail = "\n".join(text.splitlines()[-15:])
        kind = PortTakenError if "address already in use" in text else LabError
        raise kind(f"{self.name} ended with code {self._popen.returncode}:\n{tail}")

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the whole group; nothing happens when it has ended."""
        if self.running:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, number)

    def kill(self) -> None:
        """End the group at once and reap it: works on a paused process too."""
        self.signal(signal.SIGKILL)
        self._popen.wait()


def _die_with_parent() -> None:
    """In the child: ask the kernel for SIGKILL when the parent goes, however it goes."""
    if _LIBC is not None:
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
