"""The Gateway API's conformance suite on a real Istio: an empty cluster with controllers, a kubelet and
istiod, in which the suite makes its own pods.
"""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from tests.lab.apiserver import ApiServer
from tests.lab.bookshop import AMBIENT, Dataplane, LabCluster, Proxy
from tests.lab.build import Binaries, ConformancePrograms
from tests.lab.controllers import start_controllers
from tests.lab.installation import SYSTEM, PodPlace
from tests.lab.istiod import Istiod
from tests.lab.kubelet import Kubelet, PodPrograms
from tests.lab.netns import Network
from tests.lab.place import mesh_place
from tests.lab.process import Process, wait_until
from tests.lab.proxy import XDS, ProxyPrograms, start_proxy
from tests.lab.waypoint import waypoint

READY_SECONDS = 120.0
CLUSTER = LabCluster(
    name="conformance",
    trust_domain="cluster.local",
    region="eu",
    subnet="10.23",
    namespaces={},
    workloads=(),
    services=(),
)
NAMESPACES = ("gateway-conformance-mesh", "gateway-conformance-mesh-consumer")
"""Of the suite's pods."""
LACKING: Mapping[Dataplane, Sequence[str]] = {
    # Sidecars tell Services of one port apart by host names.
    "sidecar": ("MeshClusterIPMatching",),
    # A waypoint does not know where a request comes from.
    "ambient": ("MeshConsumerRoute",),
}
"""Features of the suite that Istio does not have."""
_RESULT = re.compile(r"^ {4}--- (PASS|FAIL|SKIP): Conformance/(\w+) ", re.MULTILINE)
_SUITE_SECONDS = 240.0


@dataclass(frozen=True)
class SuiteRun:
    """What a run of the suite came to; `passed` is its own verdict, by the exit code."""

    passed: bool
    results: Mapping[str, str]
    """Name of a test -> PASS, FAIL or SKIP."""
    text: str

    def tests(self, result: str) -> list[str]:
        """The tests with this result, sorted."""
        return sorted(name for name, found in self.results.items() if found == result)


class ConformanceCluster:
    """A started cluster. What the suite makes before its tests stays from one run to the next."""

    def __init__(
        self, dataplane: Dataplane, api: ApiServer, kubelet: Kubelet, suite: Path, folder: Path
    ) -> None:
        self.dataplane = dataplane
        self.api = api
        self._kubelet = kubelet
        self._suite = suite
        self._folder = folder

    def networks(self) -> set[str]:
        """The network namespaces that stand for it: its node's and those of its pods."""
        return {path.name for path in Path("/run/netns").glob(f"{self._folder.name}-*")}

    def run(
        self,
        *,
        overlay: Path | None = None,
        only: str = "",
        patience: int | None = None,
    ) -> SuiteRun:
        """Run the suite, or `only` one of its tests. Files below `overlay` stand for its own ones; `patience`
        is for how many seconds it repeats a request that does not get the right answer.
        """
        command: list[str | Path] = [self._suite, "-test.v", "-cleanup-base-resources=false"]
        command += ["-without", ",".join(LACKING[self.dataplane])]
        if self.dataplane == "ambient":
            command += ["-namespace-labels", ",".join(f"{key}={value}" for key, value in AMBIENT.items())]
        command += ["-overlay", overlay] if overlay else []
        command += ["-run-test", only] if only else []
        command += ["-timeout-config-overrides", f"MaxTimeToConsistency:{patience}"] if patience else []
        config = self.api.kubeconfig(self._folder / "suite.kubeconfig")
        done = subprocess.run(
            [str(part) for part in command],
            env={"KUBECONFIG": str(config), "PATH": os.environ.get("PATH", os.defpath)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=_SUITE_SECONDS,
            check=False,
        )
        self._kubelet.check()
        results = {match[2]: match[1] for match in _RESULT.finditer(done.stdout)}
        return SuiteRun(done.returncode == 0, results, done.stdout)


@contextlib.contextmanager
def conformance_cluster(
    binaries: Binaries, programs: ConformancePrograms, dataplane: Dataplane
) -> Iterator[ConformanceCluster]:
    """A cluster with sidecars in every pod, or in ambient with a waypoint for each of the suite's namespaces;
    it ends with the block. Raises LabError where rights lack.
    """
    with contextlib.ExitStack() as stack:
        folder, tag, mesh, istio_crds = stack.enter_context(mesh_place(binaries))
        api = stack.enter_context(
            ApiServer(binaries, name=CLUSTER.name, parent=folder, default_accounts=True)
        )
        api.install_crds([programs.crds, istio_crds])
        stack.callback(start_controllers(programs.controllers, api).kill)
        api.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": SYSTEM}})
        istiod = Istiod(mesh.istiod, mesh.pod, folder, replace(CLUSTER, dataplane=dataplane))
        stack.callback(istiod.close)
        istiod.start(api.kubeconfig(folder / "istiod.kubeconfig"))
        network = Network(tag)
        stack.callback(network.close)
        wait_until(istiod.ready, "ready istiod", READY_SECONDS)
        if dataplane == "ambient":
            api.apply([one for namespace in NAMESPACES for one in waypoint(namespace)])
        proxies = _Proxies(api, ProxyPrograms.copied(mesh, folder))
        carrying: Proxy = "ztunnel" if dataplane == "ambient" else "sidecar"
        kubelet = Kubelet(
            f"{CLUSTER.name}-1",
            api,
            programs.kubelet,
            PodPrograms(programs.echo, mesh.pod, f"{XDS}={istiod.socket}", carrying),
            network,
            folder,
            proxies.start,
        )
        stack.callback(kubelet.close)
        kubelet.start()
        yield ConformanceCluster(dataplane, api, kubelet, programs.suite, folder)


class _Proxies:
    """What carries the connections of whatever pods come."""

    def __init__(self, api: ApiServer, programs: ProxyPrograms) -> None:
        self._api = api
        self._programs = programs
        self._found: list[str] = []

    def start(self, place: PodPlace, namespace: str, folder: Path) -> Process:
        """Start that of a pod."""
        account = (place.workload.namespace, place.workload.service_account)
        return start_proxy(
            self._programs,
            namespace,
            folder,
            place,
            cluster=CLUSTER.name,
            trust_domain=CLUSTER.trust_domain,
            token=self._api.serviceaccount_token(*account, audiences=["istio-ca"]),
            root=self._root(),
        )

    def _root(self) -> str:
        """The certificate that pods trust; istiod publishes it when it is ready."""
        wait_until(self._look, "CA certificate of istiod", READY_SECONDS)
        return self._found[0]

    def _look(self) -> bool:
        if not self._found:
            found = self._api.get("v1", "ConfigMap", SYSTEM, "istio-ca-root-cert")
            self._found += [] if found is None else [str(found["data"]["root-cert.pem"])]
        return bool(self._found)
