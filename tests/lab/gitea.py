"""A real Gitea on loopback, for as long as a ``with`` block lasts: its own folder, SQLite, and an
administrator.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import secrets
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from configparser import ConfigParser
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.lab.giteaclient import Account, GiteaClient
from tests.lab.netns import owner_tag
from tests.lab.process import LOOPBACK, LabError, PortTakenError, Process, free_ports, wait_until

ADMIN = "lab-admin"
READY_SECONDS = 120.0
_COMMAND_SECONDS = 120.0
_NOBODY = 65534
"""Gitea refuses to run as root; where the lab does, its forge belongs to Debian's `nobody`."""


class Gitea:
    """One forge. `user` makes accounts, each of which acts through a client of its own; `admin` is one that
    may do everything.
    """

    def __init__(self, programs: Path, *, parent: Path | None = None) -> None:
        """`programs` is the folder that `build.find_gitea` tells; `parent` is where the folder of this run is
        made.
        """
        self._programs = programs
        self._parent = parent
        self._folder: Path | None = None
        self._process: Process | None = None
        self._port = 0
        self._admin: GiteaClient | None = None

    def __enter__(self) -> Self:
        """Start and wait until ready; once more if the chosen port was lost to somebody else."""
        try:
            self._launch()
        except PortTakenError:
            self.close()
            self._launch()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _launch(self) -> None:
        try:
            self._folder = Path(tempfile.mkdtemp(prefix=f"{owner_tag()}-gitea-", dir=self._parent))
            self._folder.chmod(0o755)
            # A copy, as the cache may lie in a home that is closed to the user it runs as.
            shutil.copytree(self._programs, self._folder / "static")
            _complete(self._folder / "static" / "public" / "assets")
            (self._port,) = free_ports(1)
            self._write_settings()
            self.start()
            self._admin = GiteaClient(self._port, self._make_admin())
        except BaseException:
            self.close()
            raise

    def _write_settings(self) -> None:
        work = self.folder / "work"
        work.mkdir()
        settings = ConfigParser()
        settings.optionxform = str  # type: ignore[assignment,method-assign]
        settings.read_dict(_settings(self._port, self.folder))
        with (work / "app.ini").open("w") as target:
            settings.write(target)
        if os.geteuid() == 0:
            for path in (work, *work.rglob("*")):
                os.chown(path, _NOBODY, _NOBODY)

    def _make_admin(self) -> Account:
        password = secrets.token_hex(16)
        login = ["--username", ADMIN, "--password", password, "--email", f"{ADMIN}@example.com"]
        self._run("admin", "user", "create", "--admin", "--must-change-password=false", *login)
        token = self._run(
            "admin", "user", "generate-access-token", "--username", ADMIN, "--scopes", "all", "--raw"
        )
        return Account(ADMIN, password, token.split()[-1])

    def close(self) -> None:
        """End it and remove its data; harmless when repeated."""
        if self._process is not None:
            self._process.kill()
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
        self._process = self._folder = self._admin = None

    # -- outages ----------------------------------------------------------------------------------------

    def start(self) -> None:
        """Start it, or let it come back: same port, same data."""
        log = self.folder / "gitea.log"
        self._process = process = Process(
            self._command("web"), log, name="gitea", env=self._environment(), folder=self.folder / "work"
        )

        def ready() -> bool:
            process.check()
            return _healthy(self._port)

        wait_until(ready, "answer of Gitea", READY_SECONDS)

    def stop(self) -> None:
        """It goes down: connections are refused, the data stays."""
        if self._process is not None:
            self._process.kill()

    @contextlib.contextmanager
    def down(self) -> Iterator[None]:
        """It is down within the block, and ready again after it."""
        self.stop()
        try:
            yield
        finally:
            self.start()

    @contextlib.contextmanager
    def hanging(self) -> Iterator[None]:
        """Within the block it takes connections and answers nothing."""
        process = self.process
        process.signal(signal.SIGSTOP)
        try:
            wait_until(process.is_stopped, "Gitea to hang", 5.0)
            yield
        finally:
            process.signal(signal.SIGCONT)

    # -- what a client needs ----------------------------------------------------------------------------

    @property
    def folder(self) -> Path:
        """The folder of this run, with gitea.log; removed at the end."""
        if self._folder is None:
            raise LabError("Gitea is not started")
        return self._folder

    @property
    def process(self) -> Process:
        """The server."""
        if self._process is None:
            raise LabError("Gitea is not started")
        return self._process

    @property
    def port(self) -> int:
        """The loopback port."""
        return self._port

    @property
    def url(self) -> str:
        """The base URL, without a slash at its end."""
        return f"http://{LOOPBACK}:{self._port}"

    @property
    def admin(self) -> GiteaClient:
        """The administrator, who may do everything."""
        if self._admin is None:
            raise LabError("Gitea is not started")
        return self._admin

    def user(self, name: str = "", *, scopes: Sequence[str] = ("all",)) -> GiteaClient:
        """Make a user with a token of these scopes (`read:repository`, `write:issue`, ...); without a name
        one that no other test uses.
        """
        name = name or f"user-{secrets.token_hex(4)}"
        password = secrets.token_hex(16)
        form = {
            "username": name,
            "email": f"{name}@example.com",
            "password": password,
            "must_change_password": False,
        }
        self.admin.call("POST", "/admin/users", form)
        return self.with_scopes(Account(name, password), scopes)

    def with_scopes(self, account: Account, scopes: Sequence[str]) -> GiteaClient:
        """The same account by another token, of these scopes."""
        token = GiteaClient(self._port, replace(account, token="")).new_token(scopes)
        return GiteaClient(self._port, replace(account, token=token))

    def _run(self, *arguments: str) -> str:
        """Run one of Gitea's commands beside the server; returns what it prints."""
        command = [str(part) for part in self._command(*arguments)]
        env = {"PATH": os.environ.get("PATH", os.defpath), **self._environment()}
        done = subprocess.run(
            command, env=env, capture_output=True, text=True, timeout=_COMMAND_SECONDS, check=False
        )
        if done.returncode != 0:
            raise LabError(
                f"gitea {' '.join(arguments[:3])}: code {done.returncode}\n{done.stderr}{done.stdout}"
            )
        return done.stdout

    def _command(self, *arguments: str) -> list[str | Path]:
        user = ["setpriv", f"--reuid={_NOBODY}", f"--regid={_NOBODY}", "--clear-groups", "--pdeathsig=KILL"]
        work = self.folder / "work"
        gitea: list[str | Path] = [
            self.folder / "static" / "gitea",
            "--config",
            work / "app.ini",
            "--work-path",
            work,
        ]
        return [*(user if os.geteuid() == 0 else []), *gitea, *arguments]

    def _environment(self) -> dict[str, str]:
        return {"HOME": str(self.folder / "work"), "USER": "nobody", "GIT_CONFIG_SYSTEM": os.devnull}


def _settings(port: int, folder: Path) -> dict[str, dict[str, str]]:
    """app.ini: nothing that reaches out, nothing that a test would have to wait for."""
    work = folder / "work"
    address = {"HTTP_ADDR": LOOPBACK, "HTTP_PORT": str(port), "ROOT_URL": f"http://{LOOPBACK}:{port}/"}
    return {
        "DEFAULT": {"APP_NAME": "GitMesh lab", "RUN_MODE": "prod"},
        "server": {
            **address,
            "STATIC_ROOT_PATH": str(folder / "static"),
            "DISABLE_SSH": "true",
            "OFFLINE_MODE": "true",
        },
        "database": {"DB_TYPE": "sqlite3", "PATH": str(work / "gitea.db"), "SQLITE_JOURNAL_MODE": "WAL"},
        "security": {
            "INSTALL_LOCK": "true",
            "SECRET_KEY": secrets.token_hex(32),
            "PASSWORD_HASH_ALGO": "pbkdf2$1000$50",
        },
        "service": {"DISABLE_REGISTRATION": "true"},
        "repository": {"ROOT": str(work / "repositories"), "DEFAULT_BRANCH": "main"},
        "webhook": {"ALLOWED_HOST_LIST": "loopback", "DELIVER_TIMEOUT": "10"},
        "indexer": {"ISSUE_INDEXER_TYPE": "db"},
        "queue": {"TYPE": "channel"},
        "actions": {"ENABLED": "false"},
        "packages": {"ENABLED": "false"},
        "cron": {"ENABLED": "false"},
        "log": {"MODE": "console", "LEVEL": "Warn"},
    }


def _complete(assets: Path) -> None:
    """Make the few things up that Gitea's own build adds to its pages, and that they need to look as they
    should.

    Scripts that are not there at all make every page open a dialog, which nobody answers; without the style
    much is seen twice.
    """
    (assets / "js").mkdir()
    for name in ("iife.js", "index.js"):
        (assets / "js" / name).touch()
    with (assets / "css" / "index.css").open("a") as styles:
        styles.write("\n.tw-hidden { display: none !important; }\n")
    (assets / ".vite").mkdir()
    (assets / ".vite" / "manifest.json").write_text("{}")


def _healthy(port: int) -> bool:
    """Whether it says that it serves, and that its database does."""
    connection = http.client.HTTPConnection(LOOPBACK, port, timeout=10.0)
    try:
        connection.request("GET", "/api/healthz")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
