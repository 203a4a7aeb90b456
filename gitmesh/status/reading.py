"""The status branch's files read again, for `gitmesh status`. Whoever may push the branch wrote them: nothing
is decided by what they say, and what is not as GitMesh writes it is refused, never shown. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, TypeVar

from msgspec import Meta, Struct, ValidationError, convert

from gitmesh.model.kinds import API_VERSION
from gitmesh.model.overview import ClusterStanding, Complaint, Overview, SourceCommit, SourceStanding, Waiting
from gitmesh.model.report import State
from gitmesh.yaml_documents import DocumentError, read_documents

T = TypeVar("T")

STATUS, FINDINGS = "status.yaml", "findings.yaml"
# Bounded in bytes and in nodes: whoever may push the branch could write a file that takes all memory.
ROOM: Mapping[str, int] = {STATUS: 1 << 20, FINDINGS: 1 << 22}
"""Path -> bytes that are read of it at most."""
_NODES = 100_000
# Findings that only say what others are the reason for.
_SUMMARY = frozenset({"GM605"})

_Label = Annotated[str, Meta(pattern=r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?\Z")]
Commit = Annotated[str, Meta(pattern=r"^([0-9a-f]{40}|[0-9a-f]{64})?\Z")]
_Hold = Annotated[str, Meta(pattern=r"^[0-9a-f]{12}\Z")]
_Code = Annotated[str, Meta(pattern=r"^GM[0-9]{3}\Z")]
_Text = Annotated[str, Meta(max_length=100_000)]
# Below 2**53, which every reader of JSON and YAML holds exactly.
_Count = Annotated[int, Meta(ge=0, lt=1 << 53)]


class UnreadableError(ValueError):
    """A file of the branch that is not as GitMesh writes it; the message names the file and the place in it,
    not what stands there.
    """


class _SeenRow(Struct, frozen=True):
    state: State
    commit: Commit = ""


class _SourceRow(Struct, frozen=True, rename="camel"):
    seen: _SeenRow
    last_good: Commit = ""


class _CountsRow(Struct, frozen=True):
    objects: _Count | None = None
    held: _Count = 0
    policies: dict[State, _Count] = {}


class _ClusterRow(Struct, frozen=True, rename="camel"):
    state: State
    counts: _CountsRow = _CountsRow()
    applied_commit: dict[_Label, Commit] = {}
    observe_only: bool = False


class _HoldRow(Struct, frozen=True):
    text: _Text
    clusters: list[_Label] = []
    since: _Count = 0


class _StatusFile(Struct, frozen=True):
    kind: str
    instance: _Label
    sources: dict[_Label, _SourceRow]
    clusters: dict[_Label, _ClusterRow]
    findings: dict[str, _Count] = {}
    holds: dict[_Hold, _HoldRow] = {}


class _FindingRow(Struct, frozen=True):
    code: _Code
    severity: str
    text: _Text
    hint: _Text = ""
    cluster: _Text = ""
    mesh: _Text = ""
    source: _Text = ""
    file: _Text = ""
    line: _Count = 0
    column: _Count = 0
    hold: _Text = ""


class _FindingsFile(Struct, frozen=True):
    kind: str
    findings: list[_FindingRow]


def read_overview(files: Mapping[str, bytes], *, commit: str = "", seconds: int = 0) -> Overview:
    """How an instance stands, by `status.yaml` and `findings.yaml`. Raises UnreadableError."""
    status = _read(files, STATUS, "Status", _StatusFile)
    rows = _read(files, FINDINGS, "Findings", _FindingsFile).findings
    # Held ones are told as waiting, with the id that ends the hold.
    errors = [row for row in rows if row.severity == "error" and not row.hold and row.code not in _SUMMARY]
    sick = {name for name, row in status.sources.items() if row.seen.state is not State.SYNCED}
    # An error of no cluster in a source that is not in force is the reason why its tip is refused; the others
    # are troubles of clusters.
    refusing = [row.source in sick and not row.cluster for row in errors]
    return Overview(
        instance=status.instance,
        sources=tuple(
            SourceStanding(name=name, state=row.seen.state, seen=row.seen.commit, accepted=row.last_good)
            for name, row in status.sources.items()
        ),
        clusters=standings(status),
        waiting=tuple(
            Waiting(hold=hold, text=row.text, clusters=tuple(row.clusters), since=row.since)
            for hold, row in sorted(status.holds.items())
        ),
        refusals=tuple(_cause(row) for row, is_refusal in zip(errors, refusing, strict=True) if is_refusal),
        troubles=tuple(
            _cause(row) for row, is_refusal in zip(errors, refusing, strict=True) if not is_refusal
        ),
        findings=status.findings,
        commit=commit,
        seconds=seconds,
    )


def read_status(content: bytes) -> _StatusFile:
    """`status.yaml` alone. Raises UnreadableError."""
    return _read({STATUS: content}, STATUS, "Status", _StatusFile)


def standings(status: _StatusFile) -> tuple[ClusterStanding, ...]:
    """The clusters of a `status.yaml`."""
    return tuple(
        ClusterStanding(
            name=name,
            state=row.state,
            objects=row.counts.objects,
            held=row.counts.held,
            policies={state.value: number for state, number in row.counts.policies.items()},
            applied=row.applied_commit,
            observed=row.observe_only,
        )
        for name, row in status.clusters.items()
    )


def seen_commits(status: _StatusFile) -> Iterator[SourceCommit]:
    """The commits that a `status.yaml` is about: of each source the tip, or what is in force while there is
    none.
    """
    for name, row in status.sources.items():
        if commit := row.seen.commit or row.last_good:
            yield SourceCommit(
                source=name, commit=commit, refused=row.seen.state in (State.INVALID, State.HELD)
            )


class _PolicyRow(Struct, frozen=True):
    state: State


class _PolicyFile(Struct, frozen=True):
    kind: str
    state: State
    clusters: dict[_Label, _PolicyRow] = {}


def read_policy(content: bytes) -> Mapping[str, State]:
    """Cluster -> state of one policy, "" for the whole. Raises UnreadableError."""
    found = _read({"the policy's file": content}, "the policy's file", "PolicyStatus", _PolicyFile)
    return {"": found.state, **{name: row.state for name, row in found.clusters.items()}}


def _cause(row: _FindingRow) -> Complaint:
    at = f"{row.file}:{row.line}:{row.column}" if row.file and row.line else ""
    return Complaint(
        code=row.code,
        text=row.text,
        hint=row.hint,
        source=row.source,
        cluster=row.cluster,
        mesh=row.mesh,
        at=at,
    )


def _read(files: Mapping[str, bytes], path: str, kind: str, shape: type[T]) -> T:
    """One file in its shape."""
    if path not in files:
        raise UnreadableError(f"{path} is not there")
    try:
        documents = read_documents(files[path], _NODES)
    except DocumentError as error:
        raise UnreadableError(f"{path} cannot be read: {error}") from None
    body: object = documents[0].value if len(documents) == 1 else None
    if not isinstance(body, dict) or (body.get("apiVersion"), body.get("kind")) != (API_VERSION, kind):
        raise UnreadableError(f"{path} is no {kind} of {API_VERSION}")
    try:
        # Fields that a newer version wrote beside these are passed over.
        return convert(body, shape)
    except ValidationError as error:
        # The message repeats what stands in the file, which is anybody's text: only the place is shown.
        place = str(error).rpartition(" - at ")[2]
        raise UnreadableError(f"{path} is not as GitMesh writes it, at {place[:100]}") from None
