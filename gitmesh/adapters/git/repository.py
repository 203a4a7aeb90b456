"""A bare local copy of a remote repository: polled with ls-remote, filled with fetch, replaced when it is damaged."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

from gitmesh.adapters.git.auth import Access, access
from gitmesh.adapters.git.errors import GitError, Reason, failure
from gitmesh.adapters.git.names import branch_problem, is_object_id
from gitmesh.adapters.git.process import Done, Limits, Running, run
from gitmesh.errors import SourceError
from gitmesh.model.config import SourceAuth
from gitmesh.parsing.settings import url_problem

T = TypeVar("T")

_FETCH = ("fetch", "--quiet", "--no-tags", "--no-write-fetch-head", "--no-auto-maintenance", "--no-recurse-submodules")
_MAX_PACK = 1 << 30
_LOCK_PAUSE = 0.05


class Repository:
    """One remote and its store. May be used from several threads and processes: what changes the store takes a lock.

    `store` is a folder of this repository's own. `watch` are branches whose tips one poll asks for. `running` are the commands
    that talk to the remote now.
    """

    def __init__(
        self, url: str, *, store: Path, auth: SourceAuth, base: Path, allow_insecure: bool, timeout: float, max_pack: int = _MAX_PACK
    ) -> None:
        if problem := url_problem(url, allow_insecure=allow_insecure):
            raise SourceError(problem)
        self.url = url
        self.store = store.absolute()
        self.seen: dict[str, str] = {}
        self.timeout = timeout
        self._watched: set[str] = set()
        self._auth = auth
        self._base = base
        self._allow_insecure = allow_insecure
        self.max_pack = max_pack
        self.running = Running()
        self._guard = threading.RLock()
        self._space = "refs/gitmesh/" + hashlib.sha256(url.encode()).hexdigest()[:12]

    def sibling(self, suffix: str) -> Repository:
        """The same remote with another store, beside this one."""
        return Repository(
            self.url,
            store=self.store.with_name(f"{self.store.name}.{suffix}"),
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
        self.seen = self._ls_remote(*(f"refs/heads/{branch}" for branch in sorted(self._watched)))
        return self.seen

    def branches(self) -> dict[str, str]:
        """All branches of the remote."""
        return self._ls_remote("refs/heads/*")

    def _ls_remote(self, *patterns: str) -> dict[str, str]:
        """Tips by branch. Patterns match at the end of names only, so the answer is filtered."""
        out = self._remote(["ls-remote", "--end-of-options", self.url, *patterns], Limits(seconds=self.timeout))
        tips = {}
        for line in out.decode(errors="replace").splitlines():
            commit, _, ref = line.partition("\t")
            if ref.startswith("refs/heads/") and is_object_id(commit):
                tips[ref.removeprefix("refs/heads/")] = commit
        return tips

    def fetch_branch(self, branch: str, tip: str, *, depth: int = 0) -> str:
        """Make the tip of a branch part of the store and return its commit, which may be newer than `tip`."""
        ref = self.local_ref(branch)
        if self._resolve(ref) != tip:
            self._fetch(f"+refs/heads/{branch}:{ref}", tip, depth)
        return self.healed(lambda: self._pinned(ref), branch, tip)

    def fetch_commit(self, commit: str) -> None:
        """Ask the remote for one commit, whether or not a branch leads to it."""
        self._fetch(commit, commit, 0)

    def knew(self, branch: str) -> bool:
        """Whether this branch was fetched before."""
        return bool(self._resolve(self.local_ref(branch)))

    def local_ref(self, branch: str) -> str:
        """Where the store keeps the tip of a remote branch. Bound to the URL: a changed URL is another repository."""
        return f"{self._space}/heads/{branch}"

    def _pinned(self, ref: str) -> str:
        return self.local(["rev-parse", "--verify", "--quiet", "--end-of-options", f"{ref}^{{commit}}"]).decode().strip()

    def _fetch(self, refspec: str, tip: str, depth: int) -> None:
        arguments = [*_FETCH, *([f"--depth={depth}"] if depth else []), "--end-of-options", self.url, refspec]
        with self.locked():
            self.prepare(tip)
            try:
                self._remote(arguments, self._fetch_limits())
            except GitError as error:
                self._tidy()
                if error.reason is not Reason.STORE:
                    raise
                self._renew(tip, arguments)
            self._collect_garbage()

    def _fetch_limits(self) -> Limits:
        return Limits(seconds=self.timeout, file_size=self.max_pack)

    def remote_call(self, arguments: Sequence[str]) -> Done:
        """Run a command that talks to the remote and may fail. Raises GitError only if it did not end."""
        given = self._access()
        return self._git(arguments, Limits(seconds=self.timeout), given)

    def explain(self, output: str) -> GitError:
        """The error for what a command that talked to the remote printed."""
        return failure(output, self._access().secrets)

    def _remote(self, arguments: Sequence[str], limits: Limits, store: Path | None = None) -> bytes:
        given = self._access()
        return _output(self._git(arguments, limits, given, store), given)

    def _git(self, arguments: Sequence[str], limits: Limits, given: Access, store: Path | None = None) -> Done:
        directory = f"--git-dir={store or self.store}"
        return run([directory, *arguments], limits, env=given.env, config=given.config, running=self.running)

    def _access(self) -> Access:
        return access(self.url, self._auth, self._base, self.timeout)

    # -- the store --------------------------------------------------------------------------------------

    def local(self, arguments: Sequence[str], *, stdin: bytes = b"") -> bytes:
        """The output of a command on the store alone. Raises as `local_done`."""
        return self.local_done(arguments, stdin=stdin).out

    def local_done(self, arguments: Sequence[str], *, stdin: bytes = b"", limits: Limits | None = None) -> Done:
        """Run a command on the store alone. A failure is a GitError with Reason.STORE: the store is to blame."""
        done = self.local_call(arguments, stdin=stdin, limits=limits)
        if done.status != 0 and not done.cut:
            raise GitError(str(failure(done.err, ())), Reason.STORE)
        return done

    def local_call(self, arguments: Sequence[str], *, stdin: bytes = b"", limits: Limits | None = None) -> Done:
        """Run a command on the store alone, which may fail."""
        return run([f"--git-dir={self.store}", *arguments], limits or Limits(seconds=self.timeout), stdin=stdin)

    def has(self, commit: str) -> bool:
        """Whether the store holds this commit."""
        return is_object_id(commit) and self.local_call(["cat-file", "-e", f"{commit}^{{commit}}"]).status == 0

    def descends(self, tip: str, ancestor: str) -> bool:
        """Whether `tip` comes after `ancestor`; one that the store lacks is no ancestor. Raises GitError if it lacks the tip."""
        if not is_object_id(ancestor):
            return False
        status = self.local_call(["merge-base", "--is-ancestor", "--end-of-options", ancestor, tip]).status
        if status > 1 and not self.has(tip):
            raise GitError(f"commit {tip[:12]} is not in the local copy of the repository", Reason.STORE)
        return status == 0

    def healed(self, work: Callable[[], T], branch: str, tip: str) -> T:
        """Do `work` on the store; if the store turns out damaged, fetch it anew and try once more (G23)."""
        try:
            return work()
        except GitError as error:
            if error.reason is not Reason.STORE:
                raise
        ref = self.local_ref(branch)
        with self.locked():
            self._renew(tip, [*_FETCH, "--end-of-options", self.url, f"+refs/heads/{branch}:{ref}"])
        return work()

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the right to change the store, against threads and processes. Raises GitError when it cannot be had in time."""
        with self._guard, _lock_file(self.store) as file:
            deadline = time.monotonic() + self.timeout
            while not _try_lock(file):
                if time.monotonic() > deadline:
                    raise GitError("another process keeps the local copy of the repository busy", Reason.TIMEOUT)
                time.sleep(_LOCK_PAUSE)
            yield

    def _resolve(self, ref: str) -> str:
        """The commit behind a local ref, or "" (also where the store is damaged or missing)."""
        done = self.local_call(["rev-parse", "--verify", "--quiet", "--end-of-options", f"{ref}^{{commit}}"])
        return done.out.decode().strip() if done.status == 0 else ""

    def prepare(self, tip: str) -> None:
        """A store fit to fetch into. We hold the lock, so git's own lock files in it are those of a process that was killed (G14)."""
        if not (self.store / "HEAD").exists():
            self._clear()
            _init(self.store, tip, self.timeout)
        for stale in (*self.store.glob("*.lock"), *self.store.glob("refs/**/*.lock")):
            stale.unlink(missing_ok=True)

    def _clear(self) -> None:
        """Remove a store that lost its HEAD; never a folder that holds something else."""
        if self.store.is_dir() and any(self.store.iterdir()) and not (self.store / "objects").is_dir():
            raise GitError(f"{self.store} is not empty and no git repository", Reason.OTHER)
        _remove(self.store)

    def _renew(self, tip: str, fetch: Sequence[str]) -> None:
        """Replace the store by a new clone. The old one goes only when the new one is complete: it may hold the last good commit."""
        fresh = self.store.with_name(self.store.name + ".new")
        _remove(fresh)
        _init(fresh, tip, self.timeout)
        self._remote(fetch, self._fetch_limits(), fresh)
        _remove(self.store)
        fresh.rename(self.store)

    @property
    def outgoing(self) -> str:
        """The local ref of a commit that is about to be pushed."""
        return f"{self._space}/outgoing"

    def _tidy(self) -> None:
        """Remove what an interrupted fetch leaves behind."""
        for left in self.store.glob("objects/pack/tmp_*"):
            with contextlib.suppress(OSError):
                left.unlink()

    def _collect_garbage(self) -> None:
        """Let git pack its objects when they are many; nothing is ever pruned, and a failure does no harm."""
        given = Limits(seconds=self.timeout)
        with contextlib.suppress(GitError):
            run([f"--git-dir={self.store}", "gc", "--auto", "--quiet", "--no-prune"], given, config=[("gc.auto", "6700")])


def _output(done: Done, given: Access) -> bytes:
    if done.cut:
        raise GitError("the server answered with too much", Reason.TOO_LARGE)
    if done.status == 0:
        return done.out
    raise failure(done.err or (f"signal {-done.status}" if done.status < 0 else ""), given.secrets)


def _init(store: Path, tip: str, seconds: float) -> None:
    """Make an empty bare repository, without hooks, for the kind of object ids that the remote has."""
    store.parent.mkdir(parents=True, exist_ok=True)
    object_format = "sha256" if len(tip) == 64 else "sha1"
    done = run(["init", "--quiet", "--bare", "--template=", f"--object-format={object_format}", str(store)], Limits(seconds=seconds))
    if done.status != 0:
        raise failure(done.err, ())


def _remove(folder: Path) -> None:
    if folder.exists():
        shutil.rmtree(folder)


@contextlib.contextmanager
def _lock_file(store: Path) -> Iterator[int]:
    """The open file that stands for the store; it lies beside it, as the store itself may be replaced."""
    store.parent.mkdir(parents=True, exist_ok=True)
    file = os.open(store.with_name(store.name + ".busy"), os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        yield file
    finally:
        os.close(file)


def _try_lock(file: int) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
