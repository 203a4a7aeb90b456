"""Clusters that consist of facts: saved ones, or what is remembered of configured clusters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from gitmesh.model.config_clusters import ClusterConfig
    from gitmesh.model.facts import ClusterFacts
    from gitmesh.ports import Cluster, Fleet


def facts_fleet(facts: Mapping[str, ClusterFacts]) -> Fleet:
    """Clusters that consist of saved facts: nothing is live in them."""
    from gitmesh.adapters.fleet import LocalFleet
    from gitmesh.adapters.memory import MemoryCluster

    return LocalFleet([MemoryCluster(name, facts=one) for name, one in facts.items()])


def remembered_fleet(configured: Sequence[ClusterConfig], facts: Mapping[str, ClusterFacts]) -> Fleet:
    """The configured clusters, each consisting of its facts; one that nothing is known of answers so. None
    configured: those with facts."""
    from gitmesh.adapters.fleet import LocalFleet
    from gitmesh.adapters.memory import MemoryCluster
    from gitmesh.cli.unusable import UnusableCluster
    from gitmesh.errors import ClusterError

    # Only without a configuration: with one, its clusters count, also those without facts.
    made: list[Cluster] = [MemoryCluster(name, facts=one) for name, one in facts.items() if not configured]
    for one in configured:
        if one.name in facts:
            made.append(MemoryCluster(one.name, facts=facts[one.name], enforce=one.enforce))
        else:
            error = ClusterError("nothing is known of it", retryable=False)
            made.append(UnusableCluster(one.name, error, one.labels, one.enforce, one.settle_seconds))
    return LocalFleet(made)


def read_facts(path: Path) -> Mapping[str, ClusterFacts]:
    """Facts saved by `gitmesh discover -o yaml` (or json)."""
    try:
        return facts_in(path.read_bytes())
    except (OSError, ValueError) as error:
        raise click.ClickException(f"cannot read facts from {path}: {error}") from None


def facts_in(content: bytes) -> Mapping[str, ClusterFacts]:
    """The facts in a file's content. Raises ValueError."""
    from gitmesh.discovery.facts_codec import load_facts
    from gitmesh.yaml_documents import MAX_NODES, read_documents

    # As many nodes as the file has bytes, however large it is, so that only aliases are bounded.
    documents = read_documents(content, max(MAX_NODES, len(content)))
    return load_facts(documents[0].value if len(documents) == 1 else None)
