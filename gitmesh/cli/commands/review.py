"""`gitmesh review`."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from gitmesh.cli import annotating, comparing, comparison_answer, configuration, console, options, wiring
from gitmesh.cli.session import translators
from gitmesh.errors import ForgeError
from gitmesh.render.escape import printable
from gitmesh.render.findings import folded

if TYPE_CHECKING:
    from gitmesh.reviewing.publishing import Publication

SUMMARY_ROOM = 1 << 20
"""Bytes that a job's summary may have."""
_MERGE_REF = re.compile(r"refs/pull/([0-9]{1,10})/(?:merge|head)\Z")

HELP = """Review a pull request: compare its head with its base, and say on it what the merge would mean.

Posts one comment, which every later run brings up to date, and one commit status. The comparison is that
of `gitmesh diff --base`: PATH is a folder of a checkout that holds both commits. Nothing of the head is
run, and the configuration is that of --config or of the base. The pull request is that of --pull, or of
the CI job, or the open one whose head it is. A forge that is slow or down fails no review: it is said, and
the next run posts.

\b
Examples:
  gitmesh review --base origin/main --config gitmesh.yaml --facts-from status
  gitmesh review --base origin/main --head origin/feature --pull 7
  gitmesh review --base origin/main --dry-run
  gitmesh review --base origin/main --report review.md
  gitmesh review --base origin/main --annotations github
  gitmesh review --list | while read -r number head ref; do git fetch origin "$ref"; done

Exit codes: 0 reviewed, whatever changes; 2 error findings; 3 wrong usage, a failure, a cluster of which
nothing is known, or a token that lacks a right.
"""


@click.command(help=HELP)
@options.stand_in
@click.option(
    "--base", metavar="REV", help="Compare with this revision; default the target branch that a CI job names."
)
@click.option(
    "--head", metavar="REV", default="HEAD", show_default=True, help="The revision that is reviewed."
)
@click.option("--pull", type=click.IntRange(1, 10**9), metavar="NUMBER", help="Number of the pull request.")
@click.option("--dry-run", is_flag=True, help="Print what would be posted, and post nothing.")
@click.option(
    "--report",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Write the whole review there, as Markdown, uncut.",
)
@click.option(
    "--annotations",
    type=click.Choice(options.ANNOTATIONS),
    help="Print the findings that are new on stdout, as annotations of the files under review.",
)
@click.option(
    "--token-file",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="File with the forge's token, in place of the configuration's forge.tokenFile.",
)
@click.option(
    "--list",
    "listing",
    is_flag=True,
    help="Print number, head and ref of each open pull request, and review none.",
)
@options.config
@options.facts
@options.facts_from
@options.clusters
@options.fail_on
@options.store
@options.color
def command(
    path: Path | None,
    source_name: str | None,
    base: str | None,
    head: str,
    pull: int | None,
    dry_run: bool,
    report: Path | None,
    annotations: str | None,
    token_file: Path | None,
    listing: bool,
    config_path: Path | None,
    facts_path: Path | None,
    facts_from: str | None,
    cluster_globs: tuple[str, ...],
    fail_on: str,
    store: Path | None,
    color: bool | None,
) -> int:
    """Compare, write the report, post."""
    if dry_run and annotations:
        raise click.UsageError(
            "--dry-run prints the comment on stdout; run it again for --annotations, without --dry-run or"
            " with --report"
        )
    if listing:
        return _listed(config_path, source_name, token_file)
    at, plugins = int(time.time()), translators()
    asked = comparing.ComparisonWanted(
        base=base or _base_of(os.environ),
        head=head,
        path=path,
        config=config_path,
        source=source_name,
        facts=facts_path,
        facts_from=facts_from,
        clusters=cluster_globs,
        store=store,
    )
    found = comparing.compared(asked, plugins)
    made = _publication(found, at, report)
    _written(made, report)
    if annotations:
        annotating.show(found.comparison.appeared, annotations, found.sources)
    elif not dry_run:
        annotating.tell(folded(found.comparison.appeared))
    if dry_run:
        _shown(made, color)
    else:
        _posted(found, made, pull or _number(os.environ), token_file)
    code = comparison_answer.exit_code_of(found.comparison, fail_on)
    # That a change changes something is no reason for its job to fail.
    return 0 if code == 1 else code


def _base_of(environment: Mapping[str, str]) -> str:
    """The base branch that the CI job is about."""
    base = environment.get("GITHUB_BASE_REF") or environment.get("CI_MERGE_REQUEST_TARGET_BRANCH_NAME")
    if not base:
        raise click.UsageError(
            "give --base REV, such as origin/main: this is no CI job of a pull request, which would name it"
        )
    # A job's checkout knows the target branch only as its remote has it.
    return f"refs/remotes/origin/{base}"


def _number(environment: Mapping[str, str]) -> int | None:
    """The pull request that the CI job is about."""
    merge = _MERGE_REF.match(environment.get("GITHUB_REF", ""))
    text = merge[1] if merge else environment.get("CI_MERGE_REQUEST_IID", "")
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 11 else None


def _publication(found: comparing.Compared, at: int, report: Path | None) -> Publication:
    from gitmesh.reviewing.publishing import Publication

    whole = f"the file {report.name} of this run" if report else "`gitmesh review --dry-run`"
    return Publication(
        comparison=found.comparison,
        instance=found.setup.config.instance if found.setup else "default",
        head=found.comparison.head,
        at=at,
        whole="the summary of the job" if os.environ.get("GITHUB_STEP_SUMMARY") and not report else whole,
        drift=found.drift,
    )


def _written(made: Publication, report: Path | None) -> None:
    """The whole review as a file, and as far as it goes in the job's summary."""
    from gitmesh.reviewing.publishing import comment_of

    try:
        if report is not None:
            report.write_text(comment_of(made, 1 << 40), encoding="utf-8")
        if summary := os.environ.get("GITHUB_STEP_SUMMARY"):
            # Other steps of the job write into the same file.
            with open(summary, "a", encoding="utf-8") as file:
                # The room is in bytes, and the comment is cut by characters, of which one may take 4 bytes.
                file.write(comment_of(made, SUMMARY_ROOM // 4))
    except OSError as error:
        raise click.ClickException(f"cannot write the report: {error}") from None


def _shown(made: Publication, color: bool | None) -> None:
    from gitmesh.reviewing.publishing import comment_of, status_of

    status = status_of(made)
    console.data(comment_of(made, comparison_answer.COMMENT_ROOM), console.paint_for(color))
    console.note(
        printable(
            f"would set status {status.context} of {made.head[:12]}: {status.state.value}, {status.text}"
        )
    )


def _posted(
    found: comparing.Compared, made: Publication, number: int | None, token_file: Path | None
) -> None:
    """Post it. What the forge refuses is a failure."""
    from gitmesh.reviewing.publishing import begin, find_pull, publish

    forge = wiring.forge(found.setup, token_file)
    try:
        pull = find_pull(forge, number, found.branch, made.head)
        if pull is None:
            text = f"no open pull request into {found.branch} has the head {made.head[:12]}"
            console.note(
                printable(
                    f"not posted: {text}: it was closed or pushed to meanwhile, or is another one: give"
                    " --pull NUMBER"
                )
            )
            return
        begin(forge, pull, made.instance, made.head)
        done = publish(forge, pull, made)
    except ForgeError as error:
        if not error.retryable:
            raise _failure(error, f"pull request {number}: " if number is not None else "") from None
        # A forge that is slow or down fails no review.
        console.note(printable(f"not posted: {error.in_full}; the next run posts"))
        return
    console.note(printable(f"comment on pull request {pull.number}: {done.value}; status {_status(made)}"))


def _listed(config_path: Path | None, source_name: str | None, token_file: Path | None) -> int:
    """The open pull requests, a line each, of nothing but digits and the names of refs: for a job that
    reviews all of them.
    """
    setup = configuration.require(config_path)
    try:
        pulls = wiring.forge(setup, token_file).pulls(wiring.named_source(setup, source_name).branch)
    except ForgeError as error:
        raise _failure(error) from None
    # Nothing but digits and names of refs, since a job's shell reads these lines.
    console.data("".join(f"{one.number} {one.head} {one.head_ref}\n" for one in pulls))
    return 0


def _failure(error: ForgeError, about: str = "") -> click.ClickException:
    return click.ClickException(f"{about}{error.in_full}{f'. {error.hint}' if error.hint else ''}")


def _status(made: Publication) -> str:
    from gitmesh.reviewing.publishing import status_of

    status = status_of(made)
    return f"{status.context}: {status.state.value}, {status.text}"
