"""The suite's files of routes -> files of what our pipeline makes of the policies that mean the same."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from gitmesh.diagnostics import Severity
from tests.conformance.cluster import facts, named
from tests.conformance.reading import RefusedError, policies_of
from tests.lab.bookshop import Dataplane
from tests.rendered import Rendered, rendered

BASE = "mesh/manifests.yaml"
ROUTES = "tests/mesh"


@dataclass(frozen=True)
class Translated:
    """What became of the suite's files, by their paths in the suite."""

    objects: Mapping[str, list[dict[str, Any]]]
    """What stands for the routes of a file."""
    unsaid: Mapping[str, str]
    """Files whose routes are not replaced, and why."""

    def write(self, folder: Path) -> Path:
        """The files that are replaced, below a folder as they lie in the suite."""
        for path, objects in self.objects.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_text(yaml.safe_dump_all(objects))
        return folder


def translated(suite: Path, dataplane: Dataplane, folder: Path) -> Translated:
    """All files of the suite in `suite`; each is said by itself, in a cluster of its own.

    `folder` is a new one, for what is discovered. What a finding that is an error is about is not replaced.
    """
    known = facts(list(yaml.safe_load_all((suite / BASE).read_text())), dataplane, folder)
    files = {path.stem: list(yaml.safe_load_all(path.read_text())) for path in _files(suite)}
    policies: dict[str, str] = {}
    unsaid: dict[str, str] = {}
    for name, routes in files.items():
        try:
            found = [policy for route in routes for policy in policies_of(route, name)]
        except RefusedError as error:
            unsaid[name] = str(error)
        else:
            policies[name] = yaml.safe_dump_all(found)
    made = {
        name: rendered({f"{name}.yaml": text}, {name: named(known, name)}) for name, text in policies.items()
    }
    unsaid |= {name: reason for name, one in made.items() if (reason := _error(one))}
    return Translated(
        {_path(name): one.bodies for name, one in made.items() if name not in unsaid},
        {_path(name): reason for name, reason in unsaid.items()},
    )


def _files(suite: Path) -> list[Path]:
    return sorted((suite / ROUTES).glob("*.yaml"))


def _path(name: str) -> str:
    return f"{ROUTES}/{name}.yaml"


def _error(made: Rendered) -> str:
    """The first error, or that nothing came of the policies."""
    errors = [f"{d.code} {d.message}" for d in made.findings if d.severity is Severity.ERROR]
    return errors[0] if errors else "" if made.bodies else "no object"
