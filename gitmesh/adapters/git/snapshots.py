"""One commit as a snapshot of policies, out of the objects on this disk."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec import Struct
from msgspec.structs import replace

from gitmesh.adapters.git.blobs import read_objects
from gitmesh.adapters.git.objects import Objects
from gitmesh.adapters.git.tree import list_policies
from gitmesh.adapters.revision import lies_below
from gitmesh.errors import SourceError
from gitmesh.model.snapshot import File, Snapshot

_NOTHING: Mapping[str, bytes] = {}


def read_snapshot(
    objects: Objects, commit: str, paths: Sequence[str], source: str, known: Mapping[str, bytes] = _NOTHING
) -> Snapshot:
    """The policy files of a commit below `paths`; of blobs that are `known` (id -> content) none is read.
    Raises GitError.
    """
    listing = list_policies(objects, commit, paths, source)
    missing = {entry.blob: entry.size for entry in listing.files if entry.blob not in known}
    info, read = read_objects(objects, commit, missing)
    files = tuple(
        File(path=e.path.decode(), blob=e.blob, content=known[e.blob] if e.blob in known else read[e.blob])
        for e in listing.files
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
    """One commit as a source that never moves: for a review of it. Satisfies gitmesh.ports.Source.

    `edited` is a file that stands in place of the committed one of its path.
    """

    name: str
    objects: Objects
    commit: str
    paths: tuple[str, ...] = ("",)
    edited: File | None = None

    def fetch(self) -> Snapshot:
        """The policies of the commit. Raises SourceError."""
        snapshot = read_snapshot(self.objects, self.commit, self.paths, self.name)
        if self.edited is None:
            return snapshot
        files = (*(file for file in snapshot.files if file.path != self.edited.path), self.edited)
        shares = {place: _with(self.edited.path, place, names) for place, names in snapshot.paths.items()}
        return replace(
            snapshot, commit="", files=tuple(sorted(files, key=lambda file: file.path)), paths=shares
        )

    def read(self, commit: str) -> Snapshot:
        """The commit, if it is this one. Raises SourceError."""
        if commit != self.commit:
            raise SourceError(f"only commit {self.commit[:12]} is looked at")
        return self.fetch()

    def descends(self, tip: str, ancestor: str) -> bool:
        """Whether `tip` is `ancestor` or comes after it, as far as this disk knows. Raises SourceError."""
        # Equal ones first: the store of a shallow checkout may not even have the commit to ask git about.
        return tip == ancestor or self.objects.descends(tip, ancestor)

    def leads_to(self, commit: str) -> bool:
        """Whether the commit is this one or comes before it. Raises SourceError."""
        return self.descends(self.commit, commit)

    def accept(self, commit: str) -> None:
        """A review brings nothing into force."""

    def accepted(self) -> str:
        """None: a review keeps no record."""
        return ""


def _with(path: str, place: str, names: tuple[str, ...]) -> tuple[str, ...]:
    """The policy files below a configured path, the edited one among them where it lies there."""
    return tuple(sorted({*names, path})) if lies_below(path.encode(), place) else names
