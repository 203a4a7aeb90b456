"""gitmesh.yaml: bytes -> Config and findings. Reads no file; environment is an argument."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import PurePath
from typing import Any

from msgspec.structs import replace
from pydantic import ValidationError

from gitmesh.diagnostics import Diagnostic, finding, in_order, without_excerpt
from gitmesh.model.config import Config
from gitmesh.model.config_sources import SourceConfig
from gitmesh.model.policies import Positions, dotted
from gitmesh.parsing.faults import findings_of
from gitmesh.parsing.nodes import Document
from gitmesh.parsing.reading import Parsed, read
from gitmesh.parsing.wording import echo

ENVIRONMENT: Mapping[str, str] = {"GITMESH_INSTANCE": "instance", "GITMESH_LISTEN": "listen"}
"""Environment variable -> field of the configuration that it overrides; flags override both."""

_HOST = r"(?:[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:.]+\])"
_USER = r"(?:[A-Za-z0-9_][A-Za-z0-9_.-]*@)?"
_SEGMENTS = r"[A-Za-z0-9._+@=,/-]*"
_PORT = r"(?::[0-9]{1,5})?"
_FORMS: Mapping[str, re.Pattern[str]] = {
    "https": re.compile(f"https://{_HOST}{_PORT}/{_SEGMENTS}"),
    "http": re.compile(f"http://{_HOST}{_PORT}/{_SEGMENTS}"),
    "ssh": re.compile(f"ssh://{_USER}{_HOST}{_PORT}/{_SEGMENTS}"),
    "file": re.compile(f"file:///{_SEGMENTS}"),
}
"""Scheme -> what a URL of it may look like: no query, no escapes, no credentials, nothing that git could take
for an option.
"""
_SCP = re.compile(f"{_USER}{_HOST}:(?![-/:]){_SEGMENTS}")
_INSECURE = frozenset({"http", "file"})
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
_CREDENTIALS = re.compile(r"[A-Za-z0-9+.-]+://[^/]*:[^/]*@|https?://[^/]*@")
_WEIRD = re.compile(r"[^A-Za-z0-9._+@=,/:\[\]-]")


def load_config(
    text: bytes, path: str, env: Mapping[str, str]
) -> tuple[Config | None, tuple[Diagnostic, ...]]:
    """The configuration with the environment's overrides, or None and why. Findings stand at the lines of
    `path`.
    """
    parsed = read(text, path)
    if parsed.findings or len(parsed.documents) != 1:
        return None, tuple(map(_discreet, parsed.findings)) or (_not_one(parsed, path),)
    document = parsed.documents[0]
    if not isinstance(document.data, dict):
        return None, (
            finding(
                "GM607",
                f"the configuration is a mapping, not {echo(document.data)}",
                at=document.positions.at(()),
            ),
        )
    config, found = _validate(document, env)
    found = in_order([_discreet(parsed.excerpt(d)) for d in found])
    return (None if found else config), found


def resolve(config_dir: str, path: str) -> str:
    """A path of the configuration, which is relative to the configuration's folder."""
    return str(PurePath(config_dir) / path)


def url_problem(url: str, *, allow_insecure: bool) -> str | None:
    """Why git must not be given this URL (docs/reliability.md G01, G04, G05, G22); never repeats the URL."""
    # First of all: the messages below repeat parts of the URL, which may be those of a password.
    if _CREDENTIALS.match(url):
        return "a URL holds no credentials; use auth.usernameFile and auth.passwordFile"
    weird = _WEIRD.search(url)
    if weird:
        return (
            f"the character {weird.group()!r} is not allowed in a URL"
            if weird.group() != "%"
            else "escapes (%..) are not allowed in a URL"
        )
    # git runs a program that such a URL names (gitremote-helpers; `ext::` takes a whole command); an IPv6
    # address in brackets holds the same characters.
    if "::" in url and "[" not in url:
        return "remote helpers (name::address) are not allowed; use https or ssh"
    scheme = _SCHEME.match(url)
    name = scheme.group(1).lower() if scheme else "scp"
    if name in _INSECURE and not allow_insecure:
        return f"{name} is allowed only with `allowInsecure: true`"
    form = _SCP if name == "scp" else _FORMS.get(name)
    if form is None:
        return f"{name} is not allowed; use https or ssh"
    # A program that git starts could take a part that begins with - for an option.
    good = form.fullmatch(url) and not any(
        part in ("..", ".") or part.startswith("-") for part in url.split("/")
    )
    return None if good else "not a repository URL; write https://host/path.git or git@host:path.git"


def _not_one(parsed: Parsed, path: str) -> Diagnostic:
    count = len(parsed.documents)
    at = parsed.documents[1].positions.at(()) if count else None
    return finding("GM607", f"{path} holds {count} documents; the configuration is exactly one", at=at)


def _validate(document: Document, env: Mapping[str, str]) -> tuple[Config | None, tuple[Diagnostic, ...]]:
    data, positions = document.data, document.positions
    overrides = {field: env[name] for name, field in ENVIRONMENT.items() if env.get(name)}
    try:
        # Put in before it is checked, so that the environment may say no more than the file may.
        config = Config.model_validate({**data, **overrides})
    except ValidationError as error:
        places = {d.at for d in document.findings}
        found = [
            _as_config(d, overrides) for d in findings_of(error, Config, positions) if d.at not in places
        ]
        return None, (*document.findings, *found, *_raw_urls(data, positions))
    return config, (*document.findings, *_doubled(config, positions), *_urls(config, positions))


def _as_config(diagnostic: Diagnostic, overrides: Mapping[str, str]) -> Diagnostic:
    """The finding under the configuration's code; one that the environment caused points to no line."""
    if diagnostic.field in overrides:
        variable = next(name for name, field in ENVIRONMENT.items() if field == diagnostic.field)
        return finding(
            "GM607", f"{variable}: {diagnostic.message}", field=diagnostic.field, hint=diagnostic.hint
        )
    return replace(diagnostic, code="GM607")


def _doubled(config: Config, positions: Positions) -> Iterator[Diagnostic]:
    """Names that are given again: the ledger and the status branch know both by them."""
    for what, names in (
        ("source", [source.name for source in config.sources]),
        ("cluster", [cluster.name for cluster in config.clusters]),
    ):
        first: dict[str, int] = {}
        for index, name in enumerate(names):
            if first.setdefault(name, index) != index:
                place = (f"{what}s", index, "name")
                text = f"two {what}s are named {name}"
                yield finding("GM607", text, at=positions.at(place), field=dotted(place))


def _urls(config: Config, positions: Positions) -> Iterator[Diagnostic]:
    for index, source in enumerate(config.sources):
        if source.url is not None:
            yield from _url(index, source.url, source.allow_insecure, positions)


def _raw_urls(data: Mapping[str, Any], positions: Positions) -> Iterator[Diagnostic]:
    """The same check where the rest of the configuration is wrong, so that all mistakes show at once."""
    sources = data.get("sources")
    for index, source in enumerate(sources if isinstance(sources, list) else ()):
        if isinstance(source, dict) and isinstance(source.get("url"), str):
            yield from _url(index, source["url"], source.get("allowInsecure") is True, positions)


def _url(index: int, url: str, allow_insecure: bool, positions: Positions) -> Iterator[Diagnostic]:
    problem = url_problem(url, allow_insecure=allow_insecure)
    if problem:
        field = f"sources[{index}].url"
        yield finding(
            "GM607",
            problem,
            at=positions.at(("sources", index, "url")),
            field=field,
            hint=SourceConfig.model_fields["url"].description or "",
        )


def _discreet(diagnostic: Diagnostic) -> Diagnostic:
    """No excerpt of a line that holds credentials in a URL."""
    return without_excerpt(diagnostic) if _CREDENTIALS.search(diagnostic.excerpt) else diagnostic
