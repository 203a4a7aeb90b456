"""``mesh-up`` and ``mesh-down``: the bookshop's two meshes to play with, held open by a process in the
background.
"""

# ruff: noqa: T201 - a command line prints

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import yaml

from tests.lab import build, netns
from tests.lab.holding import Holder
from tests.lab.installation import OWN_NAMESPACE
from tests.lab.world import LabWorld, bookshop

HOLDER = Holder("mesh")
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


def up() -> int:
    """Start everything, and return when it is ready."""
    return HOLDER.up()


def run() -> int:
    """Start everything and keep it up until SIGTERM or Ctrl-C."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    found = build.find()
    complaint = lacking()
    if complaint or found is None:
        print(f"lab: {complaint}", file=sys.stderr)
        return 1
    with contextlib.suppress(KeyboardInterrupt), bookshop(found, say=_say) as world, _announced(world):
        signal.pause()
    return 0


@contextlib.contextmanager
def _announced(world: LabWorld) -> Iterator[None]:
    HOLDER.folder.mkdir(parents=True, exist_ok=True)
    _playground(HOLDER.folder, world)
    with HOLDER.announced(_help(HOLDER.folder, world)):
        yield


def _help(folder: Path, world: LabWorld) -> str:
    """Lines to copy."""
    config = folder / _CONFIG
    lines = ["", "gitmesh:"]
    lines += [
        f"  gitmesh sync --config {config}   # brings the clusters what {folder / _POLICIES} says; edit,"
        " commit, again"
    ]
    lines += [f"  gitmesh route productpage reviews --config {config}", "kubectl:"]
    for name, cluster in world.clusters.items():
        lines.append(
            f"  export KUBECONFIG={folder / f'{name}.yaml'}   # {name}, trust domain {cluster.trust_domain}"
        )
    lines += ["from pods:"]
    for name, cluster in world.clusters.items():
        for pod in ("productpage", "plain"):
            lines.append(
                f"  ip netns exec {cluster.pods[pod].netns} curl -s http://reviews.bookshop:9080/   # {name}:"
                f" {pod}"
            )
    lines += [
        "istiod:",
        *(f"  curl -s {c.istiod.debug_url}syncz   # {name}" for name, c in world.clusters.items()),
    ]
    lines += [f"logs: {world.folder}/*/*.log", "end it: make lab-down"]
    return "\n".join(lines)


def _playground(folder: Path, world: LabWorld) -> None:
    """What `gitmesh` needs for these clusters: their kubeconfigs, a repository with a first policy, a
    configuration between them.

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
    config = {
        "apiVersion": "gitmesh.io/v1alpha1",
        "kind": "Config",
        "instance": "lab",
        "sources": [source],
        "clusters": clusters,
    }
    (folder / _CONFIG).write_text(yaml.safe_dump(config, sort_keys=False))


def _first_commit(repository: Path) -> None:
    repository.mkdir()
    (repository / "reviews.yaml").write_text(_FIRST_POLICY)
    for arguments in (
        ["init", "--quiet", "--initial-branch=main"],
        ["add", "."],
        ["commit", "--quiet", "--message=A first policy"],
    ):
        subprocess.run(["git", *_IDENTITY, "-C", str(repository), *arguments], check=True)


def down() -> int:
    """End what `up` started, and remove what killed runs have left."""
    ended = HOLDER.end()
    removed = netns.sweep() if os.geteuid() == 0 else []
    print(
        f"lab: {'the mesh is down' if ended else 'no mesh was up'}"
        + (f", {len(removed)} old namespaces removed" if removed else "")
    )
    return 0


def lacking() -> str:
    """Why no mesh can be started here, in one line; "" if it can."""
    found = build.find()
    if found is None or found.mesh is None or found.istio_crds is None:
        return "mesh lab not built: run 'make lab' (10 minutes, once)"
    missing = netns.missing_tools()
    if missing:
        return (
            "the mesh lab needs root and Debian's iproute2, iptables and util-linux; missing here:"
            f" {', '.join(missing)}"
        )
    return ""


def _say(line: str) -> None:
    print(line, flush=True)
