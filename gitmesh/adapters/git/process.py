"""Running git: a clean environment, a deadline for the whole process group, a limit on what it prints and
writes.

GitPython starts the processes. Its command objects are given complete argument lists, never keyword options,
and its object model is not used (docs/reliability.md G02).
"""

from __future__ import annotations

import os
import re
import selectors
import signal
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import lru_cache
from typing import IO, Any

from msgspec import Struct

from gitmesh.adapters.git.errors import GitError, Reason

_CHUNK = 1 << 16
_STDERR_LIMIT = 1 << 16
_BLOCK = 512
"""Unit of `ulimit -f` in a POSIX shell."""

# What a shell answers for a program that is not there; git itself has no such status.
_NOT_FOUND = 127
_MISSING = "git is not installed, or not on PATH"

# Becomes git, but first drops inherited GIT_* variables (a hook that runs us sets GIT_DIR, which would lead
# git to another repository), and limits the size of files.
_LAUNCHER = (
    'limit=$1; shift; while [ "$1" != -- ]; do unset "$1"; shift; done; shift; [ -z "$limit" ] || ulimit -f'
    ' "$limit"; exec "$@"'
)

_BASE_ENV: Mapping[str, str] = {
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_ATTR_NOSYSTEM": "1",
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_ASKPASS": "",
    "SSH_ASKPASS": "",
    "SSH_ASKPASS_REQUIRE": "never",
    "GIT_NO_REPLACE_OBJECTS": "1",
    "GIT_NO_LAZY_FETCH": "1",
    "GIT_OPTIONAL_LOCKS": "0",
}
_BASE_CONFIG: tuple[tuple[str, str], ...] = (
    # Nothing that a repository says may run a program: no hook, no file monitor, no prompt, no helper.
    ("core.hooksPath", os.devnull),
    ("core.fsmonitor", "false"),
    ("core.askPass", ""),
    ("credential.helper", ""),
    ("fetch.recurseSubmodules", "false"),
    ("fetch.writeCommitGraph", "false"),
    ("gc.auto", "0"),
    ("gc.autoDetach", "false"),
    # Objects that no ref leads to any more may still be the last good revision.
    ("gc.pruneExpire", "never"),
    # Credentials are bound to the URL that was configured; elsewhere they must not go.
    ("http.followRedirects", "false"),
    ("maintenance.auto", "false"),
    ("protocol.ext.allow", "never"),
    # A bare repository in the middle of a checkout would bring a configuration of its own.
    ("safe.bareRepository", "explicit"),
    ("transfer.fsckObjects", "true"),
)
_INHERITED = frozenset({"GIT_EXEC_PATH", "GIT_SSL_CAINFO", "GIT_SSL_CAPATH", "GIT_PROXY_SSL_CAINFO"})
"""What the machine's owner may say about where git and the certificates are."""
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")


class Limits(Struct, frozen=True, kw_only=True):
    """What one command may use: seconds, bytes on stdout, delimiters on stdout, bytes in one written file (0
    = any).
    """

    seconds: float
    stdout: int = 1 << 24
    entries: int = 0
    file_size: int = 0


class Done(Struct, frozen=True, kw_only=True):
    """A command that ended by itself, or was ended because it printed more than allowed (`cut`)."""

    status: int
    out: bytes
    err: str
    cut: bool = False


class Running:
    """Commands at work, so that another thread can end them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._processes: set[subprocess.Popen[bytes]] = set()

    def end(self) -> None:
        """Kill all of them. Each looks to its caller like a command that failed; later ones are not
        concerned.
        """
        with self._lock:
            for process in self._processes:
                _kill(process)

    @contextmanager
    def holding(self, process: subprocess.Popen[bytes]) -> Iterator[None]:
        """Keep the process while it runs, and end it for good."""
        with self._lock:
            self._processes.add(process)
        try:
            yield
        finally:
            with self._lock:
                self._processes.discard(process)
                _end(process)


def run(
    arguments: Sequence[str],
    limits: Limits,
    *,
    env: Mapping[str, str] | None = None,
    config: Sequence[tuple[str, str]] = (),
    stdin: bytes = b"",
    running: Running | None = None,
) -> Done:
    """Run `git <arguments>`. Raises GitError if it takes too long or git is missing; a failed command is a
    Done.
    """
    full = {**_BASE_ENV, **_config_env((*_BASE_CONFIG, *config)), **(env or {})}
    process = _start(_command(arguments, full, limits), full)
    with (running or Running()).holding(process):
        pump = _Pump(process, stdin, limits)
        pump.run()
    if process.returncode == _NOT_FOUND:
        raise GitError(_MISSING)
    return Done(
        status=process.returncode, out=bytes(pump.out), err=pump.err.decode(errors="replace"), cut=pump.cut
    )


@lru_cache(maxsize=1)
def git_version() -> tuple[int, ...]:
    """Version of the installed git, e.g. (2, 39, 5). Raises GitError where there is none."""
    found = re.search(rb"(\d+(?:\.\d+)+)", run(["version"], Limits(seconds=10)).out)
    if found is None:
        raise GitError("`git version` did not print a version")
    return tuple(int(part) for part in found[1].split(b"."))


def _config_env(config: Sequence[tuple[str, str]]) -> dict[str, str]:
    """Settings as environment: they override every file, and secrets in them are not in the argument list."""
    env = {"GIT_CONFIG_COUNT": str(len(config))}
    for index, (key, value) in enumerate(config):
        env |= {f"GIT_CONFIG_KEY_{index}": key, f"GIT_CONFIG_VALUE_{index}": value}
    return env


def _command(arguments: Sequence[str], env: Mapping[str, str], limits: Limits) -> list[str]:
    """The argument list; by way of a shell only where there is something to drop or to limit."""
    kept = _INHERITED | env.keys()
    dropped = sorted(
        name for name in os.environ if name.startswith("GIT_") and name not in kept and _VARIABLE.match(name)
    )
    # Without the shell, which costs a process, where it has nothing to do.
    if not dropped and not limits.file_size:
        return ["git", *arguments]
    blocks = str(limits.file_size // _BLOCK) if limits.file_size else ""
    return ["/bin/sh", "-c", _LAUNCHER, "gitmesh", blocks, *dropped, "--", "git", *arguments]


def _start(command: list[str], env: Mapping[str, str]) -> subprocess.Popen[bytes]:
    """Start the command in a session of its own, by GitPython."""
    try:
        from git.cmd import Git  # imported late: 90 ms that `gitmesh --help` must not pay

        started: Any = Git().execute(
            command, istream=subprocess.PIPE, as_process=True, env=env, start_new_session=True
        )
    except ImportError as error:
        raise GitError(_MISSING) from error
    except OSError as error:
        raise GitError(f"git could not be started: {error.strerror or error}") from error
    except Exception as error:
        if type(error).__name__ != "GitCommandNotFound":
            raise
        raise GitError(_MISSING) from error
    process: subprocess.Popen[bytes] = started.proc
    started.proc = (
        None  # the wrapper would end the process politely when it is collected; `_end` does it for good
    )
    return process


def _end(process: subprocess.Popen[bytes]) -> None:
    """Kill what still runs, with its children, and close the pipes."""
    _kill(process)
    for pipe in (process.stdin, process.stdout, process.stderr):
        if pipe is not None:
            with suppress(BrokenPipeError):
                pipe.close()
    process.wait()


def _kill(process: subprocess.Popen[bytes]) -> None:
    # Not polled: until it is waited for, its id stands for its group, also where git itself has ended and
    # left a child behind.
    if process.returncode is None:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


class _Pump:
    """Moves bytes between us and the process until it is done, says too much, or the time is up."""

    def __init__(self, process: subprocess.Popen[bytes], stdin: bytes, limits: Limits) -> None:
        self.out = bytearray()
        self.err = bytearray()
        self.cut = False
        self._process = process
        self._stdin = memoryview(stdin)
        self._limits = limits
        self._entries = 0
        self._deadline = time.monotonic() + limits.seconds

    def run(self) -> None:
        """Raises GitError when the time is up."""
        with selectors.DefaultSelector() as selector:
            self._register(selector)
            while selector.get_map() and not self.cut:
                for key, _ in selector.select(self._left()):
                    if not key.data(key.fileobj):
                        selector.unregister(key.fileobj)
                        key.fileobj.close()  # type: ignore[union-attr]  # only pipes are registered
        if not self.cut:
            self._wait()

    def _register(self, selector: selectors.BaseSelector) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        if self._stdin:
            # A write that blocks would keep us from reading what git prints: both would wait for ever.
            os.set_blocking(self._process.stdin.fileno(), False)
            selector.register(self._process.stdin, selectors.EVENT_WRITE, self._write)
        else:
            self._process.stdin.close()
        selector.register(self._process.stdout, selectors.EVENT_READ, self._read_out)
        selector.register(self._process.stderr, selectors.EVENT_READ, self._read_err)

    def _left(self) -> float:
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise GitError(f"git took longer than {self._limits.seconds:g} s and was stopped", Reason.TIMEOUT)
        return left

    def _wait(self) -> None:
        try:
            self._process.wait(self._left())
        except subprocess.TimeoutExpired:
            self._left()

    def _write(self, pipe: IO[bytes]) -> bool:
        """Whether there is more to write."""
        try:
            written = os.write(pipe.fileno(), self._stdin[:_CHUNK])
        except BrokenPipeError:
            return False
        except BlockingIOError:
            return True
        self._stdin = self._stdin[written:]
        return bool(self._stdin)

    def _read_out(self, pipe: IO[bytes]) -> bool:
        """Whether there may be more to read."""
        chunk = os.read(pipe.fileno(), _CHUNK)
        self.out += chunk
        if self._limits.entries:
            self._entries += chunk.count(b"\0")
        self.cut = len(self.out) > self._limits.stdout or self._entries > self._limits.entries > 0
        return bool(chunk)

    def _read_err(self, pipe: IO[bytes]) -> bool:
        """Whether there may be more to read."""
        chunk = os.read(pipe.fileno(), _CHUNK)
        # Read on, though no more is kept: git would stop at a full pipe.
        self.err += chunk[: _STDERR_LIMIT - len(self.err)]
        return bool(chunk)
