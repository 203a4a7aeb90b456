"""What a configuration may use that was found by itself and is not trusted: what lies below its folder, as data only.

Somebody else may have written it and everything beside it. It may not run a program, send or read a credential, or talk to a network.
"""

from __future__ import annotations

import os
from pathlib import Path

from gitmesh.adapters.git.plain import plain_problem
from gitmesh.model.config import ClusterConfig, SourceAuth, SourceConfig


def cluster_problem(base: Path, cluster: ClusterConfig) -> str:
    """Why such a configuration in the folder `base` may not use this cluster; "" where it may."""
    if cluster.directory is None:
        return f"the kubeconfig {cluster.kubeconfig.path} is not used" if cluster.kubeconfig else "the cluster around is not used"
    return "" if _below(base, base / cluster.directory) else f"the directory {cluster.directory} is not below the configuration's folder"


def source_problem(base: Path, source: SourceConfig) -> str:
    """Why such a configuration in the folder `base` may not read this repository; "" where it may."""
    if source.auth != SourceAuth():
        return "no credentials or proxies are used"
    if not source.url.startswith("file://"):
        return "no network is used"
    path = Path(source.url.removeprefix("file://"))
    if not _below(base, path):
        return "the repository is not below the configuration's folder"
    problem = plain_problem(path)
    return f"the repository {problem}" if problem else ""


def _below(base: Path, path: Path) -> bool:
    """Whether a path leads to a place inside the folder, links followed."""
    top, real = os.path.realpath(base), os.path.realpath(path)
    return real.startswith(top.rstrip(os.sep) + os.sep)
