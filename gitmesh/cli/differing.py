"""What two revisions decide otherwise about one client, one destination, or one of them and everybody: `can`
and `who-can` with --base.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click
from msgspec.structs import replace

from gitmesh.cli import comparing, comparison_answer, ends, options
from gitmesh.cli.session import translators
from gitmesh.cli.tables import ANY
from gitmesh.model.comparison import NAMELESS, AccessChange, ClusterComparison, Reach
from gitmesh.model.facts import ClusterFacts
from gitmesh.reviewing.risk import risk_of

WORDS = """With --base two commits of a checkout are compared, as `gitmesh diff --base` does it, and what
is decided otherwise is told.
"""
"""What the help of the commands says of it."""
_EVERYBODY = ("anybody", "anybody with an identity")


def answer(given: Mapping[str, Any], base: str, *, source: str = ANY) -> int:
    """Compare, and print what is decided otherwise for the ends that are named; the exit code is that of a
    comparison.
    """
    if given["expect"] is not None:
        raise click.UsageError("--base tells what differs: --expect is about one revision")
    asked = comparing.ComparisonWanted(
        base=base,
        head=given["head"],
        path=given["policies"],
        config=given["config_path"],
        source=given["source_name"],
        facts=given["facts_path"],
        facts_from=given["facts_from"],
        clusters=given["cluster_globs"],
        store=given["store"],
    )
    found = _narrowed(comparing.compared(asked, translators()), source, given["destination"])
    return comparison_answer.answer(
        found, given["form"], color=given["color"], fail_on=given["fail_on"], access_only=True
    )


def only_with_base(given: Mapping[str, Any]) -> None:
    """A usage error for what only a comparison can mean."""
    if given["facts_from"] is not None or given["head"] != options.HEAD:
        raise click.UsageError("--head and --facts-from go with --base")


def _narrowed(found: comparing.Compared, source: str, destination: str) -> comparing.Compared:
    """Of a comparison what it says of access between these ends. What no cluster has is a usage error."""
    place, _, port = destination.partition(":")
    services = {
        key
        for one in found.facts.values()
        for key in one.service_index
        if place in (key[1], "/".join(key), ANY)
    }
    if not services:
        raise click.UsageError(ends.no_service(destination, found.facts))
    labels = {name: _labels(source, facts) for name, facts in found.facts.items()}
    if source != ANY and not any(labels.values()):
        raise click.UsageError(ends.no_client(source, found.facts))

    def is_meant(change: AccessChange, callers: frozenset[str]) -> bool:
        there = change.service in services and (
            not port or not change.ports or port in map(str, change.ports)
        )
        return there and (source == ANY or not callers.isdisjoint(change.callers))

    def part(one: ClusterComparison) -> ClusterComparison:
        callers = labels.get(one.name, frozenset())
        rows = tuple(change for change in one.access if is_meant(change, callers))
        # Who may call was asked for: the risk and the exit code are then of that alone.
        return replace(one, access=rows, objects=(), routes=(), protection=(), reach=Reach())

    clusters = {name: part(one) for name, one in found.comparison.clusters.items()}
    return replace(
        found, comparison=replace(found.comparison, clusters=clusters, risk=risk_of(clusters, ())), drift=None
    )


def _labels(source: str, facts: ClusterFacts) -> frozenset[str]:
    """How rows of a comparison name this client of the cluster; empty where it has none."""
    client = None if source == ANY else ends.named_client(source, "", facts)
    if client is None:
        return frozenset()
    if client.trust_domain is None:
        named = {
            f"{one.namespace}/{one.name} {NAMELESS}"
            for one in facts.workloads
            if source in (one.name, f"{one.namespace}/{one.name}")
        }
        # Rows may name it by itself, or with all others that show no identity.
        return frozenset({NAMELESS, "anybody", *named})
    account = f"{client.namespace}/{client.service_account}"
    mine = (client.namespace, client.service_account)
    running = {
        f"{one.namespace}/{one.name}"
        for one in facts.workloads
        if (one.namespace, one.service_account) == mine
    }
    # A row may name the ServiceAccount, one of its workloads, or everybody.
    return frozenset({account, *running, *_EVERYBODY})
