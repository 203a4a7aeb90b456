"""Whether a repository on this disk is only data: nothing in it makes git run a program or look outside of
it.

For a repository that came with a checkout, so that anybody may have written it: git serves a local repository
under that repository's own configuration and hooks. What is allowed is listed; anything else is refused.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

_MAX_CONFIG = 65_536
_SECTION = re.compile(r'\[([A-Za-z]+)(?: "[A-Za-z0-9._/-]+")?\]')
_VALUE = re.compile(r"([A-Za-z][A-Za-z0-9]*)\s*=[^\\]*")
_HARMLESS: Mapping[str, frozenset[str]] = {
    "core": frozenset(
        {
            "repositoryformatversion",
            "filemode",
            "bare",
            "logallrefupdates",
            "ignorecase",
            "precomposeunicode",
            "symlinks",
        }
    ),
    "remote": frozenset({"url", "fetch"}),
    "branch": frozenset({"remote", "merge"}),
    "user": frozenset({"name", "email"}),
    "uploadpack": frozenset(
        {"allowanysha1inwant", "allowtipsha1inwant", "allowreachablesha1inwant", "hiderefs"}
    ),
}
"""Section -> settings that start nothing and lead nowhere."""
_ELSEWHERE = ("commondir", "objects/info/alternates", "objects/info/http-alternates")
"""Files that lead git to other repositories."""


def plain_problem(path: Path) -> str:
    """Why a repository (bare, or a folder with a `.git` folder) is more than data; "" where it is not."""
    store = path / ".git" if (path / ".git").is_dir() else path
    try:
        return next(_problems(store), "")
    except OSError as error:
        return f"cannot be read: {error.strerror}"


def _problems(store: Path) -> Iterator[str]:
    if not (store / "objects").is_dir():
        yield "is not a repository"
    # A link is a file anywhere else, so each check below would look at another place than git does, or git
    # at one outside.
    yield from (f"has the link {found}" for found in _links(store))
    yield from (f"leads elsewhere by {name}" for name in _ELSEWHERE if os.path.lexists(store / name))
    yield from (f"has the hook {hook.name}" for hook in _hooks(store / "hooks"))
    yield from (f"has the setting {setting}" for setting in _settings(store / "config"))


def _links(store: Path) -> Iterator[str]:
    for folder, folders, files in os.walk(store, followlinks=False):
        yield from (name for name in (*folders, *files) if os.path.islink(os.path.join(folder, name)))


def _hooks(folder: Path) -> Iterator[Path]:
    yield from (
        (hook for hook in sorted(folder.iterdir()) if hook.suffix != ".sample") if folder.is_dir() else ()
    )


def _settings(config: Path) -> Iterator[str]:
    """Settings that are not known to be harmless, and lines that are no settings."""
    if not config.is_file() or config.stat().st_size > _MAX_CONFIG:
        yield "config, which is no plain file"
        return
    section = ""
    for line in config.read_text(encoding="utf-8", errors="replace").split("\n"):
        text = line.strip(" \t")
        if found := _SECTION.fullmatch(text):
            # Git takes names of sections and settings in any case.
            section = found.group(1).lower()
        elif text and not text.startswith(("#", ";")):
            # A line that is no plain `name = value` (a continuation, a quoted newline) is refused unread:
            # git's grammar for it is richer than this one.
            name = setting.group(1).lower() if (setting := _VALUE.fullmatch(text)) else "?"
            if name not in _HARMLESS.get(section, frozenset()):
                yield f"{section}.{name}"
