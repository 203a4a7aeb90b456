"""`gitmesh approve`."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import click
from msgspec.structs import replace

from gitmesh.cli import configuration, console, options, runs, wiring
from gitmesh.cli.session import translators
from gitmesh.errors import ClusterError
from gitmesh.render.escape import printable
from gitmesh.render.values import ago

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from gitmesh.model.ledger import Hold
    from gitmesh.ports import Cluster

HELP = """Confirm what a finding doubts, so that its hold ends. Without an ID, list the holds.

What a reading says against what was there before (no Service any more, a control plane that is not found,
a setting that is not given) is left as it is until it is right again, or until somebody says that it is
meant. The ID in the finding stands for just these facts: others make another hold. The consent is kept in
the ledger of the cluster, where an agent finds it at its next cycle, and is forgotten when it is not
needed any more.

\b
Examples:
  gitmesh approve                  what is held, since when
  gitmesh approve 1b793f28059e     in each cluster that has this hold
  gitmesh approve 1b793f28059e --cluster east

Exit codes: 0 done, 3 wrong usage, a failure, no such hold, or a cluster that did not answer.
"""


@click.command(help=HELP)
@click.argument("hold", required=False, metavar="[ID]")
@options.config
@options.clusters
@options.color
def command(
    hold: str | None,
    config_path: Path | None,
    cluster_globs: tuple[str, ...],
    color: bool | None,  # noqa: ARG001  an option of every command
) -> int:
    """Write the consent, or list what waits for one."""
    setup = configuration.require(config_path)
    only = runs.chosen_clusters(tuple(setup.clusters), cluster_globs)
    fleet = wiring.fleet(setup, translators())
    work = _lister(setup.config.instance) if hold is None else _approver(setup.config.instance, hold)
    answers: Mapping[str, Mapping[str, Hold] | ClusterError] = fleet.each(work, only or None)
    found: dict[str, Mapping[str, Hold]] = {}
    for name, answer in answers.items():
        if isinstance(answer, ClusterError):
            console.note(printable(f"{name}: {answer.in_full}"))
        else:
            found[name] = answer
    _print(hold, found)
    # A cluster that did not answer may have the hold as well.
    failed = len(found) < len(answers)
    if hold is not None and not any(found.values()):
        raise click.ClickException(
            f"no cluster{'' if not failed else ' that answered'} has a hold {hold}; `gitmesh approve` lists"
            " them"
        )
    if hold is not None:
        # Of what a source says every cluster must agree, and those that were not asked may still hold it.
        others = frozenset(fleet.clusters) - answers.keys()
        left = fleet.each(_lister(setup.config.instance), others) if others else {}
        _next(hold, [name for name, one in left.items() if not isinstance(one, ClusterError) and hold in one])
    return 3 if failed else 0


def _next(hold: str, waiting: Sequence[str]) -> None:
    if waiting:
        console.note(printable(f"next: it is held in {', '.join(waiting)}, too: gitmesh approve {hold}"))
        return
    # The status branch says what stood at the last cycle, so `gitmesh status` shows the hold until then.
    console.note("next: it ends at the agent's next cycle, or with: gitmesh sync")


def _lister(instance: str) -> Callable[[Cluster], Mapping[str, Hold]]:
    return lambda cluster: {
        # An approved one waits for nobody any more.
        key: hold
        for key, hold in cluster.load(instance).ledger.holds.items()
        if not hold.approved
    }


def _approver(instance: str, wanted: str) -> Callable[[Cluster], Mapping[str, Hold]]:
    def approve(cluster: Cluster) -> Mapping[str, Hold]:
        stored = cluster.load(instance)
        hold = stored.ledger.holds.get(wanted)
        if hold is None:
            return {}
        if not hold.approved:
            holds = {**stored.ledger.holds, wanted: replace(hold, approved=True)}
            # With the version that was read: an agent may write the same ledger meanwhile, and neither may
            # undo what the other wrote.
            cluster.save(replace(stored.ledger, holds=holds), stored.version)
        return {wanted: hold}

    return approve


def _print(wanted: str | None, found: Mapping[str, Mapping[str, Hold]]) -> None:
    now = time.time()
    rows = [(name, key, hold) for name, holds in sorted(found.items()) for key, hold in sorted(holds.items())]
    for name, key, hold in rows:
        said = (
            "approved in"
            if wanted
            else f"{key}  {ago(now - hold.since) if hold.since else 'since an unknown time':>10}  "
        )
        console.data(printable(f"{said} {name}: {hold.text}") + "\n")
    if wanted is None and not rows:
        console.data("nothing is held for a doubt\n")
