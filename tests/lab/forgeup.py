"""``forge-up`` and ``forge-down``: a Gitea with a repository of policies to play with, held open by a process
in the background.
"""

# ruff: noqa: T201 - a command line prints

from __future__ import annotations

import contextlib
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import yaml

from tests.lab import build
from tests.lab.gitea import Gitea
from tests.lab.giteaclient import GiteaClient, GiteaPull
from tests.lab.holding import Holder

HOLDER = Holder("forge")
PERSON, ROBOT = "alice", "gitmesh"
_EXAMPLE = Path(__file__).resolve().parents[2] / "policies-example"
_POLICY = "policies/reviews.yaml"
_IDENTITY = ("-c", "user.name=Alice", "-c", "user.email=alice@example.com")


@dataclass(frozen=True)
class Playground:
    """What is there to begin with: a person who owns the repository and has opened a pull request, and
    GitMesh's own account.
    """

    person: GiteaClient
    robot: GiteaClient
    repository: str
    pull: GiteaPull


def up() -> int:
    """Start it, and return when it is ready."""
    return HOLDER.up()


def down() -> int:
    """End what `up` started."""
    print(f"lab: {'the forge is down' if HOLDER.end() else 'no forge was up'}")
    return 0


def run() -> int:
    """Start it and keep it up until SIGTERM or Ctrl-C."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    programs = build.find_gitea()
    if programs is None:
        print("lab: Gitea not built: run 'make lab' (4 minutes, once)", file=sys.stderr)
        return 1
    with contextlib.suppress(KeyboardInterrupt), Gitea(programs) as forge:
        place = playground(forge)
        folder = _fresh_folder(HOLDER.folder / HOLDER.name, place)
        with HOLDER.announced(_help(forge, place, folder)):
            signal.pause()
    return 0


def playground(forge: Gitea) -> Playground:
    """Make the two accounts, the repository of the example, and a pull request that shifts half of the
    traffic.
    """
    person, robot = (
        forge.user(PERSON),
        forge.user(ROBOT, scopes=["write:repository", "write:issue", "read:user"]),
    )
    repository = person.create_repository("policies")
    person.wait_for_push(
        repository, "main", _push_example(forge.folder / "example", person.clone_url(repository))
    )
    person.add_collaborator(repository, robot.name)
    text = (
        (_EXAMPLE / _POLICY)
        .read_text()
        .replace("weight: 90", "weight: 50")
        .replace("weight: 10", "weight: 50")
    )
    person.write_file(repository, _POLICY, text, new_branch="half")
    return Playground(
        person,
        robot,
        repository,
        person.open_pull(repository, "half", title="Half of the traffic to the new reviews"),
    )


def _push_example(folder: Path, url: str) -> str:
    """Make the example the first commit of a repository; returns the commit."""
    shutil.copytree(_EXAMPLE, folder)
    git = ["git", *_IDENTITY, "-C", str(folder)]
    for arguments in (
        ["init", "--quiet", "--initial-branch=main"],
        ["add", "."],
        ["commit", "--quiet", "--message=The bookshop"],
    ):
        subprocess.run([*git, *arguments], check=True)
    subprocess.run([*git, "push", "--quiet", url, "main"], check=True, capture_output=True, timeout=60)
    return subprocess.run(
        [*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True
    ).stdout.strip()


def _fresh_folder(folder: Path, place: Playground) -> Path:
    """A configuration that reads the forge's repository, beside the example's clusters as they were before
    anything was synced.
    """
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(_EXAMPLE / "clusters", folder / "clusters")
    config = yaml.safe_load((_EXAMPLE / "gitmesh.yaml").read_text())
    url = place.robot.clone_url(place.repository, credentials=False)
    login = {"username": place.robot.name, "token": place.robot.account.token}
    for name, text in login.items():
        (folder / name).touch(mode=0o600)
        (folder / name).write_text(text)
    auth = {"usernameFile": "username", "passwordFile": "token"}
    config["sources"] = [{**config["sources"][0], "url": url, "allowInsecure": True, "auth": auth}]
    (folder / "gitmesh.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
    return folder


def _help(forge: Gitea, place: Playground, folder: Path) -> str:
    """Lines to copy."""
    person = place.person.account
    lines = ["", "forge:", f"  {forge.url}   # log in as {person.name}, password {person.password}"]
    lines += [
        f"  {place.pull.url}   # a pull request",
        f"  git clone {place.person.clone_url(place.repository)}",
    ]
    lines += [
        "gitmesh:",
        f"  gitmesh sync --config {folder / 'gitmesh.yaml'}   # the clusters are folders beside it",
    ]
    lines += [f"  {folder / 'token'}   # the token of the account {place.robot.name}, for the forge's API"]
    return "\n".join([*lines, f"log: {forge.folder / 'gitea.log'}", "end it: make lab-forge-down"])
