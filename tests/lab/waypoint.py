"""A waypoint for a cluster with controllers: what istiod would deploy for a Gateway of its class, if it had
the templates of an installation.
"""

from __future__ import annotations

from tests.lab.apiclient import Object
from tests.lab.bookshop import AMBIENT, GATEWAY_NAME, HBONE_PORT, WAYPOINT
from tests.lab.installation import ISTIO_VERSION, waypoint_gateway


def waypoint(namespace: str) -> list[Object]:
    """A namespace in ambient, and the waypoint that its Services are bound to."""
    meta = {"name": WAYPOINT, "namespace": namespace}
    labels = {"app": WAYPOINT, GATEWAY_NAME: WAYPOINT}
    container = {
        "name": "istio-proxy",
        "image": f"docker.io/istio/proxyv2:{ISTIO_VERSION}",
        "args": ["proxy", "waypoint"],
    }
    pod = {"serviceAccountName": WAYPOINT, "containers": [container]}
    port = {"name": "mesh", "port": HBONE_PORT, "appProtocol": "hbone"}
    return [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace, "labels": AMBIENT}},
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": meta},
        waypoint_gateway(namespace),
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {**meta, "labels": labels},
            "spec": {
                "selector": {"matchLabels": labels},
                "template": {"metadata": {"labels": labels}, "spec": pod},
            },
        },
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {**meta, "labels": labels},
            "spec": {"selector": labels, "ports": [port]},
        },
    ]
