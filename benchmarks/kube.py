"""Against kubectl on a real API server: 1,000 rendered VirtualServices, whole processes, alternating, median of five.

The peer is `kubectl apply --server-side --force-conflicts` of the same version as the server.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.generate import PER_NAMESPACE, commit, control_plane, git, place, service, write
from gitmesh.yaml_text import dump, dump_all
from tests.lab.apiserver import ApiServer
from tests.lab.build import find

OBJECTS = 1000
ROUNDS = 5
GOALS = {"from cold": 2.5, "nothing to change": 20.0}
"""Times as fast as kubectl."""


def report() -> dict[str, object]:
    """Seconds and API requests of both, and the ratios."""
    binaries = find()
    if binaries is None or binaries.kubectl is None or binaries.istio_crds is None:
        return {"misses": ["the lab is not built: run 'make lab'"]}
    with tempfile.TemporaryDirectory(prefix="gitmesh-bench-") as folder, ApiServer(binaries) as server:
        server.install_crds(binaries.istio_crds)
        return _compare(Path(folder), server, str(binaries.kubectl))


def _compare(folder: Path, server: ApiServer, kubectl: str) -> dict[str, object]:
    kubeconfig = server.kubeconfig(folder / "kubeconfig")
    _world(folder, server)
    gitmesh = [
        str(Path(sys.executable).parent / "gitmesh"),
        "sync",
        "--config",
        str(folder / "gitmesh.yaml"),
        "--store",
        str(folder / "store"),
    ]
    manifests = _rendered(folder, gitmesh[0])
    peer = [kubectl, "--kubeconfig", str(kubeconfig), "apply", "--server-side", "--force-conflicts", "-f", str(manifests)]
    results: dict[str, dict[str, list[tuple[float, int]]]] = {goal: {"gitmesh": [], "kubectl": []} for goal in GOALS}
    for _ in range(ROUNDS):
        for name, command in (("gitmesh", gitmesh), ("kubectl", peer)):
            _empty(server)
            results["from cold"][name].append(_timed(command, server))
            _settle(name, command)
            results["nothing to change"][name].append(_timed(command, server))
    return _ratios(results)


def _ratios(results: dict[str, dict[str, list[tuple[float, int]]]]) -> dict[str, object]:
    rows: dict[str, Any] = {}
    misses = []
    for goal, wanted in GOALS.items():
        seconds = {name: median(s for s, _ in runs) for name, runs in results[goal].items()}
        requests = {name: median(r for _, r in runs) for name, runs in results[goal].items()}
        ratio = seconds["kubectl"] / seconds["gitmesh"]
        rows[goal] = {"seconds": seconds, "requests": requests, "ratio": ratio}
        if ratio < wanted:
            misses.append(f"{goal}: {ratio:.1f} times as fast as kubectl, wanted {wanted}")
    return {"rows": rows, "misses": misses}


def _settle(name: str, command: list[str]) -> None:
    """The first sync after a cold one also writes the ledger of the second look; kubectl has no such thing."""
    if name == "gitmesh":
        subprocess.run(command, check=True, capture_output=True)


def _timed(command: list[str], server: ApiServer) -> tuple[float, int]:
    mark = server.audit_mark()
    began = time.perf_counter()
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    seconds = time.perf_counter() - began
    if done.returncode:
        raise SystemExit(f"{command[0]} failed: {done.stdout[-800:]}{done.stderr[-800:]}")
    return seconds, len(server.audit_events(mark))


def _empty(server: ApiServer) -> None:
    """Remove what both write, so that each starts from nothing."""
    for path in ("networking.istio.io/v1/{}virtualservices", "networking.istio.io/v1/{}destinationrules"):
        for number in range(-(-OBJECTS // PER_NAMESPACE)):
            server.client.call("DELETE", "/apis/" + path.format(f"namespaces/ns-{number:03d}/"), None)
    server.request("DELETE", "/api/v1/namespaces/gitmesh-system/configmaps/gitmesh-bench")


def _world(folder: Path, server: ApiServer) -> None:
    """Services on the server, and one routing policy for each in a repository."""
    server.apply(dump_all([*control_plane("bench.example", OBJECTS)][:1]))
    spaces = [{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "gitmesh-system"}}]
    objects: list[dict[str, Any]] = [*spaces, *list(control_plane("bench.example", OBJECTS))[1:]]
    for number in range(OBJECTS):
        objects += [body for body in service(number) if body["kind"] in ("Service", "ServiceAccount")]
    for body in objects:
        body["metadata"].pop("uid", None)
        server.apply(body)
    documents = {f"p{number:05d}": _policy(number) for number in range(OBJECTS)}
    write(folder / "repo" / "policies", documents)
    git(folder / "repo", "init", "--quiet", "--initial-branch=main")
    commit(folder / "repo", "policies")
    git(folder, "clone", "--quiet", "--bare", "repo", "origin.git")
    source = {"name": "policies", "url": f"file://{folder / 'origin.git'}", "paths": ["policies"], "allowInsecure": True}
    config = {
        "apiVersion": "gitmesh.io/v1alpha1",
        "kind": "Config",
        "instance": "bench",
        "sources": [source],
        "clusters": [{"name": "bench", "kubeconfig": {"path": "kubeconfig"}}],
        "writeBack": {"enabled": False},
    }
    (folder / "gitmesh.yaml").write_text(dump(config))


def _policy(number: int) -> dict[str, Any]:
    namespace, name = place(number)
    spec = {"destinations": [{"name": name, "namespaces": [namespace]}], "timeout": "5s", "retries": {"attempts": 2, "perTryTimeout": "1s"}}
    return {
        "apiVersion": "gitmesh.io/v1alpha1",
        "kind": "TrafficPolicy",
        "metadata": {"name": f"p{number:05d}", "namespace": namespace},
        "spec": spec,
    }


def _rendered(folder: Path, program: str) -> Path:
    """The same objects, as `gitmesh render` prints them."""
    done = subprocess.run(
        [program, "render", "--config", str(folder / "gitmesh.yaml"), "--store", str(folder / "store"), "-o", "yaml"],
        check=True,
        capture_output=True,
        text=True,
    )
    manifests = folder / "manifests.yaml"
    manifests.write_text(done.stdout)
    return manifests
