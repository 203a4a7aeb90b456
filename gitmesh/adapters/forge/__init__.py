"""Forges: the pull requests, comments and commit statuses of one repository at GitHub, GitLab or Gitea."""

from __future__ import annotations

import random
import time
from typing import TYPE_CHECKING

from gitmesh.adapters.forge import gitea, github, gitlab
from gitmesh.adapters.forge.site import Purpose, Site
from gitmesh.adapters.forge.transport import Transport

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from gitmesh.model.config_forge import ForgeConfig
    from gitmesh.ports import Forge

__all__ = ["forge"]


def forge(
    config: ForgeConfig,
    base: Path,
    *,
    timeout: float = 20.0,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
    jitter: Callable[[], float] = random.random,
) -> Forge:
    """The forge of the configuration; relative file names are below `base`. Asks nobody anything yet.

    `timeout` is each call's, in seconds, with all attempts and pages. `sleep` is how pauses are made,
    `jitter` gives [0, 1).
    """

    def transport(
        api: str, rights: Mapping[Purpose, str], scheme: str, header: str = "Authorization", **headers: str
    ) -> Transport:
        site = Site(
            api=api,
            rights=rights,
            token_file=base / config.token_file,
            header=header,
            scheme=scheme,
            headers=headers,
            ca_file=base / config.ca_file if config.ca_file else None,
            proxy=config.proxy,
            timeout=timeout,
        )
        return Transport(site, clock=clock, sleep=sleep, jitter=jitter)

    url = config.address
    if config.kind == "github":
        api, rest = github.api_of(url)
        return github.GitHubForge(
            transport(api, github.RIGHTS, "Bearer ", **github.HEADERS), config.repository, rest
        )
    if config.kind == "gitlab":
        return gitlab.GitLabForge(
            transport(f"{url}/api/v4", gitlab.RIGHTS, "", "PRIVATE-TOKEN"), config.repository
        )
    return gitea.GiteaForge(transport(f"{url}/api/v1", gitea.RIGHTS, "token "), config.repository)
