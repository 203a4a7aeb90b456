"""From a configuration to the adapters it names. The only place that knows which adapter a setting means."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click

from gitmesh.cli import folders
from gitmesh.cli.configuration import Setup, consent_line

if TYPE_CHECKING:
    from gitmesh.adapters.folder import FolderSource
    from gitmesh.adapters.git import GitSource
    from gitmesh.adapters.kube.events import EventPublisher
    from gitmesh.adapters.statusbranch import StatusBranch
    from gitmesh.model.config_clusters import ClusterConfig
    from gitmesh.model.config_sources import SourceConfig
    from gitmesh.ports import Cluster, Fleet, Forge, Source, Translator

T = TypeVar("T")


def sources(setup: Setup, store: Path | None) -> tuple[Source, ...]:
    """The repositories and folders of the configuration; what a confined one may not read fails alone."""
    return tuple(source(setup, one, store) for one in setup.config.sources)


def source(setup: Setup, one: SourceConfig, store: Path | None) -> Source:
    """One repository or folder; what a confined configuration may not read fails alone."""
    if setup.confined:
        from gitmesh.cli.confined import source_problem
        from gitmesh.cli.unusable import UnusableSource

        if problem := source_problem(setup.file.resolve(), one):
            return UnusableSource(
                one.name, f"{problem}, because the configuration is not trusted", consent_line(setup.file)
            )
    return own_source(setup, one, store)


def own_source(setup: Setup, one: SourceConfig, store: Path | None) -> GitSource | FolderSource:
    """One source of a configuration that was named, or is trusted."""
    return plain_folder(setup, one) if one.path is not None else git_source(setup, one, store)


def plain_folder(setup: Setup, one: SourceConfig) -> FolderSource:
    """A folder as a source."""
    from gitmesh.adapters.folder import FolderSource

    assert one.path is not None, "the caller has looked"
    shown = Path(one.path).as_posix()
    # Files are named from the folder of the configuration, from wherever somebody looks.
    prefix = "" if shown == "." else f"{shown.rstrip('/')}/"
    return FolderSource(one.name, str(setup.base / one.path), prefix=prefix, paths=tuple(one.paths))


def git_source(setup: Setup, source: SourceConfig, store: Path | None) -> GitSource:
    """One repository, with a folder of its own in the store."""
    from gitmesh.adapters.git import GitSource
    from gitmesh.errors import SourceError

    assert source.url is not None, "exactly one of url and path is given"
    try:
        return GitSource(
            source.name,
            source.url,
            branch=source.branch,
            paths=source.paths,
            store=(store or default_store(os.environ)) / store_name(source.name, source.url),
            auth=source.auth,
            base=setup.base,
            allow_insecure=source.allow_insecure,
        )
    except SourceError as error:
        raise click.ClickException(f"source {source.name}: {error}") from None


def store_name(name: str, url: str) -> str:
    """The folder of a repository in the store."""
    # With the URL in it, so that another one never finds the objects of the former one.
    return f"{name}-{hashlib.sha256(url.encode()).hexdigest()[:12]}"


def default_store(environment: Mapping[str, str]) -> Path:
    """$XDG_CACHE_HOME/gitmesh, else ~/.cache/gitmesh."""
    cache = environment.get("XDG_CACHE_HOME", "")
    # The XDG specification wants a relative path to be passed over.
    return (Path(cache) if os.path.isabs(cache) else Path.home() / ".cache") / "gitmesh"


def stand_in(setup: Setup, path: Path | None, name: str | None, store: Path | None) -> tuple[Source, ...]:
    """The sources, with the folder PATH in place of the one of that name (default the first)."""
    if path is None:
        return sources(setup, store)
    chosen = named_source(setup, name)
    stands: Source = (
        folders.in_place_of(plain_folder(setup, chosen), path)
        if chosen.path is not None and not setup.confined
        else folders.stand_in(path, chosen.name, setup, setup.places(chosen))
    )
    return tuple(stands if one is chosen else source(setup, one, store) for one in setup.config.sources)


def named_source(setup: Setup, name: str | None) -> SourceConfig:
    """The source of that name, the first one without a name. A name that none has is a usage error."""
    found = next((source for source in setup.config.sources if name in (None, source.name)), None)
    if found is None:
        raise click.UsageError(
            f"no source is named {name!r}; there are {', '.join(s.name for s in setup.config.sources)}"
        )
    return found


def fleet(setup: Setup, translators: Mapping[str, Translator], *, patient: bool = True) -> Fleet:
    """The clusters of the configuration. Unless `patient`, none is waited for much longer than its deadline
    for a request.
    """
    from gitmesh.adapters.fleet import LocalFleet

    for one in setup.config.clusters:
        for name in sorted(one.control_planes.keys() - translators.keys()):
            there = ", ".join(sorted(translators))
            # A line for a mesh that nobody installed would be passed over, and its control plane count for
            # nothing.
            raise click.ClickException(
                f"cluster {one.name}: controlPlanes names {name}, which is no installed translator; there are"
                f" {there}"
            )
    directories = [one.name for one in setup.config.clusters if one.directory is not None]
    bounds = {one.name: one.timeout / 1000 + one.settle_seconds for one in setup.config.clusters}
    made = [cluster(setup, one, translators) for one in setup.config.clusters]
    return LocalFleet(made, in_turn=directories, patience=None if patient else bounds)


def cluster(setup: Setup, one: ClusterConfig, translators: Mapping[str, Translator]) -> Cluster:
    """One cluster: a directory, or Kubernetes."""
    from gitmesh.cli.unusable import UnusableCluster
    from gitmesh.errors import ClusterError

    plugins = tuple(translators.values())
    if setup.confined:
        from gitmesh.cli.confined import cluster_problem

        if problem := cluster_problem(setup.file.resolve(), one):
            text = f"{problem}, because the configuration is not trusted"
            error = ClusterError(text, retryable=False, code="GM608", hint=consent_line(setup.file))
            return UnusableCluster(one.name, error, one.labels, one.enforce, one.settle_seconds)
    if one.directory is not None:
        from gitmesh.adapters.directory import DirectoryCluster

        root = setup.base / one.directory
        return DirectoryCluster(
            one.name,
            root,
            plugins,
            labels=one.labels,
            enforce=one.enforce,
            settle=one.settle_seconds,
            control_planes=one.control_planes,
        )
    # Imported here, since only a Kubernetes cluster needs its clients, and loading them takes time.
    from gitmesh.adapters.kube.cluster import connect

    return connect(one, plugins, folder=setup.base, environment=os.environ)


def status_branch(setup: Setup, repositories: Sequence[Source]) -> StatusBranch | None:
    """The status branch of the first repository among the sources, unless it is switched off, or the
    repository may not be used.
    """
    from gitmesh.adapters.git import GitSource
    from gitmesh.adapters.statusbranch import StatusBranch

    back = setup.config.write_back
    pairs = zip(setup.config.sources, repositories, strict=True)
    first = next((source for configured, source in pairs if configured.url is not None), None)
    if not back.enabled or not isinstance(first, GitSource):
        return None
    return StatusBranch(first, back.status_branch, author=back.author, now=time.time)


def status_nowhere(setup: Setup) -> str:
    """Why there is no place for a status that the configuration asks for; "" where there is one, or none is
    asked for.
    """
    if not setup.config.write_back.enabled or any(source.url is not None for source in setup.config.sources):
        return ""
    return (
        "no status is written: a plain folder has no status branch (writeBack: {enabled: false} says that"
        " this is meant)"
    )


def forge(setup: Setup | None, token_file: Path | None = None) -> Forge:
    """The forge of the configuration, with its token or that of another file. It is a usage error where there
    is none, or where a credential would follow a configuration that nobody agreed to."""
    from gitmesh.adapters import forge as forges

    if setup is None or setup.config.forge is None:
        raise click.UsageError(
            "the configuration names no forge to post to: see `forge` in docs/configuration.md, or give"
            " --dry-run"
        )
    if setup.confined:
        raise click.UsageError(
            "the forge's token is not used, because the configuration is not trusted;"
            f" {consent_line(setup.file)}"
        )
    given = {"token_file": str(token_file.absolute())} if token_file else {}
    return forges.forge(setup.config.forge.model_copy(update=given), setup.base)


def events(setup: Setup, fleet: Fleet, deployment: tuple[str, str]) -> EventPublisher | None:
    """Events on the agent's own Deployment (namespace, name). None unless the configuration has the cluster
    that it runs in, in mode Enforce.
    """
    own = next(
        # An Event is a write, too, so that there are none in mode Observe.
        (fleet.clusters[one.name] for one in setup.config.clusters if one.in_cluster and one.enforce),
        None,
    )
    if own is None:
        return None
    from gitmesh.adapters.kube.cluster import KubeCluster
    from gitmesh.adapters.kube.events import EventPublisher

    if not isinstance(own, KubeCluster):
        return None
    now = partial(datetime.now, UTC)
    return EventPublisher(
        own.client, *deployment, now=now, clock=time.monotonic, instance=setup.config.instance
    )
