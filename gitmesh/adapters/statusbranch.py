"""Publishes reports on the status branch of a repository. Satisfies gitmesh.ports.Publisher.

The branch is an orphan that GitMesh made. A branch that it did not make is never written, and on its own
branch nothing is deleted that it did not write (design law 4 holds in Git as well): other files and other
people's commits are left where they are.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping

from msgspec.structs import replace

from gitmesh.adapters.git.blobs import CommitInfo, object_id, read_objects
from gitmesh.adapters.git.commit import Draft, Listed, list_files, push, write_commit
from gitmesh.adapters.git.errors import GitError, Reason
from gitmesh.adapters.git.source import DISK_HINT, GitSource
from gitmesh.adapters.statusroom import NotOursError, check_room, in_the_way
from gitmesh.diagnostics import Diagnostic, finding
from gitmesh.errors import SourceError
from gitmesh.model.config import Author
from gitmesh.model.report import Report
from gitmesh.status.message import subject_of
from gitmesh.status.ours import are_facts, instance_of, is_ours, may_be_ours
from gitmesh.status.tree import StatusMemo, heals, message, status_tree

TRIES = 5
RETRY_SECONDS = 300.0
"""After a refusal the remote is left alone for so long: rights do not come back by asking
(docs/reliability.md S04).
"""
FACTS_SECONDS = 600.0
"""A change of facts alone is shown so long after the last commit at the earliest: clusters are never still
(docs/design.md#status-branch).
"""
_RESTING = frozenset({Reason.DENIED, Reason.CREDENTIALS, Reason.REFUSED})
_MAX_FILES = 200_000
_MAX_HEALS = 100
_PLAIN = "100644"
_STATUS_ROOM = 1 << 20
# Bytes. A larger file is not looked into, and so never taken for one of ours.
_OURS_ROOM = 1 << 25
_DEPTH = 50
"""Commits of others on top of ours among which ours is looked for."""


class StatusBranch:
    """Writes the status of an instance to a branch of the source's repository, with the source's credentials.

    `now` gives the commit time in seconds since the epoch. Only the newest state is ever waiting: a push that
    failed is made up for by the next `publish`. Raises SourceError for what is no branch name.
    """

    def __init__(self, source: GitSource, branch: str, *, author: Author, now: Callable[[], float]) -> None:
        self._polled = source.repository
        self._polled.watch(branch)
        # A store of its own: its history is shallow, which must not reach the policies' history.
        self._repository = source.repository.sibling("status")
        self._repository.watch(branch)
        self._branch = branch
        self._author = author
        self._now = now
        self._memo = StatusMemo()
        self._tip = ""
        self._tree: Mapping[str, bytes] = {}
        self._published = 0
        self._heals: tuple[str, ...] = ()
        self._refused: tuple[float, Diagnostic] | None = None

    def publish(self, report: Report) -> Report:
        """Commit the report's state if it differs from the branch's; what goes wrong is a finding in the
        answer.
        """
        self._repository.come_home()
        tree = status_tree(report, self._memo)
        self.skip(report)
        said = self._still_refused() or self._bring(tree, report) or self._troubled()
        return replace(report, diagnostics=(*report.diagnostics, said)) if said else report

    def skip(self, report: Report) -> None:
        """Remember what was healed, for the message of the next commit; the report itself is not shown."""
        self._heals = (*self._heals, *heals(report))[-_MAX_HEALS:]

    def abandon(self) -> None:
        """End what asks the remote now, in whatever thread: it fails there."""
        self._repository.running.end()

    def _still_refused(self) -> Diagnostic | None:
        if self._refused and abs(self._now() - self._refused[0]) < RETRY_SECONDS:
            return self._refused[1]
        self._refused = None
        return None

    def _troubled(self) -> Diagnostic | None:
        """A warning while the store is a temporary one."""
        trouble = self._repository.trouble
        return (
            finding("GM603", f"{trouble}; a temporary one is used for the status", hint=DISK_HINT)
            if trouble
            else None
        )

    def _bring(self, tree: Mapping[str, bytes], report: Report) -> Diagnostic | None:
        """Make the branch show the tree, on whatever tip it has by now."""
        try:
            tip = self._known_tip()
            for _ in range(TRIES):
                if tip == self._tip and tip and tree == self._tree and not self._heals:
                    return None
                refusal = self._commit(tip, tree, report)
                if refusal is None:
                    return None
                tip = self._moved_to(tip, refusal)
        except NotOursError as error:
            return self._denied(str(error), error, rest=True)
        except GitError as error:
            return self._denied(
                f"status branch {self._branch} was not pushed: {error}", error, rest=error.reason in _RESTING
            )
        return finding(
            "GM604",
            f"status branch {self._branch} moved {TRIES} times while it was written; the next cycle tries"
            " again",
        )

    def _denied(self, text: str, error: SourceError, *, rest: bool) -> Diagnostic:
        said = finding("GM603", text, hint=error.hint, detail=error.detail)
        if rest:
            self._refused = (self._now(), said)
        return said

    def _known_tip(self) -> str:
        """The tip as the source's own poll saw it a moment ago; asked for only where there was no such
        poll.
        """
        seen = self._polled.seen or self._repository.poll()
        return seen.get(self._branch, "")

    def _moved_to(self, tip: str, refusal: GitError) -> str:
        """The branch's tip after a refused push. Raises where it is still the one that was built on."""
        branches = self._repository.branches()
        now = branches.get(self._branch, "")
        # If the branch did not move, that was not the reason why the push was refused.
        if now != tip:
            return now
        blocking = [other for other in sorted(branches) if in_the_way(other, self._branch)]
        if not blocking:
            raise refusal
        text = f"status branch {self._branch} cannot be made: branch {blocking[0]} is in the way"
        raise NotOursError(
            text,
            hint=f"Delete branch {blocking[0]}, or choose another writeBack.statusBranch.",
            detail=refusal.detail,
        )

    def _commit(self, tip: str, tree: Mapping[str, bytes], report: Report) -> GitError | None:
        """Commit what differs on top of `tip` and push it; the refusal where the remote does not take it."""
        parent, changes = self._difference(tip, tree, report.instance)
        # A heal is a commit of its own although the files are as before: it tells which fields were put
        # right.
        if not changes and not (self._heals and parent):
            self._settle(parent, tree, report.instance)
            return None
        # `abs`, as the time of the last commit is the remote's word, and may lie in the future.
        if are_facts(changes) and not self._heals and abs(self._now() - self._published) < FACTS_SECONDS:
            self._settle(parent, self._without(changes, parent, tree), report.instance)
            return None
        text = message(report, self._heals)
        draft = Draft(
            parent=parent, changes=changes, message=text, author=self._author, seconds=int(self._now())
        )
        commit = self._repository.writing(
            tip or self._polled_commit(), lambda: write_commit(self._repository, draft)
        )
        refusal = push(self._repository, commit, self._branch)
        if refusal is None:
            self._published = draft.seconds
            self._settle(commit, tree, report.instance)
        return refusal

    def _without(
        self, waiting: Collection[str], commit: str, tree: Mapping[str, bytes]
    ) -> Mapping[str, bytes]:
        """The tree as the branch shows it while these files wait: each as it is there by now, if it is."""
        before = self._tree if commit == self._tip else self._there(waiting, commit)
        stays = {path: content for path, content in tree.items() if path not in waiting}
        return {**stays, **{path: before[path] for path in waiting if path in before}}

    def _there(self, paths: Collection[str], commit: str) -> Mapping[str, bytes]:
        """Some files of a commit; without content where that is no content of ours."""
        files = list_files(self._repository, commit, _MAX_FILES)
        found = {path: files[path] for path in paths if path in files}
        usable = [file for file in found.values() if file.plain and file.size <= _OURS_ROOM]
        contents = self._read(commit, usable)[1] if usable else {}
        return {path: contents.get(file.blob, b"") for path, file in found.items()}

    def _settle(self, commit: str, tree: Mapping[str, bytes], instance: str) -> None:
        if commit != self._tip:
            self._repository.remember(self._branch, instance, commit)
        self._tip, self._tree, self._heals = commit, tree, ()
        self._polled.seen = {**self._polled.seen, self._branch: commit}

    def _difference(
        self, tip: str, tree: Mapping[str, bytes], instance: str
    ) -> tuple[str, dict[str, bytes | None]]:
        """The commit to build on, and what to write there so that it shows the tree; None deletes."""
        if not tip:
            return "", dict(tree)
        # The very commit that we wrote last: what it holds is known, and nothing is read.
        if tip == self._tip and self._repository.has(tip):
            gone = dict.fromkeys(self._tree.keys() - tree.keys())
            return tip, {
                **gone,
                **{path: content for path, content in tree.items() if self._tree.get(path) != content},
            }
        known = tuple(filter(None, (self._tip, self._repository.written(self._branch, instance))))
        # Deep only where a commit of ours is looked for beneath those of others.
        commit = self._repository.fetch_branch(self._branch, tip, depth=_DEPTH if known else 1)
        files = self._repository.healed(
            lambda: list_files(self._repository, commit, _MAX_FILES), self._branch, commit
        )
        remembered = any(commit == one or self._repository.descends(commit, one) for one in known)
        self._check_owner(commit, files.get("status.yaml"), instance, remembered)
        changes = self._changes(commit, files, tree)
        check_room(files, changes, self._branch)
        return commit, changes

    def _check_owner(self, commit: str, status: Listed | None, instance: str, remembered: bool) -> None:
        """A branch is ours if it comes after a commit that we remember, or else if it shows our instance.
        Raises NotOursError.

        What a person made of the instance is put right; where another instance wrote it, both would do so for
        ever.
        """
        usable = (status,) if status is not None and status.plain and status.size <= _STATUS_ROOM else ()
        info, contents = self._read(commit, usable)
        shown = next((instance_of(contents[file.blob]) for file in usable), "")
        if info.subject.startswith(subject_of(instance)):
            self._published = max(self._published, info.seconds)
        # The subject says who wrote the newest commit; a file alone may be a person's copy.
        rival = bool(shown) and info.subject.startswith(subject_of(shown))
        if shown == instance or (remembered and not rival):
            return
        if shown:
            hint = (
                "Give each instance a writeBack.statusBranch of its own; or put the instance's name back, if"
                " it was changed."
            )
            raise NotOursError(f"branch {self._branch} shows instance {shown}", hint=hint)
        hint = "Choose another writeBack.statusBranch, or delete the branch."
        raise NotOursError(f"branch {self._branch} exists and was not made by GitMesh", hint=hint)

    def _changes(
        self, commit: str, there: Mapping[str, Listed], tree: Mapping[str, bytes]
    ) -> dict[str, bytes | None]:
        """What to write so that the branch shows the tree; None deletes, only what we wrote ourselves."""
        changes: dict[str, bytes | None] = {
            path: content
            for path, content in tree.items()
            if not _same(there.get(path), object_id("blob", content, commit))
        }
        extra = {
            path: file
            for path, file in there.items()
            # By path first: contents are fetched only of what could be ours.
            if path not in tree and may_be_ours(path) and file.plain and file.size <= _OURS_ROOM
        }
        contents = self._read(commit, extra.values())[1] if extra else {}
        changes.update(
            dict.fromkeys(path for path, file in extra.items() if is_ours(path, contents[file.blob]))
        )
        return changes

    def _read(self, commit: str, files: Iterable[Listed]) -> tuple[CommitInfo, Mapping[str, bytes]]:
        sizes = {file.blob: file.size for file in files}
        return self._repository.healed(
            lambda: read_objects(self._repository, commit, sizes), self._branch, commit
        )

    def _polled_commit(self) -> str:
        """Some commit of the remote, for the kind of its object ids."""
        return next(iter(self._polled.seen.values()), "")


def _same(file: Listed | None, blob: str) -> bool:
    return file is not None and (file.mode, file.blob) == (_PLAIN, blob)
