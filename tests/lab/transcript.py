"""`python -m tests.lab.transcript`: the story on two real API servers, with every command and its output."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from tests.lab.apiserver import ApiServer
from tests.lab.build import find
from tests.lab.story import LabStory


def main() -> int:
    """Start two servers, tell the story, stop them; 3 where the lab is not built."""
    binaries = find()
    if binaries is None or binaries.istio_crds is None:
        sys.stderr.write("lab not built: run 'make lab' (5 minutes, once)\n")
        return 3
    with (
        tempfile.TemporaryDirectory() as folder,
        ApiServer(binaries, name="east") as east,
        ApiServer(binaries, name="west") as west,
    ):
        for server in (east, west):
            server.install_crds(binaries.istio_crds)
        LabStory(Path(folder), (east, west), _print).tell()
    return 0


def _print(line: str) -> None:
    sys.stdout.write(f"{line}\n")


if __name__ == "__main__":
    sys.exit(main())
