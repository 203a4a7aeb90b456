"""The status branch as people read it: from the repository that it is written to, or from a checkout that has
fetched it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from gitmesh.adapters.git import GitSource
from gitmesh.adapters.git.blobs import describe
from gitmesh.adapters.git.checkout import Checkout
from gitmesh.adapters.git.history import behind, contents, matching
from gitmesh.adapters.git.names import branch_problem
from gitmesh.adapters.git.objects import Objects
from gitmesh.errors import SourceError
from gitmesh.model.overview import Overview, SourceCommit, StatusCommit
from gitmesh.status.past import moment, pulls
from gitmesh.status.reading import FINDINGS, ROOM, STATUS, UnreadableError, read_overview

_COMMIT_ROOM = 1 << 17
_POLICY_ROOM = 1 << 20
_FAR = 2000
"""Commits among which those of one policy are looked for."""
_HINT = "Nothing but GitMesh should write to the branch; its next commit puts the files right."
_POLICY = re.compile(r"[A-Z][A-Za-z]{1,40}/(?:[a-z0-9][-a-z0-9.]{0,252}/)?[a-z0-9][-a-z0-9.]{0,252}\Z")


class StatusCopy(Struct, frozen=True):
    """The branch as it is on this disk: its tip and what is behind it. `beside` are repositories that may
    know commits of the sources.
    """

    objects: Objects
    tip: str
    beside: Sequence[Objects] = ()

    def overview(self) -> Overview:
        """How the instance stands. Raises SourceError where the branch does not say it as GitMesh writes
        it.
        """
        names = {path: f"{self.tip}:{path}" for path in (STATUS, FINDINGS)}
        found = contents(self.objects, [self.tip, *names.values()], max(ROOM.values()))
        files = {
            path: found[name]
            for path, name in names.items()
            if name in found and len(found[name]) <= ROOM[path]
        }
        try:
            return read_overview(files, commit=self.tip, seconds=describe(found.get(self.tip, b"")).seconds)
        except UnreadableError as error:
            raise SourceError(f"the status branch at {self.tip[:12]}: {error}", hint=_HINT) from None

    def moments(self, limit: int, policy: str = "") -> tuple[StatusCommit, ...]:
        """The last commits, newest first; with `policy` (KIND/NAME or KIND/NAMESPACE/NAME), those that
        changed its state.
        """
        kind, _, rest = policy.partition("/")
        place = f"policies/{kind}/{rest if '/' in rest else f'*/{rest}'}.yaml" if policy else ""
        commits = behind(self.objects, self.tip, limit, place)
        raw = contents(self.objects, commits, _COMMIT_ROOM)
        shown = contents(self.objects, [f"{commit}:{STATUS}" for commit in commits], ROOM[STATUS])
        files = {commit: self._policy(commit, place) for commit in commits} if policy else {}
        found = [
            _moment(commit, raw[commit], shown.get(f"{commit}:{STATUS}"), files.get(commit))
            for commit in commits
            if commit in raw
        ]
        known = self._described({source.commit for one in found for source in one.sources})
        return tuple(
            replace(one, sources=tuple(_known(source, known) for source in one.sources)) for one in found
        )

    def _policy(self, commit: str, place: str) -> bytes | None:
        """The file of a policy in one commit; of several namespaces the first."""
        folder, _, name = place.rpartition("/")
        paths = matching(self.objects, commit, folder.rpartition("/")[0], name) if "*" in place else [place]
        found = contents(self.objects, [f"{commit}:{path}" for path in paths[:1]], _POLICY_ROOM)
        return next(iter(found.values()), None)

    def _described(self, commits: Iterable[str]) -> Mapping[str, SourceCommit]:
        """Author, subject and pull requests of the sources' commits that some repository at hand has."""
        found: dict[str, SourceCommit] = {}
        # The sources' own repositories first, the status branch's last: they know their commits, and it
        # knows them only where it lies in the same repository.
        for objects in (*self.beside, self.objects):
            for commit, content in contents(
                objects, sorted(set(commits) - found.keys()), _COMMIT_ROOM
            ).items():
                info, message = describe(content), content.decode("utf-8", "replace").partition("\n\n")[2]
                found[commit] = SourceCommit(
                    source="", commit=commit, author=info.author, subject=info.subject, pulls=pulls(message)
                )
        return found


def _known(source: SourceCommit, known: Mapping[str, SourceCommit]) -> SourceCommit:
    """A commit of a source, with what is known of it."""
    found = known.get(source.commit, source)
    return replace(source, author=found.author, subject=found.subject, pulls=found.pulls)


def _moment(commit: str, raw: bytes, status: bytes | None, policy: bytes | None) -> StatusCommit:
    message = raw.decode("utf-8", "replace").partition("\n\n")[2]
    return moment(commit, describe(raw).seconds, message, status, policy)


def fetched(source: GitSource, branch: str, depth: int, beside: Sequence[Objects] = ()) -> StatusCopy:
    """The branch as the source's repository has it now, with so many commits behind its tip (0 = all). Raises
    SourceError.
    """
    repository = source.repository.sibling(
        "shown"
    )  # a store of its own: its history is shallow, and nothing is written from it
    repository.watch(branch)
    tip = repository.poll().get(branch, "")
    if not tip:
        text = (
            f"the repository has no branch {branch}: no status was written yet, or it goes to another branch"
        )
        raise SourceError(
            text,
            hint=(
                "`gitmesh sync` writes it, unless writeBack.enabled is false; or look live: `gitmesh status"
                " --live`."
            ),
        )
    commit = (
        repository.fetch_branch(branch, tip, depth=1)
        if depth == 1
        else repository.fetch_history(branch, tip, depth)
    )
    return StatusCopy(repository, commit, (source.repository, *beside))


def tracked(top: Path, branch: str) -> StatusCopy | None:
    """The branch as the checkout `top` fetched it last from its remote `origin`; None where it did not."""
    if branch_problem(branch):
        return None
    checkout = Checkout(top)
    tip = checkout.resolve(f"refs/remotes/origin/{branch}")
    return StatusCopy(checkout, tip) if tip else None


def depth_for(limit: int, policy: str) -> int:
    """How much of the branch's history must be at hand to show so many commits."""
    return _FAR if policy else limit


def policy_problem(policy: str) -> str:
    """What is wrong with KIND/NAME or KIND/NAMESPACE/NAME; "" if nothing is."""
    return (
        ""
        if _POLICY.match(policy)
        else f"{policy[:100]!r} is no KIND/NAME or KIND/NAMESPACE/NAME, such as TrafficPolicy/reviews"
    )
