"""Against kubectl on a real API server: the same 1,000 rendered VirtualServices, whole processes,
alternating, median of five.

The server is one in use: rounds that do not count go before, until its watch caches hold the 75 seconds of
events that they keep. A server that has just started has so small a heap that it collects garbage for nearly
half of its time, whoever asks.

The peer is `kubectl apply --server-side --force-conflicts` of the server's own version; both read one JSON
file. For information, a whole `gitmesh sync` (git, parsing, discovery, translation on top of it) is measured
beside them.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.generate import PER_NAMESPACE, commit, control_plane, git, place, service, write
from gitmesh.yaml_text import dump
from tests.lab.apiserver import ApiServer
from tests.lab.build import find

OBJECTS = 1000
WARMING, ROUNDS = 5, 5
GOALS = {"from cold": 2.5, "nothing to change": 20.0}
"""Times as fast as kubectl."""
ENGINE = "import gc; gc.disable(); from benchmarks.engine import main; main()"
"""The collector stays away from the first import, as in `gitmesh.cli.main.main`."""
Round = dict[str, dict[str, tuple[float, int]]]
"""goal -> tool -> (seconds, API requests)"""


def report() -> dict[str, object]:
    """Seconds and API requests of each, and the ratios."""
    binaries = find()
    if binaries is None or binaries.kubectl is None or binaries.istio_crds is None:
        return {"misses": ["the lab is not built: run 'make lab'"]}
    with tempfile.TemporaryDirectory(prefix="gitmesh-bench-") as folder, ApiServer(binaries) as server:
        server.install_crds(binaries.istio_crds)
        return _compare(Path(folder), server, str(binaries.kubectl))


def _compare(folder: Path, server: ApiServer, kubectl: str) -> dict[str, object]:
    kubeconfig = server.kubeconfig(folder / "kubeconfig")
    _world(folder, server)
    program = str(Path(sys.executable).parent / "gitmesh")
    sync = [program, "sync", "--config", str(folder / "gitmesh.yaml"), "--store", str(folder / "store")]
    manifests = _rendered(folder, program)
    commands = {
        "gitmesh": [sys.executable, "-c", ENGINE, str(manifests), str(kubeconfig)],
        "kubectl": [
            kubectl,
            "--kubeconfig",
            str(kubeconfig),
            "apply",
            "--server-side",
            "--force-conflicts",
            "-f",
            str(manifests),
        ],
        "gitmesh sync": sync,
    }
    for _ in range(WARMING):
        _round(commands, server)
    return _ratios([_round(commands, server) for _ in range(ROUNDS)])


def _round(commands: Mapping[str, list[str]], server: ApiServer) -> Round:
    """Each command from nothing, and at once again."""
    made: Round = {goal: {} for goal in GOALS}
    for name, command in commands.items():
        _empty(server)
        for goal in GOALS:
            made[goal][name] = _timed(command, server)
    return made


def _ratios(rounds: Sequence[Round]) -> dict[str, object]:
    rows: dict[str, Any] = {}
    misses = []
    for goal, wanted in GOALS.items():
        seconds = {name: median(made[goal][name][0] for made in rounds) for name in rounds[0][goal]}
        requests = {name: median(made[goal][name][1] for made in rounds) for name in rounds[0][goal]}
        ratio = seconds["kubectl"] / seconds["gitmesh"]
        rows[goal] = {"seconds": seconds, "requests": requests, "times as fast as kubectl": ratio}
        if ratio < wanted:
            misses.append(f"{goal}: {ratio:.1f} times as fast as kubectl, wanted {wanted}")
    return {"rows": rows, "misses": misses}


def _timed(command: list[str], server: ApiServer) -> tuple[float, int]:
    mark = server.audit_mark()
    began = time.perf_counter()
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    seconds = time.perf_counter() - began
    if done.returncode:
        raise SystemExit(f"{command[0]} failed: {done.stdout[-800:]}{done.stderr[-800:]}")
    return seconds, len(server.audit_events(mark))


def _empty(server: ApiServer) -> None:
    """Remove what they write, so that each starts from nothing.

    What the removal leaves to do is done first, as it is nobody's: in every second round the server's
    collection of that garbage would fall into a run and take as long as the run. What a tool's own writes
    leave to do falls into its own run without changes.
    """
    for number in range(-(-OBJECTS // PER_NAMESPACE)):
        server.client.call(
            "DELETE", f"/apis/networking.istio.io/v1/namespaces/ns-{number:03d}/virtualservices", None
        )
    server.request("DELETE", "/api/v1/namespaces/gitmesh-system/configmaps/gitmesh-bench")
    done = server.client.call("GET", "/apis/networking.istio.io/v1/virtualservices", None)["metadata"][
        "resourceVersion"
    ]
    for version in ("v1", "v1beta1", "v1alpha3"):  # each served version has a cache that follows
        known = f"resourceVersion={done}&resourceVersionMatch=NotOlderThan"
        server.client.call("GET", f"/apis/networking.istio.io/{version}/virtualservices?{known}", None)
    collected = server.request("GET", "/debug/pprof/heap?gc=1&debug=1")
    assert collected.status == 200, "the server did not collect its garbage"


def _world(folder: Path, server: ApiServer) -> None:
    """Services on the server, and one routing policy for each in a repository."""
    own = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "gitmesh-system"}}
    objects: list[dict[str, Any]] = [own, *control_plane("bench.example", OBJECTS)]
    for number in range(OBJECTS):
        objects += [body for body in service(number) if body["kind"] in ("Service", "ServiceAccount")]
    for body in objects:
        body["metadata"].pop("uid", None)
        server.apply(body)
    write(folder / "repo" / "policies", {f"p{number:05d}": _policy(number) for number in range(OBJECTS)})
    git(folder / "repo", "init", "--quiet", "--initial-branch=main")
    commit(folder / "repo", "policies")
    git(folder, "clone", "--quiet", "--bare", "repo", "origin.git")
    source = {
        "name": "policies",
        "url": f"file://{folder / 'origin.git'}",
        "paths": ["policies"],
        "allowInsecure": True,
    }
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
    spec = {
        "destinations": [{"name": name, "namespaces": [namespace]}],
        "timeout": "5s",
        "retries": {"attempts": 2, "perTryTimeout": "1s"},
    }
    return {
        "apiVersion": "gitmesh.io/v1alpha1",
        "kind": "TrafficPolicy",
        "metadata": {"name": f"p{number:05d}", "namespace": namespace},
        "spec": spec,
    }


def _rendered(folder: Path, program: str) -> Path:
    """The objects that `gitmesh render` prints, as a List that both read."""
    config, store = str(folder / "gitmesh.yaml"), str(folder / "store")
    command = [program, "render", "--config", config, "--store", store, "-o", "json"]
    document = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    items = [item["object"] for cluster in document["clusters"] for item in cluster["objects"]]
    if len(items) != OBJECTS:
        raise SystemExit(f"rendered {len(items)} objects, not {OBJECTS}")
    manifests = folder / "manifests.json"
    manifests.write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": items}))
    return manifests
