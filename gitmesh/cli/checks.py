"""What `gitmesh check` looks at: git, every source, every cluster. Each check fails alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol, runtime_checkable

from gitmesh.adapters.git.process import git_version
from gitmesh.codes import CODES
from gitmesh.errors import ClusterError, SourceError
from gitmesh.model.facts import ClusterFacts
from gitmesh.model.ledger import NAMESPACE
from gitmesh.model.snapshot import Snapshot
from gitmesh.model.workloads import by_controller
from gitmesh.parsing.parse import parse
from gitmesh.ports import Cluster, Fleet, Source, Translator
from gitmesh.render.checks import Check, Level
from gitmesh.render.values import counted, listed

OLDEST_GIT = (2, 30)


class AnsweredRight(Protocol):
    """A right with the cluster's answer; its text is `verb resource`."""

    @property
    def allowed(self) -> bool | None:
        """Whether we have it."""


@runtime_checkable
class HasRights(Protocol):
    """A cluster that can say which rights we have in it."""

    def rights(self, instance: str) -> Sequence[AnsweredRight]:
        """The rights that are needed, each with whether we have it. Raises ClusterError."""


def git_check() -> Check:
    """Whether git is there and new enough."""
    try:
        version = git_version()
    except SourceError as error:
        return Check(level=Level.FAIL, subject="git", message=str(error), hint="install git")
    text = ".".join(map(str, version))
    if version < OLDEST_GIT:
        return Check(
            level=Level.WARN,
            subject="git",
            message=f"{text} is old",
            hint=f"install {'.'.join(map(str, OLDEST_GIT))} or newer",
        )
    return Check(level=Level.OK, subject="git", message=text)


def source_check(source: Source, where: str, ignore: frozenset[str]) -> Check:
    """Whether the repository answers, the branch is there and policies are in each of its paths. `where`
    names the branch or folder.
    """
    subject = f"source {source.name}"
    try:
        snapshot = source.fetch()
    except SourceError as error:
        return Check(
            level=Level.DOWN, subject=subject, message=error.in_full, hint=error.hint or CODES["GM601"].fix
        )
    revision = f"{where} at {snapshot.commit[:12]}" if snapshot.commit else where
    text = f"{revision}, {counted(len(snapshot.files), 'file')}"
    vacant = _vacant(snapshot, ignore)
    if vacant:
        return Check(
            level=Level.FAIL,
            subject=subject,
            message=f"{text}; no policy in {listed(vacant, 8)}",
            hint=CODES["GM110"].fix,
        )
    return Check(level=Level.OK, subject=subject, message=text)


def _vacant(snapshot: Snapshot, ignore: frozenset[str]) -> list[str]:
    """The paths without a policy; of a revision with errors, those without any policy file."""
    policies, said = parse(snapshot, ignore=ignore)
    homes = {policy.location.path for policy in policies}
    # A file with errors may hold the only policy of its path.
    broken = any(one.is_error for one in said)
    return [
        path or "all of it"
        for path, files in snapshot.paths.items()
        if not files or (homes.isdisjoint(files) and not broken)
    ]


def cluster_checks(fleet: Fleet, translators: Mapping[str, Translator], instance: str) -> Iterator[Check]:
    """Reachability, meshes, served kinds and rights of every cluster, all clusters at once."""
    answers = fleet.each(lambda cluster: tuple(_cluster(cluster, translators, instance)))
    for name, answer in answers.items():
        # One that does not answer is a line of its own; all others are looked at.
        if isinstance(answer, ClusterError):
            yield Check(
                level=Level.DOWN,
                subject=f"cluster {name}",
                message=answer.in_full,
                hint=answer.hint or CODES[answer.code].fix,
            )
        else:
            yield from answer


def _cluster(cluster: Cluster, translators: Mapping[str, Translator], instance: str) -> Iterator[Check]:
    facts = cluster.facts()
    subject = f"cluster {cluster.name}"
    unread = (
        "a kind could not be read; see rights"
        if isinstance(cluster, HasRights)
        else "a file could not be read; `gitmesh diff` names it"
    )
    yield _reached(subject, facts, cluster.enforce, unread)
    yield _meshes(subject, facts)
    yield _kinds(subject, facts, translators)
    if isinstance(cluster, HasRights):
        yield _rights(subject, cluster.rights(instance))
        # A reading that is not complete may have missed the namespace.
        if cluster.enforce and facts.complete and NAMESPACE not in facts.namespaces:
            yield _no_place(subject)


def _reached(subject: str, facts: ClusterFacts, enforce: bool, unread: str) -> Check:
    workloads = len(by_controller(facts.workloads))
    sizes = f"{counted(len(facts.services), 'service')}, {counted(workloads, 'workload')}"
    mode = "" if enforce else ", mode Observe: nothing will be written"
    if not facts.complete:
        return Check(
            level=Level.WARN, subject=subject, message=f"answers in part: {sizes}{mode}", hint=unread
        )
    return Check(level=Level.OK, subject=subject, message=f"answers: {sizes}{mode}")


def _meshes(subject: str, facts: ClusterFacts) -> Check:
    if not facts.meshes:
        return Check(
            level=Level.WARN, subject=f"{subject} mesh", message="no mesh found", hint=CODES["GM507"].fix
        )
    said = [
        f"{mesh.name} {mesh.version or '(version unknown)'}, trust domain {mesh.trust_domain or '(unknown)'}"
        for mesh in facts.meshes
    ]
    return Check(level=Level.OK, subject=f"{subject} mesh", message="; ".join(said))


def _kinds(subject: str, facts: ClusterFacts, translators: Mapping[str, Translator]) -> Check:
    """Whether the kinds of the meshes that were found are served."""
    present = {mesh.translator for mesh in facts.meshes}
    wanted = [
        resource
        for name, one in sorted(translators.items())
        if name in present
        for resource in one.writes(facts)
    ]
    missing = [f"{r.kind}.{r.group}" for r in wanted if (r.group, r.kind) not in facts.kind_index]
    if missing:
        text = f"not served: {listed(missing, 8)}"
        return Check(level=Level.FAIL, subject=f"{subject} kinds", message=text, hint=CODES["GM504"].fix)
    return Check(
        level=Level.OK,
        subject=f"{subject} kinds",
        message=f"{counted(len(wanted), 'kind')} of the mesh served",
    )


def _no_place(subject: str) -> Check:
    text = f"the namespace {NAMESPACE} for the ledger does not exist"
    return Check(
        level=Level.FAIL,
        subject=f"{subject} ledger",
        message=text,
        hint=f"kubectl create namespace {NAMESPACE}",
    )


def _rights(subject: str, rights: Sequence[AnsweredRight]) -> Check:
    # None means that no answer came, which is not permission.
    missing = [str(right) for right in rights if not right.allowed]
    if missing:
        text = f"{len(missing)} of {counted(len(rights), 'right')} missing: {listed(missing, 8)}"
        return Check(level=Level.FAIL, subject=f"{subject} rights", message=text, hint=CODES["GM503"].fix)
    return Check(
        level=Level.OK, subject=f"{subject} rights", message=f"{counted(len(rights), 'right')}, none missing"
    )
