"""The demo's world on disk: a git repository made from policies-example, two directory clusters, a
configuration.
"""

from __future__ import annotations

import os
import shutil
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

import click
from msgspec import Struct

from gitmesh.parsing.settings import url_problem

STATUS_BRANCH = "gitmesh-status"
SOURCE = "policies"
_AUTHOR = {"GIT_AUTHOR_NAME": "Bookshop team", "GIT_AUTHOR_EMAIL": "team@bookshop.example"}
_COMMITTER = {"GIT_COMMITTER_NAME": "Bookshop team", "GIT_COMMITTER_EMAIL": "team@bookshop.example"}
# The user's own hooks, signing and templates have no part in the demo.
_ALONE = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1", "GIT_TERMINAL_PROMPT": "0"}

_CONFIG = """\
# What this instance of GitMesh reads, and which clusters it keeps.
apiVersion: gitmesh.io/v1alpha1
kind: Config
instance: demo
sources:
- name: {source}
  url: {url}
  allowInsecure: true      # a repository on this disk
  branch: main
  paths: [policies]
  interval: 5s
clusters:
- {{name: east, labels: {{region: eu-east}}, directory: clusters/east}}
- {{name: west, labels: {{region: eu-west}}, directory: clusters/west}}
listen: "127.0.0.1:8080"
"""


class DemoFolder(Struct, frozen=True):
    """The folder that everything lies in, and what is done in it by hand."""

    root: Path

    @property
    def config(self) -> Path:
        """The configuration."""
        return self.root / "gitmesh.yaml"

    @property
    def repo(self) -> Path:
        """The clone that a user works in."""
        return self.root / "repo"

    @property
    def origin(self) -> Path:
        """The repository that GitMesh reads."""
        return self.root / "origin.git"

    @property
    def url(self) -> str:
        """Where that is, as git is told."""
        return f"file://{self.origin}"

    def policy(self, name: str) -> Path:
        """A policy file in the clone."""
        return self.repo / "policies" / name

    def live(self, cluster: str, namespace: str, kind: str, name: str) -> Path:
        """A live object of a directory cluster; `kind` is `<kind>.<group>` in lower case."""
        return self.root / "clusters" / cluster / namespace / kind / f"{name}.yaml"

    def commit(self, message: str) -> str:
        """Commit what was edited in the clone and push it; the commit's id."""
        repository = _git(self.repo)
        repository.git.add("--all")
        repository.git.commit("--quiet", f"--message={message}")
        repository.git.push("--quiet", "origin", "main")
        return str(repository.head.commit.hexsha)

    def status_log(self) -> list[str]:
        """Subjects of the status branch's commits, oldest first."""
        return list(_git(self.origin).git.log("--reverse", "--format=%s", STATUS_BRANCH).splitlines())


def build(root: Path) -> DemoFolder:
    """Make everything below an empty folder. Raises UsageError for a path that cannot be a repository's
    URL.
    """
    world = DemoFolder(root.resolve())
    if problem := url_problem(world.url, allow_insecure=True):
        raise click.UsageError(f"{world.root}: {problem}")
    with as_file(example()) as source:
        _copy(source / "clusters", world.root / "clusters")
        _copy(source / "policies", world.repo / "policies")
    world.config.write_text(_CONFIG.format(source=SOURCE, url=world.url), encoding="utf-8")
    _repositories(world)
    world.commit("The bookshop's policies")
    return world


def _copy(source: Path, target: Path) -> None:
    """Copy the contents of a folder."""
    for file in sorted(path for path in source.rglob("*") if path.is_file()):
        copied = target / file.relative_to(source)
        copied.parent.mkdir(parents=True, exist_ok=True)
        # Contents alone: where GitMesh is installed read-only, the copies must be writable all the same.
        shutil.copyfile(file, copied)


def example() -> Any:
    """The folder policies-example: inside the package when installed, beside it in a checkout."""
    packaged = files("gitmesh") / "example"
    return packaged if packaged.is_dir() else Path(str(files("gitmesh"))).parent / "policies-example"


def edit(path: Path, old: str, new: str) -> None:
    """Replace the first occurrence of a text in a file. Raises ValueError where there is none."""
    text = path.read_text(encoding="utf-8")
    if old not in text:
        raise ValueError(f"{path.name}: {old!r} is not in the file")
    path.write_text(text.replace(old, new, 1), encoding="utf-8")


def _repositories(world: DemoFolder) -> None:
    from git import Repo

    environment = {**os.environ, **_ALONE}
    Repo.init(world.origin, bare=True, initial_branch="main", env=environment).close()
    clone = Repo.init(world.repo, initial_branch="main", env=environment)
    with clone.config_writer() as config:
        config.set_value("user", "name", _AUTHOR["GIT_AUTHOR_NAME"])
        config.set_value("user", "email", _AUTHOR["GIT_AUTHOR_EMAIL"])
    clone.create_remote("origin", str(world.origin))
    with clone.config_writer() as config:
        config.set_value('branch "main"', "remote", "origin")
        config.set_value('branch "main"', "merge", "refs/heads/main")
    clone.close()


def _git(path: Path) -> Any:
    from git import Repo

    repository = Repo(path)
    repository.git.update_environment(**_ALONE, **_AUTHOR, **_COMMITTER)
    return repository
