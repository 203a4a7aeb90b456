"""A real cluster in which a world stands: an API server with a controller that makes its endpoints, istiod,
and for each of the world's pods a network namespace with what carries its connections.
"""

from __future__ import annotations

import base64
import contextlib
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from tests.e2e.worlds.written import CALLER_IP, Stood, stood
from tests.lab import netns
from tests.lab.apiclient import MERGE_PATCH
from tests.lab.apiserver import ApiServer
from tests.lab.bookshop import REVISION, LabWorkload
from tests.lab.build import Binaries, ConformancePrograms, MeshPrograms
from tests.lab.controllers import start_controllers
from tests.lab.installation import (
    SYSTEM,
    PodPlace,
    config_map,
    control_plane,
    node,
    pod_status,
    service_names,
)
from tests.lab.istiod import Istiod
from tests.lab.netns import Network, inside
from tests.lab.pod import Pod
from tests.lab.process import LabError, Process, wait_until
from tests.lab.proxy import XDS, ProxyPrograms, start_proxy
from tests.lab.settling import Settling, is_validating
from tests.worlds.drawing import CLUSTER, World

READY_SECONDS = 120.0
CALLER = "caller"
"""A pod of no workload and without a proxy: it calls as whom it likes."""
_CALLING = LabWorkload("", CALLER, "", (CALLER,), {}, proxy="")


@dataclass(frozen=True)
class StandingWorld:
    """A started cluster. `pods` by their names in the lab; `addresses` of Services; `ca`: the folder with the
    mesh's CA, with which the caller makes itself anybody.
    """

    api: ApiServer
    pods: Mapping[str, Pod]
    addresses: Mapping[tuple[str, str], str]
    ca: Path
    settlings: Sequence[Settling]
    """One for each control plane."""

    @property
    def caller(self) -> Pod:
        """Whoever is asked for."""
        return self.pods[CALLER]

    def settled(self) -> None:
        """Wait until every proxy works by what the API server holds."""
        for one in self.settlings:
            one.wait(READY_SECONDS)


@contextlib.contextmanager
def standing(binaries: Binaries, programs: ConformancePrograms, world: World) -> Iterator[StandingWorld]:
    """Bring a world up; it ends with the block. Raises LabError where rights or programs lack."""
    lacking = netns.missing_tools()
    if lacking or binaries.mesh is None or binaries.istio_crds is None:
        raise LabError(f"the mesh lab lacks {', '.join(lacking) or 'its programs: run make lab'}")
    with contextlib.ExitStack() as stack:
        netns.sweep()
        tag = netns.owner_tag()
        folder = Path(tempfile.gettempdir()) / tag
        folder.mkdir()
        folder.chmod(0o755)
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        start = _Start(binaries, binaries.mesh, programs, stood(world), folder, tag)
        yield start.started(stack)


class _Start:
    """How it is brought up, once."""

    def __init__(
        self,
        binaries: Binaries,
        mesh: MeshPrograms,
        programs: ConformancePrograms,
        tables: Stood,
        folder: Path,
        tag: str,
    ) -> None:
        self._binaries, self._mesh, self._programs = binaries, mesh, programs
        self._tables, self._folder = tables, folder
        self._api = ApiServer(binaries, name=CLUSTER, parent=folder)
        self._ambient = tables.planes[0].dataplane == "ambient"
        self._istiods = {
            one.revision: Istiod(mesh.istiod, mesh.pod, _made(folder / one.revision), one)
            for one in tables.planes
        }
        self._proxies = ProxyPrograms.copied(mesh, folder)
        self._tag = tag
        self._pods: dict[str, Pod] = {}
        self._addresses: dict[tuple[str, str], str] = {}

    def started(self, stack: contextlib.ExitStack) -> StandingWorld:
        """All of it, ready; it ends with the stack."""
        stack.enter_context(self._api)
        assert self._binaries.istio_crds is not None
        more = [self._mesh.gateway_crds] if self._ambient else []
        self._api.install_crds([self._binaries.istio_crds, *more])
        self._write_objects()
        first, *others = self._istiods.values()
        self._start_istiod(stack, first)
        controllers = start_controllers(self._programs.controllers, self._api, ["endpointslice-controller"])
        stack.callback(controllers.kill)
        network = Network(self._tag)
        stack.callback(network.close)
        for place in self._tables.pods:
            self._start_pod(stack, network, place)
        self._start_pod(stack, network, PodPlace(_CALLING, CALLER, CALLER_IP))
        wait_until(
            lambda: all(pod.control.exists() for pod in self._pods.values()), "applications", READY_SECONDS
        )
        wait_until(first.ready, "ready istiod", READY_SECONDS)
        for one in others:  # they take the CA that the first has made
            self._start_istiod(stack, one)
            wait_until(one.ready, "ready istiod", READY_SECONDS)
        wait_until(self._has_endpoints, "endpoints of all Services", READY_SECONDS)
        self._start_proxies(stack)
        settlings = [self._settling(revision) for revision in self._istiods]
        made = StandingWorld(self._api, self._pods, self._addresses, self._authority(), settlings)
        wait_until(lambda: is_validating(self._api), "validation by istiod", READY_SECONDS)
        made.settled()
        return made

    def _start_istiod(self, stack: contextlib.ExitStack, istiod: Istiod) -> None:
        stack.callback(istiod.close)
        istiod.start(self._api.kubeconfig(self._folder / "istiod.kubeconfig"), self._tables.settings)

    def _settling(self, revision: str) -> Settling:
        proxied = [one for one in self._pods.values() if one.proxy and self._revision(one.name) == revision]
        return Settling(self._api, self._istiods[revision], proxied, self._ambient, revision)

    def _revision(self, pod: str) -> str:
        return self._tables.revisions.get(pod, REVISION)

    def _write_objects(self) -> None:
        for plane in self._tables.planes:
            self._api.apply(control_plane(plane, self._istiods[plane.revision].validation_url))
            self._api.apply(config_map(plane, self._tables.settings))
        self._api.apply([node(self._tables.planes[0]), *self._tables.objects])
        for place in self._tables.pods:
            path = self._path(place)
            self._api.client.call("PATCH", f"{path}/status", pod_status(place), content_type=MERGE_PATCH)
        listed = self._api.client.call("GET", "/api/v1/services")["items"]
        for one in listed:
            address = str(one["spec"].get("clusterIP", ""))
            if address not in ("", "None"):
                self._addresses[one["metadata"]["namespace"], one["metadata"]["name"]] = address

    def _path(self, place: PodPlace) -> str:
        return self._api.client.resource_path("v1", "Pod", place.workload.namespace, place.name)

    def _has_endpoints(self) -> bool:
        """Whether the controller has made what the Services select."""
        slices = self._api.client.call("GET", "/apis/discovery.k8s.io/v1/endpointslices")["items"]
        known: dict[tuple[str, str], set[str]] = {}
        for one in slices:
            key = (one["metadata"]["namespace"], one["metadata"]["labels"]["kubernetes.io/service-name"])
            ready = (each for each in one["endpoints"] or () if each["conditions"]["ready"])
            known.setdefault(key, set()).update(each["targetRef"]["name"] for each in ready)
        return all(known.get(key, set()) == names for key, names in self._selected.items())

    @cached_property
    def _selected(self) -> dict[tuple[str, str], set[str]]:
        """Service -> the pods that it selects."""
        pods = [one for one in self._tables.objects if one["kind"] == "Pod"]
        services = [one for one in self._tables.objects if one["kind"] == "Service"]
        return {
            (one["metadata"]["namespace"], one["metadata"]["name"]): {
                pod["metadata"]["name"]
                for pod in pods
                if pod["metadata"]["namespace"] == one["metadata"]["namespace"]
                and one["spec"]["selector"].items() <= pod["metadata"]["labels"].items()
            }
            for one in services
            if one["spec"]["selector"]
        }

    def _start_pod(self, stack: contextlib.ExitStack, network: Network, place: PodPlace) -> None:
        workload = place.workload
        hosts = service_names(workload.namespace, self._addresses)
        redirected = workload.proxy in ("sidecar", "ztunnel")
        unseen = self._tables.unseen.get(place.name, ())
        made = network.pod(place.name, place.ip, hosts, redirect=redirected, unseen=unseen)
        self._start_application(stack, made, place)

    def _start_application(self, stack: contextlib.ExitStack, namespace: str, place: PodPlace) -> None:
        workload = place.workload
        control = self._folder / f"{place.name}.sock"
        command: list[str | Path] = [self._mesh.pod, "-name", place.name, "-control", control]
        command += ["-service-account", workload.service_account]
        command += ["-ports", ",".join(map(str, workload.ports))]
        if workload.proxy:
            command += ["-forward", f"{XDS}={self._istiods[self._revision(place.name)].socket}"]
        log = self._folder / f"{place.name}.log"
        stack.callback(Process(inside(namespace, command), log, name=place.name).kill)
        account = (workload.namespace, workload.service_account)
        self._pods[place.name] = Pod(place.name, *account, place.ip, namespace, control, workload.proxy)

    def _start_proxies(self, stack: contextlib.ExitStack) -> None:
        wait_until(lambda: bool(self._root()), "CA certificate of istiod", READY_SECONDS)
        for place in self._tables.pods:
            if not place.workload.proxy:
                continue
            account = (place.workload.namespace, place.workload.service_account)
            folder = _made(self._folder / place.name)
            process = start_proxy(
                self._proxies,
                self._pods[place.name].netns,
                folder,
                place,
                cluster=CLUSTER,
                trust_domain=self._tables.planes[0].trust_domain,
                token=self._api.serviceaccount_token(*account, audiences=["istio-ca"]),
                root=self._root(),
            )
            stack.callback(process.kill)

    def _authority(self) -> Path:
        """The mesh's CA, as istiod keeps it."""
        folder = _made(self._folder / "ca")
        secret = self._api.get("v1", "Secret", SYSTEM, "istio-ca-secret")
        assert secret is not None
        for name in ("ca-cert.pem", "ca-key.pem"):
            (folder / name).write_bytes(base64.b64decode(secret["data"][name]))
        return folder

    def _root(self) -> str:
        """The certificate that pods trust, once istiod has published it."""
        found = self._api.get("v1", "ConfigMap", SYSTEM, "istio-ca-root-cert")
        return "" if found is None else str(found["data"]["root-cert.pem"])


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder
