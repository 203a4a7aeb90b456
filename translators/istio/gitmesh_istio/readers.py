"""Which control planes read an object: with the label `istio.io/rev` that of the revision alone, else all
(pkg/config, LabelsInRevisionOrTags).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from gitmesh.model.facts import Mesh
from gitmesh.model.objects import Body, mapping, text
from gitmesh_istio.kinds import DEFAULT_REVISION, REVISION, TAG, TAGS


def tags(injectors: Iterable[Body], revision: str) -> dict[str, str]:
    """What Mesh.settings says of the tags of a revision."""
    labels = [mapping(mapping(one.get("metadata")).get("labels")) for one in injectors]
    found = {text(one.get(TAG)) for one in labels if one.get(REVISION) == revision} - {"", revision}
    return {TAGS: ",".join(sorted(found))} if found else {}


def names_of(mesh: Mesh) -> tuple[str, ...]:
    """The revision of a mesh, and its tags."""
    return (mesh.revision or DEFAULT_REVISION, *filter(None, mesh.settings.get(TAGS, "").split(",")))


def readers(labels: Mapping[str, object], meshes: Sequence[Mesh]) -> tuple[str, ...]:
    """The names of the meshes that read an object with these labels, where these are not all of them; ()
    stands for all, as in `Stranger.meshes`."""
    asked = labels.get(REVISION)
    found = tuple(mesh.name for mesh in meshes if asked in names_of(mesh))
    # A name that no control plane has may be a tag that no fact tells of: what may be read counts as read.
    return found if len(found) < len(meshes) else ()


def share_a_reader(one: tuple[str, ...], other: tuple[str, ...]) -> bool:
    """Whether some mesh reads both of two objects."""
    return not one or not other or not set(one).isdisjoint(other)
