"""A bare local copy of a remote repository: polled with ls-remote, filled with fetch, replaced when it is
damaged.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from gitmesh.adapters.git.auth import GitAccess, access
from gitmesh.adapters.git.errors import GitError, Reason, failure, redact
from gitmesh.adapters.git.names import branch_problem, is_object_id, url_host, url_scheme
from gitmesh.adapters.git.objects import Objects
from gitmesh.adapters.git.process import Done, Limits, Running, run
from gitmesh.adapters.git.store import TEMPORARY_ROOM, Store, size_of
from gitmesh.adapters.git.web import TRACE, page_in_place_of_git
from gitmesh.errors import SourceError
from gitmesh.model.config_sources import SourceAuth
from gitmesh.parsing.settings import url_problem

T = TypeVar("T")

_FETCH = (
    "fetch",
    "--quiet",
    "--no-tags",
    "--no-write-fetch-head",
    "--no-auto-maintenance",
    "--no-recurse-submodules",
)
_MAX_PACK = 1 << 30
_HEADS = "refs/heads/"
# What git may also make of a web page that it was given in place of a repository.
_UNCLEAR = frozenset({Reason.NO_GIT_SERVER, Reason.GONE, Reason.STORE, Reason.OTHER})


class Repository(Objects):
    """One remote and its store. May be used from several threads and processes: what changes the store takes
    a lock.

    `store` is a folder of this repository's own. `watch` are branches whose tips one poll asks for. `running`
    are the commands that talk to the remote now.
    """

    def __init__(
        self,
        url: str,
        *,
        store: Path,
        auth: SourceAuth,
        base: Path,
        allow_insecure: bool,
        timeout: float,
        max_pack: int = _MAX_PACK,
    ) -> None:
        if problem := url_problem(url, allow_insecure=allow_insecure):
            raise SourceError(problem)
        super().__init__(timeout)
        self.url = url
        self.seen: dict[str, str] = {}
        self.max_pack = max_pack
        self._store = Store(store, timeout)
        self._watched: set[str] = set()
        self._auth = auth
        self._base = base
        self._allow_insecure = allow_insecure
        self.running = Running()
        # By the URL: where that changes, what was seen of the former remote is nothing of the new one.
        # Hashed, as a URL is no name of a ref.
        self._space = "refs/gitmesh/" + hashlib.sha256(url.encode()).hexdigest()[:12]

    def sibling(self, suffix: str) -> Repository:
        """The same remote with another store, beside this one."""
        return Repository(
            self.url,
            store=self._store.home.with_name(f"{self._store.home.name}.{suffix}"),
            auth=self._auth,
            base=self._base,
            allow_insecure=self._allow_insecure,
            timeout=self.timeout,
            max_pack=self.max_pack,
        )

    # -- the remote -------------------------------------------------------------------------------------

    def watch(self, branch: str) -> None:
        """Ask for this branch's tip as well at each poll. Raises SourceError for what is no branch name."""
        if problem := branch_problem(branch):
            raise SourceError(problem)
        self._watched.add(branch)

    def poll(self) -> dict[str, str]:
        """The tips of the watched branches that exist, in one process. Raises GitError."""
        self.seen = _branches(self._ls_remote(*(_HEADS + branch for branch in sorted(self._watched))))
        return self.seen

    def branches(self) -> dict[str, str]:
        """All branches of the remote. Raises GitError, also where the answer is none of a Git server's."""
        return _branches(self.refs(_HEADS + "*"))

    def refs(self, *patterns: str) -> dict[str, str]:
        """Full names of the remote's refs, with ids. Raises as `branches`."""
        found = self._ls_remote(*patterns)
        # A login page reads as a repository without refs: an empty answer is looked at once more.
        if not found and (page := self._page(failed=False)):
            raise page
        return found

    def _ls_remote(self, *patterns: str) -> dict[str, str]:
        """Ids by ref. Patterns match at the end of names."""
        out = self._remote(
            # After `--end-of-options`, here as everywhere: a name that begins with a dash would be an
            # option of git's.
            ["ls-remote", "--end-of-options", self.url, *patterns],
            Limits(seconds=self.timeout),
        )
        lines = (line.partition("\t") for line in out.decode(errors="replace").splitlines())
        return {ref: commit for commit, _, ref in lines if is_object_id(commit)}

    def fetch_branch(self, branch: str, tip: str, *, depth: int = 0) -> str:
        """Make the tip of a branch part of the store and return its commit, which may be newer than `tip`."""
        self.come_home()
        ref = self.local_ref(branch)
        if self.resolve(ref) != tip:
            self._fetch(f"+{_HEADS}{branch}:{ref}", tip, depth)
        return self.healed(lambda: self._pinned(ref), branch, tip)

    def fetch_ref(self, ref: str, local: str, tip: str, *, most: int) -> str:
        """Make another ref of the remote part of the store, as `local`; its commit, which may be newer than
        `tip`. No file of it may have more than `most` bytes. Raises GitError."""
        self.come_home()
        self._fetch(f"+{ref}:{local}", tip, 0, min(most, self.max_pack))
        return self._pinned(local)

    def head_ref(self, name: str) -> str:
        """Where the store keeps what is under review; never where a branch is kept."""
        return f"{self._space}/heads/{name}"

    def head_refs(self) -> dict[str, str]:
        """Name -> ref of all that is under review; none where there is no store yet. Raises GitError."""
        if not (self.store / "HEAD").exists():
            return {}
        refs = self.local(["for-each-ref", "--format=%(refname)", self.head_ref("")]).decode().split()
        return {ref.rpartition("/")[2]: ref for ref in refs}

    def forget(self, refs: Sequence[str], tip: str) -> None:
        """Delete refs of the store. Raises GitError."""
        orders = "".join(f"delete {ref}\n" for ref in refs).encode()
        self.writing(tip, lambda: self.local(["update-ref", "--stdin"], stdin=orders))

    def size(self) -> int:
        """Bytes of the store."""
        return size_of(self.store)

    def start_over(self, tip: str) -> None:
        """Drop all that the store holds. Raises GitError."""
        self.writing(tip, self._store.drop)

    def fetch_history(self, branch: str, tip: str, depth: int) -> str:
        """As `fetch_branch`, with so many commits behind the tip that the store may lack; 0 = all."""
        self.come_home()
        self._fetch(f"+{_HEADS}{branch}:{self.local_ref(branch)}", tip, depth)
        return self._pinned(self.local_ref(branch))

    def last_seen(self, branch: str) -> str:
        """The tip of a branch when it was last fetched, "" if it never was."""
        return self.resolve(self.local_ref(branch))

    def local_ref(self, branch: str) -> str:
        """Where the store keeps the tip of a remote branch. Bound to the URL: a changed URL is another
        repository.

        One level deep, as no branch's name has a `+`: so `env` and `env/prod`, which cannot both be on the
        remote but one after the other, do not stand in each other's way here.
        """
        return f"{self._space}/tips/{branch.replace('/', '+')}"

    def written_ref(self, branch: str, instance: str) -> str:
        """Where the store remembers the last commit of ours on a branch."""
        return f"{self._space}/written/{instance}/{branch.replace('/', '+')}"

    def _pinned(self, ref: str) -> str:
        return (
            self.local(["rev-parse", "--verify", "--quiet", "--end-of-options", f"{ref}^{{commit}}"])
            .decode()
            .strip()
        )

    def _fetch(self, refspec: str, tip: str, depth: int, most: int = 0) -> None:
        arguments = [*_FETCH, *([f"--depth={depth}"] if depth else []), "--end-of-options", self.url, refspec]
        self.writing(tip, lambda: self._fill(tip, arguments, most or self.max_pack))

    def _fill(self, tip: str, arguments: Sequence[str], most: int) -> None:
        """Fetch into the store; into a new one where it is damaged."""
        try:
            self._remote(arguments, self._fetch_limits(most))
        except GitError as error:
            # Also after a failure that is not the store's: what a broken transfer left there would pile up,
            # fetch by fetch.
            self._store.tidy()
            if error.reason is not Reason.STORE:
                raise
            self._renew(tip, arguments, most)
        self._collect_garbage()

    def _renew(self, tip: str, arguments: Sequence[str], most: int) -> None:
        self._store.renew(tip, lambda fresh: self._remote(arguments, self._fetch_limits(most), fresh))

    def _fetch_limits(self, most: int) -> Limits:
        return Limits(seconds=self.timeout, file_size=min(most, TEMPORARY_ROOM) if self.trouble else most)

    def remote_call(self, arguments: Sequence[str]) -> Done:
        """Run a command that talks to the remote and may fail. Raises GitError only if it did not end."""
        return self._run_remote(arguments, Limits(seconds=self.timeout))

    def explain(self, output: str) -> GitError:
        """The error for what a command that talked to the remote printed."""
        error = failure(output, self._access().secrets, host=url_host(self.url), store=self.store)
        return error if error.reason not in _UNCLEAR else self._page(failed=True) or error

    def shown(self, output: str) -> str:
        """What such a command printed, as it may be shown."""
        return redact(output, self._access().secrets)

    def _page(self, *, failed: bool) -> GitError | None:
        """Ask once more, and look at what the web server says: the error where it is no Git server. `failed`:
        git could not use it.
        """
        if url_scheme(self.url) not in ("http", "https"):
            return None
        asked = ["ls-remote", "--end-of-options", self.url, "HEAD"]
        with contextlib.suppress(GitError):
            done = self._run_remote(asked, Limits(seconds=self.timeout), env=TRACE)
            return page_in_place_of_git(done.err, url_host(self.url), failed=failed)
        return None

    def _remote(self, arguments: Sequence[str], limits: Limits, store: Path | None = None) -> bytes:
        done = self._run_remote(arguments, limits, store=store)
        if done.cut:
            raise GitError("the server answered with too much", Reason.TOO_LARGE)
        if done.status != 0:
            raise self.explain(done.err or (f"signal {-done.status}" if done.status < 0 else ""))
        return done.out

    def _run_remote(
        self,
        arguments: Sequence[str],
        limits: Limits,
        *,
        store: Path | None = None,
        env: Mapping[str, str] | None = None,
    ) -> Done:
        given = self._access()
        return run(
            [f"--git-dir={store or self.store}", *arguments],
            limits,
            env={**given.env, **(env or {})},
            config=given.config,
            running=self.running,
        )

    def _access(self) -> GitAccess:
        return access(self.url, self._auth, self._base, self.timeout)

    # -- the store --------------------------------------------------------------------------------------

    @property
    def store(self) -> Path:
        """The folder of the bare copy, where it lies now."""
        return self._store.path

    @property
    def trouble(self) -> str:
        """Why the store is a temporary one; "" where it is not."""
        return self._store.trouble

    def come_home(self) -> None:
        """Leave a temporary store where the proper one can be written again."""
        self._store.come_home()

    def writing(self, tip: str, work: Callable[[], T]) -> T:
        """Do `work`, which changes the store; see Store.writing."""
        return self._store.writing(tip, work)

    def healed(self, work: Callable[[], T], branch: str, tip: str) -> T:
        """Do `work` on the store; if the store turns out damaged, fetch it anew and try once more (G23)."""
        try:
            return work()
        except GitError as error:
            if error.reason is not Reason.STORE:
                raise
        refspec = f"+{_HEADS}{branch}:{self.local_ref(branch)}"
        self.writing(
            tip, lambda: self._renew(tip, [*_FETCH, "--end-of-options", self.url, refspec], self.max_pack)
        )
        return work()

    def written(self, branch: str, instance: str) -> str:
        """The last commit on a branch that is known to be of this instance; "" where nothing is
        remembered.
        """
        return self.resolve(self.written_ref(branch, instance))

    def remember(self, branch: str, instance: str, commit: str) -> None:
        """Keep the last commit of this instance on a branch. A disk that refuses costs this memory alone."""
        with contextlib.suppress(GitError):
            self.writing(
                commit, lambda: self.local(["update-ref", self.written_ref(branch, instance), commit])
            )

    @property
    def outgoing(self) -> str:
        """The local ref of a commit that is about to be pushed."""
        return f"{self._space}/outgoing"

    def _collect_garbage(self) -> None:
        """Let git pack its objects when they are many; nothing is ever pruned, and a failure does no harm."""
        given = Limits(seconds=self.timeout)
        with contextlib.suppress(GitError):
            run(
                [f"--git-dir={self.store}", "gc", "--auto", "--quiet", "--no-prune"],
                given,
                config=[("gc.auto", "6700")],
            )


def _branches(refs: Mapping[str, str]) -> dict[str, str]:
    return {ref.removeprefix(_HEADS): commit for ref, commit in refs.items() if ref.startswith(_HEADS)}
