"""Telling what GitMesh wrote on a branch from what people did, by the content alone. Pure.

Branches of every version are recognised: the files have named their kind and what they are about from the first on.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

_INSTANCE = re.compile(r'^instance: "?([a-z0-9-]{1,63})"?$', re.MULTILINE)
_FOLDER_KINDS: Mapping[str, tuple[str, str]] = {
    "policies": ("PolicyStatus", "policy"),
    "clusters": ("ClusterStatus", "cluster"),
    "facts": ("Facts", ""),
}
"""Folder -> kind of its files, and the field that repeats the path ("" = none)."""


def instance_of(status: bytes) -> str:
    """The instance that a `status.yaml` shows; "" for a file that is none of GitMesh's."""
    text = status.decode(errors="replace")
    found = _INSTANCE.search(text)
    return found[1] if found and _is(text, "Status") else ""


def may_be_ours(path: str) -> bool:
    """Whether a file of ours can stand at this path, besides those that always stand there."""
    folder, _, rest = path.partition("/")
    return folder in _FOLDER_KINDS and rest.endswith(".yaml")


def is_ours(path: str, content: bytes) -> bool:
    """Whether a file at such a path is one of ours: it has the kind that stands there and names itself as the path does."""
    folder, _, rest = path.removesuffix(".yaml").partition("/")
    kind, field = _FOLDER_KINDS[folder]
    text = content.decode(errors="replace")
    return _is(text, kind) and (not field or bool(re.search(rf'^{field}: "?{re.escape(rest)}"?$', text, re.MULTILINE)))


def _is(text: str, kind: str) -> bool:
    return bool(re.match(rf"apiVersion: gitmesh\.io/\w+\nkind: {kind}\n", text))
