"""A cluster with a real mesh: API server, istiod, and pods with their proxies, for as long as somebody keeps
it open.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from pathlib import Path

from tests.lab.apiclient import MERGE_PATCH, Object
from tests.lab.apiserver import ApiServer
from tests.lab.bookshop import LabCluster
from tests.lab.build import Binaries, MeshPrograms
from tests.lab.installation import (
    SYSTEM,
    PodPlace,
    backends,
    cluster_ips,
    config_map,
    control_plane,
    pod_places,
    pod_status,
    service_names,
    world,
)
from tests.lab.istiod import Istiod
from tests.lab.netns import ClusterIpForward, Network, inside
from tests.lab.pod import Pod
from tests.lab.process import Process, wait_until
from tests.lab.proxy import XDS, ProxyPrograms, start_proxy
from tests.lab.settling import Settling, is_validating

READY_SECONDS = 180.0
"""A deadline for every wait of a start: only a failure takes that long."""
_TOKEN_SECONDS = 24 * 3600


class MeshCluster:
    """One cluster of the lab's world; `tag` begins the names of its namespaces. Close what was made, started
    or not.
    """

    def __init__(
        self, binaries: Binaries, cluster: LabCluster, folder: Path, tag: str, proxies: ProxyPrograms
    ) -> None:
        assert binaries.mesh is not None
        self.name = cluster.name
        self.trust_domain = cluster.trust_domain
        self.pods: dict[str, Pod] = {}
        self.api = ApiServer(binaries, name=cluster.name, parent=folder)
        self.istiod = Istiod(binaries.mesh.istiod, binaries.mesh.pod, folder, cluster)
        self._programs: MeshPrograms = binaries.mesh
        self._crds = binaries.istio_crds
        self._cluster = cluster
        self._folder = folder
        self._tag = f"{tag}-{cluster.name}"
        self._proxies = proxies
        self._network: Network | None = None
        self._processes: list[Process] = []

    def start(self, say: Callable[[str], None]) -> None:
        """Start everything and wait until the mesh carries traffic; `say` gets a line for each phase."""
        self.api.__enter__()
        assert self._crds is not None
        ambient = self._cluster.dataplane == "ambient"
        self.api.install_crds([self._crds, *([self._programs.gateway_crds] if ambient else [])])
        say("API server with the mesh's CRDs")
        self._apply([*control_plane(self._cluster, self.istiod.validation_url), *world(self._cluster)])
        self.istiod.start(self.api.kubeconfig(self._folder / "istiod.kubeconfig"))
        self._start_pods()
        wait_until(self.istiod.ready, "ready istiod", READY_SECONDS)
        say("istiod and applications")
        self._start_proxies()
        wait_until(self._proxies_ready, "ready proxies", READY_SECONDS)
        wait_until(lambda: is_validating(self.api), "validation by istiod", READY_SECONDS)
        self.settled(READY_SECONDS)
        say("proxies")

    def close(self) -> None:
        """End everything and remove it; harmless when repeated."""
        with contextlib.ExitStack() as stack:
            stack.callback(self.api.close)
            stack.callback(self.istiod.close)
            if self._network is not None:
                stack.callback(self._network.close)
            for process in self._processes:
                stack.callback(process.kill)

    def kubeconfig(self, path: Path) -> Path:
        """Write a kubeconfig of the cluster's admin."""
        return self.api.kubeconfig(path)

    @contextlib.contextmanager
    def configured(self, **more: object) -> Iterator[None]:
        """Other keys in MeshConfig while the block runs. What comes of them is the block's to wait for:
        `settled` knows objects only.
        """
        self._configure(more)
        try:
            yield
        finally:
            self._configure({})

    def settled(self, timeout: float = 30.0) -> None:
        """Wait until what the API server holds of Istio's kinds is what every proxy works by.

        istiod has read the newest version of every object, has pushed what came of it, every proxy has
        acknowledged all it was sent, and none still serves connections by older rules. Raises LabError after
        `timeout` seconds.
        """
        self._settling.wait(timeout)

    @cached_property
    def _settling(self) -> Settling:
        proxied = [pod for pod in self.pods.values() if pod.proxy]
        return Settling(self.api, self.istiod, proxied, self._cluster.dataplane == "ambient")

    # -- phases of the start

    def _configure(self, more: Mapping[str, object]) -> None:
        self.istiod.configure(more)
        self.api.apply([config_map(self._cluster, more)])

    def _apply(self, objects: list[Object]) -> None:
        self.api.apply(objects)
        for place in pod_places(self._cluster):
            path = self.api.client.resource_path("v1", "Pod", place.workload.namespace, place.name)
            self.api.client.call("PATCH", f"{path}/status", pod_status(place), content_type=MERGE_PATCH)

    def _start_pods(self) -> None:
        network = self._network = Network(self._tag)
        places, ips = pod_places(self._cluster), cluster_ips(self._cluster)
        for place in places:
            hosts = service_names(place.workload.namespace, ips)
            redirected = place.workload.proxy in ("sidecar", "ztunnel")
            netns = network.pod(place.name, place.ip, hosts, redirect=redirected)
            self.pods[place.name] = self._start_application(place, netns)
        network.forward(
            ClusterIpForward(
                ips[service.namespace, service.name],
                port,
                tuple(f"{place.ip}:{target}" for place in backends(service, places)),
            )
            for service in self._cluster.services
            for port, target in service.ports.values()
        )
        wait_until(
            lambda: all(pod.control.exists() for pod in self.pods.values()), "applications", READY_SECONDS
        )

    def _start_application(self, place: PodPlace, netns: str) -> Pod:
        workload = place.workload
        control = self._folder / f"{place.name}.sock"
        command: list[str | Path] = [
            self._programs.pod,
            "-name",
            place.name,
            "-service-account",
            workload.service_account,
        ]
        command += ["-control", control, "-ports", ",".join(map(str, workload.ports))]
        if workload.proxy:
            command += ["-forward", f"{XDS}={self.istiod.socket}"]
        self._processes.append(
            Process(inside(netns, command), self._folder / f"{place.name}.log", name=place.name)
        )
        return Pod(
            place.name,
            workload.namespace,
            workload.service_account,
            place.ip,
            netns,
            control,
            workload.proxy,
        )

    def _start_proxies(self) -> None:
        wait_until(lambda: self._root() is not None, "CA certificate of istiod", READY_SECONDS)
        root = self._root()
        assert root is not None
        for place in pod_places(self._cluster):
            if place.workload.proxy:
                self._start_proxy(place, root)

    def _start_proxy(self, place: PodPlace, root: str) -> None:
        workload = place.workload
        account = (workload.namespace, workload.service_account)
        token = self.api.serviceaccount_token(
            *account, expiration_seconds=_TOKEN_SECONDS, audiences=["istio-ca"]
        )
        folder = self._folder / place.name
        folder.mkdir()
        process = start_proxy(
            self._proxies,
            self.pods[place.name].netns,
            folder,
            place,
            cluster=self.name,
            trust_domain=self.trust_domain,
            token=token,
            root=root,
        )
        self._processes.append(process)

    def _root(self) -> str | None:
        """The certificate that pods trust, once istiod has published it."""
        found = self.api.get("v1", "ConfigMap", SYSTEM, "istio-ca-root-cert")
        return None if found is None else str(found["data"]["root-cert.pem"])

    def _proxies_ready(self) -> bool:
        for process in self._processes:
            process.check()
        return len(self.istiod.debug("syncz")) == sum(bool(pod.proxy) for pod in self.pods.values())
