"""Builds the lab's programs once into a cache folder, and finds them afterwards.

``python -m tests.lab.build`` compiles kube-apiserver, kubectl and etcd from their Go modules and fetches
Istio's CRDs. Every module has a cache folder of its own, named by a hash of what it is built from and by the
Go version, so a second run builds nothing and a change in one module rebuilds only that one.
"""

# ruff: noqa: T201 - a command line prints

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

GO_DIR = Path(__file__).resolve().parent / "go"
KUBERNETES_VERSION = "v1.36.3"
ISTIO_CRDS_FILE = "manifests/charts/base/files/crd-all.gen.yaml"
HEARTBEAT_SECONDS = 20.0


class BuildError(RuntimeError):
    """The lab could not be built; the message says what to do about it."""


@dataclass(frozen=True)
class Binaries:
    """Where the lab's programs lie; kubectl and Istio's CRDs may be missing."""

    apiserver: Path
    etcd: Path
    kubectl: Path | None
    istio_crds: Path | None


@dataclass(frozen=True)
class Module:
    """One Go module of the lab: what it builds, or (without packages) the one file it only fetches."""

    name: str
    outputs: tuple[str, ...]
    packages: tuple[str, ...] = ()
    ldflags: str = "-s -w"
    fetch: tuple[str, str] | None = None
    hint: str = ""

    @property
    def source(self) -> Path:
        """The folder with the module's go.mod."""
        return GO_DIR / self.name


def _kubernetes_ldflags() -> str:
    """Without these the server calls itself v0.0.0 and clients misjudge what it can do."""
    major, minor, _ = KUBERNETES_VERSION.removeprefix("v").split(".")
    values = {"gitVersion": KUBERNETES_VERSION, "gitMajor": major, "gitMinor": minor}
    return " ".join(["-s -w", *(f"-X k8s.io/component-base/version.{k}={v}" for k, v in values.items())])


KUBERNETES = Module(
    name="kubernetes",
    outputs=("kube-apiserver", "kubectl"),
    packages=("./cmd/kube-apiserver", "./cmd/kubectl"),
    ldflags=_kubernetes_ldflags(),
    hint="about 5 minutes on 2 cores, once",
)
ETCD = Module(name="etcd", outputs=("etcd",), packages=(".",), hint="about half a minute, once")
ISTIO = Module(
    name="istio",
    outputs=("istio-crds.yaml",),
    fetch=("istio.io/istio", ISTIO_CRDS_FILE),
    hint="a download of seconds",
)
MODULES = (ISTIO, ETCD, KUBERNETES)


def cache_root() -> Path:
    """The folder that holds every build of the lab on this machine."""
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "gitmesh-lab"


def find() -> Binaries | None:
    """The programs to use: KUBEBUILDER_ASSETS, then one folder of PATH, then the cache. Never builds."""
    crds = _cached(ISTIO)
    istio_crds = crds / ISTIO.outputs[0] if crds else None
    for folder in _candidate_folders():
        if _executable(folder / "kube-apiserver") and _executable(folder / "etcd"):
            kubectl = folder / "kubectl"
            return Binaries(
                apiserver=folder / "kube-apiserver",
                etcd=folder / "etcd",
                kubectl=kubectl if _executable(kubectl) else None,
                istio_crds=istio_crds,
            )
    kubernetes, etcd = _cached(KUBERNETES), _cached(ETCD)
    if kubernetes is None or etcd is None:
        return None
    return Binaries(kubernetes / "kube-apiserver", etcd / "etcd", kubernetes / "kubectl", istio_crds)


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


def _source_hash(module: Module) -> str:
    """A hash over all that decides what is built, but for the Go version."""
    digest = hashlib.sha256(repr((module.packages, module.ldflags, module.fetch)).encode())
    for path in sorted(module.source.rglob("*")):
        if path.name in ("go.mod", "go.sum") or path.suffix == ".go":
            digest.update(f"\0{path.relative_to(module.source)}\0".encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def _cached(module: Module) -> Path | None:
    """The newest build of this source with any Go version: to run it no Go is needed."""
    folders = [
        folder
        for folder in cache_root().glob(f"{module.name}-{_source_hash(module)}-*")
        if all((folder / name).is_file() for name in module.outputs)
    ]
    return max(folders, key=lambda folder: folder.stat().st_mtime, default=None)


def ensure(module: Module) -> None:
    """Build one module unless its folder is there; one builder at a time, and complete folders only."""
    root = cache_root()
    target = root / f"{module.name}-{_source_hash(module)}-{_go_version(module)}"
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
            _fetch(module, out) if module.fetch else _compile(module, out)
            out.rename(target)
        _say(f"{module.name}: done after {time.monotonic() - started:.0f} s")


def _compile(module: Module, out: Path) -> None:
    """Run go build, with a sign of life, as the command itself is silent for minutes."""
    options = ["-trimpath", "-ldflags", module.ldflags, "-o", f"{out}{os.sep}"]
    command = ["go", "build", *options, *module.packages]
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
    """Copy one file out of a module that is downloaded (and checked against go.sum), not compiled."""
    assert module.fetch is not None
    name, inner = module.fetch
    done = subprocess.run(
        ["go", "mod", "download", "-json", name],
        cwd=module.source,
        env=_go_env(),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise BuildError(f"go mod download of {name} failed: {done.stderr.strip() or done.stdout.strip()}")
    shutil.copyfile(Path(json.loads(done.stdout)["Dir"]) / inner, out / module.outputs[0])


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
