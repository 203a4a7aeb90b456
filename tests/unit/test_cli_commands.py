"""What commands answer and how they end, without clusters."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import click
import pytest
import yaml

from gitmesh.cli import main
from gitmesh.cli.console import Progress, wants_color
from tests.unit.commandline import Run, runner

GOOD = """\
apiVersion: gitmesh.io/v1alpha1
kind: TrafficPolicy
metadata: {name: reviews, namespace: shop}
spec:
  destinations: [{name: reviews}]
  timeout: 5s
"""
BAD = GOOD.replace("timeout", "timout")
EXAMPLE = Path(__file__).resolve().parents[2] / "policies-example"


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    """Run a command line in an empty folder: (exit code, stdout, stderr)."""
    return runner(tmp_path, capsys, monkeypatch)


def test_a_good_policy_is_clean_and_success_is_said(run: Run, tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(GOOD)
    code, out, _ = run("validate", "a.yaml")
    assert code == 0
    assert "checked 1 policy in 1 file: 0 errors, 0 warnings" in out
    assert "GM217 FactsNotChecked" in out


def test_mistakes_are_shown_at_their_line_with_a_caret_and_end_with_2(run: Run, tmp_path: Path) -> None:
    (tmp_path / "policies").mkdir()
    (tmp_path / "policies" / "a.yaml").write_text(BAD)
    code, out, _ = run("validate", "policies")
    assert code == 2
    assert "policies/a.yaml:6:3: error GM202 UnknownField" in out
    assert "    6 |   timout: 5s\n      |   ^^^^^^\n" in out
    assert "did you mean timeout?" in out


@pytest.mark.parametrize("form", ["text", "json", "yaml", "markdown"])
def test_the_exit_code_never_depends_on_the_format(run: Run, tmp_path: Path, form: str) -> None:
    (tmp_path / "a.yaml").write_text(GOOD)
    assert run("validate", "a.yaml", "-o", form)[0] == 0
    (tmp_path / "a.yaml").write_text(BAD)
    assert run("validate", "a.yaml", "-o", form)[0] == 2


def test_documents_alone_stand_on_stdout(run: Run, tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(BAD)
    answer = json.loads(run("validate", "a.yaml", "-o", "json")[1])
    assert (answer["kind"], answer["findings"][0]["line"]) == ("Findings", 6)
    assert yaml.safe_load(run("validate", "a.yaml", "-o", "yaml")[1]) == answer


def test_the_example_is_clean_but_for_facts(run: Run) -> None:
    code, out, err = run("validate", str(EXAMPLE), "-o", "json", "--fail-on", "warning")
    answer = json.loads(out)
    assert (code, [one["name"] for one in answer["findings"]]) == (0, ["FactsNotChecked"])
    assert answer["summary"]["policies"] >= 8
    assert "policies-example/gitmesh.yaml" in err


def test_several_paths_are_one_answer(run: Run, tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(GOOD)
    (tmp_path / "b.yaml").write_text(BAD.replace("name: reviews,", "name: other,"))
    code, out, _ = run("validate", "a.yaml", "b.yaml")
    assert code == 2
    assert "b.yaml:6:3" in out
    assert "checked 2 policies in 2 files: 1 error, 0 warnings" in out


def test_a_file_without_a_single_policy_was_checked_all_the_same(run: Run, tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("spec: [\n")
    assert "checked 0 policies in 1 file: 1 error, 0 warnings" in run("validate", "a.yaml")[1]


def test_two_files_with_one_policy_name_both_places(run: Run, tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(GOOD)
    (tmp_path / "b.yaml").write_text(GOOD)
    code, out, _ = run("validate", ".")
    assert code == 2
    assert "GM206" in out
    assert "a.yaml" in out
    assert "b.yaml" in out


@pytest.mark.parametrize("words", [["diff"], ["render"], ["can", "a", "b"], ["who-can", "b"]])
def test_the_configuration_beside_the_policies_is_pointed_at(
    run: Run, tmp_path: Path, words: list[str]
) -> None:
    (tmp_path / "shop/policies").mkdir(parents=True)
    (tmp_path / "shop/gitmesh.yaml").write_text("", encoding="utf-8")
    for path in ("shop", "shop/policies"):
        code, _, err = run(*words, path)
        assert code == 3
        assert err.rstrip().endswith(f"that of {path} is named by `--config shop/gitmesh.yaml`")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["vaildate"], "did you mean validate?"),
        (["validate", "--fial-on", "warning"], "--fail-on"),
        (["validate", "no/such/file"], "no/such/file"),
        (["schema", "TraficPolicy"], "did you mean TrafficPolicy?"),
        (["explain", "atempts"], "attempts"),
        (["explain", "GM999"], "there is no code GM999"),
        (["explain", "VirtualMesh.spec.federation"], "not supported by this version"),
        (["explain", "zzz"], "TrafficPolicy, AccessPolicy"),
        (["diff"], "no configuration"),
        (["sync", "--approve-prune", "x"], "not a commit"),
        (["agent"], "--config"),
        (["completion", "tcsh"], "tcsh"),
    ],
)
def test_wrong_usage_ends_with_3_and_says_what_was_meant(run: Run, arguments: list[str], said: str) -> None:
    code, out, err = run(*arguments)
    assert (code, out) == (3, "")
    assert said in err


def test_every_command_has_examples_exit_codes_and_help_on_every_option() -> None:
    context = click.Context(main.cli)
    for name, entry in main.ENTRIES.items():
        command = main.cli.get_command(context, name)
        assert command is not None
        assert command.help is not None
        assert (
            command.help.count(f"  gitmesh {name}") + command.help.count(f"(gitmesh {name}") >= 2
            or name == "completion"
        ), name
        assert "Exit code" in command.help, name
        assert all(option.help for option in command.params if isinstance(option, click.Option)), name
        assert entry.help.endswith("."), name
    assert "130  interrupted" in (main.cli.epilog or "")


def test_the_configuration_is_the_nearest_upwards_and_named_on_stderr(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copy(EXAMPLE / "gitmesh.yaml", tmp_path / "gitmesh.yaml")
    deep = tmp_path / "a" / "b"
    deep.mkdir(parents=True)
    (deep / "p.yaml").write_text(GOOD)
    monkeypatch.chdir(deep)
    _, out, err = run("validate", "p.yaml")
    assert err.startswith(f"configuration: {tmp_path}/gitmesh.yaml")
    assert "configuration" not in out


def test_a_flag_overrides_the_environment_and_that_the_nearest_file(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = (EXAMPLE / "gitmesh.yaml").read_text()
    for name in ("gitmesh.yaml", "env.yaml", "flag.yaml"):
        (tmp_path / name).write_text(text)
    (tmp_path / "p.yaml").write_text(GOOD)
    assert "configuration: gitmesh.yaml" in run("validate", "p.yaml")[2]
    monkeypatch.setenv("GITMESH_CONFIG", "env.yaml")
    assert "configuration: env.yaml" in run("validate", "p.yaml")[2]
    assert "configuration: flag.yaml" in run("validate", "p.yaml", "--config", "flag.yaml")[2]


def test_a_bad_configuration_is_a_finding_at_its_line(run: Run, tmp_path: Path) -> None:
    (tmp_path / "gitmesh.yaml").write_text(
        (EXAMPLE / "gitmesh.yaml").read_text().replace("branch: main", "brnch: main")
    )
    code, out, err = run("diff")
    assert (code, out) == (2, "")
    assert "gitmesh.yaml:8:3: error GM607" in err


def test_a_configuration_that_is_not_there_is_a_failure(run: Run) -> None:
    code, _, err = run("diff", "--config", "nowhere.yaml")
    assert code == 3
    assert "nowhere.yaml" in err


def test_facts_that_are_no_facts_are_a_failure(run: Run, tmp_path: Path) -> None:
    (tmp_path / "p.yaml").write_text(GOOD)
    (tmp_path / "facts.yaml").write_text("kind: Other\n")
    code, _, err = run("render", "p.yaml", "--facts", "facts.yaml")
    assert code == 3
    assert "facts.yaml" in err


def test_schemas_are_documents_that_describe_every_field_of_a_policy(run: Run) -> None:
    from gitmesh.model.kinds import KINDS

    for kind in KINDS:
        code, out, _ = run("schema", kind)
        assert code == 0
        assert all(one.get("description") for one in json.loads(out)["properties"].values()), kind
    assert run("schema", "trafficpolicy") == run("schema", "TrafficPolicy")
    assert json.loads(run("schema", "Config")[1])["properties"].keys() >= {"sources", "clusters"}
    assert json.loads(run("schema")[1])["$schema"].startswith("https://json-schema.org/")


def test_explain_works_for_codes_names_and_fields(run: Run) -> None:
    assert run("explain", "gm210")[1].startswith("GM210 Conflict (error)")
    assert run("explain", "Conflict")[1] == run("explain", "GM210")[1]
    assert run("explain", "retries.attempts")[1].startswith("TrafficPolicy.spec.retries.attempts (")
    assert run("explain", "sources")[0] == 0


class _Stream:
    """A terminal, or not, that keeps what is written."""

    def __init__(self, terminal: bool) -> None:
        self.text, self.terminal = "", terminal

    def isatty(self) -> bool:
        return self.terminal

    def write(self, text: str) -> int:
        self.text += text
        return len(text)

    def flush(self) -> None:
        """Nothing is kept back."""


@pytest.mark.parametrize(
    ("choice", "terminal", "environment", "expected"),
    [
        (None, True, {}, True),
        (None, False, {}, False),
        (None, True, {"NO_COLOR": "1"}, False),
        (None, True, {"NO_COLOR": ""}, True),
        (None, False, {"FORCE_COLOR": "1"}, True),
        (None, False, {"FORCE_COLOR": "0"}, False),
        (None, True, {"TERM": "dumb"}, False),
        (None, False, {"NO_COLOR": "1", "FORCE_COLOR": "1"}, False),
        (True, False, {"NO_COLOR": "1"}, True),
        (False, True, {"FORCE_COLOR": "1"}, False),
    ],
)
def test_colour_follows_flags_then_environment_then_the_terminal(
    choice: bool | None, terminal: bool, environment: dict[str, str], expected: bool
) -> None:
    # Only isatty is asked.
    assert wants_color(choice, _Stream(terminal), environment) is expected  # type: ignore[arg-type]


def test_coloured_findings_only_when_asked(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.yaml").write_text(BAD)
    assert "\x1b[" not in run("validate", "a.yaml")[1]
    assert "\x1b[" in run("validate", "a.yaml", "--color")[1]
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert "\x1b[" in run("validate", "a.yaml")[1]
    assert "\x1b[" not in run("validate", "a.yaml", "--no-color")[1]


def test_progress_shows_nothing_for_quick_work_and_cleans_up_after_slow_work() -> None:
    quick = _Stream(True)
    line = Progress(quick, active=True, delay=60)  # type: ignore[arg-type]  # only write and flush are called
    line("reading")
    line.close()
    assert quick.text == ""
    slow = _Stream(True)
    line = Progress(slow, active=True, delay=0)  # type: ignore[arg-type]  # only write and flush are called
    line._timer.join()
    line("reading")
    assert slow.text.endswith("reading ...")
    line.close()
    assert slow.text.endswith("\r\x1b[2K")
    silent = _Stream(False)
    # Only write and flush are called.
    line = Progress(silent, active=False, delay=0)  # type: ignore[arg-type]
    line("reading")
    line.close()
    assert silent.text == ""
