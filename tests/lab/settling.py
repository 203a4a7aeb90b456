"""When a mesh has taken up everything that its API server holds: conditions that are asked for, never a time
that is waited.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from tests.lab.apiclient import LabApiError
from tests.lab.apiserver import ApiServer
from tests.lab.bookshop import REVISION
from tests.lab.installation import VALIDATION
from tests.lab.istiod import Istiod
from tests.lab.pod import Pod
from tests.lab.process import LabError, wait_until
from tests.lab.wire import WireRequest

_CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
# The gauges of a proxy that still changes over: what warms is not used yet, what drains still serves its old
# connections.
_CHANGING = (
    "listener_manager.total_listeners_warming",
    "listener_manager.total_listeners_draining",
    "listener_manager.total_filter_chains_draining",
    "cluster_manager.warming_clusters",
)
_ROUTES = "/apis/gateway.networking.k8s.io/v1/httproutes"
_PARENTS = "internal.istio.io/parents"
"""Annotation: what an object was made of, `HTTPRoute/NAME.NAMESPACE`."""
_RECEIVED, _PUSHED, _TAKEN = (
    'pilot_inbound_updates{type="config"}',
    "pilot_debounce_time_count",
    "pilot_proxy_queue_time_count",
)
"""istiod's counters: events that ask for a push, pushes handed to all proxies, and pushes that a proxy's
connection has taken up.
"""
_STATS = WireRequest(
    "http://127.0.0.1:15000/stats?filter=^(listener_manager.total|cluster_manager.warming)", timeout=1.0
)


@dataclass
class Settling:
    """Looks at one cluster until it is settled; `pods` are those with a proxy."""

    api: ApiServer
    istiod: Istiod
    pods: Sequence[Pod]
    ambient: bool = False
    """Whether there are HTTPRoutes to wait for, too."""
    revision: str = REVISION
    """Of the control plane: it reads no object that names another one."""
    _before: Any = None

    def wait(self, timeout: float) -> None:
        """Return when the cluster is settled; LabError with the last doubt after `timeout` seconds."""
        self._before, doubts = None, ["nobody looked"]

        def done() -> bool:
            doubts[0] = self._doubt()
            return not doubts[0]

        try:
            wait_until(done, "settled mesh", timeout)
        except LabError as error:
            raise LabError(f"cluster {self.api.name}: {error}: {doubts[0]}") from error

    def _doubt(self) -> str:
        """What is still missing, the cheapest to ask first; "" for nothing."""
        self.istiod.check()
        metrics, debounced = self.istiod.metrics(), self.istiod.debounced()
        if sum(debounced) < metrics.get(_RECEIVED, 0) or len(debounced) > metrics.get(_PUSHED, 0):
            return "istiod has not pushed all that it read"
        proxies = sorted(self.istiod.debug("syncz"), key=lambda proxy: str(proxy["proxy"]))
        if len(proxies) != len(self.pods):
            return f"istiod knows {len(proxies)} proxies of {len(self.pods)}"
        waiting = [str(proxy["proxy"]) for proxy in proxies if not _acknowledged(proxy)]
        waiting = waiting or [f"{pod.name} ({doubt})" for pod in self._envoys if (doubt := _changing(pod))]
        if waiting:
            return f"not acknowledged or not in effect by {', '.join(waiting)}"
        # A push is on its way to a proxy for a moment in which nothing shows it: so, once istiod has read the
        # newest objects, all this must be found once more, and nothing moved.
        before, self._before = self._before, (debounced, metrics.get(_TAKEN), proxies)
        if before == self._before:
            return ""
        try:
            newest = self._written()
        except LabApiError as error:  # it has just come back: kinds are served one after the other
            newest = {(error.message,)}
        read, routes = self._read()
        if newest != read or routes != self._routes():
            self._before = None
            return "istiod has not read the newest objects"
        return "looked at once only"

    @property
    def _envoys(self) -> list[Pod]:
        """A ztunnel acknowledges when it works by what it was sent, and has nothing to change over."""
        return [pod for pod in self.pods if pod.proxy != "ztunnel"]

    def _written(self) -> set[tuple[str, ...]]:
        """Kind, namespace, name and version of every object of Istio's kinds in the API server."""
        listed = self.api.client.get_all(path for _, path in self._paths)
        return {
            (kind, *_version(item))
            for (kind, _), found in zip(self._paths, listed, strict=True)
            for item in found["items"]
            if item["metadata"].get("labels", {}).get("istio.io/rev", self.revision) == self.revision
        }

    def _read(self) -> tuple[set[tuple[str, ...]], set[str]]:
        """The same of what istiod works by, and the HTTPRoutes, as it names them, of which it has made more.

        What it makes of an HTTPRoute has no version.
        """
        listed = [
            item
            for item in self.istiod.debug("configz")
            if item["apiVersion"].partition("/")[0].endswith(".istio.io")
        ]
        parents = (item["metadata"].get("annotations", {}).get(_PARENTS, "") for item in listed)
        return (
            {(item["kind"], *_version(item)) for item in listed if "resourceVersion" in item["metadata"]},
            {route for text in parents for route in text.split(",") if route.startswith("HTTPRoute/")},
        )

    def _routes(self) -> set[str]:
        """The HTTPRoutes in the API server, named in the same way; one of which istiod has not said what it
        thinks as it is now, with a mark.
        """
        if not self.ambient:
            return set()
        routes = self.api.client.call("GET", _ROUTES)["items"]
        return {_route(item) + ("" if _is_judged(item) else " (new)") for item in routes}

    @cached_property
    def _paths(self) -> list[tuple[str, str]]:
        """Istio's kinds and where the API server lists them."""
        specs = [crd["spec"] for crd in self.api.client.call("GET", _CRDS)["items"]]
        return sorted(
            (
                spec["names"]["kind"],
                f"/apis/{spec['group']}/{spec['versions'][0]['name']}/{spec['names']['plural']}",
            )
            for spec in specs
            if spec["group"].endswith(".istio.io")
        )


def is_validating(api: ApiServer) -> bool:
    """Whether istiod has tried its own validation and let the API server depend on it."""
    found = api.get("admissionregistration.k8s.io/v1", "ValidatingWebhookConfiguration", "", VALIDATION)
    return found is not None and bool(found["webhooks"][0]["failurePolicy"] == "Fail")


def _changing(pod: Pod) -> str:
    """How a proxy still changes over from older rules, or that it does not answer; "" for neither."""
    answer = pod.send([_STATS])[0]
    if answer.status != 200:
        return answer.error or f"status {answer.status}"
    values = dict(line.split(": ") for line in answer.body.splitlines())
    return ", ".join(name for name in _CHANGING if values.get(name) != "0")


def _version(item: Any) -> tuple[str, str, str]:
    meta = item["metadata"]
    return meta.get("namespace", ""), meta["name"], meta["resourceVersion"]


def _route(item: Any) -> str:
    return f"HTTPRoute/{item['metadata']['name']}.{item['metadata']['namespace']}"


def _is_judged(route: Any) -> bool:
    """Whether each of its parents was judged in the route's newest generation."""
    seen = [
        condition["observedGeneration"]
        for parent in route.get("status", {}).get("parents", [])
        for condition in parent["conditions"]
    ]
    return bool(seen) and set(seen) == {route["metadata"]["generation"]}


def _acknowledged(proxy: Any) -> bool:
    """Whether a proxy of /debug/syncz has taken all that it was sent; what it refused it has not. One that
    has just connected was sent nothing yet, and then it has no `resources`."""
    resources = proxy.get("resources", {})
    return bool(resources) and all(
        resource.get("sent") == resource.get("acked") for resource in resources.values()
    )
