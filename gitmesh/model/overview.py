"""How an instance stands, and how it stood: what `gitmesh status` and `gitmesh history` show, wherever it was
read from.
"""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

from gitmesh.model.report import State


class SourceStanding(Struct, frozen=True, kw_only=True):
    """One source: the tip that was seen and the commit in force, full ids ("" = none, as of a plain folder).
    The state is Synced where they are one, Invalid where the tip is refused, Held where the branch was
    rewound, Unreachable where it was not read.
    """

    name: str
    state: State
    seen: str = ""
    accepted: str = ""


class ClusterStanding(Struct, frozen=True, kw_only=True):
    """One cluster. `objects` is how many it should hold (None = not known), `held` how many live ones are
    left as they are, `policies` counts those that concern it by state. `applied`: source -> commit that was
    applied last.
    """

    name: str
    state: State
    objects: int | None = None
    held: int = 0
    policies: Mapping[str, int] = {}
    applied: Mapping[str, str] = {}
    observed: bool = False


class Waiting(Struct, frozen=True, kw_only=True):
    """Something that is left as it is until somebody says that it is meant. `clusters`: where (empty = it is
    a source's); `since` is in seconds since the epoch (0 = not known)."""

    hold: str
    text: str
    clusters: tuple[str, ...] = ()
    since: int = 0

    @property
    def command(self) -> str:
        """What ends it, where it is meant."""
        return f"gitmesh approve {self.hold}"


class Complaint(Struct, frozen=True, kw_only=True):
    """An error: why a commit is refused, or something held or failed. `at` is `file:line:column`, "" where no
    line is to blame.
    """

    code: str
    text: str
    hint: str = ""
    source: str = ""
    cluster: str = ""
    mesh: str = ""
    at: str = ""


class Overview(Struct, frozen=True, kw_only=True):
    """How an instance stands. `refusals` are the errors of sources, `troubles` those of clusters that stand
    for no hold.

    `commit` is the one of the status branch that says so, at `seconds` since the epoch; "" where it was
    looked at live.
    """

    instance: str
    sources: tuple[SourceStanding, ...] = ()
    clusters: tuple[ClusterStanding, ...] = ()
    waiting: tuple[Waiting, ...] = ()
    refusals: tuple[Complaint, ...] = ()
    troubles: tuple[Complaint, ...] = ()
    findings: Mapping[str, int] = {}
    commit: str = ""
    seconds: int = 0

    @property
    def states(self) -> tuple[State, ...]:
        """Of the sources and the clusters."""
        return (*(one.state for one in self.sources), *(one.state for one in self.clusters))


class SourceCommit(Struct, frozen=True, kw_only=True):
    """A commit of a source, `refused` where it was not put in force. Who wrote it and what it says are known
    where the source's history is at hand; `pulls` are the numbers of the pull requests that its message
    names.
    """

    source: str
    commit: str
    refused: bool = False
    author: str = ""
    subject: str = ""
    pulls: tuple[int, ...] = ()


class Heal(Struct, frozen=True, kw_only=True):
    """An object that had been changed in a cluster, not in Git, and was put right. `fields` is as the
    commit's message tells them; `manager` who had set them ("" = not known)."""

    cluster: str
    object: str
    fields: str
    manager: str = ""


class StatusCommit(Struct, frozen=True, kw_only=True):
    """One commit of the status branch, at `seconds` since the epoch. `policy` is the state of the policy that
    was asked about by cluster, with "" for the whole; empty where none was, or where it was not there any
    more.
    """

    commit: str
    seconds: int
    subject: str = ""
    sources: tuple[SourceCommit, ...] = ()
    clusters: tuple[ClusterStanding, ...] = ()
    heals: tuple[Heal, ...] = ()
    policy: Mapping[str, State] = {}
