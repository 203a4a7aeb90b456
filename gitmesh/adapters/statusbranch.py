"""Publishes reports on the status branch of a repository. Satisfies gitmesh.ports.Publisher.

The branch is an orphan that only GitMesh writes: `README.md`, `status.yaml`, `findings.yaml` and everything below
`policies/`, `clusters/` and `facts/` are replaced; other files and other people's commits are left where they are.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from msgspec.structs import replace

from gitmesh.adapters.git.blobs import object_id, read_objects
from gitmesh.adapters.git.commit import Draft, Pushed, list_files, push, write_commit
from gitmesh.adapters.git.errors import GitError, Reason
from gitmesh.adapters.git.source import GitSource
from gitmesh.diagnostics import Diagnostic, finding
from gitmesh.model.config import Author
from gitmesh.model.report import Report
from gitmesh.status.tree import OWN_FILES, OWN_FOLDERS, StatusMemo, heals, message, status_tree

TRIES = 5
RETRY_SECONDS = 300.0
"""After a refusal the remote is left alone for so long: rights do not come back by asking (reliability S04)."""
_MAX_FILES = 200_000
_MAX_HEALS = 100
_PLAIN = "100644"
_STATUS_ROOM = 1 << 20
_INSTANCE = re.compile(rb'^instance: "?([a-z0-9-]{1,63})"?$', re.MULTILINE)


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
        self._heals: tuple[str, ...] = ()
        self._refused: tuple[float, Diagnostic] | None = None

    def publish(self, report: Report) -> Report:
        """Commit the report's state if it differs from the branch's; what goes wrong is a finding in the answer."""
        tree = status_tree(report, self._memo)
        self.skip(report)
        said = self._still_refused() or self._bring(tree, report)
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

    def _bring(self, tree: Mapping[str, bytes], report: Report) -> Diagnostic | None:
        """Make the branch show the tree, on whatever tip it has by now."""
        try:
            tip = self._known_tip()
            for _ in range(TRIES):
                if tip == self._tip and tip and tree == self._tree and not self._heals:
                    return None
                if self._commit(tip, tree, report):
                    return None
                tip = self._repository.poll().get(self._branch, "")
        except GitError as error:
            return self._denied(error, rest=error.reason in (Reason.DENIED, Reason.CREDENTIALS))
        except _RefusedError as error:
            return self._denied(error, rest=True)
        return finding("GM604", f"status branch {self._branch} moved {TRIES} times while it was written; the next cycle tries again")

    def _denied(self, error: Exception, *, rest: bool) -> Diagnostic:
        said = finding("GM603", f"status branch {self._branch} was not pushed: {error}")
        if rest:
            self._refused = (self._now(), said)
        return said

    def _known_tip(self) -> str:
        """The tip as the source's own poll saw it a moment ago; asked for only where there was no such poll."""
        seen = self._polled.seen or self._repository.poll()
        return seen.get(self._branch, "")

    def _commit(self, tip: str, tree: Mapping[str, bytes], report: Report) -> bool:
        """Commit what differs on top of `tip` and push it; false if the branch moved meanwhile."""
        parent, changes = self._difference(tip, tree, report.instance)
        if not changes and not (self._heals and parent):
            self._settle(parent, tree)
            return True
        text = message(report, self._heals)
        draft = Draft(parent=parent, changes=changes, message=text, author=self._author, seconds=int(self._now()))
        with self._repository.locked():
            self._repository.prepare(tip or self._polled_commit())
            commit = write_commit(self._repository, draft)
        outcome, words = push(self._repository, commit, self._branch)
        if outcome is Pushed.REFUSED:
            raise _RefusedError(words)
        if outcome is Pushed.TAKEN:
            self._settle(commit, tree)
        return outcome is Pushed.TAKEN

    def _settle(self, commit: str, tree: Mapping[str, bytes]) -> None:
        self._tip, self._tree, self._heals = commit, tree, ()
        self._polled.seen = {**self._polled.seen, self._branch: commit}

    def _difference(self, tip: str, tree: Mapping[str, bytes], instance: str) -> tuple[str, dict[str, bytes | None]]:
        """The commit to build on, and what to write there so that our files are exactly the tree's; None deletes."""
        if not tip:
            return "", dict(tree)
        if tip == self._tip and self._repository.has(tip):
            gone = dict.fromkeys(self._tree.keys() - tree.keys())
            return tip, {**gone, **{path: content for path, content in tree.items() if self._tree.get(path) != content}}
        commit = self._repository.fetch_branch(self._branch, tip, depth=1)
        files = self._repository.healed(lambda: list_files(self._repository, commit, _MAX_FILES), self._branch, commit)
        self._check_owner(commit, files, instance)
        return commit, _changes(files, tree, commit)

    def _check_owner(self, commit: str, files: Mapping[str, tuple[str, str]], instance: str) -> None:
        """Two instances on one branch would overwrite each other for ever."""
        if commit == self._tip or "status.yaml" not in files:
            return
        blob = files["status.yaml"][1]
        _, contents = read_objects(self._repository, commit, {blob: _STATUS_ROOM})
        found = _INSTANCE.search(contents[blob])
        if found and found[1].decode() != instance:
            raise _RefusedError(f"it shows instance {found[1].decode()}; give each instance a writeBack.statusBranch of its own")

    def _polled_commit(self) -> str:
        """Some commit of the remote, for the kind of its object ids."""
        return next(iter(self._polled.seen.values()), "")


class _RefusedError(Exception):
    """The remote will not take our status, now or in a minute."""


def _changes(there: Mapping[str, tuple[str, str]], tree: Mapping[str, bytes], like: str) -> dict[str, bytes | None]:
    """What to write so that our files on the branch are exactly the tree's; None deletes."""
    changes: dict[str, bytes | None] = {
        path: content for path, content in tree.items() if there.get(path) != (_PLAIN, object_id("blob", content, like))
    }
    for path in there:
        if path not in tree and (path in OWN_FILES or path.split("/", 1)[0] in OWN_FOLDERS):
            changes[path] = None
    return changes
