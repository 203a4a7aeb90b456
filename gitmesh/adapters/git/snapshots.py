"""One commit as a snapshot of policies, out of the objects on this disk."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec import Struct

from gitmesh.adapters.git.blobs import read_objects
from gitmesh.adapters.git.objects import Objects
from gitmesh.adapters.git.tree import list_policies
from gitmesh.errors import SourceError
from gitmesh.model.snapshot import File, Snapshot

_NOTHING: Mapping[str, bytes] = {}


def read_snapshot(objects: Objects, commit: str, paths: Sequence[str], source: str, known: Mapping[str, bytes] = _NOTHING) -> Snapshot:
    """The policy files of a commit below `paths`; of blobs that are `known` (id -> content) none is read. Raises GitError."""
    listing = list_policies(objects, commit, paths, source)
    missing = {entry.blob: entry.size for entry in listing.files if entry.blob not in known}
    info, read = read_objects(objects, commit, missing)
    files = tuple(
        File(path=e.path.decode(), blob=e.blob, content=known[e.blob] if e.blob in known else read[e.blob]) for e in listing.files
    )
    return Snapshot(
        source=source,
        commit=commit,
        files=files,
        diagnostics=listing.diagnostics,
        paths=listing.paths,
        author=info.author,
        subject=info.subject,
    )


class CommitSource(Struct, frozen=True):
    """One commit as a source that never moves: for a review of it. Satisfies gitmesh.ports.Source."""

    name: str
    objects: Objects
    commit: str
    paths: tuple[str, ...] = ("",)

    def fetch(self) -> Snapshot:
        """The policies of the commit. Raises SourceError."""
        return read_snapshot(self.objects, self.commit, self.paths, self.name)

    def read(self, commit: str) -> Snapshot:
        """The commit, if it is this one. Raises SourceError."""
        if commit != self.commit:
            raise SourceError(f"only commit {self.commit[:12]} is looked at")
        return self.fetch()

    def descends(self, tip: str, ancestor: str) -> bool:
        """Whether `tip` is `ancestor` or comes after it, as far as this disk knows. Raises SourceError."""
        return tip == ancestor or self.objects.descends(tip, ancestor)

    def leads_to(self, commit: str) -> bool:
        """Whether the commit is this one or comes before it. Raises SourceError."""
        return self.descends(self.commit, commit)

    def accept(self, commit: str) -> None:
        """A review brings nothing into force."""

    def accepted(self) -> str:
        """None: a review keeps no record."""
        return ""
