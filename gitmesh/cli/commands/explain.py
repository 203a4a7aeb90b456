"""`gitmesh explain`."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import click

from gitmesh.cli import console, options

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from gitmesh.parsing.schema import Field

_CODE = re.compile(r"GM\d+\Z", re.IGNORECASE)

HELP = """Explain a finding's code or a policy's field. Works offline.

\b
Examples:
  gitmesh explain GM210
  gitmesh explain MissingReference
  gitmesh explain TrafficPolicy.spec.retries
  gitmesh explain retries.attempts

Exit codes: 0 found, 3 unknown.
"""


def _offered(_ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[str]:
    """For the shell's completion: codes, and fields one level at a time."""
    from gitmesh.codes import CODES

    topics = (*CODES, *(path for path in _fields() if path.count(".") <= incomplete.count(".")))
    return [topic for topic in topics if topic.lower().startswith(incomplete.lower())]


@click.command(help=HELP)
@click.argument("topic", metavar="CODE|FIELD", shell_complete=_offered)
@options.color
def command(topic: str, color: bool | None) -> int:
    """A code by number or name, else every field whose path ends so."""
    from gitmesh.render.explain import code_text, field_text, find_code, find_fields, similar

    paint = console.paint_for(color)
    code = find_code(topic)
    if code is not None:
        console.data(code_text(code, paint), paint)
        return 0
    fields = _fields()
    found = find_fields(topic, fields)
    if not found:
        raise click.UsageError(_unknown(topic, similar(topic, fields)))
    console.data("\n".join(field_text(path, fields, paint) for path in found), paint)
    return 0


def _unknown(topic: str, near: Sequence[str]) -> str:
    """Why a topic is not explained: of a later version, no such code, or a typing error."""
    from gitmesh.model.kinds import FUTURE_FIELDS, FUTURE_KINDS, KINDS

    kind, _, path = topic.partition(".")
    later = {name for names in FUTURE_FIELDS.values() for name in names}
    if kind in FUTURE_KINDS or (kind in KINDS and path.rpartition(".")[2] in later):
        return (
            f"{topic} is not supported by this version; policies with it are refused (GM205 NotSupportedYet)"
        )
    if _CODE.match(topic):
        return f"there is no code {topic}"
    advice = (
        f"did you mean {' or '.join(near)}?"
        if near
        else f"fields begin with a kind: {', '.join(KINDS)} or Config"
    )
    return f"nothing is known of {topic!r}; {advice}"


def _fields() -> Mapping[str, Field]:
    from gitmesh.model.config import Config
    from gitmesh.model.kinds import KINDS
    from gitmesh.parsing.schema import Field, fields

    found: dict[str, Field] = {}
    for kind, model in {**KINDS, "Config": Config}.items():
        found[kind] = Field(
            kind, "document", (model.__doc__ or "").strip().partition("\n")[0], required=False
        )
        found |= {f"{kind}.{path}": field for path, field in fields(kind).items()}
    return found
