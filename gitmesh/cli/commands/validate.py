"""`gitmesh validate`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click
from msgspec.structs import replace

from gitmesh.cli import configuration, options, runs, saved_facts, wiring
from gitmesh.cli.folders import folder
from gitmesh.cli.session import Job, View, answer, execute, translators
from gitmesh.diagnostics import finding
from gitmesh.model.report import Report, Stage

if TYPE_CHECKING:
    from gitmesh.adapters.folder import FolderSource
    from gitmesh.ports import Source

HELP = """Check policies; every mistake of every file at once, at its line.

PATH is a file or a folder; several may be given. Without PATH, and of a checkout or a folder that holds
the gitmesh.yaml, the policy paths of the configuration's sources are checked. Files that Git does not know
of, or is told to ignore, are checked as well, and named. No configuration is needed: without one, cluster
names are taken as they are. Whether Services and other live objects exist is checked with --facts only.

\b
Examples:
  gitmesh validate policies
  gitmesh validate policies/reviews.yaml policies/access.yaml
  gitmesh validate policies --facts facts.yaml --fail-on warning
  gitmesh validate -o json | jq .findings
  gitmesh validate policies -o github          annotations in a job of GitHub; sarif and gitlab are files
  gitmesh validate policies -o sarif > findings.sarif

Annotations name files from the root of the checkout; a finding at no line of it is told on stderr.

Exit codes: 0 clean, 2 error findings, 3 wrong usage or a failure.
"""


_HINT = "give --facts FILE (from `gitmesh discover -o yaml`) to check them"


@click.command(help=HELP)
@click.argument("paths", nargs=-1, type=click.Path(path_type=Path, exists=True), metavar="[PATH]...")
@options.config
@options.facts
@options.policies
@options.fail_on
@options.output("text", "json", "yaml", "markdown", *options.ANNOTATIONS)
@options.color
def command(
    paths: tuple[Path, ...],
    config_path: Path | None,
    facts_path: Path | None,
    policy_globs: tuple[str, ...],
    fail_on: str,
    form: str,
    color: bool | None,
) -> int:
    """Parse and check; with facts, resolve and translate as well."""
    setup = _setup(paths, config_path)
    sources = [folder(path, str(path), setup, _inside(setup, path)) for path in paths] or _without_path(setup)
    report = _run(sources, setup, facts_path)
    return answer(
        report, View(form=form, color=color, policies=policy_globs, fail_on=fail_on, sources=sources)
    )


def _without_path(setup: configuration.Setup | None) -> list[FolderSource]:
    """What lies here, and the plain folders of the configuration that lie outside of its own."""
    away = (
        []
        if setup is None or setup.confined
        else [source for source in setup.config.sources if not setup.places(source)]
    )
    found = [wiring.plain_folder(setup, one) for one in away] if setup else []
    return found if setup and found and len(away) == len(setup.config.sources) else [_here(setup), *found]


def _here(setup: configuration.Setup | None) -> FolderSource:
    """What lies here of the configuration's own paths, which are meant without a PATH."""
    inside = _inside(setup, Path("."))
    # Where none of them is here, nothing else that lies here is meant either.
    if inside and not any(Path(place).exists() for place in inside):
        raise click.UsageError(
            f"the configuration's policies ({', '.join(inside)}) are not in this folder; name theirs:"
            " `gitmesh validate PATH`"
        )
    return folder(Path("."), ".", setup, inside, root=True)


def _inside(setup: configuration.Setup | None, path: Path) -> tuple[str, ...]:
    """The paths of those sources that have any of theirs here; where none has, of all."""
    known = [places for source in setup.config.sources if (places := setup.places(source))] if setup else []
    here = [places for places in known if any((path / place).exists() for place in places)]
    return tuple(dict.fromkeys(place for places in here or known for place in places))


def _setup(paths: tuple[Path, ...], given: Path | None) -> configuration.Setup | None:
    """--config, else the gitmesh.yaml that lies in a PATH, else the nearest one from here upwards."""
    beside = next(
        (path / configuration.FILE for path in paths if (path / configuration.FILE).is_file()), None
    )
    return configuration.load(given, beside)


def _run(sources: Sequence[Source], setup: configuration.Setup | None, facts_path: Path | None) -> Report:
    if facts_path is not None:
        facts = saved_facts.read_facts(facts_path)
        job = Job(
            sources=sources,
            fleet=saved_facts.facts_fleet(facts),
            options=runs.offline(setup, facts),
            translators=translators(),
        )
        return replace(execute(job, Stage.BUILD), until=Stage.PARSE)
    report = execute(
        Job(sources=sources, fleet=saved_facts.facts_fleet({}), options=runs.offline(setup, {})), Stage.PARSE
    )
    unchecked = finding("GM217", "references to live objects were not checked", hint=_HINT)
    return replace(report, diagnostics=(*report.diagnostics, unchecked))
