"""`gitmesh agent`."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from gitmesh.cli import options, wiring
from gitmesh.cli.session import whole_job

if TYPE_CHECKING:
    from gitmesh.model.report import Report
    from gitmesh.ports import Publisher

HELP = """Keep the clusters what the policies say: poll, plan, apply, heal, write the status branch; for ever.

The configuration must be named: it is never looked for, so that it never comes from a checkout by accident.
Serves /healthz, /readyz and /metrics on the address `listen` of the configuration. SIGTERM ends it within 20 seconds.

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
    required=True,
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    envvar="GITMESH_CONFIG",
    metavar="FILE",
    help="Configuration.",
)
@click.option("--listen", metavar="HOST:PORT", help="Address of health and metrics, in place of the configuration's.")
@click.option("--log-format", type=click.Choice(("text", "json")), default="text", show_default=True, help="Format of the log on stderr.")
@click.option(
    "--log-level", type=click.Choice(("debug", "info", "warning", "error")), default="info", show_default=True, help="Least level to log."
)
@click.option("--namespace", envvar="POD_NAMESPACE", metavar="NAME", help="Namespace that the agent runs in.")
@click.option(
    "--deployment",
    envvar="GITMESH_DEPLOYMENT",
    metavar="NAME",
    help="The agent's own Deployment: failures become Events on it, where a cluster has `inCluster: true` and mode Enforce.",
)
@options.store
def command(
    config_path: Path,
    listen: str | None,
    log_format: Literal["text", "json"],
    log_level: str,
    namespace: str | None,
    deployment: str | None,
    store: Path | None,
) -> int:
    """Wire the adapters once and run cycles until a signal."""
    from gitmesh.agent.logs import LogPublisher, logger
    from gitmesh.agent.main import run_agent, stop_on_signals
    from gitmesh.agent.server import ListenError

    stop = stop_on_signals()
    setup = wiring.read(config_path, quiet=True)
    log = logger(log_format, level=log_level)
    log.info("configuration", file=str(config_path), instance=setup.config.instance)
    cycle, publishers = _wired(setup, store, (namespace, deployment) if namespace and deployment else None)
    try:
        return run_agent(
            cycle,
            listen=listen or setup.config.listen,
            interval=min(source.interval for source in setup.config.sources) / 1000,
            clock=time.monotonic,
            log=log,
            publishers=(*publishers, LogPublisher(log)),
            stop=stop,
            leave=os._exit,
        )
    except ListenError as error:
        raise click.ClickException(str(error)) from None


def _wired(
    setup: wiring.Setup, store: Path | None, own: tuple[str, str] | None
) -> tuple[Callable[[Sequence[Publisher]], Report], tuple[Publisher, ...]]:
    """One cycle as a function of its publishers, and the publishers that the configuration and the flags name.

    The memo and the adapters live as long as the process.
    """
    from gitmesh.model.report import Stage
    from gitmesh.pipeline import Memo, run

    job, memo = whole_job(setup, store), Memo()

    def cycle(publishers: Sequence[Publisher]) -> Report:
        return run(
            job.sources,
            job.fleet,
            job.translators,
            until=Stage.APPLY,
            options=job.options,
            memo=memo,
            clock=time.monotonic,
            publishers=publishers,
        )

    return cycle, (*job.publishers, *(wiring.event_publishers(setup, job.fleet, own) if own else ()))
