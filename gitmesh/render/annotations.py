"""Findings as annotations of files, for the tools that show them beside the lines of a pull request: one
list, three forms.

- SARIF 2.1.0 (OASIS): https://docs.oasis-open.org/sarif/sarif/v2.1.0/
- Workflow commands, of GitHub and of what runs its workflows:
  https://docs.github.com/actions/reference/workflow-commands-for-github-actions
- Code Quality, of GitLab: https://docs.gitlab.com/ci/testing/code_quality/#code-quality-report-format

A finding has a place when it is at a line of a file of the checkout. One without is never put at a line that
it is not about: who prints the annotations tells it beside them.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from hashlib import sha256
from urllib.parse import quote

from msgspec import Struct

from gitmesh import __version__
from gitmesh.codes import CODES
from gitmesh.codes.code import Code
from gitmesh.diagnostics import Diagnostic, Location, Severity
from gitmesh.render.document import Document
from gitmesh.render.escape import printable
from gitmesh.render.findings import folded
from gitmesh.render.values import counted, listed

MOST_OF_LEVEL = 10
"""Workflow commands of one level that GitHub shows of a step; it drops the others without a word."""
_SARIF_SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
_SARIF_LEVELS: Mapping[str, str] = {
    Severity.ERROR: "error",
    Severity.WARNING: "warning",
    Severity.INFO: "note",
}
_COMMANDS: Mapping[str, str] = {Severity.ERROR: "error", Severity.WARNING: "warning", Severity.INFO: "notice"}
_GITLAB_SEVERITIES: Mapping[str, str] = {
    Severity.ERROR: "critical",
    Severity.WARNING: "minor",
    Severity.INFO: "info",
}
_LINE_NUMBERS = re.compile(r"(?<=\S):[0-9]+(?::[0-9]+)?")
_DATA = str.maketrans({"%": "%25", "\r": "%0D", "\n": "%0A"})
_PROPERTY = str.maketrans({"%": "%25", "\r": "%0D", "\n": "%0A", ":": "%3A", ",": "%2C"})


class Annotation(Struct, frozen=True, kw_only=True):
    """A finding at a line of a file. `path` is that from the root of the checkout; `fingerprint` stays while
    the file is edited around.
    """

    finding: Diagnostic
    path: str
    line: int
    column: int
    fingerprint: str


class Annotations(Struct, frozen=True, kw_only=True):
    """All findings: those with a place, and the others."""

    placed: tuple[Annotation, ...]
    elsewhere: tuple[Diagnostic, ...]


def annotated(findings: Iterable[Diagnostic], path_of: Callable[[Location], str]) -> Annotations:
    """Sort findings out. `path_of` gives a place's path from the root of the checkout, "" where it lies
    elsewhere.
    """
    placed: list[Annotation] = []
    elsewhere: list[Diagnostic] = []
    seen: Counter[str] = Counter()
    for one in folded(findings):
        at = one.at
        path = path_of(at) if at is not None and at.line > 0 else ""
        if at is None or not path:
            elsewhere.append(one)
            continue
        text = _identity(one, path)
        mark = sha256(f"{text}\0{seen[text]}".encode(errors="surrogateescape")).hexdigest()
        seen[text] += 1
        placed.append(
            Annotation(finding=one, path=path, line=at.line, column=max(1, at.column), fingerprint=mark[:32])
        )
    return Annotations(placed=tuple(placed), elsewhere=tuple(elsewhere))


def _identity(one: Diagnostic, path: str) -> str:
    """What makes a finding the same in a later run: no number of a line, and the file only where no policy is
    named.
    """
    about = one.policy or path
    return "\0".join((one.code, about, one.field, _LINE_NUMBERS.sub("", one.message)))


def text_of(one: Diagnostic) -> str:
    """The message, the clusters and meshes, and the hint, without anything that moves a cursor."""
    named = ", ".join(filter(None, (f"mesh {one.mesh}" if one.mesh else "", one.cluster)))
    places = f" (in {printable(named)})" if named else ""
    return f"{printable(one.message)}{places}{f'{chr(10)}Hint: {printable(one.hint)}' if one.hint else ''}"


def _sarif_text(one: Diagnostic) -> str:
    """`[text](target)` is a link in SARIF's plain text, too: nothing of a policy becomes one."""
    return text_of(one).replace("](", "] (")


# --- SARIF


def sarif_document(found: Annotations) -> Document:
    """One run. What has no place is a notification of the run: viewers refuse a result that is nowhere."""
    codes = sorted({one.finding.code for one in found.placed} | {one.code for one in found.elsewhere})
    driver = {
        "name": "GitMesh",
        "semanticVersion": __version__,
        "rules": [_rule(CODES[code]) for code in codes],
    }
    run = {
        "tool": {"driver": driver},
        "columnKind": "unicodeCodePoints",
        "invocations": [
            {
                "executionSuccessful": True,
                "toolExecutionNotifications": [_notification(one) for one in found.elsewhere],
            }
        ],
        "results": [_result(one, codes.index(one.finding.code)) for one in found.placed],
    }
    return {"$schema": _SARIF_SCHEMA, "version": "2.1.0", "runs": [run]}


def _rule(code: Code) -> Document:
    return {
        "id": code.code,
        "name": code.name,
        "shortDescription": {"text": code.summary},
        "fullDescription": {"text": code.cause},
        "help": {"text": f"{code.cause}\n{code.fix}"},
        "defaultConfiguration": {"level": _SARIF_LEVELS[code.severity]},
    }


def _result(one: Annotation, index: int) -> Document:
    artifact = {"uri": quote(one.path, safe="/", errors="surrogateescape"), "uriBaseId": "%SRCROOT%"}
    return {
        "ruleId": one.finding.code,
        "ruleIndex": index,
        "level": _SARIF_LEVELS[one.finding.severity],
        "message": {"text": _sarif_text(one.finding)},
        "locations": [
            {
                "physicalLocation": {
                    "artifactLocation": artifact,
                    "region": {"startLine": one.line, "startColumn": one.column},
                }
            }
        ],
        "partialFingerprints": {"gitmeshFinding/v1": one.fingerprint},
    }


def _notification(one: Diagnostic) -> Document:
    return {
        "descriptor": {"id": one.code},
        "level": _SARIF_LEVELS[one.severity],
        "message": {"text": _sarif_text(one)},
    }


# --- GitHub


def github_commands(found: Sequence[Annotation]) -> str:
    """A command a line, errors first, of each level as many as are shown; then how many are left out."""
    lines, left = [], []
    for severity, word in _COMMANDS.items():
        level = [one for one in found if one.finding.severity == severity]
        lines += [_command(word, one) for one in level[:MOST_OF_LEVEL]]
        left += [counted(len(level) - MOST_OF_LEVEL, f"more {word}")] if len(level) > MOST_OF_LEVEL else []
    if left:
        lines.append(
            f"{listed(left)} left out: at most {MOST_OF_LEVEL} of a level are shown. -o text has them all."
        )
    return "".join(f"{line}\n" for line in lines)


def _command(word: str, one: Annotation) -> str:
    title = f"{one.finding.code} {one.finding.name}"
    properties = {"file": printable(one.path), "line": str(one.line), "col": str(one.column), "title": title}
    said = ",".join(f"{name}={value.translate(_PROPERTY)}" for name, value in properties.items())
    return f"::{word} {said}::{text_of(one.finding).translate(_DATA)}"


def without_commands(text: str) -> str:
    """A line of a job's log in which the runner finds no command: it looks for `::` at the beginning, and for
    `##[` anywhere.
    """
    safe = printable(text).replace("##[", "# #[")
    return f"- {safe}" if safe.lstrip().startswith("::") else safe


# --- GitLab


def gitlab_document(found: Sequence[Annotation]) -> list[Mapping[str, object]]:
    """The Code Quality report."""
    return [
        {
            "description": f"{one.finding.name}: {text_of(one.finding)}".replace("\n", " "),
            "check_name": one.finding.code,
            "fingerprint": one.fingerprint,
            "severity": _GITLAB_SEVERITIES[one.finding.severity],
            "location": {"path": printable(one.path), "lines": {"begin": one.line}},
        }
        for one in found
    ]
