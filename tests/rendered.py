"""From policy texts and facts to objects and findings, through the real parser, resolver and translators; no
cluster needed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from gitmesh.diagnostics import Diagnostic, in_order
from gitmesh.model.facts import ClusterFacts
from gitmesh.model.manifests import Build, Manifest
from gitmesh.model.objects import decode
from gitmesh.parsing.parse import parse
from gitmesh.planning.build import build, dropped
from gitmesh.plugins import load_translators
from gitmesh.ports import Translator
from gitmesh.resolution.check import check
from gitmesh.resolution.resolve import resolve
from tests.factories import snapshot_of


@cache
def translators() -> Mapping[str, Translator]:
    """Those that are installed, looked up once."""
    return load_translators()


@dataclass(frozen=True, slots=True, kw_only=True)
class Rendered:
    """What a revision means for some clusters."""

    manifests: tuple[Manifest, ...]
    findings: tuple[Diagnostic, ...]
    builds: Mapping[str, Build] = field(default_factory=dict)

    @property
    def bodies(self) -> list[dict[str, Any]]:
        """The objects, sorted by cluster and key."""
        return [decode(manifest.body) for manifest in self.manifests]

    @property
    def content(self) -> tuple[bytes, ...]:
        """All bytes of the objects."""
        return tuple(manifest.body for manifest in self.manifests)

    @property
    def said(self) -> list[str]:
        """The findings, a line each."""
        return [
            f"{d.at or '-'} {d.code} {d.name} {d.severity} {d.policy} {d.field} [{d.cluster}/{d.mesh}]"
            f" {d.message}"
            for d in self.findings
        ]


def rendered(
    files: Mapping[str, str],
    facts: Mapping[str, ClusterFacts],
    unmanaged: Mapping[str, Mapping[str, str]] | None = None,
    *,
    by: Mapping[str, Translator] | None = None,
) -> Rendered:
    """Render policy files for clusters with these facts; `unmanaged` are other configured clusters, with
    their labels; `by` these translators, or those that are installed.
    """
    policies, found = parse(snapshot_of(files))
    clusters = {**(unmanaged or {}), **{name: known.labels for name, known in facts.items()}}
    static = (*found, *check(policies, clusters))
    using = translators() if by is None else by
    resolution = resolve(policies, facts, clusters, translators=using)
    builds, said = build(resolution, facts, using, "golden", {})
    all_said = (*static, *resolution.diagnostics, *said)
    lost = dropped(policies, builds, all_said)
    manifests = tuple(
        manifest for _, built in sorted(builds.items()) for manifest in built.manifests.values()
    )
    return Rendered(manifests=manifests, findings=in_order([*all_said, *lost]), builds=builds)
