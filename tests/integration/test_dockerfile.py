"""The Dockerfile without a container engine: the steps of its build stage are run as uid 65532, and what they
make is used.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from gitmesh import __version__
from tests.lab.fixtures import not_available

ROOT = Path(__file__).parents[2]
UID = 65532
_INSTRUCTION = re.compile(r"^(ARG|FROM|WORKDIR|COPY|RUN|ENV|USER|EXPOSE|ENTRYPOINT|CMD)\s+(.*)$")


def instructions(text: str) -> list[tuple[str, str]]:
    """(instruction, arguments) in order, continued lines joined. Any other instruction is an error here."""
    joined = re.sub(r"\\\n", " ", "\n".join(line for line in text.splitlines() if not line.startswith("#")))
    found = [_INSTRUCTION.match(line) for line in joined.splitlines() if line.strip()]
    assert all(found), "an instruction that this test does not know"
    return [(match[1], match[2].strip()) for match in found if match]


def stages() -> list[list[tuple[str, str]]]:
    """The instructions of each stage, its FROM first."""
    found: list[list[tuple[str, str]]] = []
    for name, arguments in instructions((ROOT / "Dockerfile").read_text(encoding="utf-8")):
        if name == "FROM":
            found.append([])
        if found:
            found[-1].append((name, arguments))
    return found


@dataclass(frozen=True)
class Image:
    """Folders in place of the image's: `/opt`, `/src` and `/tmp` lie below `root`."""

    root: Path

    def place(self, text: str) -> str:
        """A text of the Dockerfile with the image's absolute paths moved below `root`."""
        return re.sub(
            r"(?<![\w./-])/(opt|src|tmp|var)(?=/|\b)", lambda found: f"{self.root}/{found[1]}", text
        )

    @property
    def path(self) -> str:
        """The base image's Python first."""
        return f"{self.root}/usr/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

    def base(self) -> None:
        """Python, copied from the one that runs this test: it may lie where only its owner can look."""
        prefix, version = Path(sys.base_prefix), f"python{sys.version_info.major}.{sys.version_info.minor}"
        ignored = shutil.ignore_patterns(
            "site-packages", "test", "tests", "__pycache__", "idlelib", "config-*"
        )
        shutil.copytree(
            prefix / "lib" / version, self.root / "usr/lib" / version, ignore=ignored, symlinks=True
        )
        (self.root / "usr/bin").mkdir()
        shutil.copy(prefix / "bin" / version, self.root / "usr/bin/python3")
        (self.root / "usr/bin/python").symlink_to("python3")
        for library in (prefix / "lib").glob(f"lib{version}.so*"):
            shutil.copy(library, self.root / "usr/lib")

    def build(self) -> None:
        """The steps of the build stage."""
        here = self.root
        for name, arguments in stages()[0]:
            if name == "WORKDIR":
                here = Path(self.place(arguments))
                self.run(["mkdir", "-p", str(here)], self.root)
            elif name == "COPY":
                *sources, target = shlex.split(arguments)
                for source in sources:
                    self.copy(source, here / target)
            elif name == "RUN":
                self.run(["sh", "-ec", self.place(arguments)], here)

    def copy(self, source: str, target: Path) -> None:
        """COPY: a folder's content goes into the target; what .dockerignore leaves out is not in the
        context.
        """
        origin = ROOT / source
        if origin.is_dir():
            shutil.copytree(origin, target, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
        else:
            target = (
                target / origin.name
                if target.is_dir() or str(target).endswith("/") or source.startswith("requirements/")
                else target
            )
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(origin, target)
        for path in (target, *target.rglob("*")) if target.is_dir() else (target.parent, target):
            os.chown(path, UID, UID)

    def run(
        self, command: list[str], folder: Path, env: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run as uid 65532 without any other group."""
        given = {
            key: value
            for key, value in os.environ.items()
            if key.startswith(("PIP_", "SSL_")) or key.lower().endswith("_proxy")
        }
        home = {
            "HOME": str(self.root / "home"),
            "PATH": self.path,
            "TMPDIR": str(self.root / "tmp"),
            "LC_ALL": "C.UTF-8",
        }
        home["LD_LIBRARY_PATH"] = str(self.root / "usr/lib")
        done = subprocess.run(
            command,
            cwd=folder,
            env={**given, **home, **(env or {})},
            user=UID,
            group=UID,
            extra_groups=[],
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == 0, f"{command}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
        return done


@pytest.fixture(scope="module")
def image() -> Iterator[Image]:
    """The build stage, done."""
    if os.geteuid() != 0:
        not_available("only root can run the Dockerfile's steps as uid 65532")
    # Not pytest's folder: only its owner may pass through that.
    with tempfile.TemporaryDirectory(prefix="gitmesh-image-") as folder:
        root = Path(folder)
        os.chown(root, UID, UID)
        for name in ("home", "tmp", "opt", "var"):
            (root / name).mkdir()
            os.chown(root / name, UID, UID)
        made = Image(root)
        made.base()
        made.build()
        yield made


def environment_of_the_image(image: Image) -> dict[str, str]:
    """The ENV of the last stage."""
    (arguments,) = [arguments for name, arguments in stages()[-1] if name == "ENV"]
    pairs = dict(pair.split("=", 1) for pair in shlex.split(arguments))
    assert pairs["PATH"] == "/opt/gitmesh/bin:$PATH"
    return {name: image.place(value).replace("$PATH", image.path) for name, value in pairs.items()}


@pytest.mark.e2e
def test_what_the_dockerfile_builds_runs_as_65532_on_a_read_only_file_system(image: Image) -> None:
    installed = image.root / "opt" / "gitmesh"
    freeze(installed)
    store = image.root / "var/lib/gitmesh"
    image.run(["mkdir", "-p", str(store)], image.root)
    env = environment_of_the_image(image)
    assert "gitmesh" in image.run(["gitmesh", "--help"], store, env).stdout
    assert __version__ in image.run(["gitmesh", "version"], store, env).stdout
    before = files(image.root)
    told = image.run(["gitmesh", "demo"], store, env).stdout
    assert "A bad commit is refused" in told
    changed = {path for path, seen in files(image.root).items() if before.get(path) != seen}
    assert changed == {path for path in changed if {store, image.root / "tmp"} & set(path.parents)}, (
        "written elsewhere"
    )
    assert not list((installed / "bin").glob("pip*")), "no installer in the image"
    assert not list(installed.rglob("*.egg-link"))
    packages = next((installed / "lib").glob("python3*")) / "site-packages"
    assert (packages / "gitmesh/example/policies").is_dir()
    assert (packages / "gitmesh_istio").is_dir()


def files(root: Path) -> dict[Path, int]:
    """Every file and when it was written, in nanoseconds."""
    return {path: path.stat().st_mtime_ns for path in root.rglob("*") if path.is_file()}


def freeze(folder: Path) -> None:
    """Give the folder to root and take every right to write from it, as the image's read-only file system
    does.
    """
    for path in (folder, *folder.rglob("*")):
        if not path.is_symlink():
            os.chown(path, 0, 0)
            path.chmod(path.stat().st_mode & ~0o222)


def test_the_last_stage_is_small_and_without_privileges() -> None:
    last = stages()[-1]
    assert ("USER", f"{UID}:{UID}") in last
    assert [arguments for name, arguments in last if name == "COPY"] == [
        "--from=build /opt/gitmesh /opt/gitmesh"
    ]
    (install,) = [arguments for name, arguments in last if name == "RUN"]
    for wanted in (
        "git",
        "ca-certificates",
        "openssh-client",
        "--no-install-recommends",
        "rm -rf /var/lib/apt/lists",
    ):
        assert wanted in install
    assert ("ENTRYPOINT", '["gitmesh"]') in last


def test_every_stage_is_built_on_one_base_that_is_named_by_its_digest() -> None:
    found = instructions((ROOT / "Dockerfile").read_text(encoding="utf-8"))
    assert [arguments for name, arguments in found if name == "FROM"] == ["${BASE} AS build", "${BASE}"]
    name, base = found[0]
    assert (
        name,
        bool(re.fullmatch(r"BASE=docker\.io/library/python:3\.11-slim-bookworm@sha256:[0-9a-f]{64}", base)),
    ) == ("ARG", True)
    by_itself = subprocess.run(["make", "-n", "image"], cwd=ROOT, capture_output=True, text=True, check=True)
    assert f"docker build --build-arg BASE='{base.removeprefix('BASE=')}'" in by_itself.stdout

    for base in ("", "docker.io/library/python:3.11-slim-bookworm", "python@sha256:1234"):
        refused = subprocess.run(
            ["make", "-s", "image", f"BASE={base}"], cwd=ROOT, capture_output=True, text=True, check=False
        )
        assert refused.returncode != 0
        assert "give BASE=NAME@sha256:DIGEST" in refused.stdout
    pinned = f"docker.io/library/python@sha256:{'a' * 64}"
    named = subprocess.run(
        ["make", "-n", "image", f"BASE={pinned}"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert f"docker build --build-arg BASE='{pinned}'" in named.stdout


def test_every_dependency_is_locked_by_hash_and_no_lock_names_a_host() -> None:
    for name in ("runtime.txt", "build.txt", "dev.txt"):
        text = (ROOT / "requirements" / name).read_text(encoding="utf-8")
        requirements = re.findall(r"^[A-Za-z0-9._\[\]-]+==\S+", text, re.MULTILINE)
        assert requirements
        for requirement in re.split(r"\n(?=[A-Za-z0-9])", text.strip()):
            if "==" in requirement:
                assert "--hash=sha256:" in requirement, requirement
        assert "://" not in text
        assert "--index-url" not in text
    steps = [arguments for name, arguments in stages()[0] if name == "RUN" and "pip install" in arguments]
    for command in [
        part
        for step in steps
        for part in step.split("&&")
        if "pip install" in part and "/tmp/wheel" not in part
    ]:
        assert "--require-hashes" in command
