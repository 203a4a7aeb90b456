"""What stays up between two commands: a process in the background that holds it open, and the commands that
start and end it.
"""

# ruff: noqa: T201 - a command line prints

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.lab import build, netns
from tests.lab.process import LabError, wait_until

_UP_SECONDS = 600.0
_DOWN_SECONDS = 60.0


@dataclass(frozen=True)
class Holder:
    """The only one of its name and of this user: `python -m tests.lab NAME-run`, and the folder that it
    shares with the commands.
    """

    name: str

    @property
    def folder(self) -> Path:
        """Files to play with; all holders share it."""
        return build.cache_root() / "up"

    @property
    def log(self) -> Path:
        """What it says."""
        return self.folder / f"{self.name}.log"

    @property
    def state(self) -> Path:
        """JSON of `pid`, `stamp` and `help`; there once everything is ready."""
        return self.folder / f"{self.name}.json"

    def running(self) -> int | None:
        """Its pid, if everything is up."""
        with contextlib.suppress(FileNotFoundError):
            found = json.loads(self.state.read_text())
            if netns.process_stamp(found["pid"]) == found["stamp"]:
                return int(found["pid"])
        return None

    def up(self) -> int:
        """Start it, and return when everything is ready; says how to use it, also where it was up before."""
        if self.running() is None:
            self.folder.mkdir(parents=True, exist_ok=True)
            self.state.unlink(missing_ok=True)
            with self.log.open("w") as log:
                command = [sys.executable, "-m", "tests.lab", f"{self.name}-run"]
                child = subprocess.Popen(
                    command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
                )
            if not self._follow(child):
                return 1
        print(json.loads(self.state.read_text())["help"])
        return 0

    def _follow(self, child: subprocess.Popen[bytes]) -> bool:
        """Show what it says until it is ready or has ended."""
        with self.log.open() as log:

            def look() -> bool:
                print(log.read(), end="", flush=True)
                return self.state.exists() or child.poll() is not None

            try:
                wait_until(look, self.name, _UP_SECONDS)
            except (LabError, KeyboardInterrupt):
                child.terminate()
                raise
            print(log.read(), end="", flush=True)
        return child.poll() is None

    @contextlib.contextmanager
    def announced(self, how_to: str) -> Iterator[None]:
        """In the holder itself: say that everything is ready, and how to use it, until the block ends."""
        state = {"pid": os.getpid(), "stamp": netns.process_stamp(os.getpid()), "help": how_to}
        draft = self.state.with_suffix(".new")
        draft.touch(mode=0o600)
        draft.write_text(json.dumps(state))
        draft.rename(self.state)
        try:
            yield
        finally:
            self.state.unlink(missing_ok=True)

    def end(self) -> bool:
        """End it with all that it holds, and wait for that; whether it was up."""
        pid = self.running()
        if pid is None:
            return False
        os.kill(pid, signal.SIGTERM)
        wait_until(
            lambda: self.running() is None and not netns.process_stamp(pid),
            f"end of the {self.name}",
            _DOWN_SECONDS,
        )
        return True
