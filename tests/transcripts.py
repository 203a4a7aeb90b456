"""Pages that can be typed through: what a block of them shows is written, run, and compared.

A block ```` ```yaml file=PATH ```` is a file to write. In a block ```` ```console ```` a line that begins
with `$ ` is a command, and what follows is what it prints on stdout, line for line; `...` stands for any
number of lines. A command that nothing follows may print anything.
"""

from __future__ import annotations

import re
import shlex
import subprocess
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from tests.unit.commandline import Run

_BLOCK = re.compile(r"^```(\S+)(?: file=(\S+))?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_ANY = "..."


def blocks(page: str) -> Iterator[tuple[str, str, str]]:
    """(language, file, text) of each fenced block that names a language, in order."""
    yield from _BLOCK.findall(page)


def play(page: str, run: Run, chdir: Callable[[Path], None]) -> int:
    """Type a page through in the current folder; how many commands there were."""
    count = 0
    for language, file, text in blocks(page):
        if file:
            Path(file).write_text(text)
        elif language == "console":
            for command, expected in _commands(text):
                printed = _typed(command, run, chdir)
                assert not expected or _fits(printed, expected), f"$ {command}\n{chr(10).join(printed)}"
                count += 1
    return count


def _commands(text: str) -> Iterator[tuple[str, list[str]]]:
    for part in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
        command, *expected = part.rstrip("\n").split("\n")
        yield command, expected


def _typed(command: str, run: Run, chdir: Callable[[Path], None]) -> list[str]:
    """What a command prints: ours in this process, any other in a shell."""
    words = shlex.split(command)
    if words[0] == "cd":
        chdir(Path(words[1]))
        return []
    if words[0] == "gitmesh":
        return [line.rstrip() for line in run(*words[1:])[1].splitlines()]
    return subprocess.run(
        ["bash", "-ec", command], check=True, capture_output=True, text=True
    ).stdout.splitlines()


def _fits(printed: Sequence[str], expected: Sequence[str]) -> bool:
    """Whether the lines are those expected."""
    if not expected:
        return not printed
    if expected[0] == _ANY:
        return any(_fits(printed[skipped:], expected[1:]) for skipped in range(len(printed) + 1))
    return bool(printed) and printed[0] == expected[0].rstrip() and _fits(printed[1:], expected[1:])
