"""``mesh-up`` and ``mesh-down``: the bookshop's two meshes to play with, held open by a process in the background."""

# ruff: noqa: T201 - a command line prints

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import yaml

from tests.lab import build, netns
from tests.lab.installation import OWN_NAMESPACE
from tests.lab.process import LabError, wait_until
from tests.lab.world import World, bookshop

_UP_SECONDS = 600.0
_DOWN_SECONDS = 60.0
_CONFIG, _POLICIES = "gitmesh.yaml", "policies"
_IDENTITY = ("-c", "user.name=GitMesh lab", "-c", "user.email=lab@localhost")
_FIRST_POLICY = """\
apiVersion: gitmesh.io/v1alpha1
kind: TrafficPolicy
metadata: {name: reviews, namespace: bookshop}
spec:
  destinations: [{name: reviews, clusters: [east]}]
  split:
  - {destination: {name: reviews, subset: {version: v1}}, weight: 90}
  - {destination: {name: reviews, subset: {version: v2}}, weight: 10}
"""


@dataclass(frozen=True)
class Holder:
    """The process in the background, and the folder that it shares with these commands."""

    folder: Path

    @property
    def log(self) -> Path:
        """What it says."""
        return self.folder / "mesh.log"

    @property
    def state(self) -> Path:
        """JSON of `pid`, `stamp` and `help`; there once everything is ready."""
        return self.folder / "mesh.json"

    def running(self) -> int | None:
        """Its pid, if everything is up."""
        with contextlib.suppress(FileNotFoundError):
            found = json.loads(self.state.read_text())
            if netns.process_stamp(found["pid"]) == found["stamp"]:
                return int(found["pid"])
        return None

    def help(self) -> str:
        """How to use what is up."""
        return str(json.loads(self.state.read_text())["help"])


def holder() -> Holder:
    """The only one of this user."""
    return Holder(build.cache_root() / "up")


def up() -> int:
    """Start everything, and return when it is ready."""
    held = holder()
    if held.running() is None:
        held.folder.mkdir(parents=True, exist_ok=True)
        held.state.unlink(missing_ok=True)
        with held.log.open("w") as log:
            command = [sys.executable, "-m", "tests.lab", "mesh-run"]
            child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
        if not _follow(held, child):
            return 1
    print(held.help())
    return 0


def _follow(held: Holder, child: subprocess.Popen[bytes]) -> bool:
    """Show what the holder says until it is ready or has ended."""
    with held.log.open() as log:

        def look() -> bool:
            print(log.read(), end="", flush=True)
            return held.state.exists() or child.poll() is not None

        try:
            wait_until(look, "mesh", _UP_SECONDS)
        except (LabError, KeyboardInterrupt):
            child.terminate()
            raise
        print(log.read(), end="", flush=True)
    return child.poll() is None


def run() -> int:
    """Start everything and keep it up until SIGTERM or Ctrl-C."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    held, found = holder(), build.find()
    complaint = lacking()
    if complaint or found is None:
        print(f"lab: {complaint}", file=sys.stderr)
        return 1
    with contextlib.suppress(KeyboardInterrupt), bookshop(found, say=_say) as world, _announced(held, world):
        signal.pause()
    return 0


@contextlib.contextmanager
def _announced(held: Holder, world: World) -> Iterator[None]:
    held.folder.mkdir(parents=True, exist_ok=True)
    _playground(held.folder, world)
    state = {"pid": os.getpid(), "stamp": netns.process_stamp(os.getpid()), "help": _help(held, world)}
    draft = held.state.with_suffix(".new")
    draft.write_text(json.dumps(state))
    draft.rename(held.state)
    try:
        yield
    finally:
        held.state.unlink(missing_ok=True)


def _help(held: Holder, world: World) -> str:
    """Lines to copy."""
    config = held.folder / _CONFIG
    lines = ["", "gitmesh:"]
    lines += [f"  gitmesh sync --config {config}   # brings the clusters what {held.folder / _POLICIES} says; edit, commit, again"]
    lines += [f"  gitmesh route productpage reviews --config {config}", "kubectl:"]
    for name, cluster in world.clusters.items():
        lines.append(f"  export KUBECONFIG={held.folder / f'{name}.yaml'}   # {name}, trust domain {cluster.trust_domain}")
    lines += ["from pods:"]
    for name, cluster in world.clusters.items():
        for pod in ("productpage", "plain"):
            lines.append(f"  ip netns exec {cluster.pods[pod].netns} curl -s http://reviews.bookshop:9080/   # {name}: {pod}")
    lines += ["istiod:", *(f"  curl -s {c.istiod.debug_url}syncz   # {name}" for name, c in world.clusters.items())]
    lines += [f"logs: {world.folder}/*/*.log", "end it: make lab-down"]
    return "\n".join(lines)


def _playground(folder: Path, world: World) -> None:
    """What `gitmesh` needs for these clusters: their kubeconfigs, a repository with a first policy, a configuration between them.

    A repository that is there already is somebody's work, and is left alone.
    """
    for name, cluster in world.clusters.items():
        cluster.kubeconfig(folder / f"{name}.yaml")
        cluster.api.apply(OWN_NAMESPACE)
    repository = folder / _POLICIES
    if not repository.exists():
        _first_commit(repository)
    source = {"name": "policies", "url": f"file://{repository}", "allowInsecure": True}
    clusters = [{"name": name, "kubeconfig": {"path": f"{name}.yaml"}} for name in world.clusters]
    config = {"apiVersion": "gitmesh.io/v1alpha1", "kind": "Config", "instance": "lab", "sources": [source], "clusters": clusters}
    (folder / _CONFIG).write_text(yaml.safe_dump(config, sort_keys=False))


def _first_commit(repository: Path) -> None:
    repository.mkdir()
    (repository / "reviews.yaml").write_text(_FIRST_POLICY)
    for arguments in (["init", "--quiet", "--initial-branch=main"], ["add", "."], ["commit", "--quiet", "--message=A first policy"]):
        subprocess.run(["git", *_IDENTITY, "-C", str(repository), *arguments], check=True)


def down() -> int:
    """End what `up` started, and remove what killed runs have left."""
    held = holder()
    pid = held.running()
    if pid is not None:
        os.kill(pid, signal.SIGTERM)
        wait_until(lambda: held.running() is None and not netns.process_stamp(pid), "end of the mesh", _DOWN_SECONDS)
    removed = netns.sweep() if os.geteuid() == 0 else []
    print(
        f"lab: {'the mesh is down' if pid is not None else 'no mesh was up'}{f', {len(removed)} old namespaces removed' if removed else ''}"
    )
    return 0


def lacking() -> str:
    """Why no mesh can be started here, in one line; "" if it can."""
    found = build.find()
    if found is None or found.mesh is None or found.istio_crds is None:
        return "mesh lab not built: run 'make lab' (10 minutes, once)"
    missing = netns.missing_tools()
    if missing:
        return f"the mesh lab needs root and Debian's iproute2, iptables and util-linux; missing here: {', '.join(missing)}"
    return ""


def _say(line: str) -> None:
    print(line, flush=True)
