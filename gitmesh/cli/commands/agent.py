"""`gitmesh agent`."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

import click

from gitmesh.cli import configuration, hosting, options, runs, wiring
from gitmesh.cli.session import translators

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

    from gitmesh.adapters.polling import Polled
    from gitmesh.agent.background import Background
    from gitmesh.model.report import Report
    from gitmesh.ports import Fleet, Publisher, Source

HELP = """Keep the clusters what the policies say: poll, plan, apply, heal, write the status branch; for
ever.

The configuration must be named: it is never looked for, so that it never comes from a checkout by
accident. Serves /healthz, /readyz and /metrics on the address `listen` of the configuration. SIGTERM ends
it within 20 seconds. With `forge` in the configuration it reviews open pull requests, and tells the forge
what became of each commit.

\b
Examples:
  gitmesh agent --config /etc/gitmesh/gitmesh.yaml
  gitmesh agent --config gitmesh.yaml --listen 127.0.0.1:8080 --log-format json

Exit codes: 0 asked to stop, 2 the configuration is not valid, 3 wrong usage or a failure to start.
"""


@click.command(help=HELP)
@click.option(
    "--config",
    "config_path",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    envvar="GITMESH_CONFIG",
    metavar="FILE",
    help="Configuration.",
)
@click.option(
    "--listen", metavar="HOST:PORT", help="Address of health and metrics, in place of the configuration's."
)
@click.option(
    "--log-format",
    type=click.Choice(("text", "json")),
    default="text",
    show_default=True,
    help="Format of the log on stderr.",
)
@click.option(
    "--log-level",
    type=click.Choice(("debug", "info", "warning", "error")),
    default="info",
    show_default=True,
    help="Least level to log.",
)
@click.option("--namespace", envvar="POD_NAMESPACE", metavar="NAME", help="Namespace that the agent runs in.")
@click.option(
    "--deployment",
    envvar="GITMESH_DEPLOYMENT",
    metavar="NAME",
    help=(
        "The agent's own Deployment: failures become Events on it, where a cluster has `inCluster: true` and"
        " mode Enforce."
    ),
)
@options.store
def command(
    config_path: Path | None,
    listen: str | None,
    log_format: Literal["text", "json"],
    log_level: str,
    namespace: str | None,
    deployment: str | None,
    store: Path | None,
) -> int:
    """Wire the adapters once and run cycles until a signal."""
    from gitmesh.agent.listening import ListenError
    from gitmesh.agent.logs import logger
    from gitmesh.agent.main import run_agent, stop_on_signals

    if config_path is None:
        raise click.UsageError(
            "no configuration: the agent is told which by --config FILE or GITMESH_CONFIG;"
            f" {configuration.BEGIN}"
        )
    # First of all: a pod may be asked to end while it still starts.
    stop = stop_on_signals()
    setup = configuration.read(config_path, quiet=True)
    log = logger(log_format, level=log_level)
    log.info("configuration", file=str(config_path), instance=setup.config.instance)
    agent = _wired(setup, store, log, (namespace, deployment) if namespace and deployment else None)
    try:
        return run_agent(
            agent.cycle,
            sources=agent.sources,
            background=agent.background,
            reviewer=agent.hosting.reviewer,
            webhook=agent.hosting.webhook,
            listen=listen or setup.config.listen,
            interval=min(source.interval for source in agent.sources),
            clock=time.monotonic,
            log=log,
            publishers=agent.publishers,
            stop=stop,
            leave=os._exit,
        )
    except ListenError as error:
        raise click.ClickException(str(error)) from None


class _Wired(NamedTuple):
    """One cycle as a function of its publishers, and all that works beside it."""

    cycle: Callable[[Sequence[Publisher]], Report]
    sources: tuple[Polled, ...]
    background: tuple[Background, ...]
    publishers: tuple[Publisher, ...]
    hosting: hosting.ForgeParts


def _wired(
    setup: configuration.Setup, store: Path | None, log: FilteringBoundLogger, own: tuple[str, str] | None
) -> _Wired:
    """What the configuration and the flags name. The memo and the adapters live as long as the process."""
    from gitmesh.adapters.polling import Polled
    from gitmesh.agent.logs import LogPublisher
    from gitmesh.model.report import Stage
    from gitmesh.pipeline import run
    from gitmesh.planning.options import Memo

    plugins, memo, logs = translators(), Memo(), LogPublisher(log)
    repositories = tuple(wiring.own_source(setup, source, store) for source in setup.config.sources)
    # One cluster that is slow must not keep the others from being healed.
    fleet, options = wiring.fleet(setup, plugins, patient=False), runs.options(setup)
    polled = tuple(
        Polled(one, interval=of.interval / 1000)
        for one, of in zip(repositories, setup.config.sources, strict=True)
    )
    forge = hosting.hosting(setup, repositories, polled, plugins, log)
    background = (*_background(setup, repositories, fleet, log, own), *_telling(forge, log))
    reviewing = (forge.reviewer,) if forge.reviewer is not None else ()

    def cycle(publishers: Sequence[Publisher]) -> Report:
        return run(
            polled,
            fleet,
            plugins,
            until=Stage.APPLY,
            options=options,
            memo=memo,
            clock=time.monotonic,
            wall=time.time,
            publishers=publishers,
            tell=logs.tell,
        )

    return _Wired(cycle, polled, background, (*background, *reviewing, logs), forge)


def _telling(forge: hosting.ForgeParts, log: FilteringBoundLogger) -> tuple[Background, ...]:
    """What tells the forge of outcomes."""
    from gitmesh.agent.background import Background

    return (Background(forge.outcomes, log),) if forge.outcomes is not None else ()


def _background(
    setup: configuration.Setup,
    repositories: Sequence[Source],
    fleet: Fleet,
    log: FilteringBoundLogger,
    own: tuple[str, str] | None,
) -> tuple[Background, ...]:
    """The publishers that wait for a server: the status branch, and Events where the agent runs in a cluster
    of its own.
    """
    from gitmesh.agent.background import Background

    made = []
    if nowhere := wiring.status_nowhere(setup):
        log.info(nowhere)
    if (branch := wiring.status_branch(setup, repositories)) is not None:
        made.append(Background(branch, log, skipped=branch.skip, end=branch.abandon))
    if own is not None and (events := wiring.events(setup, fleet, own)) is not None:
        made.append(Background(events, log))
    return tuple(made)
