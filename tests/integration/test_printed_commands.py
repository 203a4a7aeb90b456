"""Every command that a page, a help text or a message prints is executed here, or parsed where it never ends
or needs other machines.
"""

from __future__ import annotations

import ast
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import click
import pytest

from gitmesh.cli import main
from tests.shop import environment
from tests.unit.commandline import Run, runner

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = (
    ".",
    "docs",
    "docs/kinds",
    "deploy",
    "policies-example",
    "translators",
    "translators/istio",
    "tests",
    "tests/e2e",
)
PAGES = [
    path for folder in FOLDERS for path in sorted((ROOT / folder).glob("*.md")) if path.name != "CHANGELOG.md"
]

ELSEWHERE = {
    "kubectl": (
        "needs a cluster; tests/integration/test_deploy.py applies the same folders to a real API server"
    ),
    "docker": "needs a daemon; tests/integration/test_dockerfile.py carries out the same steps",
    "pipx": "installs a package; tests/test_packaging.py builds and installs the same one",
    "pip": "installs a package; tests/test_packaging.py builds and installs the same one",
    "pytest": "runs other tests",
    "git": "is not ours; tests/integration/test_demo.py commits and pushes as the demo says",
}
"""Program -> why what is shown of it is not executed here."""
PARSED = {
    "agent": "runs until a signal; tests/integration/test_agent_process.py starts and stops it",
    "review": "writes to a forge; tests/integration/test_review.py has servers of three forges to write to",
    "approve": "names a hold, which is there only after something went wrong; the tests of holds approve one",
}
"""Command of ours -> why it is parsed only."""
PARSED_WITH = {
    "-w": "runs until Ctrl-C; tests/integration/test_cli_status.py ends it",
    "--from": "needs a kubeconfig; tests/unit/test_cli_init.py has one",
}
"""Option of ours -> why a command with it is parsed only."""
MEANT = {
    "SHA": "4f1c2ab",
    "FILE": "facts.yaml",
    "PATH": "policies",
    "SRC": "productpage",
    "DST": "reviews",
    "CODE|FIELD": "GM210",
    "ID": "x",
    "CLUSTER": "east",
    "4f1c2ab09d3e": "HEAD",
    "9c1e77d5a0b2": "HEAD",
}
"""What stands for itself in a shown command -> something that is there."""
HOLE = "\ufffc"
FILLED = {
    "explain": "GM210",
    "approve": "4c982726bf2d",
    "--approve-prune": "4f1c2ab",
    "--config": "gitmesh.yaml",
    "trust": "gitmesh.yaml",
}
FILLED |= {"--base": "HEAD", "--head": "HEAD"}
"""The word before a part that a message fills in -> what it may be filled with."""
PUBLISH = """set -e
git() { command git -c user.name=T -c user.email=t@example.com "$@"; }
for cluster in east west; do gitmesh discover --cluster $cluster -o yaml > ../$cluster.yaml; done
git add --all; git commit --quiet -m "The configuration"
git switch --quiet --orphan gitmesh-status
mkdir facts; cp ../east.yaml ../west.yaml facts
git add --all; git commit --quiet -m "Facts"; git switch --quiet main
"""
"""What an agent has done before anybody compares commits: its facts are on the status branch."""
PROGRAMS = {"gitmesh", "make", *ELSEWHERE}


class Shown(NamedTuple):
    """A command line, and where it is shown."""

    text: str
    where: str


NO_REPOSITORY = Shown("gitmesh check", "policies-example/README.md")
"""The example names a repository that is to be replaced by one's own, as `check` says."""


# --- what is shown


def command_of(name: str) -> click.Command:
    command = main.cli.get_command(click.Context(main.cli), name)
    assert command is not None
    return command


def on_pages() -> Iterator[Shown]:
    """Lines of code blocks and spans of code that begin with a program."""
    for page in PAGES:
        text, where = page.read_text(), str(page.relative_to(ROOT))
        blocks = re.findall(r"```(?:sh|bash)?\n(.*?)```", text, re.S)
        indented = [
            line
            for line in re.sub(r"```.*?```", "", text, flags=re.S).splitlines()
            if line.startswith("    ")
        ]
        spans = re.findall(r"`([^`\n]+)`", re.sub(r"```.*?```", "", text, flags=re.S))
        for line in (*(line for block in blocks for line in block.splitlines()), *indented, *spans):
            if line.split()[:1] and line.split()[0] in PROGRAMS and len(line.split()) > 1:
                yield Shown(bare(line), where)


def in_helps() -> Iterator[Shown]:
    """Lines of the help texts that begin with our name, or use it inside of a shell's line."""
    texts = {"gitmesh --help": main.HELP}
    for name in main.ENTRIES:
        command = command_of(name)
        texts[f"gitmesh {name} --help"] = "\n".join(
            [command.help or "", *(f"`{span}`" for span in spans_of_options(command))]
        )
    for where, text in texts.items():
        for line in text.splitlines():
            if line.startswith("  gitmesh "):
                yield Shown(bare(line), where)
        for span in re.findall(r"[`(](gitmesh [^`)]+)[`)]", text):
            yield Shown(bare(span), where)


def spans_of_options(command: click.Command) -> list[str]:
    helps = [option.help or "" for option in command.params if isinstance(option, click.Option)]
    return [span for text in helps for span in re.findall(r"`(gitmesh [^`]+)`", text)]


def in_messages() -> Iterator[Shown]:
    """Texts in the program that name a command of ours; what is filled in at run time is a hole."""
    for path in sorted((ROOT / "gitmesh").rglob("*.py")) + sorted((ROOT / "translators").rglob("*.py")):
        for text in literals(ast.parse(path.read_text())):
            for found in re.findall(r"(?:^|[`(:;\n\ufffc] ?| or )((?:gitmesh|make) [a-z][^`;)\n]*)", text):
                if found.startswith("gitmesh ") or "`" + found in text:
                    yield Shown(bare(found), str(path.relative_to(ROOT)))


def literals(tree: ast.AST) -> Iterator[str]:
    """Every text of a module but its docstrings."""
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    docs = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, documented) and node.body and isinstance(node.body[0], ast.Expr)
    }
    inner = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values}
    statements = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            yield "".join(str(part.value) if isinstance(part, ast.Constant) else HOLE for part in node.values)
        elif (
            isinstance(node, ast.Constant)
            and isinstance(node.value, str)
            and id(node) not in docs | inner | statements
        ):
            yield node.value


def bare(line: str) -> str:
    """The command without the explanation beside it."""
    text = re.split(r"\s+#\s|\s{3,}", line.strip())[0]
    return re.sub(r"(?<=\w)[.,]$", "", text)


ALL = sorted({*on_pages(), *in_helps(), *in_messages()})
OURS = [shown for shown in ALL if shown.text.startswith("gitmesh ")]


# --- what comes of it


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a demo that was kept, where all that examples name is there; `gitmesh` is found by its
    name.
    """
    home = tmp_path_factory.mktemp("home")
    (home / "bin").mkdir()
    (home / "new").mkdir()
    (home / "bin" / "gitmesh").write_text(f'#!/bin/sh\nexec {sys.executable} -m gitmesh "$@"\n')
    (home / "bin" / "gitmesh").chmod(0o755)
    ran(home, home, "gitmesh demo --keep shop")
    shutil.copytree(ROOT / "policies-example", home / "example")
    ran(home, home / "shop/repo", "gitmesh discover -o yaml > facts.yaml")
    for name in ("gitmesh.yaml", "prod.yaml"):
        text = (home / "shop/gitmesh.yaml").read_text().replace("directory: ", "directory: ../")
        (home / "shop/repo" / name).write_text(text)
    ran(home, home / "shop/repo", "gitmesh trust")
    assert ran(home, home / "shop/repo", PUBLISH).returncode == 0
    return home / "shop"


def ran(home: Path, folder: Path, line: str) -> subprocess.CompletedProcess[str]:
    """Run a line as a user in bash, who has our program."""
    env = environment(home)
    env |= {"PATH": f"{home / 'bin'}:{env['PATH']}", "XDG_STATE_HOME": str(home / "state"), "CI": ""}
    return subprocess.run(
        ["bash", "-c", line], cwd=folder, env=env, capture_output=True, text=True, timeout=120, check=False
    )


@pytest.fixture
def run(shop: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """The same user, in this process."""
    call = runner(shop, capsys, monkeypatch)
    monkeypatch.setenv("HOME", str(shop.parent))
    monkeypatch.setenv("XDG_STATE_HOME", str(shop.parent / "state"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(shop.parent / ".cache"))
    return call


def filled(shown: Shown) -> list[str]:
    """The words of a command with what it leaves open filled in."""
    words = shlex.split(re.split(r" (?:\||>|&&) ", shown.text)[0])
    words = [MEANT.get(word, word) for word in words]
    for index, word in enumerate(words):
        if HOLE in word:
            words[index] = FILLED[words[index - 1]]
    return words


def folder_of(shown: Shown, shop: Path) -> Path:
    """Where the page says that one stands; for what makes a folder, one where it is new."""
    if "--keep" in shown.text:
        return shop.parent / "new"
    if shown.where == "policies-example/README.md" and "sync" not in shown.text:
        return shop.parent / "example"
    return shop.parent if " shop" in shown.text else shop / "repo"


def test_something_is_shown_everywhere() -> None:
    assert {"README.md", "deploy/README.md", "policies-example/README.md", "docs/findings.md"} <= {
        shown.where for shown in OURS
    }
    assert {"gitmesh/codes/sources.py", "gitmesh/render/findings.py", "gitmesh/cli/commands/sync.py"} <= {
        shown.where for shown in OURS
    }
    assert {filled(shown)[1] for shown in OURS if shown.where.startswith("gitmesh ")} == main.ENTRIES.keys()


@pytest.mark.parametrize("name", list(main.ENTRIES))
def test_the_commands_of_ours_that_are_shown_work(
    name: str, run: Run, shop: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = {
        (tuple(filled(shown)), folder_of(shown, shop)): shown for shown in OURS if filled(shown)[1] == name
    }
    for (words, folder), shown in sorted(lines.items()):
        if len(words) == 2 and any(
            isinstance(one, click.Argument) and one.required for one in command_of(name).params
        ):
            continue  # the name of the command, in a sentence
        if words[2:] == ("--base",):
            continue  # with the option that makes it another one
        if name in PARSED or PARSED_WITH.keys() & words:
            parsed(words, shop)
            continue
        monkeypatch.chdir(folder)
        if name == "init":  # which is done once in a place
            monkeypatch.chdir(tempfile.mkdtemp(dir=shop.parent / "new"))
        code, out, err = run(*words[1:])
        assert code in ((0, 3) if shown == NO_REPOSITORY else (0, 1)), f"{shown}: {out[-500:]}{err}"
        if "--revoke" in words:
            run("trust")


def test_no_other_command_of_ours_is_shown() -> None:
    assert {filled(shown)[1] for shown in OURS} == main.ENTRIES.keys()


def parsed(words: Sequence[str], shop: Path) -> None:
    """Hand the words to the command's own parser."""
    there = [str(shop / "gitmesh.yaml") if word.endswith("gitmesh.yaml") else word for word in words[2:]]
    group = click.Context(main.cli, **main.cli.context_settings)
    command_of(words[1]).make_context(
        words[1], there or ["--config", str(shop / "gitmesh.yaml")], parent=group
    )


def test_lines_of_a_shell_work_as_they_are_shown(shop: Path) -> None:
    for text in sorted(
        {shown.text for shown in OURS if re.search(r" (&&|>) ", shown.text) and "~" not in shown.text}
    ):
        done = ran(shop.parent, shop / "repo", text)
        assert done.returncode in (0, 1), f"{text}: {done.stderr}"


TARGETS: Mapping[str, str] = dict(
    re.findall(r"^([a-z0-9-]+):.*## (.*)$", (ROOT / "Makefile").read_text(), re.M)
)


@pytest.mark.parametrize("shown", [one for one in ALL if one.text.startswith("make ")], ids=str)
def test_a_target_that_is_shown_is_there(shown: Shown) -> None:
    """Without carrying it out: a target makes its own environment from packages first."""
    words = shlex.split(shown.text.partition(" && ")[0])
    assert words[1] in TARGETS, shown
    subprocess.run(["make", "--dry-run", *words[1:]], cwd=ROOT, check=True, capture_output=True)


def test_what_is_not_executed_is_listed_with_its_reason() -> None:
    others = {shown.text.split()[0] for shown in ALL} - {"gitmesh", "make"}
    assert others <= ELSEWHERE.keys()


def test_the_demo_ends_with_a_command_that_is_found(shop: Path, tmp_path: Path) -> None:
    """Also where nobody put our program on the path, as after `make demo`."""
    (tmp_path / "venv").mkdir()
    started = shutil.copy(shop.parent / "bin/gitmesh", tmp_path / "venv/gitmesh")
    Path(started).write_text(
        f"#!{sys.executable}\nimport sys\nfrom gitmesh.cli.main import main\nsys.exit(main())\n"
    )
    env = {**environment(tmp_path), "XDG_STATE_HOME": str(tmp_path / "state")}
    env.pop("CI", None)  # where nothing is trusted
    env["PATH"] = ":".join(
        place for place in env["PATH"].split(":") if not (Path(place) / "gitmesh").exists()
    )

    def run(line: str, cwd: Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["bash", "-c", line], cwd=cwd, env=env, capture_output=True, text=True, timeout=120, check=False
        )

    end = run("venv/gitmesh demo", tmp_path).stdout.rpartition("Next:\n")[2]
    kept = run(end, tmp_path)
    assert kept.returncode == 0, kept.stderr
    lines = [line.strip() for line in kept.stdout.rpartition("Next:\n")[2].splitlines()]
    tried = [
        line
        for line in lines
        if not line.startswith("$EDITOR") and " agent " not in line and not line.startswith("git ")
    ]
    assert len(tried) == 3
    done = run(" && ".join(tried), tmp_path)
    assert (done.returncode, "nothing" in done.stderr) == (0, False), done.stderr
