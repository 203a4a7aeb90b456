"""What the sources say together, and under what terms their revisions are chosen. `choosing` decides."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from gitmesh.diagnostics import Diagnostic, Location
    from gitmesh.model.policies import Policy
    from gitmesh.model.report import SourceResult
    from gitmesh.model.snapshot import Snapshot

_SHORTEST = 7
"""Digits of a commit's id that approve it."""


class Revisions(Struct, frozen=True, kw_only=True, dict=True):
    """What the sources say together.

    `chosen` are the revisions that the policies are of. `absent` are the sources of which not everything is
    in force that should be: what they say of an object is unknown, so their part of it stays. `homes` maps a
    policy to its source. `approved` are the holds of sources that somebody ended, by id, with the text.
    """

    policies: tuple[Policy, ...] = ()
    sources: Mapping[str, SourceResult] = {}
    chosen: Mapping[str, Snapshot] = {}
    diagnostics: tuple[Diagnostic, ...] = ()
    absent: frozenset[str] = frozenset()
    lost: bool = False
    in_force: bool = False
    approved: Mapping[str, str] = {}

    @property
    def accepted(self) -> Mapping[str, str]:
        """Source -> commit in force."""
        return {name: result.accepted for name, result in self.sources.items()}

    @property
    def in_force_sources(self) -> frozenset[str]:
        """The sources of which everything is in force that should be."""
        return frozenset(self.sources) - self.absent

    @cached_property
    def homes(self) -> Mapping[str, str]:
        """Policy -> the source that it is in."""
        return {policy.id: policy.location.source for policy in self.policies}


class Terms(Struct, frozen=True, kw_only=True):
    """Under what terms revisions are chosen. `clusters` are all configured ones with their labels, `ignore`
    are kinds of other documents, `allow_rewind` names sources. In a `review` the tip is what is asked about:
    its errors are reported and nothing takes its place. `approved` are the ids of holds that somebody ended
    in every cluster, `consented` the commits (or beginnings of their ids) whose deletions are approved. With
    `record`, sources remember what was accepted.
    """

    clusters: Mapping[str, Mapping[str, str]] = {}
    ignore: frozenset[str] = frozenset()
    allow_rewind: frozenset[str] = frozenset()
    review: bool = False
    approved: frozenset[str] = frozenset()
    consented: frozenset[str] = frozenset()
    record: bool = False

    def consents(self, commit: str) -> bool:
        """Whether the deletions of a commit are approved."""
        return bool(commit) and any(commit.startswith(sha) for sha in self.consented if len(sha) >= _SHORTEST)


def with_excerpts(
    diagnostics: Iterable[Diagnostic], snapshots: Mapping[str, Snapshot]
) -> tuple[Diagnostic, ...]:
    """Give each finding the line of the file that it points to, for a terminal's caret."""
    lines: dict[tuple[str, str], list[str]] = {}
    files = {(name, file.path): file for name, snapshot in snapshots.items() for file in snapshot.files}

    def excerpt(at: Location | None) -> str:
        file = files.get((at.source, at.path)) if at else None
        if at is None or file is None:
            return ""
        if (at.source, at.path) not in lines:
            lines[at.source, at.path] = file.content.decode("utf-8", "replace").split("\n")
        found = lines[at.source, at.path]
        return found[at.line - 1].rstrip("\r") if at.line <= len(found) else ""

    return tuple(replace(d, excerpt=excerpt(d.at)) if d.at and not d.excerpt else d for d in diagnostics)
