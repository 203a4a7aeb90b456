"""Steps of CI, run on this machine as their text says: a workspace, a shell, and the variables that a runner
sets.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from msgspec import Struct

ROOT = Path(__file__).parents[1]
CI = ROOT / "deploy" / "ci"
PYTHONPATH = f"{ROOT}:{ROOT / 'translators' / 'istio'}"
EXPRESSION = re.compile(r"\$\{\{\s*(.*?)\s*\}\}")
_PYTHON = """\
#!/bin/sh
[ "$1 $2 $3" = "-I -m venv" ] || exit 9
mkdir -p "$4/bin"
cp "{tools}/pip" "{tools}/gitmesh" "$4/bin"
"""
"""In place of python3: an environment with our program, whatever pip is asked to install."""


class ScriptStep(Struct, frozen=True, kw_only=True):
    """A script with the variables of its own, before they are filled in."""

    run: str
    env: Mapping[str, str] = {}


class Workflow(Struct, frozen=True, kw_only=True):
    """A workflow of one job, of GitHub or Gitea. `on` and `permissions` are as they stand there."""

    on: Mapping[str, Any]
    steps: Sequence[ScriptStep]
    permissions: Mapping[str, str]
    condition: str
    uses: Sequence[str]


def workflow(path: str) -> Workflow:
    """Read one of deploy/ci."""
    document = yaml.safe_load((CI / path).read_text(encoding="utf-8"))
    (job,) = document["jobs"].values()
    assert job["defaults"]["run"]["shell"] == "bash"
    shared = {**document.get("env", {}), **job.get("env", {})}
    return Workflow(
        on={
            key: value or {} for key, value in document[True].items()
        },  # YAML 1.1 reads `on` as a truth value
        steps=[
            ScriptStep(run=step["run"], env={**shared, **step.get("env", {})})
            for step in job["steps"]
            if "run" in step
        ],
        permissions=document.get("permissions", {}),
        condition=job.get("if", ""),
        uses=[step["uses"] for step in job["steps"] if "uses" in step],
    )


def filled(text: str, context: Mapping[str, Any]) -> str:
    """A text with its expressions, each of which is a path into the context."""
    return EXPRESSION.sub(lambda found: str(_looked_up(found[1], context)), text)


def _looked_up(path: str, context: Mapping[str, Any]) -> Any:
    value: Any = context
    for part in path.split("."):
        value = value[part]
    return value


class Runner:
    """A machine that runs steps in a fresh workspace. `variables` are those that the forge's runner sets;
    `tools` is where gitmesh lies, which is not on the path before a step has installed it."""

    def __init__(self, home: Path, variables: Mapping[str, str]) -> None:
        self.home, self.workspace, self.temp = home, home / "workspace", home / "temp"
        python, self.tools = home / "python", home / "tools"
        for folder in (self.workspace, self.temp, python, self.tools):
            folder.mkdir(parents=True)
        _program(python / "python3", _PYTHON.format(tools=self.tools))
        _program(self.tools / "pip", f'#!/bin/sh\necho "$@" >> "{home}/installed"\n')
        _program(self.tools / "gitmesh", f'#!/bin/sh\nexec "{sys.executable}" -P -m gitmesh "$@"\n')
        self.variables = {
            "PATH": f"{python}:{os.environ['PATH']}",
            "PYTHONPATH": PYTHONPATH,
            "HOME": str(home),
            "TMPDIR": str(self.temp),
            "LC_ALL": "C.UTF-8",
            "GIT_CONFIG_NOSYSTEM": "1",
            "CI": "true",
            **variables,
        }

    @property
    def installed(self) -> list[str]:
        """What pip was asked for."""
        return (self.home / "installed").read_text(encoding="utf-8").splitlines()

    def script(self, text: str, **more: str) -> subprocess.CompletedProcess[str]:
        """Run a script as a runner's `shell: bash` does."""
        file = self.temp / "script.sh"
        file.write_text(text, encoding="utf-8")
        env = {**self.variables, **more}
        command = ["bash", "--noprofile", "--norc", "-eo", "pipefail", str(file)]
        return subprocess.run(
            command, cwd=self.workspace, env=env, capture_output=True, text=True, timeout=120, check=False
        )

    def steps(self, work: Workflow, context: Mapping[str, Any]) -> list[subprocess.CompletedProcess[str]]:
        """Run the steps one after another until one fails; what each did."""
        done: list[subprocess.CompletedProcess[str]] = []
        more = self.temp / "path"
        summary = self.temp / "summary"
        for step in work.steps:
            added = more.read_text(encoding="utf-8").split() if more.is_file() else []
            env = {name: filled(str(value), context) for name, value in step.env.items()}
            paths = {
                "GITHUB_PATH": str(more),
                "GITHUB_STEP_SUMMARY": str(summary),
                "RUNNER_TEMP": str(self.temp),
            }
            done.append(
                self.script(
                    step.run, **paths, **env, PATH=":".join([*reversed(added), self.variables["PATH"]])
                )
            )
            if done[-1].returncode:
                break
        return done


def _program(file: Path, text: str) -> None:
    file.write_text(text, encoding="utf-8")
    file.chmod(0o755)
