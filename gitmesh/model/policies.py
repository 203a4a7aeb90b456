"""A parsed policy: its typed spec and the place of every field in its file."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

from msgspec import Struct

from gitmesh.diagnostics import Diagnostic, Location, Severity, finding
from gitmesh.model.naming import camel

if TYPE_CHECKING:  # the models are large, and most of what names a policy never looks into one
    from gitmesh.model.kinds import Spec

YamlPath: TypeAlias = tuple[str | int, ...]
"""Where a value stands in a document: ("spec", "matches", 0, "path")."""


class Positions(Struct, frozen=True, kw_only=True):
    """Line and column (1-based) of every key and value of one document.

    `keys` gives the place of a mapping's key (or a list's item), `values` the place of the value.
    """

    source: str
    path: str
    keys: Mapping[YamlPath, tuple[int, int]]
    values: Mapping[YamlPath, tuple[int, int]]

    def at(self, path: YamlPath, *, key: bool = False) -> Location:
        """The place of a field's value (or key), or of its nearest parent that exists in the file."""
        table = self.keys if key else self.values
        while path and path not in table:
            path = path[:-1]
        line, column = table.get(path) or self.values.get((), (1, 1))
        return Location(source=self.source, path=self.path, line=line, column=column)


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """One policy document. `digest` is the hash of its content: kind, name and spec, not its place."""

    kind: str
    namespace: str
    name: str
    spec: Spec
    # Policies that say the same are equal, wherever they stand in their files.
    positions: Positions = field(compare=False, repr=False)
    digest: str

    @property
    def id(self) -> str:
        """`Kind/namespace/name`."""
        return sys.intern(f"{self.kind}/{self.namespace}/{self.name}")  # one string, whoever keeps it

    @property
    def location(self) -> Location:
        """Where the document begins."""
        return self.positions.at(())

    def at(self, *path: str | int) -> Location:
        """The place of a field below spec, by its Python names: `at("split", 0, "destination")`."""
        return self.positions.at(("spec", *(camel(p) if isinstance(p, str) else p for p in path)))

    def origin(self, *path: str | int) -> Origin:
        """The provenance of a field below spec, by its Python names."""
        spelt = tuple(camel(p) if isinstance(p, str) else p for p in path)
        return Origin(policy=self.id, field=dotted(("spec", *spelt)), at=self.positions.at(("spec", *spelt)))


class Origin(Struct, frozen=True, kw_only=True, order=True):
    """Where a value comes from: the policy, its field, and the place in Git."""

    policy: str
    field: str
    at: Location

    def finding(
        self,
        code: str,
        message: str,
        *,
        cluster: str = "",
        mesh: str = "",
        hint: str = "",
        severity: Severity | None = None,
        detail: str = "",
        hold: str = "",
    ) -> Diagnostic:
        """A finding on this field; what is not given is as `diagnostics.finding` has it."""
        return finding(
            code,
            message,
            at=self.at,
            policy=self.policy,
            field=self.field,
            cluster=cluster,
            mesh=mesh,
            hint=hint,
            severity=severity,
            detail=detail,
            hold=hold,
        )


def dotted(path: YamlPath) -> str:
    """("spec", "split", 0, "weight") -> spec.split[0].weight."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text
