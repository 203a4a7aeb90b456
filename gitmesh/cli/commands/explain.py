"""`gitmesh explain`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from gitmesh.cli import console, options

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gitmesh.parsing.schema import Field

HELP = """Explain a finding's code or a policy's field. Works offline.

\b
Examples:
  gitmesh explain GM210
  gitmesh explain MissingReference
  gitmesh explain TrafficPolicy.spec.retries
  gitmesh explain retries.attempts

Exit codes: 0 found, 3 unknown.
"""


@click.command(help=HELP)
@click.argument("topic", metavar="CODE|FIELD")
@options.color
def command(topic: str, color: bool | None) -> int:
    """A code by number or name, else every field whose path ends so."""
    from gitmesh.render.explain import code_text, field_text, find_code, find_fields, similar

    paint = console.paint_for(color)
    code = find_code(topic)
    if code is not None:
        console.data(code_text(code, paint))
        return 0
    fields = _fields()
    found = find_fields(topic, fields)
    if not found:
        near = similar(topic, fields)
        advice = f"did you mean {' or '.join(near)}?" if near else "fields begin with a kind, as in TrafficPolicy.spec.timeout"
        raise click.UsageError(f"nothing is known of {topic!r}; {advice}")
    console.data("\n".join(field_text(path, fields, paint) for path in found))
    return 0


def _fields() -> Mapping[str, Field]:
    from gitmesh.model.kinds import KINDS
    from gitmesh.parsing.schema import Field, fields

    found: dict[str, Field] = {}
    for kind in (*KINDS, "Config"):
        found[kind] = Field(kind, "document", "", required=True)
        found |= {f"{kind}.{path}": field for path, field in fields(kind).items()}
    return found
