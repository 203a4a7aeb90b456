"""Which configurations the user has agreed to, by path and content: as direnv's `allow`.

A `gitmesh.yaml` that was found by itself may have come with the branch under review. Kept in the user's
state, which no branch reaches.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
import tempfile
from collections.abc import Mapping
from pathlib import Path

import click

_VERSION = 1
_MAX_STATE = 1 << 20


def state_file(environment: Mapping[str, str]) -> Path:
    """$XDG_STATE_HOME/gitmesh/trusted.json, else below ~/.local/state."""
    state = environment.get("XDG_STATE_HOME", "")
    return (
        # The XDG specification wants a relative path to be passed over.
        (Path(state) if os.path.isabs(state) else Path.home() / ".local" / "state")
        / "gitmesh"
        / "trusted.json"
    )


def in_ci(environment: Mapping[str, str]) -> bool:
    """Whether this is a run of somebody's CI."""
    # Nobody agreed to anything there, so that only `--config` counts.
    return environment.get("CI", "").lower() not in ("", "0", "false", "no")


def is_trusted(file: Path, content: bytes, environment: Mapping[str, str]) -> bool:
    """Whether exactly this content at this place was agreed to."""
    return not in_ci(environment) and known(environment).get(str(file.resolve())) == _digest(content)


def record(file: Path, content: bytes, environment: Mapping[str, str]) -> None:
    """Agree to this content at this place. Raises OSError where the state cannot be written."""
    _write({**known(environment), str(file.resolve()): _digest(content)}, state_file(environment))


def forget(file: Path, environment: Mapping[str, str]) -> bool:
    """Take the agreement back; whether there was one. Raises OSError where the state cannot be written."""
    before = known(environment)
    left = {path: digest for path, digest in before.items() if path != str(file.resolve())}
    if left != before:
        _write(left, state_file(environment))
    return left != before


def known(environment: Mapping[str, str]) -> Mapping[str, str]:
    """Real path -> hash. A state that is not there is empty; one that others can write, or that is no such
    state, is a failure.
    """
    path = state_file(environment)
    try:
        # No link, which somebody could lay to a file of theirs; and without waiting, which a FIFO in its
        # place would make last for ever.
        with open(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
            found, content = os.fstat(file.fileno()), file.read(_MAX_STATE)
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise click.ClickException(f"cannot read {path}: {error.strerror}") from None
    # Asked of the file that was opened, and not by its path, where another one may be by now.
    if found.st_uid != os.geteuid() or not stat.S_ISREG(found.st_mode) or found.st_mode & 0o022:
        raise click.ClickException(
            f"{path} can be written by others, so it says nothing of what you trust; remove it"
        )
    return _parsed(content, path)


def _parsed(content: bytes, path: Path) -> Mapping[str, str]:
    try:
        data = json.loads(content)
        entries = data["trusted"]
        if data["version"] != _VERSION or not all(
            isinstance(text, str) for pair in entries.items() for text in pair
        ):
            raise ValueError
    except (ValueError, KeyError, TypeError, AttributeError):
        raise click.ClickException(
            f"{path} is not a list of trusted configurations of this version; remove it"
        ) from None
    return dict(entries)


def _write(entries: Mapping[str, str], path: Path) -> None:
    """Replace the state, whole or not at all; nobody else can read or write it."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    text = json.dumps({"version": _VERSION, "trusted": dict(sorted(entries.items()))}, indent=2) + "\n"
    # In the same folder, as a rename is one step inside of one file system only. It begins with mode 600.
    descriptor, draft = tempfile.mkstemp(dir=path.parent, prefix=".trusted-")
    with open(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
    os.replace(draft, path)


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
