"""Filters of a report for display: by policy. What is hidden is counted, never silent."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable, Mapping, Sequence

from msgspec import Struct
from msgspec.structs import replace

from gitmesh.diagnostics import Diagnostic, suggest
from gitmesh.model.manifests import Build, Manifest
from gitmesh.model.objects import ObjectKey
from gitmesh.model.plan import Change, Plan
from gitmesh.model.report import ClusterResult, Report
from gitmesh.render.values import counted


class Narrowed(Struct, frozen=True, kw_only=True):
    """A report without what comes from other policies, and how much of it that was."""

    report: Report
    objects: int = 0
    findings: int = 0

    @property
    def hidden(self) -> str:
        """`hidden by --policy: 3 objects, 1 finding`; "" where nothing is."""
        parts = [
            counted(number, noun)
            for number, noun in ((self.objects, "object"), (self.findings, "finding"))
            if number
        ]
        return f"hidden by --policy: {', '.join(parts)}" if parts else ""


def matches(policy: str, globs: Sequence[str]) -> bool:
    """Whether `Kind/namespace/name` is meant by one of the patterns, each of which may leave out kind and
    namespace.
    """
    parts = policy.split("/")
    names = {"/".join(parts[start:]) for start in range(len(parts))}
    return any(fnmatch.fnmatchcase(name, glob) for glob in globs for name in names)


def unmatched(report: Report, globs: Sequence[str]) -> Mapping[str, str]:
    """The patterns that mean neither a policy nor one that a finding or an object still names, each with
    what it is near to, as a question, or ""."""
    names = _named(report)
    return {
        glob: suggest(glob, _spelt(names, glob.count("/")))
        for glob in globs
        if not any(matches(name, (glob,)) for name in names)
    }


def _spelt(names: Iterable[str], slashes: int) -> set[str]:
    """The names with as much of kind and namespace as a pattern has."""
    return {"/".join(name.split("/")[-slashes - 1 :]) for name in names}


def _named(report: Report) -> set[str]:
    names = {policy.id for policy in report.policies} | {
        one.policy for one in report.diagnostics if one.policy
    }
    for result in report.clusters.values():
        changes = (*result.plan.changes, *result.plan.prune_held) if result.plan else ()
        # A policy that was deleted is in no revision, but still in what is deleted for it.
        names |= {policy for change in changes for policy in change.policies}
    return names


def narrowed(report: Report, globs: Sequence[str]) -> Narrowed:
    """Only objects that come from these policies, and findings that name one of them or none. All, without
    patterns.
    """
    if not globs:
        return Narrowed(report=report)
    clusters = {name: _cluster(result, globs) for name, result in report.clusters.items()}
    kept = tuple(one for one in report.diagnostics if _keeps(one, globs))
    objects = sum(_size(report.clusters[name]) - _size(clusters[name]) for name in clusters)
    return Narrowed(
        report=replace(report, clusters=clusters, diagnostics=kept),
        objects=objects,
        findings=len(report.diagnostics) - len(kept),
    )


def _keeps(one: Diagnostic, globs: Sequence[str]) -> bool:
    # An error is never hidden: it can hold back what was asked about.
    return one.is_error or not one.policy or matches(one.policy, globs)


def _cluster(result: ClusterResult, globs: Sequence[str]) -> ClusterResult:
    build = replace(result.build, manifests=_manifests(result.build, globs)) if result.build else None
    return replace(result, build=build, plan=_plan(result.plan, globs) if result.plan else None)


def _manifests(build: Build, globs: Sequence[str]) -> Mapping[ObjectKey, Manifest]:
    return {
        key: one
        for key, one in build.manifests.items()
        if any(matches(policy, globs) for policy in one.policies)
    }


def _plan(plan: Plan, globs: Sequence[str]) -> Plan:
    return replace(plan, changes=_changes(plan.changes, globs), prune_held=_changes(plan.prune_held, globs))


def _changes(changes: tuple[Change, ...], globs: Sequence[str]) -> tuple[Change, ...]:
    return tuple(change for change in changes if any(matches(policy, globs) for policy in change.policies))


def _size(result: ClusterResult) -> int:
    if result.plan is not None:
        return len({change.key for change in (*result.plan.changes, *result.plan.prune_held)})
    return len(result.build.manifests) if result.build else 0
