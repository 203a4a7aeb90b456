"""Where a mesh of the lab stands: a folder and a name for its network namespaces, both gone with it."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from tests.lab import netns
from tests.lab.build import Binaries, MeshPrograms
from tests.lab.process import LabError


class MeshPlace(NamedTuple):
    """`folder` has the files of a run, `tag` begins the names of its network namespaces; `mesh` and
    `istio_crds` are there for certain.
    """

    folder: Path
    tag: str
    mesh: MeshPrograms
    istio_crds: Path


@contextlib.contextmanager
def mesh_place(binaries: Binaries) -> Iterator[MeshPlace]:
    """A place for the block; what killed runs have left is removed first. Raises LabError where programs or
    rights are missing.
    """
    lacking = netns.missing_tools()
    if lacking or binaries.mesh is None or binaries.istio_crds is None:
        raise LabError(f"the mesh lab lacks {', '.join(lacking) or 'its programs: run make lab'}")
    netns.sweep()
    tag = netns.owner_tag()
    folder = Path(tempfile.gettempdir()) / tag
    folder.mkdir()
    # The proxies' user must be able to look into it.
    folder.chmod(0o755)
    try:
        yield MeshPlace(folder, tag, binaries.mesh, binaries.istio_crds)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
