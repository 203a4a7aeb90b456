"""Which control planes read an object: with the label `istio.io/rev` that of the revision alone, else all
(pkg/config, LabelsInRevisionOrTags).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from gitmesh.model.facts import Mesh
from gitmesh_istio.kinds import DEFAULT_REVISION, REVISION


def readers(labels: Mapping[str, object], meshes: Sequence[Mesh]) -> tuple[str, ...]:
    """The names of the meshes that read an object with these labels, where these are not all of them; ()
    stands for all, as in `Stranger.meshes`."""
    asked = labels.get(REVISION)
    found = tuple(mesh.name for mesh in meshes if (mesh.revision or DEFAULT_REVISION) == asked)
    # A name that no control plane has may be a tag of any of them, which no fact tells: what may be read
    # counts as read.
    return found if len(found) < len(meshes) else ()


def share_a_reader(one: tuple[str, ...], other: tuple[str, ...]) -> bool:
    """Whether some mesh reads both of two objects."""
    return not one or not other or not set(one).isdisjoint(other)
