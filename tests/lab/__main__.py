"""``python -m tests.lab build|find|up|mesh-up|mesh-down|forge-up|forge-down``: the lab from the command
line.
"""

# ruff: noqa: T201 - a command line prints

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import signal
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

from tests.lab import build, forgeup, meshup
from tests.lab.apiserver import ApiServer

_HELD = {
    "mesh-up": ("start the bookshop's two meshes and return when they are ready", meshup.up),
    "mesh-down": ("end what mesh-up started, and remove what killed runs have left", meshup.down),
    "mesh-run": ("what mesh-up leaves in the background: keep the meshes up until Ctrl-C", meshup.run),
    "forge-up": ("start a Gitea with a repository of policies and return when it is ready", forgeup.up),
    "forge-down": ("end what forge-up started", forgeup.down),
    "forge-run": ("what forge-up leaves in the background: keep the forge up until Ctrl-C", forgeup.run),
}


def main(arguments: list[str] | None = None) -> int:
    """Run one of the commands."""
    parser = argparse.ArgumentParser(prog="python -m tests.lab", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    make = commands.add_parser("build", help="build what the cache lacks")
    make.add_argument("--crds-only", action="store_true", help="fetch Istio's CRDs and compile nothing")
    commands.add_parser("find", help="print where the programs lie")
    up = commands.add_parser("up", help="run API servers until Ctrl-C")
    up.add_argument("--clusters", type=int, default=1, metavar="N", help="how many (default 1)")
    up.add_argument("--dir", type=Path, help="folder for the kubeconfig files (default: a new one in /tmp)")
    up.add_argument(
        "--crds", type=Path, action="append", default=[], help="install these too: file or folder"
    )
    up.add_argument("--no-istio", action="store_true", help="do not install Istio's CRDs")
    for name, (summary, _) in _HELD.items():
        commands.add_parser(name, help=summary)
    options = parser.parse_args(arguments)
    if options.command == "build":
        return build.main(crds_only=options.crds_only)
    if options.command in _HELD:
        return _HELD[options.command][1]()
    found = build.find()
    if found is None:
        print("lab: not built: run 'make lab' (5 minutes, once)", file=sys.stderr)
        return 1
    if options.command == "find":
        return _print_paths(found)
    crds = [*([] if options.no_istio or found.istio_crds is None else [found.istio_crds]), *options.crds]
    return _up(found, options.clusters, options.dir, crds)


def _print_paths(found: build.Binaries) -> int:
    mesh = dataclasses.asdict(found.mesh) if found.mesh else {}
    programs = {**dataclasses.asdict(found), **mesh, "gitea": build.find_gitea()}
    for name, path in programs.items():
        if name != "mesh":
            print(f"{name}: {path or '-'}")
    return 0


def _up(found: build.Binaries, clusters: int, folder: Path | None, crds: Iterable[Path]) -> int:
    """Run the clusters; an end by SIGTERM cleans up as Ctrl-C does."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with contextlib.ExitStack() as stack, contextlib.suppress(KeyboardInterrupt):
        if folder is None:
            made = stack.enter_context(tempfile.TemporaryDirectory(prefix="gitmesh-lab-kubeconfig-"))
            folder = Path(made)
        folder.mkdir(parents=True, exist_ok=True)
        for number in range(1, clusters + 1):
            name = f"cluster-{number}"
            server = stack.enter_context(ApiServer(found, name=name))
            for path in crds:
                server.install_crds(path)
            print(
                f"{name}: {server.url}  KUBECONFIG={server.kubeconfig(folder / f'{name}.yaml')}", flush=True
            )
        print("lab: up, Ctrl-C ends it", flush=True)
        signal.pause()
    return 0


if __name__ == "__main__":
    sys.exit(main())
