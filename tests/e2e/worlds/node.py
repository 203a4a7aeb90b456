"""The node of a standing world: a network namespace for each pod, in it an application, and what carries its
connections.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tests.lab.apiserver import ApiServer
from tests.lab.build import MeshPrograms
from tests.lab.installation import SYSTEM, PodPlace, service_names
from tests.lab.istiod import Istiod
from tests.lab.netns import Network, inside
from tests.lab.pod import Pod
from tests.lab.process import Process, wait_until
from tests.lab.proxy import XDS, ProxyPrograms, start_proxy
from tests.worlds.drawing import CLUSTER

READY_SECONDS = 120.0
Addresses = Mapping[tuple[str, str], str]
"""(namespace, name) of a Service -> its cluster IP."""


@dataclass
class _RunningPod:
    place: PodPlace
    revision: str
    pod: Pod
    processes: list[Process] = field(default_factory=list)


class WorldNode:
    """All pods of a cluster, by their names in the lab. Close what was made."""

    def __init__(
        self,
        mesh: MeshPrograms,
        api: ApiServer,
        istiods: Mapping[str, Istiod],
        trust_domain: str,
        folder: Path,
        tag: str,
    ) -> None:
        self._mesh, self._api, self._istiods = mesh, api, istiods
        self._trust_domain, self._folder = trust_domain, folder
        self._proxies = ProxyPrograms.copied(mesh, folder)
        self._network = Network(tag)
        self._placed: dict[str, _RunningPod] = {}
        self._number = 0

    @property
    def pods(self) -> dict[str, Pod]:
        """Those that run."""
        return {name: one.pod for name, one in self._placed.items()}

    def listening_to(self, revision: str) -> list[Pod]:
        """The pods whose proxies belong to a control plane."""
        return [one.pod for one in self._placed.values() if one.pod.proxy and one.revision == revision]

    def begin(
        self, place: PodPlace, revision: str, addresses: Addresses, unseen: tuple[int, ...] = ()
    ) -> None:
        """Start a pod's application; what comes to `unseen` ports comes past its proxy."""
        workload = place.workload
        redirected = workload.proxy in ("sidecar", "ztunnel")
        hosts = service_names(workload.namespace, addresses)
        self._number += 1
        where = self._network.pod(
            f"{place.name}-{self._number}", place.ip, hosts, redirect=redirected, unseen=unseen
        )
        folder = self._folder / f"{place.name}-{self._number}"
        folder.mkdir()
        control = folder.with_suffix(".sock")
        account = (workload.namespace, workload.service_account)
        pod = Pod(place.name, *account, place.ip, where, control, workload.proxy)
        made = self._placed[place.name] = _RunningPod(place, revision, pod)
        command: list[str | Path] = [self._mesh.pod, "-name", place.name, "-control", control]
        command += ["-service-account", workload.service_account]
        command += ["-ports", ",".join(map(str, workload.ports))]
        command += ["-forward", f"{XDS}={self._istiods[revision].socket}"] if workload.proxy else []
        made.processes.append(Process(inside(where, command), folder.with_suffix(".log"), name=place.name))

    def start_proxies(self) -> None:
        """Give each pod that has begun its proxy, if it is to have one."""
        applications = [one.pod.control for one in self._placed.values()]
        wait_until(lambda: all(one.exists() for one in applications), "applications", READY_SECONDS)
        wait_until(lambda: bool(self._root()), "CA certificate of istiod", READY_SECONDS)
        for one in self._placed.values():
            if one.pod.proxy and len(one.processes) == 1:
                one.processes.append(self._start_proxy(one))

    def _start_proxy(self, one: _RunningPod) -> Process:
        account = (one.pod.namespace, one.pod.service_account)
        return start_proxy(
            self._proxies,
            one.pod.netns,
            one.pod.control.with_suffix(""),
            one.place,
            cluster=CLUSTER,
            trust_domain=self._trust_domain,
            token=self._api.serviceaccount_token(*account, audiences=["istio-ca"]),
            root=self._root(),
        )

    def _root(self) -> str:
        """The certificate that pods trust, once istiod has published it."""
        found = self._api.get("v1", "ConfigMap", SYSTEM, "istio-ca-root-cert")
        return "" if found is None else str(found["data"]["root-cert.pem"])

    def rename(self, addresses: Addresses) -> None:
        """Let all pods know Services by these addresses."""
        for one in self._placed.values():
            self._network.rename(one.pod.netns, service_names(one.pod.namespace, addresses))

    def end(self, name: str) -> None:
        """End a pod."""
        one = self._placed.pop(name)
        with contextlib.ExitStack() as stack:
            stack.callback(self._network.remove, one.pod.netns)
            for process in one.processes:
                stack.callback(process.kill)

    def close(self) -> None:
        """End everything; harmless when repeated."""
        for name in list(self._placed):
            self.end(name)
        self._network.close()
