"""The command `gitmesh`: the table of commands, and the one handler for everything that goes wrong."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Mapping, Sequence

import click

from gitmesh import __version__
from gitmesh.cli import console
from gitmesh.cli.lazy import CommandEntry, LazyGroup
from gitmesh.render.escape import printable

FAILURE = 3
INTERRUPTED = 130
_COMMANDS = "gitmesh.cli.commands"

ENTRIES: Mapping[str, CommandEntry] = {
    "demo": CommandEntry(
        module=f"{_COMMANDS}.demo", help="See GitMesh work: no cluster, no network, no questions."
    ),
    "init": CommandEntry(module=f"{_COMMANDS}.init", help="Write a policy repository to start from."),
    "validate": CommandEntry(
        module=f"{_COMMANDS}.validate", help="Check policies; every mistake at its line."
    ),
    "render": CommandEntry(
        module=f"{_COMMANDS}.render", help="Print the objects that each cluster would get."
    ),
    "diff": CommandEntry(
        module=f"{_COMMANDS}.diff", help="Show what differs between policies and live clusters."
    ),
    "review": CommandEntry(
        module=f"{_COMMANDS}.review", help="Say on a pull request what its merge would mean."
    ),
    "can": CommandEntry(
        module=f"{_COMMANDS}.can", help="Say whether a request would be admitted, and which lines decide."
    ),
    "who-can": CommandEntry(
        module=f"{_COMMANDS}.who_can", help="Say who can call a destination, and which lines decide."
    ),
    "route": CommandEntry(
        module=f"{_COMMANDS}.route", help="Say how a request would be treated, and which lines decide."
    ),
    "sync": CommandEntry(module=f"{_COMMANDS}.sync", help="Make the clusters what the policies say, once."),
    "status": CommandEntry(
        module=f"{_COMMANDS}.status", help="Show what is in force, refused and waiting, and each cluster."
    ),
    "history": CommandEntry(
        module=f"{_COMMANDS}.history", help="Show what became of each commit, and what was healed."
    ),
    "approve": CommandEntry(
        module=f"{_COMMANDS}.approve", help="End a hold: confirm the facts that a finding doubts."
    ),
    "agent": CommandEntry(
        module=f"{_COMMANDS}.agent", help="Keep the clusters what the policies say, for ever."
    ),
    "discover": CommandEntry(module=f"{_COMMANDS}.discover", help="Show what runs in the clusters."),
    "check": CommandEntry(
        module=f"{_COMMANDS}.check", help="Check configuration, repositories, clusters and rights."
    ),
    "trust": CommandEntry(
        module=f"{_COMMANDS}.trust", help="Agree to a configuration that is found by itself."
    ),
    "explain": CommandEntry(
        module=f"{_COMMANDS}.explain", help="Explain a finding's code or a policy's field."
    ),
    "schema": CommandEntry(module=f"{_COMMANDS}.schema", help="Print the JSON Schema of the policy kinds."),
    "version": CommandEntry(module=f"{_COMMANDS}.version", help="Print the version."),
    "completion": CommandEntry(
        module=f"{_COMMANDS}.completion", help="Print the completion script of a shell."
    ),
}

HELP = """GitMesh holds service meshes to the policies in a Git repository.

\b
Examples:
  gitmesh demo                          see it work, without a cluster
  gitmesh init mesh                     write a policy repository to start from
  gitmesh validate policies             check policies, no configuration needed
  gitmesh diff policies                 what an edit would change, in every cluster
  gitmesh can productpage reviews       who may call whom, and which lines decide
  gitmesh sync                          make the clusters what the repository says
  gitmesh status                        what is in force, what waits, and the next command
  gitmesh explain GM210                 what a finding means
"""

EPILOG = """\b
Exit codes (the same for every output format):
  0    clean
  1    differences (diff), or another answer than --expect says (can, who-can)
  2    error findings; warnings too with --fail-on warning
  3    wrong usage, a failure, or a cluster that did not answer
  130  interrupted

\b
Environment: GITMESH_CONFIG names the configuration, NO_COLOR and FORCE_COLOR decide colour,
GITMESH_DEBUG=1 shows the traceback of a defect.
"""

cli = LazyGroup(name="gitmesh", help=HELP, epilog=EPILOG, entries=ENTRIES)
cli.context_settings = {"help_option_names": ["-h", "--help"], "max_content_width": 110}
cli.params.append(
    click.Option(
        ["--version"],
        is_flag=True,
        expose_value=False,
        is_eager=True,
        help="Print the version and exit.",
        callback=lambda ctx, _param, value: _version(ctx) if value else None,
    )
)
cli.params.append(
    click.Option(["--debug"], is_flag=True, expose_value=False, help="Show the traceback of a defect.")
)


def _version(ctx: click.Context) -> None:
    console.data(f"gitmesh {__version__}\n")
    ctx.exit()


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit the process."""
    # A command makes many values and next to no cycles. To walk them, again and again while modules are
    # loaded, is a fifth of a short run. The agent lets the collector work between its cycles.
    gc.disable()
    try:
        sys.exit(run(list(sys.argv[1:] if arguments is None else arguments)))
    finally:
        # The interpreter collects once more when it exits; what is frozen it does not walk.
        gc.freeze()


def run(arguments: list[str]) -> int:
    """Run the command line; the exit code. Nothing that happens inside escapes as a traceback or as exit code
    1.
    """
    try:
        # In its own mode click would exit with 1 when aborted, which means differences here.
        code = cli.main(arguments, prog_name="gitmesh", standalone_mode=False, obj=tuple(arguments))
        # Now, while a reader who has left can still be noticed: at the interpreter's end a failed flush is a
        # complaint and exit code 120.
        sys.stdout.flush()
        return code if isinstance(code, int) else 0
    except click.exceptions.Exit as stop:
        return stop.exit_code
    except (click.Abort, KeyboardInterrupt):
        return _interrupted()
    except click.ClickException as mistake:
        console.complaint(mistake)
        return FAILURE
    except BrokenPipeError:
        return _reader_left()
    # The one handler for defects: a clear line and exit code 3, never 1.
    except Exception as defect:  # noqa: BLE001
        return _defect(defect, arguments)


def _interrupted() -> int:
    console.note("interrupted")
    return INTERRUPTED


def _reader_left() -> int:
    """`gitmesh diff | head`: the reader has seen enough, so that nothing went wrong."""
    # The interpreter flushes stdout once more when it ends, and would complain of the closed pipe.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


def _defect(defect: Exception, arguments: Sequence[str]) -> int:
    if "--debug" in arguments or os.environ.get("GITMESH_DEBUG"):
        import traceback

        console.note("".join(traceback.format_exception(defect)).rstrip("\n"))
    name = type(defect).__name__
    console.note(printable(f"gitmesh: this is a defect of GitMesh, not of your policies ({name}: {defect})"))
    console.note("  hint: run again with GITMESH_DEBUG=1 and report the traceback")
    return FAILURE


if __name__ == "__main__":
    main()
