"""A kubelet whose pods are network namespaces: for third parties' suites, which make pods and run commands in
them.

What it knows of a pod is what these suites need. An image is a program of the lab's; a probe is whether the
application and the proxy answer; `exec` goes through the lab's own program (`go/conformance/cmd/kubelet`).
"""

from __future__ import annotations

import contextlib
import itertools
import shutil
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from tests.lab.apiclient import MERGE_PATCH, LabApiError, Object
from tests.lab.apiserver import ApiServer
from tests.lab.bookshop import LabWorkload, Proxy
from tests.lab.installation import MARKS, PodPlace, service_names
from tests.lab.netns import Network, inside
from tests.lab.pod import Pod
from tests.lab.process import LabError, Process, free_ports
from tests.lab.wire import WireRequest

ECHO_IMAGE = "echo-advanced"
"""Istio's echo server, under the name that the Gateway API's suite has for it."""
PROXY_IMAGE = "proxyv2"
"""As the only container of a pod: a waypoint."""
_POLL_SECONDS = 0.2
_CHANGED_MEANWHILE = (404, 409)
"""The pod has gone or is going; the next list tells."""
# Without it the callers of a pod use no mTLS.
_LABELS: Mapping[Proxy, Mapping[str, str]] = {"sidecar": {"security.istio.io/tlsMode": "istio"}}
_APPLICATION, _ENVOY = "http://127.0.0.1:8080/", "http://127.0.0.1:15021/healthz/ready"
_ZTUNNEL = "http://127.0.0.1:15008/"
"""It answers no HTTP there, but once it is ready it does not refuse to be connected."""
_PROBES: Mapping[Proxy, Sequence[str]] = {
    "sidecar": (_APPLICATION, _ENVOY),
    "ztunnel": (_APPLICATION, _ZTUNNEL),
    "waypoint": (_ENVOY,),
}

StartProxy = Callable[[PodPlace, str, Path], Process]
"""The place of a pod, its network namespace and a new folder -> what carries its connections."""


@dataclass(frozen=True)
class PodPrograms:
    """What runs in pods: the folder of the application with its client, the lab's own program, the way to the
    control plane (ADDRESS=SOCKET), and what carries the connections of an application.
    """

    echo: Path
    pod: Path
    forward: str
    proxy: Proxy


@dataclass
class _Running:
    key: tuple[str, str]
    inner: Pod
    processes: list[Process] = field(default_factory=list)
    ready: bool = False


class Kubelet:
    """One node, for as long as it is open. Its pods end with it."""

    def __init__(
        self,
        name: str,
        api: ApiServer,
        program: Path,
        programs: PodPrograms,
        network: Network,
        folder: Path,
        start_proxy: StartProxy,
    ) -> None:
        """`name` is the node's; `folder` must be readable for everybody; addresses are those of
        10.23.0.0/16.
        """
        self._name = name
        self._api = api
        self._programs = programs
        self._network = network
        self._folder = folder
        self._start_proxy = start_proxy
        self._numbers = itertools.count(1)
        self._pods: dict[str, _Running] = {}
        self._names: Mapping[tuple[str, str], str] = {}
        self._known = folder / "exec"
        self._known.mkdir()
        self._stopped = threading.Event()
        (self._port,) = free_ports(1)
        self._server = Process(
            [program, "-port", str(self._port), "-pods", self._known, "-programs", programs.echo],
            folder / "exec.log",
            name="kubelet",
        )
        # Its processes end with the thread that starts them, so one thread does all of it.
        self._pool = ThreadPoolExecutor(1, "kubelet")
        self._work: Future[None] | None = None

    def start(self) -> None:
        """Announce the node and begin to work."""
        self._api.apply({"apiVersion": "v1", "kind": "Node", "metadata": {"name": self._name}})
        status = {
            "addresses": [{"type": "InternalIP", "address": "127.0.0.1"}],
            "daemonEndpoints": {"kubeletEndpoint": {"Port": self._port}},
            "conditions": [{"type": "Ready", "status": "True"}],
        }
        self._patch(f"/api/v1/nodes/{self._name}/status", {"status": status})
        self._work = self._pool.submit(self._run)

    def check(self) -> None:
        """Raise what has ended it, or a program of it."""
        if self._work is not None and self._work.done():
            self._work.result()
        self._server.check()

    def close(self) -> None:
        """End it and its pods; harmless when repeated."""
        self._stopped.set()
        self._pool.shutdown()
        self._server.kill()

    def _run(self) -> None:
        try:
            while not self._stopped.wait(_POLL_SECONDS):
                self._name_services()
                self._look_after(self._list("pods"))
        finally:
            for uid in list(self._pods):
                self._end(uid)

    def _list(self, resource: str) -> list[Object]:
        found: list[Object] = self._api.client.call("GET", f"/api/v1/{resource}")["items"]
        return found

    def _patch(self, path: str, body: Object) -> None:
        self._api.client.call("PATCH", path, body, content_type=MERGE_PATCH)

    def _name_services(self) -> None:
        """What the cluster's DNS would know."""
        found = {
            (one["metadata"]["namespace"], one["metadata"]["name"]): str(one["spec"].get("clusterIP", ""))
            for one in self._list("services")
        }
        names = {key: address for key, address in found.items() if address not in ("", "None")}
        if names != self._names:
            self._names = names
            for one in self._pods.values():
                self._network.rename(one.inner.netns, service_names(one.key[0], names))

    def _look_after(self, pods: Iterable[Object]) -> None:
        listed = {str(pod["metadata"]["uid"]): pod for pod in pods}
        for uid in [uid for uid in self._pods if uid not in listed]:
            self._end(uid)
        for uid, pod in listed.items():
            try:
                self._look_at(uid, pod)
            except LabApiError as error:
                if error.status not in _CHANGED_MEANWHILE:
                    raise

    def _look_at(self, uid: str, pod: Object) -> None:
        if "deletionTimestamp" in pod["metadata"]:
            self._end(uid)
            self._api.request("DELETE", _path(pod), {"gracePeriodSeconds": 0})
        elif uid not in self._pods:
            self._begin(uid, pod)
        elif not self._pods[uid].ready:
            self._probe(self._pods[uid], pod)

    def _begin(self, uid: str, pod: Object) -> None:
        meta, spec = pod["metadata"], pod["spec"]
        if not spec.get("nodeName"):
            target = {"apiVersion": "v1", "kind": "Node", "name": self._name}
            binding = {"apiVersion": "v1", "kind": "Binding", "metadata": {"name": meta["name"]}}
            self._api.client.call("POST", f"{_path(pod)}/binding", {**binding, "target": target})
        number = next(self._numbers)
        (container,) = spec["containers"]
        proxy = self._proxy_of(container["image"])
        place = _place(pod, f"10.23.{number // 200}.{number % 200 + 10}", proxy)
        hosts = service_names(meta["namespace"], self._names)
        netns = self._network.pod(f"pod{number}", place.ip, hosts, redirect=proxy != "waypoint")
        folder = self._folder / f"pod{number}"
        folder.mkdir()
        running = _Running((meta["namespace"], meta["name"]), _inner(place, netns, folder))
        self._pods[uid] = running
        running.processes.append(self._start_forward(running.inner, folder))
        if proxy != "waypoint":
            running.processes.append(self._start_echo(place, netns, folder, container))
            marks = {"labels": _LABELS.get(proxy, {}), "annotations": MARKS[proxy]}
            self._patch(_path(pod), {"metadata": marks})
        running.processes.append(self._start_proxy(place, netns, folder))
        (self._known / f"{meta['namespace']}_{meta['name']}").write_text(netns)
        self._report(running, pod)

    def _proxy_of(self, image: str) -> Proxy:
        if PROXY_IMAGE in image:
            return "waypoint"
        if ECHO_IMAGE in image:
            return self._programs.proxy
        raise LabError(f"no program for image {image}")

    def _start_forward(self, inner: Pod, folder: Path) -> Process:
        command: list[str | Path] = [self._programs.pod, "-name", inner.name]
        command += ["-service-account", inner.service_account, "-control", inner.control]
        command += ["-forward", self._programs.forward]
        return Process(inside(inner.netns, command), folder.with_suffix(".forward.log"))

    def _start_echo(self, place: PodPlace, netns: str, folder: Path, container: Object) -> Process:
        """The application says the name of its host, which is the pod's."""
        certs = self._api.ca_file.parent
        arguments = [
            # Its image has a certificate; the API server's does as well.
            str(argument)
            .replace("=/cert.crt", f"={certs / 'apiserver.crt'}")
            .replace("=/cert.key", f"={certs / 'apiserver.key'}")
            for argument in container.get("args", ())
        ]
        named = ["sh", "-c", 'echo "$0" >/proc/sys/kernel/hostname && exec "$@"', place.name]
        command: list[str | Path] = ["unshare", "--uts", *named, self._programs.echo / "server", *arguments]
        env = {"POD_NAME": place.name, "NAMESPACE": place.workload.namespace, "INSTANCE_IPS": place.ip}
        return Process(inside(netns, command), folder.with_suffix(".echo.log"), name=place.name, env=env)

    def _probe(self, running: _Running, pod: Object) -> None:
        for process in running.processes:
            process.check()
        if not running.inner.control.exists():
            return
        probes = _PROBES[running.inner.proxy]
        answers = running.inner.send([WireRequest(url, timeout=1.0) for url in probes])
        running.ready = all(
            answer.status == 200 or (url == _ZTUNNEL and answer.error != "refused")
            for url, answer in zip(probes, answers, strict=True)
        )
        if running.ready:
            self._report(running, pod)

    def _report(self, running: _Running, pod: Object) -> None:
        """Write the pod's status."""
        state = {"Initialized": True, "PodScheduled": True}
        state |= {"Ready": running.ready, "ContainersReady": running.ready}
        containers = [
            {
                "name": one["name"],
                "image": one["image"],
                "imageID": "",
                "ready": running.ready,
                "restartCount": 0,
                "state": {"running": {}},
            }
            for one in pod["spec"]["containers"]
        ]
        status = {
            "phase": "Running",
            "podIP": running.inner.ip,
            "podIPs": [{"ip": running.inner.ip}],
            "hostIP": "127.0.0.1",
            "conditions": [{"type": kind, "status": str(value)} for kind, value in state.items()],
            "containerStatuses": containers,
        }
        self._patch(f"{_path(pod)}/status", {"status": status})

    def _end(self, uid: str) -> None:
        running = self._pods.pop(uid, None)
        if running is None:
            return
        with contextlib.ExitStack() as stack:
            stack.callback(shutil.rmtree, running.inner.control.parent, ignore_errors=True)
            stack.callback(self._network.remove, running.inner.netns)
            for process in running.processes:
                stack.callback(process.kill)
        (self._known / "_".join(running.key)).unlink(missing_ok=True)


def _path(pod: Object) -> str:
    meta = pod["metadata"]
    return f"/api/v1/namespaces/{meta['namespace']}/pods/{meta['name']}"


def _place(pod: Object, address: str, proxy: Proxy) -> PodPlace:
    meta, labels = pod["metadata"], pod["metadata"]["labels"]
    account = pod["spec"].get("serviceAccountName", "default")
    workload = LabWorkload(meta["namespace"], labels["app"], account, (meta["name"],), labels, proxy=proxy)
    return PodPlace(workload, meta["name"], address)


def _inner(place: PodPlace, netns: str, folder: Path) -> Pod:
    workload = place.workload
    control = folder / "control.sock"
    return Pod(
        place.name, workload.namespace, workload.service_account, place.ip, netns, control, workload.proxy
    )
