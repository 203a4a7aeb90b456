"""What a configuration may use that was found by itself and is not trusted: what lies below its folder, as
data only.

Somebody else may have written it and everything beside it. It may not run a program, send or read a
credential, or talk to a network.
"""

from __future__ import annotations

import os
from pathlib import Path

from gitmesh.adapters.git.plain import plain_problem
from gitmesh.model.config_clusters import ClusterConfig
from gitmesh.model.config_sources import SourceAuth, SourceConfig


def cluster_problem(config: Path, cluster: ClusterConfig) -> str:
    """Why such a configuration may not use this cluster; "" where it may. `config` is its file."""
    if cluster.directory is None:
        return (
            f"the kubeconfig {cluster.kubeconfig.path} is not used"
            if cluster.kubeconfig
            else "the cluster around is not used"
        )
    if _is_of_others(config):
        return "the configuration belongs to another user"
    if not _below(config.parent, config.parent / cluster.directory):
        return f"the directory {cluster.directory} is not below the configuration's folder"
    return ""


def source_problem(config: Path, source: SourceConfig) -> str:
    """Why such a configuration may not read this repository or folder; "" where it may. `config` is its
    file.
    """
    if source.auth != SourceAuth():
        return "no credentials or proxies are used"
    if source.url is not None and not source.url.startswith("file://"):
        return "no network is used"
    if _is_of_others(config):
        return "the configuration belongs to another user"
    if source.url is None:
        inside = source.path is not None and _below(config.parent, config.parent / source.path, whole=True)
        return "" if inside else f"the folder {source.path} is not below the configuration's folder"
    path = Path(source.url.removeprefix("file://"))
    if not _below(config.parent, path, git=True):
        return "the repository is not below the configuration's folder"
    problem = plain_problem(path)
    return f"the repository {problem}" if problem else ""


def _below(base: Path, path: Path, *, git: bool = False, whole: bool = False) -> bool:
    """Whether a path leads to a place inside the folder, links followed, or with `whole` to the folder
    itself; into git's own files only with `git`."""
    # Links are followed first: one inside of the folder may lead out of it.
    top, real = os.path.realpath(base), os.path.realpath(path)
    inside = real.startswith(top.rstrip(os.sep) + os.sep) or (whole and real == top)
    # On file systems that ignore case `.GIT` is the same folder.
    return inside and (git or ".git" not in os.path.relpath(real, top).casefold().split(os.sep))


def _is_of_others(config: Path) -> bool:
    """Whether somebody else put the file there."""
    # In a folder that several may write, what lies below it may be ours all the same.
    return config.stat().st_uid != os.geteuid()
