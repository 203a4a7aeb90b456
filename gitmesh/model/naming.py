"""Names of fields, snake case in Python and camel case in YAML, and how findings name meshes."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gitmesh.model.facts import Mesh

_INITIALS = {"http": "HTTP"}
"""Words that keep their capitals inside a name."""


@lru_cache(maxsize=1024)
def camel(name: str) -> str:
    """`per_try_timeout` -> `perTryTimeout`, `non_http` -> `nonHTTP`; a trailing underscore, which keeps clear
    of keywords, goes.
    """
    head, *rest = name.strip("_").split("_")
    return head + "".join(_INITIALS.get(part) or part.capitalize() for part in rest)


def mesh_label(meshes: Iterable[Mesh], among: Collection[str] = ()) -> str:
    """How a finding names the meshes of one translator that it is about: those `among` these names, and all
    of them where none is."""
    names = [mesh.name for mesh in meshes]
    return ", ".join([name for name in names if name in among] or names)
