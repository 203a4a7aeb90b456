"""Fixtures of the lab; a conftest re-exports them with ``from tests.lab.fixtures import ...``."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import pytest

from tests.lab.apiserver import ApiServer
from tests.lab.browser import Browser, find_browser
from tests.lab.build import Binaries, ConformancePrograms, find, find_conformance, find_gitea
from tests.lab.gitea import Gitea
from tests.lab.githttp import GitHttpServer
from tests.lab.meshup import lacking
from tests.lab.world import LabWorld, bookshop

__all__ = [
    "apiserver",
    "apiserver_pair",
    "binaries",
    "bookshop_world",
    "browser",
    "conformance_programs",
    "git_http",
    "gitea",
    "gitea_programs",
    "mesh_binaries",
    "second_apiserver",
]

NOT_BUILT = "lab not built: run 'make lab' (5 minutes, once)"
NO_GITEA = "Gitea not built: run 'make lab' (4 minutes, once)"
NO_SUITE = "conformance suite not built: run 'make lab' (5 minutes, once)"
NO_BROWSER = "no browser: install Debian's chromium"


def not_available(reason: str) -> NoReturn:
    """Skip with one line, but fail where a skipped test would pass for a tested one (CI=true)."""
    if os.environ.get("CI", "").lower() in ("true", "1"):
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


@pytest.fixture(scope="session")
def binaries() -> Binaries:
    """The lab's programs; never built here, as that takes minutes."""
    found = find()
    if found is None or found.istio_crds is None:
        not_available(NOT_BUILT)
    return found


def _started(binaries: Binaries, name: str) -> Iterator[ApiServer]:
    with ApiServer(binaries, name=name) as server:
        assert binaries.istio_crds is not None
        server.install_crds(binaries.istio_crds)
        yield server


@pytest.fixture(scope="session")
def apiserver(binaries: Binaries) -> Iterator[ApiServer]:
    """One cluster with Istio's CRDs for the whole run: make a namespace of your own in it."""
    yield from _started(binaries, "lab")


@pytest.fixture(scope="session")
def second_apiserver(binaries: Binaries) -> Iterator[ApiServer]:
    """Another cluster beside ``apiserver``, made when the first test asks for it."""
    yield from _started(binaries, "lab-2")


@pytest.fixture(scope="session")
def apiserver_pair(apiserver: ApiServer, second_apiserver: ApiServer) -> tuple[ApiServer, ApiServer]:
    """Two clusters; the first one is ``apiserver``."""
    return apiserver, second_apiserver


@pytest.fixture(scope="session")
def bookshop_world(mesh_binaries: Binaries) -> Iterator[LabWorld]:
    """The bookshop in two real meshes for the whole run, started when the first test asks for it."""
    with bookshop(mesh_binaries) as world:
        yield world


@pytest.fixture(scope="session")
def mesh_binaries(binaries: Binaries) -> Binaries:
    """The lab's programs where a mesh can run: for tests that start `bookshop` themselves."""
    complaint = lacking()
    if complaint:
        not_available(complaint)
    return binaries


@pytest.fixture(scope="session")
def conformance_programs() -> ConformancePrograms:
    """The Gateway API's conformance suite and what it runs on, beside a mesh."""
    found = find_conformance()
    if found is None:
        not_available(NO_SUITE)
    return found


@pytest.fixture
def git_http() -> Iterator[GitHttpServer]:
    """A Git server without repositories that asks everybody for a login."""
    with GitHttpServer(username="gitmesh", password="lab password") as server:
        yield server


@pytest.fixture(scope="session")
def gitea_programs() -> Path:
    """The folder with Gitea: for tests that start one of their own."""
    found = find_gitea()
    if found is None:
        not_available(NO_GITEA)
    return found


@pytest.fixture(scope="session")
def gitea(gitea_programs: Path) -> Iterator[Gitea]:
    """One forge for the whole run: make users and repositories of your own in it."""
    with Gitea(gitea_programs) as forge:
        yield forge


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """A browser to look at pages with, for the whole run."""
    program = find_browser()
    if program is None:
        not_available(NO_BROWSER)
    with Browser(program) as started:
        yield started
