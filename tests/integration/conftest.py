"""The lab's fixtures for the integration tests."""

from __future__ import annotations

from tests.lab.fixtures import (
    apiserver,
    apiserver_pair,
    binaries,
    browser,
    git_http,
    gitea,
    gitea_programs,
    second_apiserver,
)

__all__ = [
    "apiserver",
    "apiserver_pair",
    "binaries",
    "browser",
    "git_http",
    "gitea",
    "gitea_programs",
    "second_apiserver",
]
