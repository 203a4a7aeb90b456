"""GitMesh's apply engine alone, as a process: rendered objects in, a converged cluster out. The peer of
`kubectl apply`.

`main` of a process whose arguments are MANIFESTS and KUBECONFIG does what the agent does for a cluster once
the objects are rendered: ledger, observe, diff, dry run of what differs, intents, server-side apply, ledger.
"""

from __future__ import annotations

import gc
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import orjson

from gitmesh.adapters.kube.client import KubeClient
from gitmesh.adapters.kube.cluster import KubeCluster
from gitmesh.adapters.kube.kubeconfig import read_kubeconfig
from gitmesh.model.facts import ClusterFacts
from gitmesh.model.manifests import Build, Manifest, Phase
from gitmesh.model.objects import ApiKind, ObjectKey, canonical, digest
from gitmesh.model.report import State
from tests.fake_mesh import FakeMesh

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gitmesh.ports import Translator

INSTANCE = "bench"


class OneKind(FakeMesh):
    """A translator of the kind that is written, with nothing to say of order or strangers."""

    name = "bench"
    resources: Sequence[ApiKind] = (
        ApiKind(
            group="networking.istio.io", kind="VirtualService", plural="virtualservices", versions=("v1",)
        ),
    )


def main() -> None:
    """Run as a process that ends as `gitmesh` does."""
    code = run(Path(sys.argv[1]), Path(sys.argv[2]))
    gc.freeze()
    sys.exit(code)


def run(manifests: Path, kubeconfig: Path) -> int:
    """Apply the objects; prints the counts. Returns 1 where the cluster is not what it should be."""
    mesh: Translator = OneKind()
    cluster = KubeCluster(
        "bench", KubeClient(read_kubeconfig(kubeconfig), timeout=60, user_agent="gitmesh-bench"), (mesh,)
    )
    cluster.prefetch(OneKind.resources)  # as a cycle does: the server answers meanwhile
    ledger = cluster.load(INSTANCE)
    from gitmesh.planning.converge import Cycle, converge
    from gitmesh.planning.guard import Consent
    from gitmesh.planning.revisions import Revisions

    built = Build(cluster="bench", manifests={manifest.key: manifest for manifest in _read(manifests)})
    cycle = Cycle(
        translators={"bench": mesh},
        revisions=Revisions(),
        consent=Consent(),
        apply=True,
        now=0.0,
        clock=time.monotonic,
    )
    result, said = converge(cluster, ClusterFacts(cluster="bench"), built, ledger, cycle, {})
    cluster.close()
    assert result.plan is not None
    print({action.value: count for action, count in result.plan.counts().items() if count}, *said)
    return 0 if result.state is State.SYNCED else 1


def _read(manifests: Path) -> list[Manifest]:
    return [_manifest(item) for item in orjson.loads(manifests.read_bytes())["items"]]


def _manifest(item: dict[str, dict[str, str]]) -> Manifest:
    group, _, version = str(item["apiVersion"]).rpartition("/")
    key = ObjectKey(
        group=group,
        kind=str(item["kind"]),
        namespace=item["metadata"]["namespace"],
        name=item["metadata"]["name"],
    )
    body = canonical(item)
    return Manifest(key=key, version=version, phase=Phase.ROUTE, body=body, digest=digest(body), policies=())
