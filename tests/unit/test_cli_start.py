"""The command line as a process: what starting costs, and what ends it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

CLIENTS = ("aiohttp", "git", "kubernetes", "rich", "apscheduler", "deepdiff", "prometheus_client")
HEAVY = (*CLIENTS, "pydantic", "yaml", "structlog", "orjson", "msgspec")
POLICY = (
    "apiVersion: gitmesh.io/v1alpha1\nkind: TrafficPolicy\nmetadata: {name: a}\nspec: {destinations: [{name:"
    " b}], timeout: 1s}\n"
)


def gitmesh(*arguments: str, cwd: Path | None = None, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the command as users do."""
    env = {key: value for key, value in os.environ.items() if not key.startswith("GITMESH_")} | environment
    command = [sys.executable, "-m", "gitmesh", *arguments]
    return subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, timeout=60, check=False)


def imported(*arguments: str, cwd: Path | None = None) -> set[str]:
    """The top-level modules that a command imports."""
    code = (
        "import sys, io, contextlib, json\n"
        "from gitmesh.cli.main import run\n"
        "with contextlib.redirect_stdout(io.StringIO()): run(sys.argv[1:])\n"
        "print(json.dumps(sorted(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return {name.partition(".")[0] for name in json.loads(done.stdout)}


@pytest.mark.parametrize(
    "arguments", [["--help"], ["--version"], ["version"], ["no-such-command"], ["completion", "bash"]]
)
def test_help_and_version_import_nothing_heavy(arguments: list[str]) -> None:
    assert not imported(*arguments) & set(HEAVY)


@pytest.mark.parametrize(
    "command",
    ["validate", "render", "diff", "sync", "agent", "discover", "check", "explain", "schema", "demo"],
)
def test_the_help_of_a_command_loads_no_client_and_no_server(command: str) -> None:
    assert not imported(command, "--help") & set(CLIENTS)


def test_validating_loads_no_client_and_no_server(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(POLICY)
    assert not imported("validate", ".", cwd=tmp_path) & {
        "aiohttp",
        "git",
        "kubernetes",
        "rich",
        "apscheduler",
        "deepdiff",
        "structlog",
    }


def test_shells_complete_commands_and_options_without_loading_them() -> None:
    done = gitmesh(_GITMESH_COMPLETE="bash_complete", COMP_WORDS="gitmesh di", COMP_CWORD="1")
    assert done.stdout.split() == ["plain,diff", "plain,discover"]
    done = gitmesh(_GITMESH_COMPLETE="bash_complete", COMP_WORDS="gitmesh validate --fail", COMP_CWORD="2")
    assert "plain,--fail-on" in done.stdout


def offered(words: str, cwd: Path | None = None) -> list[str]:
    """What bash is offered for the last of these words."""
    done = gitmesh(
        cwd=cwd, _GITMESH_COMPLETE="bash_complete", COMP_WORDS=words, COMP_CWORD=str(words.count(" "))
    )
    assert (done.returncode, done.stderr) == (0, "")
    return [line.removeprefix("plain,") for line in done.stdout.splitlines() if line]


def test_shells_complete_kinds_codes_and_fields_in_any_case() -> None:
    assert offered("gitmesh schema tr") == ["TrafficPolicy"]
    assert offered("gitmesh explain gm20") == [f"GM20{number}" for number in range(1, 10)]
    assert offered("gitmesh explain acc") == ["AccessPolicy"]
    assert "TrafficPolicy.spec.retries.attempts" in offered("gitmesh explain trafficpolicy.spec.retries.at")


def test_shells_complete_the_clusters_of_the_configuration_and_say_nothing_of_a_bad_one(
    tmp_path: Path,
) -> None:
    assert offered("gitmesh diff --cluster ", tmp_path) == []
    config = tmp_path / "gitmesh.yaml"
    head = "apiVersion: gitmesh.io/v1alpha1\nkind: Config\ninstance: shop\n"
    clusters = "clusters: [{name: east, directory: e}, {name: west, directory: w}]\n"
    config.write_text(f"{head}sources: [{{name: policies, url: 'https://git.example/shop.git'}}]\n{clusters}")
    assert offered("gitmesh diff --cluster ", tmp_path) == ["east", "west"]
    assert offered("gitmesh diff --cluster w", tmp_path) == ["west"]
    other = tmp_path / "other"
    other.mkdir()
    assert offered(f"gitmesh diff --config {config} --cluster e", other) == ["east"]
    config.write_text(f"{head}clusters: [")
    assert offered("gitmesh diff --cluster ", tmp_path) == []
    assert offered("gitmesh diff --config absent.yaml --cluster ", tmp_path) == []


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_completion_script_calls_gitmesh(shell: str) -> None:
    done = gitmesh("completion", shell)
    assert done.returncode == 0
    assert f"_GITMESH_COMPLETE={shell}_complete" in done.stdout


def test_a_reader_that_leaves_early_ends_the_command_quietly() -> None:
    command = f"{sys.executable} -m gitmesh schema | head -n 1; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=60, check=False)
    assert (done.stdout, done.stderr) == ("{\n", "")


def inside_version(body: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run `gitmesh version` where printing the answer does something else."""
    # A test run in the background inherits an ignored SIGINT.
    code = (
        "import os, signal\nsignal.signal(signal.SIGINT, signal.default_int_handler)\nfrom gitmesh.cli import"
        " console, main\n"
    )
    code += f"def instead(text):\n    {body}\nconsole.data = instead\nmain.main(['version'])"
    env = {key: value for key, value in os.environ.items() if key != "GITMESH_DEBUG"} | environment
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False, env=env
    )


def test_the_collector_stays_away_from_a_command() -> None:
    assert inside_version("import gc; print(gc.isenabled())").stdout == "False\n"


def test_an_interrupt_ends_with_130() -> None:
    done = inside_version("os.kill(os.getpid(), signal.SIGINT)")
    assert (done.returncode, done.stdout, done.stderr.strip()) == (130, "", "interrupted")


def test_a_defect_is_exit_3_with_a_clear_line_and_a_traceback_only_when_asked() -> None:
    done = inside_version("raise RuntimeError('boom')")
    assert done.returncode == 3
    assert "defect of GitMesh" in done.stderr
    assert "boom" in done.stderr
    assert "Traceback" not in done.stderr
    asked = inside_version("raise RuntimeError('boom')", GITMESH_DEBUG="1")
    assert asked.returncode == 3
    assert "Traceback" in asked.stderr
