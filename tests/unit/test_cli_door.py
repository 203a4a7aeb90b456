"""One door prints, and it escapes: no argument, file, fact or name of a file reaches the terminal as anything
but text.
"""

from __future__ import annotations

import ast
import json
import os
import unicodedata
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
import yaml

import gitmesh
from gitmesh.cli import console, main, output
from gitmesh.render.escape import printable_lines
from gitmesh.render.paint import ansi, plain
from tests.unit.commandline import Run, runner

HOSTILE = "\x1b]0;owned\x07\x1b[2J\x9b1m\u202eevil\u200b\r\b"
POLICY = (
    "apiVersion: gitmesh.io/v1alpha1\nkind: TrafficPolicy\nmetadata: {name: a}\nspec: {destinations: [{name:"
    " b}], timeout: 1s}\n"
)


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    """Run a command line in an empty folder: (exit code, stdout, stderr)."""
    return runner(tmp_path, capsys, monkeypatch)


def harmful(text: str) -> set[str]:
    """Characters of a text that a terminal obeys, or that a reader does not see."""
    return {char for char in text if char != "\n" and unicodedata.category(char) in ("Cc", "Cf", "Cs")}


def lines(name: str) -> Iterator[list[str]]:
    """Command lines with the hostile text as the value of each parameter of a command."""
    command = main.cli.get_command(click.Context(main.cli), name)
    assert command is not None
    yield [name, f"--{HOSTILE}"]
    yield [name, f"-{HOSTILE}"]
    yield [name, HOSTILE, HOSTILE, HOSTILE, HOSTILE]
    needed = ["a"] * sum(isinstance(one, click.Argument) and one.required for one in command.params)
    for option in (
        one for one in command.params if isinstance(one, click.Option) and "--keep" not in one.opts
    ):
        yield [name, *needed, option.opts[-1], HOSTILE]
        yield [name, *needed, f"{option.opts[-1]}={HOSTILE}"]


@pytest.mark.parametrize("name", list(main.ENTRIES))
def test_no_argument_reaches_the_terminal_as_it_is(run: Run, name: str) -> None:
    for arguments in ([HOSTILE], [f"--{HOSTILE}"], *lines(name)):
        _, out, err = run(*arguments)
        assert out + err
        assert not harmful(out + err), arguments


def test_a_line_break_in_an_argument_makes_no_line_of_its_own(run: Run) -> None:
    code, _, err = run("explain", "x\nError: all is well")
    assert code == 3
    assert len([line for line in err.splitlines() if line.startswith("Error:")]) == 1


def test_the_names_of_clusters_in_facts_are_text(run: Run, tmp_path: Path) -> None:
    (tmp_path / "p.yaml").write_text(POLICY)
    for facts in (
        {"apiVersion": "gitmesh.io/v1alpha1", "kind": "Facts", "clusters": {HOSTILE: {}}},
        {"apiVersion": HOSTILE, "kind": HOSTILE, HOSTILE: HOSTILE},
    ):
        (tmp_path / "facts.yaml").write_text(yaml.safe_dump(facts))
        for command in (
            ["render", "p.yaml"],
            ["diff", "p.yaml", "--cluster", HOSTILE],
            ["validate", "p.yaml"],
            ["can", "a", "b", "p.yaml"],
        ):
            code, out, err = run(*command, "--facts", "facts.yaml")
            assert code == 3
            assert not harmful(out + err)


def test_what_files_hold_and_are_called_is_text(run: Run, tmp_path: Path) -> None:
    name = HOSTILE.replace("/", "") + ".yaml"
    (tmp_path / "policies").mkdir()
    (tmp_path / "policies" / name).write_text(POLICY)
    (tmp_path / "policies" / "a.yaml").write_text(
        POLICY.replace("name: a", f"name: {json.dumps(HOSTILE)}").replace("timeout", "timout")
    )
    (tmp_path / "policies" / "b.yaml").write_text(f"# {HOSTILE}\n{HOSTILE}: x\n")
    for form in ("text", "json", "yaml", "markdown"):
        code, out, err = run("validate", "policies", "-o", form)
        assert code == 2
        assert not harmful(out + err), form
    assert not harmful("".join(run("validate", f"policies/{name}")[1:]))
    (tmp_path / "gitmesh.yaml").write_text(
        f"kind: Config\ninstance: {json.dumps(HOSTILE)}\n{json.dumps(HOSTILE)}: 1\n"
    )
    assert not harmful("".join(run("diff")[1:]))


def test_a_name_that_no_encoding_has_ends_nothing(run: Run, tmp_path: Path) -> None:
    Path(os.fsdecode(bytes(tmp_path) + b"/\xff.yaml")).write_text(POLICY)
    code, out, err = run("validate", "\udcff.yaml")
    assert (code, "GM107" in out) == (2, True)
    assert not harmful(out + err)


def test_a_defect_and_its_traceback_are_text(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_text: str) -> None:
        raise RuntimeError(HOSTILE)

    monkeypatch.setattr(console, "data", broken)
    monkeypatch.setenv("GITMESH_DEBUG", "1")
    code, out, err = run("version")
    assert (code, "Traceback" in err) == (3, True)
    assert not harmful(out + err)


def test_only_our_own_colours_pass_and_only_where_they_are_wanted() -> None:
    text = ansi("error", "bad") + "\x1b[8mhidden\x1b[2J"
    assert printable_lines(text, ansi) == "\x1b[1;31mbad\x1b[0m\\x1b[8mhidden\\x1b[2J"
    assert printable_lines(text, plain) == "\\x1b[1;31mbad\\x1b[0m\\x1b[8mhidden\\x1b[2J"
    assert printable_lines("a\nb é\n") == "a\nb é\n"


def test_json_says_the_same_with_what_a_terminal_obeys_escaped() -> None:
    value = {HOSTILE: [HOSTILE, "\U000e0041é\x7f"]}
    text = output.as_json(value)
    assert json.loads(text) == value
    assert not harmful(text)
    assert "é" in text


def test_nothing_else_in_the_program_prints() -> None:
    root = Path(gitmesh.__file__).parent
    found = set()
    for path in root.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in (
                "print",
                "click.echo",
                "click.secho",
                "sys.stdout.write",
                "sys.stderr.write",
            ):
                found.add(path.relative_to(root).as_posix())
    assert found <= {"cli/console.py"}
