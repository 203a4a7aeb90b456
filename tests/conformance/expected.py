"""What of the suite is said in our policies, and what is not."""

from __future__ import annotations

from collections.abc import Mapping

from tests.lab.bookshop import Dataplane

ROUTES = 20
"""Files with routes for meshes in the suite."""
UNSAID: Mapping[Dataplane, Mapping[str, str]] = {
    "sidecar": {},
    "ambient": {
        "tests/mesh/mesh-consumer-route.yaml": (
            "GM301 HTTPRoutes of a Service hold for every client: `sources` cannot be expressed"
        )
    },
}
"""Data plane that we write for (VirtualServices for sidecars, HTTPRoutes for ambient's waypoints) -> files of
the suite whose routes are not ours, and why. The suite's own stay in their place.
"""
