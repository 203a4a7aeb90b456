"""From a configuration to the adapters it names. The only place that knows which adapter a setting means."""

from __future__ import annotations

import fnmatch
import hashlib
import os
import shlex
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click
from msgspec import Struct
from msgspec.structs import replace

from gitmesh.cli import console, folders, trust
from gitmesh.render.escape import printable

if TYPE_CHECKING:
    from gitmesh.adapters.git import GitSource
    from gitmesh.adapters.kube.events import EventPublisher
    from gitmesh.adapters.statusbranch import StatusBranch
    from gitmesh.model.config import ClusterConfig, Config, SourceConfig
    from gitmesh.model.facts import ClusterFacts
    from gitmesh.pipeline import Options
    from gitmesh.ports import Cluster, Fleet, Source, Translator

FILE = "gitmesh.yaml"
T = TypeVar("T")


class Setup(Struct, frozen=True, kw_only=True):
    """A configuration that was read, and the folder that its paths are relative to.

    It is `confined` where it was found by itself and nobody agreed to it: then it may use what lies below its folder, as data only.
    """

    config: Config
    file: Path
    confined: bool = False

    @property
    def base(self) -> Path:
        """Where relative paths begin."""
        return self.file.resolve().parent

    @property
    def clusters(self) -> Mapping[str, Mapping[str, str]]:
        """Every configured cluster and its labels."""
        return {cluster.name: cluster.labels for cluster in self.config.clusters}


def find(start: Path) -> Path | None:
    """The nearest gitmesh.yaml from `start` upwards."""
    places = (start.resolve(), *start.resolve().parents)
    return next((place / FILE for place in places if (place / FILE).is_file()), None)


def load(given: Path | None, beside: Path | None = None) -> Setup | None:
    """The configuration, named on stderr: --config or GITMESH_CONFIG; else `beside`, or the nearest from here upwards, as far as
    it is trusted. None where there is none. Exits with 2 where it is not valid."""
    if given is not None:
        return read(given)
    file = beside or find(Path.cwd())
    return None if file is None else _found(file)


def read(file: Path, *, quiet: bool = False) -> Setup:
    """A configuration that was named, and is named on stderr unless `quiet`."""
    config = parsed(file, content_of(file))
    if not quiet:
        console.note(printable(f"configuration: {_shown(file)}"))
    return Setup(config=config, file=file)


def _found(file: Path) -> Setup:
    """A configuration that nobody named: it counts fully only once it is trusted."""
    content = content_of(file)
    if trust.is_trusted(file, content, os.environ):
        setup = Setup(config=parsed(file, content), file=file)
    elif file.is_symlink():
        raise click.UsageError(f"{_shown(file)} is a symbolic link, found and not named; {_consent(file)}")
    else:
        setup = Setup(config=parsed(file, content), file=file, confined=True)
    console.note(printable(f"configuration: {_shown(file)}"))
    if setup.confined:
        console.note("  found, not named, and not trusted: it uses only what lies below its folder, and keeps nothing from being checked")
        console.note(printable(f"  {_consent(file)}"))
    return setup


def _consent(file: Path) -> str:
    """What to type where a configuration that was found is meant."""
    context = click.get_current_context(silent=True)
    words = [*(context.find_root().obj or ()), "--config", _shown(file)] if context else ["--config", _shown(file)]
    once = f"for all of it: {shlex.join(['gitmesh', *words])}"
    return once if trust.in_ci(os.environ) else f"{once}; or, from now on: {shlex.join(['gitmesh', 'trust', _shown(file)])}"


def content_of(file: Path) -> bytes:
    """The bytes of a configuration."""
    from gitmesh.adapters.folder import read_config
    from gitmesh.errors import SourceError

    try:
        return read_config(str(file))
    except SourceError as error:
        raise click.ClickException(f"the configuration: {error}") from None


def parsed(file: Path, content: bytes) -> Config:
    """The configuration that a file's content is. Its findings are printed like any others, and end the command."""
    from gitmesh.parsing.settings import load_config

    config, findings = load_config(content, _shown(file), os.environ)
    if findings:
        from gitmesh.render.findings import findings_text

        console.note(findings_text(findings).rstrip("\n"))
    if config is None:
        raise click.exceptions.Exit(2)
    return config


def require(given: Path | None) -> Setup:
    """The configuration; a clear failure without one."""
    setup = load(given)
    if setup is None:
        raise click.UsageError(f"no configuration: give --config FILE, set GITMESH_CONFIG, or run below a folder with {FILE}")
    return setup


def _shown(file: Path) -> str:
    try:
        return str(file.resolve().relative_to(Path.cwd()))
    except ValueError:
        return str(file)


def sources(setup: Setup, store: Path | None) -> tuple[Source, ...]:
    """The repositories of the configuration; what a confined one may not read fails alone."""
    return tuple(_source(setup, source, store) for source in setup.config.sources)


def _source(setup: Setup, source: SourceConfig, store: Path | None) -> Source:
    if setup.confined:
        from gitmesh.cli.confined import source_problem
        from gitmesh.cli.unusable import UnusableSource

        if problem := source_problem(setup.file.resolve(), source):
            return UnusableSource(source.name, f"{problem}, because the configuration is not trusted", _consent(setup.file))
    return git_source(setup, source, store)


def git_source(setup: Setup, source: SourceConfig, store: Path | None) -> GitSource:
    """One repository, with a folder of its own in the store."""
    from gitmesh.adapters.git import GitSource
    from gitmesh.errors import SourceError

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
    """The folder of a repository in the store: another URL never finds the objects of the former one."""
    return f"{name}-{hashlib.sha256(url.encode()).hexdigest()[:12]}"


def default_store(environment: Mapping[str, str]) -> Path:
    """$XDG_CACHE_HOME/gitmesh, else ~/.cache/gitmesh."""
    cache = environment.get("XDG_CACHE_HOME", "")
    return (Path(cache) if os.path.isabs(cache) else Path.home() / ".cache") / "gitmesh"


def stand_in(setup: Setup, path: Path | None, name: str | None, store: Path | None) -> tuple[Source, ...]:
    """The sources, with the folder PATH in place of the one of that name (default the first)."""
    if path is None:
        return sources(setup, store)
    chosen = _named(setup, name)
    stands = folders.stand_in(path, chosen.name, setup, chosen.paths)
    return tuple(stands if source is chosen else _source(setup, source, store) for source in setup.config.sources)


def _named(setup: Setup, name: str | None) -> SourceConfig:
    found = next((source for source in setup.config.sources if name in (None, source.name)), None)
    if found is None:
        raise click.UsageError(f"no source is named {name!r}; there are {', '.join(s.name for s in setup.config.sources)}")
    return found


def fleet(setup: Setup, translators: Mapping[str, Translator], *, patient: bool = True) -> Fleet:
    """The clusters of the configuration. Unless `patient`, none is waited for much longer than its deadline for a request."""
    from gitmesh.adapters.fleet import LocalFleet

    for one in setup.config.clusters:
        for name in sorted(one.control_planes.keys() - translators.keys()):
            there = ", ".join(sorted(translators))
            raise click.ClickException(
                f"cluster {one.name}: controlPlanes names {name}, which is no installed translator; there are {there}"
            )
    directories = [one.name for one in setup.config.clusters if one.directory is not None]
    bounds = {one.name: one.timeout / 1000 + one.settle_seconds for one in setup.config.clusters}
    made = [cluster(setup, one, translators) for one in setup.config.clusters]
    return LocalFleet(made, in_turn=directories, patience=None if patient else bounds)


def cluster(setup: Setup, one: ClusterConfig, translators: Mapping[str, Translator]) -> Cluster:
    """One cluster: a directory, or Kubernetes. Kubernetes clients are imported only where one is configured."""
    from gitmesh.cli.unusable import UnusableCluster
    from gitmesh.errors import ClusterError

    plugins = tuple(translators.values())
    if setup.confined:
        from gitmesh.cli.confined import cluster_problem

        if problem := cluster_problem(setup.file.resolve(), one):
            text = f"{problem}, because the configuration is not trusted"
            error = ClusterError(text, retryable=False, code="GM608", hint=_consent(setup.file))
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
    from gitmesh.adapters.kube.cluster import connect

    return connect(one, plugins, folder=setup.base, environment=os.environ)


def facts_fleet(facts: Mapping[str, ClusterFacts]) -> Fleet:
    """Clusters that consist of saved facts: nothing is live in them."""
    from gitmesh.adapters.fleet import LocalFleet
    from gitmesh.adapters.memory import MemoryCluster

    return LocalFleet([MemoryCluster(name, facts=one) for name, one in facts.items()])


def read_facts(path: Path) -> Mapping[str, ClusterFacts]:
    """Facts saved by `gitmesh discover -o yaml` (or json); as many nodes as it has bytes, so that aliases multiply nothing."""
    from gitmesh.discovery.facts_codec import load_facts
    from gitmesh.yaml_documents import MAX_NODES, read_documents

    try:
        content = path.read_bytes()
        documents = read_documents(content, max(MAX_NODES, len(content)))
        return load_facts(documents[0].value if len(documents) == 1 else None)
    except (OSError, ValueError) as error:
        raise click.ClickException(f"cannot read facts from {path}: {error}") from None


def status_branch(setup: Setup, repositories: Sequence[Source]) -> StatusBranch | None:
    """The status branch of the first source's repository, unless it is switched off, or the repository may not be used."""
    from gitmesh.adapters.git import GitSource
    from gitmesh.adapters.statusbranch import StatusBranch

    back, first = setup.config.write_back, repositories[0]
    if not back.enabled or not isinstance(first, GitSource):
        return None
    return StatusBranch(first, back.status_branch, author=back.author, now=time.time)


def events(setup: Setup, fleet: Fleet, deployment: tuple[str, str]) -> EventPublisher | None:
    """Events on the agent's own Deployment (namespace, name), where the configuration has the cluster that it runs in.

    None in mode Observe: an Event is a write, too.
    """
    own = next((fleet.clusters[one.name] for one in setup.config.clusters if one.in_cluster and one.enforce), None)
    if own is None:
        return None
    from gitmesh.adapters.kube.cluster import KubeCluster
    from gitmesh.adapters.kube.events import EventPublisher

    if not isinstance(own, KubeCluster):
        return None
    now = partial(datetime.now, UTC)
    return EventPublisher(own.client, *deployment, now=now, clock=time.monotonic, instance=setup.config.instance)


class Review(Struct, frozen=True, kw_only=True):
    """What `render` and `diff` look at: sources, clusters, and which of these to show."""

    sources: tuple[Source, ...]
    fleet: Fleet
    options: Options
    only: frozenset[str]


def review(
    config_path: Path | None,
    facts_path: Path | None,
    path: Path | None,
    source_name: str | None,
    globs: Sequence[str],
    store: Path | None,
    translators: Mapping[str, Translator],
) -> Review:
    """The tip (or PATH) against live clusters, or against saved facts; without --facts a configuration is needed."""
    facts = read_facts(facts_path) if facts_path else None
    setup = load(config_path) if facts is not None and path is not None else require(config_path)
    found = stand_in(setup, path, source_name, store) if setup else (folders.folder(_given(path), "policies"),)
    clusters = facts_fleet(facts) if facts is not None else fleet(_given(setup), translators)
    only = chosen_clusters(tuple(clusters.clusters), globs)
    return Review(sources=found, fleet=clusters, options=offline(setup, facts or {}, only), only=only)


def _given(value: T | None) -> T:
    assert value is not None, "decided by the caller"
    return value


def offline(setup: Setup | None, facts: Mapping[str, ClusterFacts], only: frozenset[str] = frozenset()) -> Options:
    """A review's options; clusters known from facts alone count as configured."""
    from gitmesh.pipeline import Options

    known = {name: one.labels for name, one in facts.items()}
    if setup is None:
        return Options(clusters=known, review=True, only=only)
    made = options(setup, review=True, only=only)
    return replace(made, clusters={**known, **made.clusters})


def options(setup: Setup, *, review: bool = False, approve: Sequence[str] = (), only: frozenset[str] = frozenset()) -> Options:
    """What a run is asked to do, by the configuration."""
    from gitmesh.pipeline import Options

    config = setup.config
    return Options(
        instance=config.instance,
        clusters=setup.clusters,
        prune=config.prune,
        approve=frozenset(approve),
        ignore=frozenset() if setup.confined else frozenset(config.ignore),
        allow_rewind=frozenset(source.name for source in config.sources if source.allow_rewind),
        review=review,
        only=only,
    )


def chosen_clusters(names: Sequence[str], globs: Sequence[str]) -> frozenset[str]:
    """The clusters that --cluster means; empty without --cluster. A pattern that means none is a usage error."""
    for glob in globs:
        if not fnmatch.filter(names, glob):
            raise click.UsageError(f"--cluster {glob}: no such cluster; there are {', '.join(sorted(names))}")
    return frozenset(name for name in names if any(fnmatch.fnmatchcase(name, glob) for glob in globs))
