"""A request as the command line puts it: who asks, and what for. Mistakes are click's exceptions."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import parse_qsl

import click
from msgspec import Struct

from gitmesh.cli import options

C = TypeVar("C", bound=Callable[..., Any])

WORDS = """SRC is a workload or a ServiceAccount (`name` or `namespace/name`), a ServiceAccount for sure
(`serviceaccount:namespace/name`), or `anonymous`: a client without proxy and identity. DST is a Service,
`name` or `namespace/name`, with `:port` where it has several. POLICIES is a folder to read in place of the
repository. With --facts no cluster is asked, and no configuration is needed."""
"""What the help of each command says of its arguments."""


class Wanted(Struct, frozen=True, kw_only=True):
    """A request as it was typed; `authority` "" stands for the host that the client would call."""

    source: str
    destination: str
    method: str = "GET"
    path: str = "/"
    query: Mapping[str, str] = {}
    headers: Mapping[str, str] = {}
    authority: str = ""
    ip: str = ""


_FROM_IP = click.option(
    "--from-ip", default="", metavar="ADDRESS", help="The client's address, where policies ask for it."
)
_DESTINATION: tuple[Callable[[Any], Any], ...] = (
    click.argument("destination", metavar="DST"),
    click.argument(
        "policies", required=False, type=click.Path(path_type=Path, exists=True), metavar="[POLICIES]"
    ),
    click.option("--method", default="GET", show_default=True, help="HTTP method."),
    click.option("--path", default="/", show_default=True, help="Path; a query after ? is taken as --query."),
    click.option("--query", multiple=True, metavar="NAME=VALUE", help="Query parameter; may be repeated."),
    click.option("--header", multiple=True, metavar="NAME=VALUE", help="Request header; may be repeated."),
    click.option(
        "--authority",
        default="",
        metavar="HOST",
        help="Host header; default the Service as the client would call it.",
    ),
    click.option(
        "--port", default="", metavar="PORT", help="Service port, number or name; the same as DST:port."
    ),
)
_RUN: tuple[Callable[[Any], Any], ...] = (
    click.option(
        "--source",
        "source_name",
        metavar="NAME",
        help="Which source POLICIES stands in for; default the first.",
    ),
    options.config,
    options.facts,
    options.clusters,
    options.store,
    options.fail_on,
    options.output("text", "json", "yaml"),
    options.color,
)


def arguments(command: C) -> C:
    """SRC, DST, [POLICIES], and the request's options in the order in which the help shows them."""
    return _decorated(command, click.argument("source", metavar="SRC"), *_DESTINATION, _FROM_IP, *_RUN)


def arguments_of_destination(command: C) -> C:
    """The same without a client."""
    return _decorated(command, *_DESTINATION, *_RUN)


def expect(command: C) -> C:
    """--expect"""
    return click.option(
        "--expect",
        type=click.Choice(("allowed", "denied")),
        default=None,
        help="End with exit code 1 where some answer is another one, or unknown.",
    )(command)


def _decorated(command: C, *decorators: Callable[[Any], Any]) -> C:
    # click shows options in the reverse of the order in which they are put on.
    for decorate in reversed(decorators):
        command = decorate(command)
    return command


def wanted(given: Mapping[str, Any]) -> Wanted:
    """The request from a command's parameters. A mistake is a usage error."""
    # In any case, as people type it: it is put into capitals below, which policies ask for.
    if not re.fullmatch("[A-Za-z]{1,16}", given["method"]):
        raise click.UsageError(f"--method {given['method']}: not a method")
    path, _, query = given["path"].partition("?")
    if not path.startswith("/"):
        raise click.UsageError(f"--path {given['path']}: a path begins with /")
    destination, port = given["destination"], given["port"]
    if port and ":" in destination:
        raise click.UsageError("the port is given twice: in DST and as --port")
    return Wanted(
        source=given["source"],
        destination=f"{destination}:{port}" if port else destination,
        method=given["method"].upper(),
        path=path,
        # An empty value is one, too: `?debug=` is there for a condition on presence.
        query={**dict(parse_qsl(query, keep_blank_values=True)), **_pairs(given["query"], "--query")},
        headers=_headers(given["header"]),
        authority=given["authority"],
        ip=_address(given["from_ip"]),
    )


def _pairs(texts: Iterable[str], option: str) -> dict[str, str]:
    found = {}
    for text in texts:
        name, sign, value = text.partition("=")
        if not sign:
            raise click.UsageError(f"{option} {text}: write NAME=VALUE")
        found[name] = value
    return found


def _headers(texts: Iterable[str]) -> dict[str, str]:
    """Names and values that policies could name too."""
    from pydantic import TypeAdapter, ValidationError

    from gitmesh.model.base import HeaderName, HeaderValue

    # By the types of the policies: what these refuse no policy can ask for.
    name, value = TypeAdapter[str](HeaderName), TypeAdapter[str](HeaderValue)
    found = {}
    for key, text in _pairs(texts, "--header").items():
        try:
            found[name.validate_python(key)] = value.validate_python(text)
        except ValidationError:
            raise click.UsageError(f"--header {key}={text}: not a header's name and value") from None
    return found


def _address(text: str) -> str:
    try:
        return str(ipaddress.ip_address(text)) if text else ""
    except ValueError:
        raise click.UsageError(f"--from-ip {text}: not an address") from None
