"""The wheel: what is inside, and that it works from a fresh environment, away from the clone."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import sysconfig
import venv
import zipfile
from collections.abc import Sequence
from configparser import ConfigParser
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("build") is None and os.environ.get("CI") != "true",
    reason="the wheel is not built: pip install build",
)


def ran(command: Sequence[str | Path], folder: Path, **env: str) -> str:
    """Standard output of a command that succeeds."""
    kept = {
        key: value for key, value in os.environ.items() if not key.startswith(("GITMESH_", "PYTHON", "GIT_"))
    }
    done = subprocess.run(
        command, cwd=folder, env={**kept, **env}, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("dist")
    ran([sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", out, ROOT], out)
    (made,) = out.glob("*.whl")
    return made


@pytest.fixture(scope="module")
def names(wheel: Path) -> list[str]:
    with zipfile.ZipFile(wheel) as archive:
        return archive.namelist()


def test_only_our_packages_are_inside(names: list[str]) -> None:
    inside = {name.split("/")[0] for name in names if ".dist-info/" not in name}
    assert inside == {"gitmesh", "gitmesh_gatewayapi", "gitmesh_istio"}
    assert not [name for name in names if "test" in name.lower() or name.endswith((".pyc", ".orig"))]
    assert {f"{package}/py.typed" for package in inside} <= set(names)


def test_the_example_is_inside_whole(names: list[str]) -> None:
    tracked = ran(["git", "ls-files", "policies-example"], ROOT).split()
    assert {name.replace("policies-example/", "gitmesh/example/", 1) for name in tracked} <= set(names)


def test_entry_points_and_licence(wheel: Path, names: list[str]) -> None:
    (place,) = [name for name in names if name.endswith(".dist-info/entry_points.txt")]
    with zipfile.ZipFile(wheel) as archive:
        given = ConfigParser()
        given.read_string(archive.read(place).decode())
    assert dict(given["console_scripts"]) == {"gitmesh": "gitmesh.cli.main:main"}
    assert dict(given["gitmesh.translators"]) == {
        "gatewayapi": "gitmesh_gatewayapi.mesh",
        "istio": "gitmesh_istio",
    }
    assert [name for name in names if name.endswith("/LICENSE")]


def test_an_installed_gitmesh_runs_the_demo_from_anywhere(wheel: Path, tmp_path: Path) -> None:
    home = tmp_path / "venv"
    venv.create(home, with_pip=False)
    python = home / "bin" / "python"
    site = Path(
        ran([python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"], tmp_path).strip()
    )
    pip: list[str | Path] = [
        sys.executable,
        "-m",
        "pip",
        "--python",
        python,
        "install",
        "--quiet",
        "--no-deps",
        "--no-index",
        "--disable-pip-version-check",
    ]
    ran([*pip, wheel], tmp_path)
    # The libraries come from here; an editable install beside them must not be what is tested, so only their
    # folder is added.
    (site / "zz-libraries.pth").write_text(
        f"import sys; sys.path.append({sysconfig.get_path('purelib')!r})\n"
    )
    away = tmp_path / "away"
    away.mkdir()
    assert str(site) in ran(
        [python, "-c", "import gitmesh, gitmesh_istio; print(gitmesh.__file__, gitmesh_istio.__file__)"], away
    )
    gitmesh = home / "bin" / "gitmesh"
    assert "gitmesh" in ran([gitmesh, "version"], away, HOME=str(tmp_path)).lower()
    story = ran([gitmesh, "demo"], away, HOME=str(tmp_path), TMPDIR=str(tmp_path))
    assert "refused" in story
