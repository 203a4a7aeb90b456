"""A real cluster in which a world stands, and then the next one of its history: an API server with a
controller that makes its endpoints, istiod, and a node with the world's pods.
"""

from __future__ import annotations

import base64
import contextlib
from collections.abc import Iterable, Iterator
from functools import cached_property
from pathlib import Path

from tests.e2e.worlds.node import READY_SECONDS, WorldNode
from tests.e2e.worlds.written import CALLER_IP, SUBNET, Stood, stood
from tests.lab.apiclient import MERGE_PATCH, Object
from tests.lab.apiserver import ApiServer
from tests.lab.bookshop import REVISION, LabWorkload
from tests.lab.build import Binaries, ConformancePrograms, MeshPrograms
from tests.lab.controllers import start_controllers
from tests.lab.installation import SYSTEM, PodPlace, config_map, control_plane, node, pod_status
from tests.lab.istiod import Istiod
from tests.lab.place import mesh_place
from tests.lab.pod import Pod
from tests.lab.process import wait_until
from tests.lab.settling import Settling, is_validating
from tests.worlds.drawing import CLUSTER, World

CALLER = "caller"
"""A pod of no workload and without a proxy: it calls as whom it likes."""
_CALLING = LabWorkload("", CALLER, "", (CALLER,), {}, proxy="")
_SLICES = "/apis/discovery.k8s.io/v1/endpointslices"
_FIXED = frozenset({"Pod", "Service"})
"""Kinds of which an object that is to be otherwise comes anew."""
_FIRST_ADDRESS = 10
Key = tuple[str, str, str, str]
"""apiVersion, kind, namespace, name."""


@contextlib.contextmanager
def standing(binaries: Binaries, programs: ConformancePrograms, world: World) -> Iterator[StandingWorld]:
    """Bring a world up; it ends with the block. Raises LabError where rights or programs lack."""
    with contextlib.ExitStack() as stack:
        folder, tag, mesh, istio_crds = stack.enter_context(mesh_place(binaries))
        api = stack.enter_context(ApiServer(binaries, name=CLUSTER, parent=folder))
        tables = stood(world)
        more = [mesh.gateway_crds] if tables.ambient else []
        api.install_crds([istio_crds, *more])
        made = StandingWorld(api, mesh, tables, folder, tag)
        stack.callback(made.close)
        stack.callback(start_controllers(programs.controllers, api, ["endpointslice-controller"]).kill)
        made.start(tables)
        yield made


class StandingWorld:
    """A started cluster. `become` is what happens to it next."""

    def __init__(self, api: ApiServer, mesh: MeshPrograms, tables: Stood, folder: Path, tag: str) -> None:
        self.api = api
        self.addresses: dict[tuple[str, str], str] = {}
        """Of the Services that have one."""
        self._folder = folder
        self._istiods = {
            one.revision: Istiod(mesh.istiod, mesh.pod, _made(folder / one.revision), one)
            for one in tables.planes
        }
        trust_domain = tables.planes[0].trust_domain
        self._node = WorldNode(mesh, api, self._istiods, trust_domain, folder, tag)
        self._ambient = tables.ambient
        self._objects: dict[Key, Object] = {}
        self._number = _FIRST_ADDRESS

    @property
    def pods(self) -> dict[str, Pod]:
        """By their names in the lab."""
        return self._node.pods

    @property
    def caller(self) -> Pod:
        """Whoever is asked for."""
        return self.pods[CALLER]

    @cached_property
    def ca(self) -> Path:
        """The folder with the mesh's CA, as istiod keeps it: with it the caller makes itself anybody."""
        folder = _made(self._folder / "ca")
        secret = self.api.get("v1", "Secret", SYSTEM, "istio-ca-secret")
        assert secret is not None
        for name in ("ca-cert.pem", "ca-key.pem"):
            (folder / name).write_bytes(base64.b64decode(secret["data"][name]))
        return folder

    def start(self, tables: Stood) -> None:
        """Start the control planes and bring the first world up."""
        for plane in tables.planes:
            self.api.apply(control_plane(plane, self._istiods[plane.revision].validation_url))
            self.api.apply(config_map(plane, tables.settings))
        self.api.apply([node(tables.planes[0])])
        self._node.begin(PodPlace(_CALLING, CALLER, CALLER_IP), REVISION, {})
        config = self.api.kubeconfig(self._folder / "istiod.kubeconfig")
        for number, istiod in enumerate(self._istiods.values()):
            istiod.start(config, tables.settings)
            if number == 0:
                self._write(tables)
            wait_until(istiod.ready, "ready istiod", READY_SECONDS)  # the next one takes its CA
        self._run(tables)
        wait_until(lambda: is_validating(self.api), "validation by istiod", READY_SECONDS)
        self.settled()

    def become(self, world: World) -> None:
        """Let the next world of the history stand in the place of the one before."""
        tables = stood(world)
        self._write(tables)
        self._run(tables)
        self.settled()

    def settled(self) -> None:
        """Wait until every proxy works by what the API server holds."""
        for revision, istiod in self._istiods.items():
            pods = self._node.listening_to(revision)
            Settling(self.api, istiod, pods, self._ambient, revision).wait(READY_SECONDS)

    def close(self) -> None:
        """End everything but the API server."""
        with contextlib.ExitStack() as stack:
            for istiod in self._istiods.values():
                stack.callback(istiod.close)
            stack.callback(self._node.close)

    def _write(self, tables: Stood) -> None:
        """Write what is new or otherwise, and delete what is no more; pods that come anew begin."""
        wanted = {_key(one): one for one in tables.objects}
        anew = {key for key, one in wanted.items() if self._objects.get(key) != one}
        gone = [key for key in self._objects if key not in wanted or (key in anew and key[1] in _FIXED)]
        for key in gone:
            self._delete(key)
        self.api.apply([one for key, one in wanted.items() if key in anew])
        self._objects = wanted
        self.addresses = dict(self._cluster_ips())
        self._node.rename(self.addresses)
        for workload in tables.workloads:
            if ("v1", "Pod", workload.namespace, workload.pods[0]) in anew:
                self._begin(workload, tables)

    def _delete(self, key: Key) -> None:
        client = self.api.client
        client.call("DELETE", client.resource_path(*key), {"gracePeriodSeconds": 0})
        _, kind, namespace, name = key
        if kind == "Pod":
            self._node.end(name)
        if kind == "Service":  # nothing collects what it owned
            for one in self._slices():
                if _service_of(one) == (namespace, name):
                    own = one["metadata"]["name"]
                    client.call(
                        "DELETE",
                        client.resource_path("discovery.k8s.io/v1", "EndpointSlice", namespace, own),
                    )

    def _begin(self, workload: LabWorkload, tables: Stood) -> None:
        place = PodPlace(workload, workload.pods[0], f"{SUBNET}.0.{self._number}")
        self._number += 1
        path = self.api.client.resource_path("v1", "Pod", workload.namespace, place.name)
        self.api.client.call("PATCH", f"{path}/status", pod_status(place), content_type=MERGE_PATCH)
        revision = tables.revisions.get(place.name, REVISION)
        self._node.begin(place, revision, self.addresses, tables.unseen.get(place.name, ()))

    def _run(self, tables: Stood) -> None:
        pods = self.pods
        selected = dict(_selected(tables.objects))
        wanted = {service: {pods[name].ip for name in names} for service, names in selected.items()}
        wait_until(lambda: self._endpoints() == wanted, "endpoints of all Services", READY_SECONDS)
        self._node.start_proxies()

    def _cluster_ips(self) -> Iterator[tuple[tuple[str, str], str]]:
        for one in self.api.client.call("GET", "/api/v1/services")["items"]:
            address = str(one["spec"].get("clusterIP", ""))
            if address not in ("", "None"):
                yield (one["metadata"]["namespace"], one["metadata"]["name"]), address

    def _slices(self) -> list[Object]:
        found: list[Object] = self.api.client.call("GET", _SLICES)["items"]
        return [one for one in found if one["metadata"]["namespace"] != "default"]

    def _endpoints(self) -> dict[tuple[str, str], set[str]]:
        """Service -> the addresses that the controller has found for it, those that have some."""
        known: dict[tuple[str, str], set[str]] = {}
        for one in self._slices():
            for each in one["endpoints"] or ():
                known.setdefault(_service_of(one), set()).update(each["addresses"])
        return known


def _key(body: Object) -> Key:
    meta = body["metadata"]
    return body["apiVersion"], body["kind"], meta.get("namespace", ""), meta["name"]


def _service_of(endpoint_slice: Object) -> tuple[str, str]:
    meta = endpoint_slice["metadata"]
    return meta["namespace"], meta["labels"]["kubernetes.io/service-name"]


def _selected(objects: Iterable[Object]) -> Iterator[tuple[tuple[str, str], set[str]]]:
    """Service -> the pods that it selects, those that select some."""
    bodies = list(objects)
    pods = [one for one in bodies if one["kind"] == "Pod"]
    for one in bodies:
        selector = one["spec"]["selector"] if one["kind"] == "Service" else {}
        place = one["metadata"].get("namespace", "")
        found = {
            pod["metadata"]["name"]
            for pod in pods
            if pod["metadata"]["namespace"] == place and selector.items() <= pod["metadata"]["labels"].items()
        }
        if selector and found:
            yield (place, one["metadata"]["name"]), found


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder
