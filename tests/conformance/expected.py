"""What of the suite is said in our policies, and what is not."""

from __future__ import annotations

from collections.abc import Mapping

from tests.conformance.cluster import Mode

ROUTES = 20
"""Files with routes for meshes in the suite."""
UNSAID: Mapping[Mode, Mapping[str, str]] = {
    "sidecars": {},
    "waypoint": {
        "tests/mesh/mesh-consumer-route.yaml": (
            "GM301 HTTPRoutes of a Service hold for every client: `sources` cannot be expressed"
        )
    },
}
"""What we write for each kind of mesh (VirtualServices for sidecars, HTTPRoutes for waypoints; sidecars read
both) -> files of the suite whose routes are not ours, and why. The suite's own stay in their place.
"""
