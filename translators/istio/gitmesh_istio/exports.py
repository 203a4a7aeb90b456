"""To whom VirtualServices and DestinationRules are shown: `exportTo`, and MeshConfig's default for objects
without (istio.io, 'Global Mesh Options', defaultVirtualServiceExportTo).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from gitmesh.model.facts import Mesh
from gitmesh.model.strangers import EVERYBODY
from gitmesh_istio.kinds import DESTINATION_RULE, EXPORTS

_OWN = "."
_NOBODY = "~"


def shown_to(
    kind: str, spec: Mapping[str, object], namespace: str, meshes: Sequence[Mesh]
) -> tuple[str, ...]:
    """The namespaces whose clients see an object, EVERYBODY for all; of revisions that differ in their
    default, all that any shows it to.
    """
    # It acts on clients in its own namespace alone, whatever exportTo says (destination_rule.proto,
    # `workload_selector`).
    if kind == DESTINATION_RULE.kind and spec.get("workloadSelector"):
        return (namespace,)
    given = spec.get("exportTo")
    words = [word for word in given if isinstance(word, str)] if isinstance(given, list) else []
    found = {namespace if word == _OWN else word for word in words or _defaults(kind, meshes)} - {_NOBODY}
    return (EVERYBODY,) if EVERYBODY in found else tuple(sorted(found))


def _defaults(kind: str, meshes: Sequence[Mesh]) -> set[str]:
    """Of DestinationRules istiod honours only `.` and `*` as default."""
    settings = [mesh.settings.get(EXPORTS[kind], EVERYBODY).split(",") for mesh in meshes] or [[EVERYBODY]]
    if kind == DESTINATION_RULE.kind:
        return {_OWN if _OWN in words else EVERYBODY for words in settings}
    return {word for words in settings for word in words}
