"""The commits of the status branch read again, for `gitmesh history`: their fixed messages, and the pull
requests that the messages of the sources' commits name. Both are untrusted content. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from gitmesh.model.overview import ClusterStanding, Heal, SourceCommit, StatusCommit
from gitmesh.model.report import State
from gitmesh.status.reading import UnreadableError, read_policy, read_status, seen_commits, standings

# All parts are bounded: whoever may push wrote the message.
_HEALED = re.compile(
    r"healed ([a-z0-9][-a-z0-9]{0,62}) ([^:]{1,600}): ([^()]{0,3000}|.{0,3000}?)(?: \(by (.{1,500})\))?"
)
_TRAILER = re.compile(r"GitMesh-Source: ([0-9a-f]{40}|[0-9a-f]{64})")
_PULL_SUBJECTS = (
    re.compile(r"Merge pull request #(\d{1,9})\b"),
    re.compile(r"Merge pull request '.*' \(#(\d{1,9})\) from "),
    re.compile(r"\(#(\d{1,9})\)\s*$"),
    re.compile(r"\(!(\d{1,9})\)\s*$"),
)
_PULL_LINES = (
    re.compile(r"See merge request [\w./-]{0,300}!(\d{1,9})"),
    re.compile(r"(?:Reviewed-on|PR-URL|Pull-Request|Merge-Request): *(?:\S{0,500}[/#!])?#?(\d{1,9})"),
)
"""What GitHub, GitLab and Gitea write into the messages of merges and squashes, and common trailers."""
# Lines of a message that are looked at, since it may have any number of them.
_LINES = 400


def moment(
    commit: str, seconds: int, message: str, status: bytes | None, policy: bytes | None = None
) -> StatusCommit:
    """One commit of the branch. Where its `status.yaml` cannot be read, its trailers still say which commits
    it is about.
    """
    lines = message.split("\n")[:_LINES]
    sources = [
        SourceCommit(source="", commit=found[1]) for line in lines if (found := _TRAILER.fullmatch(line))
    ]
    clusters: tuple[ClusterStanding, ...] = ()
    try:
        if status is not None:
            read = read_status(status)
            sources = list(seen_commits(read))
            clusters = standings(read)
    except UnreadableError:
        pass  # somebody else's commit: what is known of it is its message
    return StatusCommit(
        commit=commit,
        seconds=seconds,
        subject=lines[0][:200],
        sources=tuple(sources),
        clusters=clusters,
        heals=tuple(_heals(lines)),
        policy=_policy(policy),
    )


def _heals(lines: list[str]) -> Iterator[Heal]:
    for line in lines:
        if found := _HEALED.fullmatch(line):
            cluster, name, fields, manager = found.groups()
            yield Heal(cluster=cluster, object=name, fields=fields, manager=manager or "")


def _policy(content: bytes | None) -> Mapping[str, State]:
    try:
        return read_policy(content) if content is not None else {}
    except UnreadableError:
        return {}


def pulls(message: str) -> tuple[int, ...]:
    """The numbers of the pull requests that a commit's message names: in its subject, or in a line of its
    own.
    """
    subject, *rest = message.split("\n")[:_LINES]
    found = [match[1] for pattern in _PULL_SUBJECTS if (match := pattern.search(subject[:1000]))]
    found += [
        match[1]
        for line in rest
        for pattern in _PULL_LINES
        if (match := pattern.fullmatch(line.strip()[:1000]))
    ]
    return tuple(dict.fromkeys(int(number) for number in found))
