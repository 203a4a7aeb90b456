"""Cases as data: `cases/<feature>/<case>/` holds `case.yaml` and the policies that it is about."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from tests.e2e.schema import CaseFile

HERE = Path(__file__).parent
FOLDER = HERE / "cases"
BASE = HERE / "base"
CASE_FILE = "case.yaml"
POLICIES = "policies"
"""Folder of the repository that the agent reads."""


class CaseError(ValueError):
    """A case that cannot be read; the text names its file and every mistake."""


@dataclass(frozen=True)
class Case:
    """One folder. `files` are its policies by file name."""

    name: str
    said: CaseFile
    files: Mapping[str, str]

    @property
    def after(self) -> Mapping[str, str]:
        """The policies that the requests are about."""
        return {name: text for name, text in self.files.items() if name not in self.said.before}

    @property
    def before(self) -> Mapping[str, str]:
        """The policies that the change starts from; none where the case watches no change of its own."""
        return {name: text for name, text in self.files.items() if name in self.said.before}


class _Loader(yaml.SafeLoader):
    """Refuses a key that is there twice, where PyYAML takes the last one."""

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        made = super().construct_mapping(node, deep)
        if len(made) != len(node.value):
            raise yaml.YAMLError(f"a key is here twice, line {node.start_mark.line + 1}")
        return made


def read_case(folder: Path) -> Case:
    """The case of a folder. Raises CaseError."""
    where = folder / CASE_FILE
    try:
        said = CaseFile.model_validate(yaml.load(where.read_text(encoding="utf-8"), _Loader))
    except (yaml.YAMLError, OSError, UnicodeDecodeError, ValidationError) as error:
        raise CaseError(f"{where}: {error}") from error
    files = {
        path.name: path.read_text(encoding="utf-8") for path in sorted(folder.glob("*.yaml")) if path != where
    }
    missing = sorted(set(said.before) - files.keys())
    if missing or not files:
        raise CaseError(f"{where}: {'no file ' + ', '.join(missing) if missing else 'no policies beside it'}")
    return Case(name=f"{folder.parent.name}/{folder.name}", said=said, files=files)


@cache
def all_cases() -> Sequence[Case]:
    """Every case, in the order of their names."""
    return tuple(read_case(path.parent) for path in sorted(FOLDER.glob(f"*/*/{CASE_FILE}")))


def repository(policies: Mapping[str, str]) -> dict[str, str]:
    """The files of the repository: these policies on top of the base, whose policies of the same name they
    replace.
    """
    taken = {identity(document) for text in policies.values() for document in documents(text)}
    base = {path.name: documents(path.read_text(encoding="utf-8")) for path in sorted(BASE.glob("*.yaml"))}
    kept = {name: [one for one in found if identity(one) not in taken] for name, found in base.items()}
    files = {
        f"{POLICIES}/base/{name}": yaml.safe_dump_all(found, sort_keys=False)
        for name, found in kept.items()
        if found
    }
    return {**files, **{f"{POLICIES}/{name}": text for name, text in policies.items()}}


def documents(text: str) -> list[dict[str, Any]]:
    """The documents of a file."""
    return [document for document in yaml.safe_load_all(text) if document]


def identity(document: Mapping[str, Any]) -> tuple[str, str, str]:
    """(kind, namespace, name) of a policy."""
    metadata = document["metadata"]
    return document["kind"], metadata.get("namespace", ""), metadata["name"]
