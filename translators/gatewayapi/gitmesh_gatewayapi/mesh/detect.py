"""Where there is a mesh of the Gateway API, and which pods are in it.

Nothing in the Gateway API's standard channel says that a cluster has a mesh: routes name Services, no mesh
and no class (GEP-1294), and the resource that would tell is experimental (GEP-3949, XMesh). So the
configuration says it: `controlPlanes: {gatewayapi: [NAMESPACE]}` names the namespace of the control plane,
and none counts by itself. It is there as long as the namespace has a Deployment, or a DaemonSet.

Nor does anything say which pods it serves: by sidecars, by a proxy of their node, or without one. So it is
presumed of all pods that no other mesh knows, and whether routes are followed is told by their status.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from gitmesh.model.facts import Mesh
from gitmesh.model.objects import Body, mapping, text
from gitmesh.ports import ControlObjects, Membership, PodFact

TRANSLATOR = "gatewayapi"
HOMES: tuple[str, ...] = ()
"""A mesh that nobody knows by name has no usual place."""
NAMING: frozenset[str] = frozenset()


def configmaps(namespace: str, name: str) -> bool:  # noqa: ARG001 - the port gives both
    """None: a mesh of any kind has settings of any kind."""
    return False


def configured_by(deployment: Body) -> tuple[str, ...]:  # noqa: ARG001 - the port gives it
    """None, either."""
    return ()


def detect(objects: ControlObjects) -> tuple[Mesh, ...]:
    """The mesh whose control plane is where the configuration says."""
    places = sorted(set(_places(objects)).intersection(objects.homes))
    return tuple(
        Mesh(translator=TRANSLATOR, name=TRANSLATOR, namespace=place, root_namespace=place, presumed=True)
        # One in a cluster, since routes name no mesh.
        for place in places[:1]
    )


def _places(objects: ControlObjects) -> Iterator[str]:
    for body in (*objects.deployments, *objects.daemonsets):
        yield text(mapping(body.get("metadata")).get("namespace"))


def injects(injectors: Sequence[Body], mesh: Mesh) -> bool:  # noqa: ARG001 - the port gives both
    """Whether something puts proxies into pods; of an unknown mesh nobody knows."""
    return False


def member(
    pod: PodFact,
    namespace_labels: Mapping[str, str],  # noqa: ARG001 - the port gives them
    meshes: Sequence[Mesh],
) -> Membership | None:
    """Every pod, but those of the control plane, unless another translator knows it."""
    own = [mesh for mesh in meshes if mesh.translator == TRANSLATOR]
    # The pods of a control plane are in no mesh.
    if not own or pod.namespace == own[0].namespace:
        return None
    return Membership(mesh=own[0].name)
