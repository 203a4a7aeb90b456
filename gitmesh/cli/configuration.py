"""The configuration: which file it is, whether it is trusted, and what it says (docs/configuration.md)."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click
from msgspec import Struct

from gitmesh.cli import console, trust
from gitmesh.render.escape import printable

if TYPE_CHECKING:
    from gitmesh.model.config import Config
    from gitmesh.model.config_sources import SourceConfig

FILE = "gitmesh.yaml"
BEGIN = "to begin with one that works: `gitmesh init mesh`"
"""What helps whoever has no configuration at all."""


class Setup(Struct, frozen=True, kw_only=True):
    """A configuration that was read, and the folder that its paths are relative to.

    It is `confined` where it was found by itself and nobody agreed to it: then it may use what lies below its
    folder, as data only.
    """

    config: Config
    file: Path
    confined: bool = False

    @property
    def base(self) -> Path:
        """Where relative paths begin."""
        return self.file.resolve().parent

    def places(self, source: SourceConfig) -> tuple[str, ...]:
        """Where a source's policies lie, as seen from the root of its repository, or, of a plain folder, from
        the folder of the configuration; none where that folder lies outside of it."""
        if source.path is None:
            return source.paths
        found = [os.path.normpath(os.path.join(source.path, place)) for place in source.paths]
        if os.path.isabs(source.path) or any(place.split(os.sep)[0] == os.pardir for place in found):
            return ()
        return tuple("" if place == os.curdir else place for place in found)

    @property
    def clusters(self) -> Mapping[str, Mapping[str, str]]:
        """Every configured cluster and its labels."""
        return {cluster.name: cluster.labels for cluster in self.config.clusters}


def find(start: Path) -> Path | None:
    """The nearest gitmesh.yaml from `start` upwards."""
    places = (start.resolve(), *start.resolve().parents)
    return next((place / FILE for place in places if (place / FILE).is_file()), None)


def load(given: Path | None, beside: Path | None = None) -> Setup | None:
    """The configuration, named on stderr: --config or GITMESH_CONFIG; else `beside`, or the nearest from here
    upwards, as far as it is trusted. None where there is none. Exits with 2 where it is not valid."""
    if given is not None:
        return read(given)
    file = beside or find(Path.cwd())
    return None if file is None else found(file, content_of(file))


def read(file: Path, *, quiet: bool = False) -> Setup:
    """A configuration that was named, and is named on stderr unless `quiet`."""
    config = parsed(file, content_of(file))
    if not quiet:
        console.note(printable(f"configuration: {_shown(file)}"))
    return Setup(config=config, file=file)


def found(file: Path, content: bytes) -> Setup:
    """A configuration that nobody named, as it is here or was at some commit: it counts fully only once that
    content is trusted.
    """
    if trust.is_trusted(file, content, os.environ):
        setup = Setup(config=parsed(file, content), file=file)
    elif file.is_symlink():
        raise click.UsageError(
            f"{_shown(file)} is a symbolic link, found and not named; {consent_line(file)}"
        )
    else:
        # It may have come with the branch that somebody looks at.
        setup = Setup(config=parsed(file, content), file=file, confined=True)
    console.note(printable(f"configuration: {_shown(file)}"))
    if setup.confined:
        console.note(
            "  found, not named, and not trusted: it uses only what lies below its folder, and keeps nothing"
            " from being checked"
        )
        console.note(printable(f"  {consent_line(file)}"))
    return setup


def consent_line(file: Path) -> str:
    """What to type where a configuration that was found is meant."""
    context = click.get_current_context(silent=True)
    words = (
        [*(context.find_root().obj or ()), "--config", _shown(file)]
        if context
        else ["--config", _shown(file)]
    )
    once = f"for all of it: {shlex.join(['gitmesh', *words])}"
    return (
        once
        if trust.in_ci(os.environ)
        else f"{once}; or, from now on: {shlex.join(['gitmesh', 'trust', _shown(file)])}"
    )


def content_of(file: Path) -> bytes:
    """The bytes of a configuration."""
    from gitmesh.adapters.folder import read_config
    from gitmesh.errors import SourceError

    try:
        return read_config(str(file))
    except SourceError as error:
        raise click.ClickException(f"the configuration: {error}") from None


def parsed(file: Path, content: bytes) -> Config:
    """The configuration that a file's content is. Its findings are printed like any others, and end the
    command.
    """
    from gitmesh.parsing.settings import load_config

    config, findings = load_config(content, _shown(file), os.environ)
    if findings:
        from gitmesh.render.findings import findings_text

        console.note(findings_text(findings).rstrip("\n"))
    if config is None:
        raise click.exceptions.Exit(2)
    return config


def require(given: Path | None, policies: Path | None = None) -> Setup:
    """The configuration; a clear failure without one, which points at that of the policies' folder."""
    setup = load(given)
    if setup is None:
        # Only pointed at: it says which clusters are asked, and nobody said that it is meant.
        theirs = find(policies) if policies else None
        named = shlex.join(["--config", _shown(theirs)]) if theirs else ""
        raise click.UsageError(
            f"no configuration: give --config FILE, set GITMESH_CONFIG, or run below a folder with {FILE};"
            f" {printable(f'that of {policies} is named by `{named}`') if named else BEGIN}"
        )
    return setup


def _shown(file: Path) -> str:
    try:
        return str(file.resolve().relative_to(Path.cwd()))
    except ValueError:
        return str(file)
