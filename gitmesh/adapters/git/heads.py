"""The heads of pull requests, in a store of their own: nothing in it can ever come into force.

What is in force is decided by the store of the source and by its own record (`GitSource`); neither knows of
this one. Objects of forks are data here: they are bounded, checked as every fetch is, and nothing is checked
out.
"""

from __future__ import annotations

from collections.abc import Collection

from gitmesh.adapters.git.errors import GitError, Reason
from gitmesh.adapters.git.repository import Repository
from gitmesh.adapters.git.source import GitSource

MOST_OF_A_HEAD = 64 << 20
"""Bytes of one file that a head may bring."""
MOST_OF_ALL = 256 << 20
"""Bytes of all heads: beyond what the source's own store has, after which this one begins anew."""


class Heads:
    """What is asked of the pull requests of a source's repository. To be used by one thread at a time;
    `abandon` by any.
    """

    def __init__(
        self, source: GitSource, *, most: int = MOST_OF_A_HEAD, most_of_all: int = MOST_OF_ALL
    ) -> None:
        self._source = source
        self._most, self._most_of_all = most, most_of_all
        self.repository: Repository = source.repository.sibling("reviews")

    def bring(self, number: int, ref: str, head: str, tip: str) -> None:
        """Have both commits: the tip of the source's branch, and the head of a pull request, which `ref`
        leads to. Raises SourceError.
        """
        self.repository.fetch_branch(self._source.branch, tip)
        local = self.repository.head_ref(str(number))
        if self.repository.resolve(local) == head:
            return
        found = self.repository.fetch_ref(ref, local, head, most=self._most)
        # The ref moved between the forge's answer and the fetch: a review must be of the head that it
        # names.
        if found != head:
            raise GitError(f"pull request {number} has another head than it was said to have", Reason.GONE)

    def base_of(self, tip: str, head: str) -> str:
        """Where both came apart; the tip where they have nothing in common. Raises SourceError."""
        return self.repository.merge_base(tip, head) or tip

    def keep(self, numbers: Collection[int], tip: str) -> None:
        """Forget all other pull requests, and everything where it became too much. Raises SourceError."""
        known = self.repository.head_refs()
        gone = [ref for name, ref in known.items() if not name.isdecimal() or int(name) not in numbers]
        if gone:
            self.repository.forget(gone, tip)
        if self.repository.size() > self._source.repository.size() + self._most_of_all:
            self.repository.start_over(tip)

    def abandon(self) -> None:
        """End what asks the remote now, in whatever thread: it fails there."""
        self.repository.running.end()
