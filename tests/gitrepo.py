"""Git repositories for tests, made in milliseconds: a bare repository that commits are written into without a
work tree.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

_WHO = "Test <test@example.com> 1700000000 +0000"


class Repo:
    """A bare repository. `commit` replaces the branch's files by those given; nothing else of the machine's
    git takes part.
    """

    def __init__(self, path: Path, branch: str = "main", *, object_format: str = "sha1") -> None:
        self.path = path
        self.branch = branch
        path.parent.mkdir(parents=True, exist_ok=True)
        kind = f"--object-format={object_format}"
        self._run(
            ["git", "init", "--quiet", "--bare", "--template=", kind, f"--initial-branch={branch}", str(path)]
        )
        # Servers that people use give away commits that no branch leads to any more.
        self.git("config", "uploadpack.allowAnySHA1InWant", "true")

    @property
    def url(self) -> str:
        """The file:// URL."""
        return f"file://{self.path}"

    def commit(
        self,
        files: Mapping[str, str | bytes],
        *,
        branch: str = "",
        subject: str = "change",
        parent: str | None = None,
    ) -> str:
        """Make `files` (path -> content) the whole content of the branch; returns the commit.

        The parent is the branch's tip; `parent=""` makes a commit without history, and another id rewrites
        the branch.
        """
        name = branch or self.branch
        base = self.tip(name) if parent is None else parent
        lines = [f"commit refs/heads/{name}\nmark :1\ncommitter {_WHO}\n".encode(), _data(subject.encode())]
        lines += [f"from {base}\n".encode()] if base else []
        lines += [
            b"deleteall\n",
            *(_file(path, content) for path, content in sorted(files.items())),
            b"get-mark :1\n",
        ]
        return (
            self._run(["git", f"--git-dir={self.path}", "fast-import", "--quiet", "--force"], b"".join(lines))
            .decode()
            .strip()
        )

    def update(
        self, files: Mapping[str, str | bytes | None], *, branch: str = "", subject: str = "change"
    ) -> str:
        """Commit changes on top of the branch; a content of None deletes the file."""
        name = branch or self.branch
        changes = [
            f"D {path}\n".encode() if content is None else _file(path, content)
            for path, content in sorted(files.items())
        ]
        lines = [f"commit refs/heads/{name}\nmark :1\ncommitter {_WHO}\n".encode(), _data(subject.encode())]
        lines += [f"from {self.tip(name)}\n".encode(), *changes, b"get-mark :1\n"]
        return (
            self._run(["git", f"--git-dir={self.path}", "fast-import", "--quiet", "--force"], b"".join(lines))
            .decode()
            .strip()
        )

    def tip(self, branch: str = "") -> str:
        """The commit of a branch, "" if there is none."""
        done = self.call("rev-parse", "--verify", "--quiet", f"refs/heads/{branch or self.branch}")
        return done.stdout.decode().strip()

    def move(self, branch: str, commit: str) -> None:
        """Point a branch to a commit, as a force-push does."""
        self.git("update-ref", f"refs/heads/{branch}", commit)

    def delete_branch(self, branch: str = "") -> None:
        """Delete a branch, if it is there."""
        self.git("update-ref", "-d", f"refs/heads/{branch or self.branch}")

    def blob(self, content: bytes) -> str:
        """Store a blob."""
        return self.git("hash-object", "-w", "--stdin", stdin=content).decode().strip()

    def tree(self, entries: Sequence[tuple[str, bytes, str]], *, store: Path | None = None) -> str:
        """Store a tree of (mode, name, id), however hostile: git would not make it, so its bytes are written
        as they are.
        """
        content = b"".join(
            b"%s %s\0%s" % (mode.lstrip("0").encode(), name, bytes.fromhex(oid))
            for mode, name, oid in entries
        )
        return (
            self.git("hash-object", "-w", "-t", "tree", "--literally", "--stdin", stdin=content, store=store)
            .decode()
            .strip()
        )

    def commit_tree(self, tree: str, *, branch: str = "", store: Path | None = None) -> str:
        """Make a commit of a tree, and let a branch point to it."""
        commit = self.git("commit-tree", tree, stdin=b"by hand\n", store=store).decode().strip()
        if store is None:
            self.git("update-ref", f"refs/heads/{branch or self.branch}", commit)
        return commit

    def files(self, branch: str = "") -> dict[str, bytes]:
        """Path -> content of a branch."""
        ref = f"refs/heads/{branch or self.branch}"
        names = [
            name for name in self.git("ls-tree", "-r", "-z", "--name-only", ref).decode().split("\0") if name
        ]
        return {name: self.git("cat-file", "blob", f"{ref}:{name}") for name in names}

    def log(self, branch: str = "", form: str = "%H") -> list[str]:
        """One entry for each commit of a branch, the newest first."""
        out = self.git("log", "-z", f"--format={form}", f"refs/heads/{branch or self.branch}").decode()
        return [entry for entry in out.split("\0") if entry]

    def git(self, *arguments: str, stdin: bytes = b"", store: Path | None = None) -> bytes:
        """Run git on the repository (or on another store)."""
        return self._run(["git", f"--git-dir={store or self.path}", *arguments], stdin)

    def call(self, *arguments: str) -> subprocess.CompletedProcess[bytes]:
        """Run git, which may fail."""
        command = ["git", f"--git-dir={self.path}", *arguments]
        return subprocess.run(command, env=_env(), capture_output=True, timeout=60, check=False)

    def _run(self, command: Sequence[str], stdin: bytes = b"") -> bytes:
        done = subprocess.run(command, input=stdin, env=_env(), capture_output=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout


def _env() -> dict[str, str]:
    who = {
        f"GIT_{role}_{what}": value
        for role in ("AUTHOR", "COMMITTER")
        for what, value in (("NAME", "Test"), ("EMAIL", "test@example.com"))
    }
    dates = {f"GIT_{role}_DATE": "1700000000 +0000" for role in ("AUTHOR", "COMMITTER")}
    return {
        "PATH": os.environ["PATH"],
        "LC_ALL": "C",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": os.devnull,
        **who,
        **dates,
    }


def _data(content: bytes) -> bytes:
    return b"data %d\n%s\n" % (len(content), content)


def _file(path: str, content: str | bytes) -> bytes:
    return b"M 100644 inline %s\n%s" % (
        path.encode(),
        _data(content.encode() if isinstance(content, str) else content),
    )
