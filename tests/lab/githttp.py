"""A real Git server over smart HTTP on loopback: ``git http-backend`` behind a small bridge.

Requests and answers are held in memory, which is right for the small repositories of tests.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import quote

from tests.lab.gitcgi import RECEIVE, UPLOAD, BridgeHandler, BridgeServer, GitRequest
from tests.lab.process import LOOPBACK, LabError

__all__ = ["RECEIVE", "UPLOAD", "GitHttpServer", "GitRequest"]


class GitHttpServer:
    """Serves a folder of bare repositories; its switches may be set at any time, from any thread.

    Without a username nobody has to log in. With one, everything asks for it, but reading does not when
    ``anonymous_read`` is on. ``deny_push`` refuses every push with 403, whoever asks.
    """

    def __init__(
        self,
        root: Path | None = None,
        *,
        username: str = "",
        password: str = "",
        anonymous_read: bool = False,
        deny_push: bool = False,
    ) -> None:
        self.username = username
        self.password = password
        self.anonymous_read = anonymous_read
        self.deny_push = deny_push
        self._given_root = root
        self._root: Path | None = None
        self._failure: tuple[int, int | None] | None = None
        self._silent = threading.Event()
        self._released = threading.Event()
        self._requests: list[GitRequest] = []
        self._lock = threading.Lock()
        self._server: BridgeServer | None = None
        self._port = 0

    def __enter__(self) -> Self:
        self._root = self._given_root or Path(tempfile.mkdtemp(prefix="gitmesh-lab-git-"))
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        if self._given_root is None and self._root is not None:
            shutil.rmtree(self._root, ignore_errors=True)

    def start(self) -> None:
        """Listen: on a free port at first, on the same port after a stop."""
        server = BridgeServer((LOOPBACK, self._port), BridgeHandler)
        server.lab = self
        self._server = server
        self._port = int(server.server_address[1])
        self._released.clear()
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def stop(self) -> None:
        """Refuse connections from now on and cut those that hang; harmless when repeated."""
        self._released.set()
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    # -- repositories -----------------------------------------------------------------------------------

    @property
    def root(self) -> Path:
        """The folder that is served."""
        if self._root is None:
            raise LabError("the Git server is not started")
        return self._root

    @property
    def port(self) -> int:
        """The loopback port."""
        return self._port

    def create_repo(self, name: str, branch: str = "main") -> Path:
        """Make an empty bare repository (``name`` may hold slashes) and return its folder."""
        path = self.repo_path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        command = ["git", "init", "--quiet", "--bare", f"--initial-branch={branch}", str(path)]
        subprocess.run(command, check=True, capture_output=True, env=_plain_env(self.root))
        return path

    def repo_path(self, name: str) -> Path:
        """The folder of a repository, whether or not it exists."""
        return self.root / f"{name}.git"

    def url(self, name: str, *, credentials: bool = False) -> str:
        """The clone URL of a repository, with the right login in it when asked for."""
        login = f"{quote(self.username, safe='')}:{quote(self.password, safe='')}@" if credentials else ""
        return f"http://{login}{LOOPBACK}:{self._port}/{quote(name)}.git"

    # -- failures ---------------------------------------------------------------------------------------

    def fail_with(self, status: int | None, times: int | None = None) -> None:
        """Answer everything with this status, for good or only so many times; None ends it."""
        with self._lock:
            self._failure = None if status is None else (status, times)

    @property
    def hang(self) -> bool:
        """Whether requests are taken and never answered."""
        return self._silent.is_set()

    @hang.setter
    def hang(self, value: bool) -> None:
        if value:
            self._released.clear()
            self._silent.set()
        else:
            # Who waits now is cut off; who comes later is answered.
            self._silent.clear()
            self._released.set()

    # -- what arrived -----------------------------------------------------------------------------------

    @property
    def requests(self) -> list[GitRequest]:
        """All requests so far, the oldest first."""
        with self._lock:
            return list(self._requests)

    def count(self, service: str | None = None) -> int:
        """How many requests arrived, in all or of one service (UPLOAD, RECEIVE)."""
        return sum(1 for request in self.requests if service in (None, request.service))

    def reset_requests(self) -> None:
        """Forget what arrived."""
        with self._lock:
            self._requests.clear()

    # -- used by the handler ----------------------------------------------------------------------------

    def record(self, request: GitRequest) -> None:
        """Remember a request."""
        with self._lock:
            self._requests.append(request)

    def wait_released(self) -> None:
        """Stay silent until the hang is over or the server stops."""
        self._released.wait()

    def refusal(self, service: str, login: tuple[str, str]) -> int | None:
        """The status to refuse a request with: a failure that was asked for, 401 or 403."""
        failure = self._next_failure()
        if failure is not None:
            return failure
        open_to_all = not self.username or (self.anonymous_read and service != RECEIVE)
        if not open_to_all and login != (self.username, self.password):
            return 401
        return 403 if self.deny_push and service == RECEIVE else None

    def backend(self, environment: Mapping[str, str], body: bytes) -> bytes:
        """Run ``git http-backend`` for one request."""
        env = _plain_env(self.root)
        env |= {"GIT_PROJECT_ROOT": str(self.root), "GIT_HTTP_EXPORT_ALL": "1"}
        # Who may push is decided here, so the backend itself lets everybody.
        env |= {
            "GIT_CONFIG_COUNT": "1",
            "GIT_CONFIG_KEY_0": "http.receivepack",
            "GIT_CONFIG_VALUE_0": "true",
        }
        done = subprocess.run(
            ["git", "http-backend"], input=body, env={**env, **environment}, capture_output=True, check=False
        )
        return done.stdout

    def _next_failure(self) -> int | None:
        """The status to fail with now, counted down."""
        with self._lock:
            if self._failure is None:
                return None
            status, times = self._failure
            if times is not None:
                self._failure = (status, times - 1) if times > 1 else None
            return status


def _plain_env(home: Path) -> dict[str, str]:
    """An environment in which no configuration of the machine or the user counts."""
    return {
        "PATH": os.environ.get("PATH", os.defpath),
        "HOME": str(home),
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_CONFIG_SYSTEM": os.devnull,
    }
