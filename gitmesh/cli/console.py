"""The terminal, and the one door to it: data on stdout, everything else on stderr; colour and progress only
where somebody looks.

Arguments, files, repositories and APIs say what they like. Whatever is printed for a person goes through here
and is made fit.
"""

from __future__ import annotations

import os
import shutil
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

import click

from gitmesh.render.escape import printable, printable_lines
from gitmesh.render.paint import Paint, ansi, plain

QUIET_SECONDS = 0.3
_CLEAR = "\r\x1b[2K"


def wants_color(choice: bool | None, stream: TextIO, environment: Mapping[str, str]) -> bool:
    """--color / --no-color first, then NO_COLOR, FORCE_COLOR, TERM=dumb, then whether the stream is a
    terminal.
    """
    if choice is not None:
        return choice
    if environment.get("NO_COLOR"):
        return False
    if environment.get("FORCE_COLOR", "0") not in ("", "0"):
        return True
    return environment.get("TERM") != "dumb" and stream.isatty()


def paint_for(choice: bool | None, *, error: bool = False) -> Paint:
    """The colours of stdout, or of stderr."""
    return ansi if wants_color(choice, sys.stderr if error else sys.stdout, os.environ) else plain


def program() -> tuple[str, ...]:
    """How this program is started from this shell."""
    if shutil.which("gitmesh"):
        return ("gitmesh",)
    # As it was started now: what is printed as the next command must work when it is pasted.
    started = Path(sys.argv[0])
    return (
        (str(started.absolute()),)
        if started.name == "gitmesh" and os.access(started, os.X_OK)
        else (sys.executable, "-m", "gitmesh")
    )


def data(text: str, paint: Paint = plain) -> None:
    """Print the answer for a person; `paint` is what it was rendered with. What came from outside moves no
    cursor.
    """
    # `color=True`, as click takes colours out by itself where stdout is no terminal, even if they were asked
    # for.
    click.echo(printable_lines(text, paint), nl=False, color=True)


def document(text: str) -> None:
    """Print the answer for a program, as it is."""
    # Whoever wrote the document has escaped what it holds.
    click.echo(text, nl=False, color=True)


def note(text: str, paint: Paint = plain) -> None:
    """Say something beside the answer."""
    click.echo(printable_lines(text, paint), err=True, color=True)


def complaint(mistake: click.ClickException) -> None:
    """Say what was wrong with a command line, or what failed."""
    if isinstance(mistake, click.UsageError) and mistake.ctx is not None:
        asked = f"{mistake.ctx.command_path} {mistake.ctx.help_option_names[0]}"
        note(f"{mistake.ctx.get_usage()}\nTry '{asked}' for help.\n")
    text = mistake.format_message()
    note(
        # On one line, as the message may repeat any argument or file.
        f"Error: {printable(' '.join(text.split()) if isinstance(mistake, click.MissingParameter) else text)}"
    )


@contextmanager
def progress() -> Iterator[Progress]:
    """A line on stderr that says what is being done."""
    # On a terminal only: in a file or in the log of a job it would be noise.
    line = Progress(sys.stderr, active=sys.stderr.isatty() and os.environ.get("TERM") != "dumb")
    try:
        yield line
    finally:
        line.close()


class Progress:
    """The current step; a callable, as `pipeline.run` wants it. Safe to call from several threads."""

    def __init__(self, stream: TextIO, *, active: bool, delay: float = QUIET_SECONDS) -> None:
        self._stream, self._active, self._text = stream, active, ""
        self._lock = threading.Lock()
        self._shown = False
        self._timer = threading.Timer(delay, self._appear)
        # A command that is done earlier does not wait for it.
        self._timer.daemon = True
        if active:
            self._timer.start()

    def __call__(self, text: str) -> None:
        """Name the current step."""
        with self._lock:
            self._text = printable(text)
            if self._shown:
                self._write()

    def close(self) -> None:
        """Remove the line."""
        self._timer.cancel()
        with self._lock:
            if self._shown:
                self._stream.write(_CLEAR)
                self._stream.flush()
            self._shown, self._active = False, False

    def _appear(self) -> None:
        with self._lock:
            self._shown = self._active
            if self._shown:
                self._write()

    def _write(self) -> None:
        self._stream.write(f"{_CLEAR}{self._text} ...")
        self._stream.flush()
