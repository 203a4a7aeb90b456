"""Telling what GitMesh wrote on a branch from what people did, by the content alone. Pure.

Branches of every version are recognised: the files have named their kind and what they are about from the
first on.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

_KINDS: Mapping[str, tuple[str, str]] = {
    "policies": ("PolicyStatus", "policy"),
    "clusters": ("ClusterStatus", "cluster"),
    "facts": ("Facts", ""),
}
"""Folder -> kind of its files, and the field that repeats the path ("" = none)."""


def instance_of(status: bytes) -> str:
    """The instance that a `status.yaml` shows; "" for a file that is none of GitMesh's."""
    text = status.decode(errors="replace")
    return _value(text, "instance") if _is(text, "Status") else ""


def may_be_ours(path: str) -> bool:
    """Whether a file of ours can stand at this path, besides those that always stand there."""
    folder, _, rest = path.partition("/")
    return folder in _KINDS and rest.endswith(".yaml")


def are_facts(paths: Iterable[str]) -> bool:
    """Whether all of these files of ours tell what was discovered, and none how policies and clusters
    stand.
    """
    return all(path.startswith("facts/") for path in paths)


def is_ours(path: str, content: bytes) -> bool:
    """Whether a file at such a path is one of ours: it has the kind that stands there and names itself as the
    path does.
    """
    folder, _, name = path.removesuffix(".yaml").partition("/")
    kind, field = _KINDS[folder]
    text = content.decode(errors="replace")
    return _is(text, kind) and (not field or _value(text, field) == name)


def _is(text: str, kind: str) -> bool:
    # In any version of the group: what an older release wrote is ours as well.
    return _value(text, "apiVersion").startswith("gitmesh.io/") and _value(text, "kind") == kind


def _value(text: str, field: str) -> str:
    """A field of the document's top level, as `yaml_text` writes it or a person would; "" if it is not
    there.
    """
    found = re.search(rf"""^{field}:[ ]+(["']?)([^\s"'#]+)\1[ \r]*$""", text, re.MULTILINE)
    return found[2] if found else ""
