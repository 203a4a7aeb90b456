"""Findings as annotations: SARIF, workflow commands and Code Quality, of `validate`, `diff` and `diff
--base`.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest

from gitmesh.codes import CODES
from gitmesh.diagnostics import Diagnostic, Location, Severity, finding
from gitmesh.render.annotations import (
    annotated,
    github_commands,
    gitlab_document,
    sarif_document,
    without_commands,
)
from tests.unit.commandline import Run, runner

EXAMPLE = Path(__file__).resolve().parents[2] / "policies-example"
TEXT = {"type": "object", "required": ["text"], "properties": {"text": {"type": "string", "minLength": 1}}}
LEVEL = {"enum": ["none", "note", "warning", "error"]}
REGION = {
    "type": "object",
    "required": ["startLine"],
    "additionalProperties": False,
    "properties": {
        "startLine": {"type": "integer", "minimum": 1},
        "startColumn": {"type": "integer", "minimum": 1},
    },
}
PLACE = {
    "type": "object",
    "required": ["artifactLocation", "region"],
    "additionalProperties": False,
    "properties": {
        "artifactLocation": {
            "type": "object",
            "required": ["uri"],
            "additionalProperties": False,
            "properties": {
                "uri": {"type": "string", "format": "uri-reference", "pattern": "^[^/:][^:]*$"},
                "uriBaseId": {"const": "%SRCROOT%"},
            },
        },
        "region": REGION,
    },
}
RESULT = {
    "type": "object",
    "required": ["message", "ruleId", "ruleIndex", "level", "locations", "partialFingerprints"],
    "additionalProperties": False,
    "properties": {
        "message": TEXT,
        "ruleId": {"type": "string"},
        "ruleIndex": {"type": "integer", "minimum": 0},
        "level": LEVEL,
        "locations": {
            "type": "array",
            "minItems": 1,
            "items": {"type": "object", "properties": {"physicalLocation": PLACE}},
        },
        "partialFingerprints": {
            "type": "object",
            "minProperties": 1,
            "additionalProperties": {"type": "string"},
        },
    },
}
RULE = {
    "type": "object",
    "required": ["id"],
    "additionalProperties": False,
    "properties": {
        "id": {"type": "string"},
        "name": {"type": "string"},
        "shortDescription": TEXT,
        "fullDescription": TEXT,
        "help": TEXT,
        "defaultConfiguration": {"type": "object", "properties": {"level": LEVEL}},
    },
}
NOTIFICATION = {
    "type": "object",
    "required": ["message"],
    "additionalProperties": False,
    "properties": {"message": TEXT, "level": LEVEL, "descriptor": {"type": "object", "required": ["id"]}},
}
RUN = {
    "type": "object",
    "required": ["tool", "results"],
    "additionalProperties": False,
    "properties": {
        "tool": {
            "type": "object",
            "required": ["driver"],
            "properties": {
                "driver": {
                    "type": "object",
                    "required": ["name"],
                    "additionalProperties": False,
                    "properties": {
                        "name": {"type": "string"},
                        "semanticVersion": {"type": "string"},
                        "rules": {"items": RULE},
                    },
                }
            },
        },
        "columnKind": {"enum": ["utf16CodeUnits", "unicodeCodePoints"]},
        "invocations": {
            "items": {
                "type": "object",
                "required": ["executionSuccessful"],
                "additionalProperties": False,
                "properties": {
                    "executionSuccessful": {"type": "boolean"},
                    "toolExecutionNotifications": {"items": NOTIFICATION},
                },
            }
        },
        "results": {"type": "array", "items": RESULT},
    },
}
SARIF = {
    "type": "object",
    "required": ["version", "runs"],
    "additionalProperties": False,
    "properties": {
        "$schema": {"type": "string", "format": "uri"},
        "version": {"const": "2.1.0"},
        "runs": {"type": "array", "items": RUN},
    },
}
"""What the published schema asks of the parts that are used; nothing else may be there."""
CODE_QUALITY = {
    "type": "array",
    "items": {
        "type": "object",
        "required": ["description", "check_name", "fingerprint", "severity", "location"],
        "properties": {
            "description": {"type": "string", "pattern": "^[^\\n]+$"},
            "check_name": {"type": "string"},
            "fingerprint": {"type": "string", "minLength": 1},
            "severity": {"enum": ["info", "minor", "major", "critical", "blocker"]},
            "location": {
                "type": "object",
                "required": ["path", "lines"],
                "properties": {
                    "path": {"type": "string", "pattern": "^(?!\\./|/)"},
                    "lines": {
                        "type": "object",
                        "required": ["begin"],
                        "properties": {"begin": {"type": "integer", "minimum": 1}},
                    },
                },
            },
        },
    },
}


def at(line: int = 3, path: str = "policies/a.yaml", column: int = 5) -> Location:
    return Location(source="policies", path=path, line=line, column=column)


def bad(message: str = "no such field", **more: Any) -> Diagnostic:
    return finding("GM203", message, **{"at": at(), **more})


def valid_sarif(*findings: Diagnostic) -> Any:
    document = json.loads(json.dumps(sarif_document(annotated(findings, lambda place: place.path))))
    jsonschema_rs.validator_for(SARIF, validate_formats=True).validate(document)
    return document["runs"][0]


def fingerprints(*findings: Diagnostic) -> list[str]:
    return [one.fingerprint for one in annotated(findings, lambda place: place.path).placed]


class TestFingerprints:
    def test_they_stay_when_lines_move(self) -> None:
        before = bad("a tie with policies/b.yaml:3:7", policy="TrafficPolicy/shop/a", field="spec.timeout")
        after = bad(
            "a tie with policies/b.yaml:4:7",
            policy="TrafficPolicy/shop/a",
            field="spec.timeout",
            at=at(99, "policies/moved.yaml"),
        )
        assert fingerprints(before) == fingerprints(after)

    @pytest.mark.parametrize("other", [{"policy": "x"}, {"field": "spec.x"}, {"message": "another"}])
    def test_what_a_finding_is_about_makes_it_another(self, other: dict[str, Any]) -> None:
        assert fingerprints(bad()) != fingerprints(bad(**other))

    def test_the_same_in_two_files_without_a_policy_are_two(self) -> None:
        assert len(set(fingerprints(bad(), bad(at=at(path="policies/b.yaml"))))) == 2

    def test_the_same_twice_in_one_policy_are_two(self) -> None:
        assert len(set(fingerprints(bad(policy="x"), bad(policy="x", at=at(8))))) == 2

    def test_clusters_make_no_finding_another(self) -> None:
        assert fingerprints(bad(cluster="east"), bad(cluster="west")) == fingerprints(bad(cluster="east"))


class TestSarif:
    def test_rules_come_from_the_register(self) -> None:
        run = valid_sarif(bad(), finding("GM217", "not checked"))
        assert [(rule["id"], rule["name"]) for rule in run["tool"]["driver"]["rules"]] == [
            (code, CODES[code].name) for code in ("GM203", "GM217")
        ]
        assert (
            run["tool"]["driver"]["rules"][run["results"][0]["ruleIndex"]]["id"]
            == run["results"][0]["ruleId"]
            == "GM203"
        )

    def test_every_code_makes_a_valid_rule(self) -> None:
        run = valid_sarif(*(finding(code, "x", at=at()) for code in CODES))
        assert len(run["results"]) == len(CODES)

    def test_paths_are_escaped_and_relative(self) -> None:
        names = ("a b/ü.yaml", "a%20#?.yaml", "c:d.yaml", "bad\udcff.yaml")
        run = valid_sarif(*(bad(at=at(path=name)) for name in names))
        uris = [one["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] for one in run["results"]]
        assert uris == ["a%20b/%C3%BC.yaml", "a%2520%23%3F.yaml", "c%3Ad.yaml", "bad%FF.yaml"]

    def test_what_has_no_place_is_no_result(self) -> None:
        run = valid_sarif(bad(at=None), bad(at=at(0)))
        assert run["results"] == []
        assert [one["descriptor"]["id"] for one in run["invocations"][0]["toolExecutionNotifications"]] == [
            "GM203",
            "GM203",
        ]

    def test_no_text_of_a_policy_becomes_a_link(self) -> None:
        run = valid_sarif(bad("see [here](https://evil.example)"))
        assert "](" not in run["results"][0]["message"]["text"]

    def test_nothing_found_is_valid_too(self) -> None:
        assert valid_sarif()["results"] == []


class TestWorkflowCommands:
    def commands(self, *findings: Diagnostic) -> list[str]:
        return github_commands(annotated(findings, lambda place: place.path).placed).splitlines()

    def test_properties_and_text_are_escaped(self) -> None:
        (line,) = self.commands(bad("100% of\r\n::error::x, y: z", at=at(path="a,b:c%d.yaml")))
        assert (
            line
            == "::error file=a%2Cb%3Ac%25d.yaml,line=3,col=5,title=GM203 BadValue::100%25 of\\r\\n::error::x,"
            " y: z"
        )

    def test_a_hint_is_a_line_of_its_own(self) -> None:
        (line,) = self.commands(bad("m", hint="write 5s"))
        assert line.endswith("::m%0AHint: write 5s")

    def test_errors_come_first_and_ten_of_a_level_are_shown(self) -> None:
        many = [bad(f"w{n}", severity=Severity.WARNING, at=at(n + 1)) for n in range(12)]
        many += [bad(f"e{n}", at=at(n + 1)) for n in range(11)]
        many += [bad("i", severity=Severity.INFO)]
        *lines, last = self.commands(*many)
        assert [line.split(" ")[0] for line in lines] == ["::error"] * 10 + ["::warning"] * 10 + ["::notice"]
        assert (
            last
            == "1 more error, 2 more warnings left out: at most 10 of a level are shown. -o text has them"
            " all."
        )

    @pytest.mark.parametrize("text", ["::add-mask::a", "  ::error::x", "x ##[add-mask]a", "\n::add-mask::a"])
    def test_a_line_beside_them_is_no_command(self, text: str) -> None:
        safe = without_commands(text)
        assert not safe.lstrip().startswith("::")
        assert "##[" not in safe
        assert "\n" not in safe


def test_code_quality_has_what_gitlab_reads() -> None:
    found = annotated(
        [bad("m", hint="h"), bad("w", severity=Severity.WARNING), bad(at=None)], lambda place: place.path
    )
    document = gitlab_document(found.placed)
    jsonschema_rs.validator_for(CODE_QUALITY).validate(json.loads(json.dumps(document)))
    assert [(one["check_name"], one["severity"], one["location"]) for one in document] == [
        ("GM203", "critical", {"path": "policies/a.yaml", "lines": {"begin": 3}}),
        ("GM203", "minor", {"path": "policies/a.yaml", "lines": {"begin": 3}}),
    ]


# --- commands


def git(*arguments: str) -> None:
    environment = {"PATH": os.environ["PATH"], "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
    who = ["-c", "user.name=T", "-c", "user.email=t@example.com"]
    subprocess.run(["git", *who, *arguments], env=environment, check=True, capture_output=True)


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    """Command lines in a checkout of the example, in which a policy has a mistake that is not committed."""
    shutil.copytree(EXAMPLE, tmp_path / "mesh")
    call = runner(tmp_path / "mesh", capsys, monkeypatch)
    git("init", "--quiet", "--template=", "-b", "main", ".")
    git("add", "--all")
    git("commit", "--quiet", "-m", "first")
    file = Path("policies/reviews.yaml")
    file.write_text(file.read_text().replace("timeout: 3s", "timeout: 3 parsecs"))
    return call


def paths(out: str) -> list[str]:
    return [one["location"]["path"] for one in json.loads(out)]


class TestCommands:
    @pytest.mark.parametrize("form", ["text", "json", "github", "gitlab", "sarif"])
    def test_the_exit_code_does_not_depend_on_the_form(self, run: Run, form: str) -> None:
        assert run("validate", "policies", "-o", form)[0] == 2
        assert run("validate", "policies/access.yaml", "-o", form)[0] == 0
        assert run("diff", "policies", "-o", form)[0] == 2

    @pytest.mark.parametrize("form", ["github", "gitlab", "sarif"])
    def test_what_has_no_place_is_told_beside_them(self, run: Run, form: str) -> None:
        _, out, err = run("validate", "policies", "-o", form)
        assert "GM217" in err
        assert ("GM217" in out) == (form == "sarif")

    def test_paths_are_those_of_the_checkout_wherever_one_stands(
        self, run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        wanted = ["policies/reviews.yaml"]
        assert paths(run("validate", ".", "-o", "gitlab")[1]) == wanted
        monkeypatch.chdir("policies")
        assert paths(run("validate", ".", "-o", "gitlab")[1]) == wanted
        assert paths(run("validate", "reviews.yaml", "-o", "gitlab")[1]) == wanted
        monkeypatch.chdir("../clusters")
        assert paths(run("validate", "../policies", "-o", "gitlab")[1]) == wanted
        monkeypatch.chdir(tmp_path)
        assert paths(run("validate", str(tmp_path / "mesh" / "policies"), "-o", "gitlab")[1]) == wanted
        assert paths(run("validate", "mesh/policies", "-o", "gitlab")[1]) == wanted

    def test_one_edited_file_is_at_its_place(self, run: Run) -> None:
        assert paths(run("diff", "policies/reviews.yaml", "-o", "gitlab")[1]) == ["policies/reviews.yaml"]

    def test_a_source_that_is_fetched_has_no_place_here(self, run: Run, tmp_path: Path) -> None:
        git("commit", "--quiet", "--all", "-m", "mistake")
        config = (
            Path("gitmesh.yaml")
            .read_text()
            .replace("https://git.example/bookshop/mesh.git", f"file://{tmp_path}/mesh")
        )
        named = Path("named.yaml")
        named.write_text(config.replace("branch: main", "branch: main\n  allowInsecure: true"))
        code, out, err = run(
            "diff", "--config", "named.yaml", "--store", str(tmp_path / "store"), "-o", "gitlab"
        )
        assert (code, json.loads(out)) == (2, []), err
        assert "policies/reviews.yaml:15:12: error GM203" in err

    def test_of_two_commits_only_what_is_new(self, run: Run) -> None:
        git("commit", "--quiet", "--all", "-m", "mistake")
        code, out, _ = run("diff", "--base", "HEAD~1", "-o", "github")
        assert (code, out.split("::")[1]) == (
            2,
            "error file=policies/reviews.yaml,line=15,col=12,title=GM203 BadValue",
        )
        assert run("diff", "--base", "HEAD", "-o", "github")[1] == ""
