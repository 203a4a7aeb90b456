"""Values by object, as a ledger's document nests them: of thousands each place is said once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias

from gitmesh.codec import CodecError
from gitmesh.model.objects import ObjectKey

Keyed: TypeAlias = "dict[str, dict[str, dict[str, Any]]]"
"""`group/Kind` -> namespace -> name -> value."""


def keyed(values: Mapping[ObjectKey, object]) -> Keyed:
    """Values by object as a document nests them, sorted."""
    found: Keyed = {}
    last, names = None, dict[str, object]()
    # Of thousands, those of one place follow each other, so that it is looked up once.
    for key in sorted(values):
        if (place := key[:3]) != last:
            last, names = place, found.setdefault(f"{key.group}/{key.kind}", {}).setdefault(key.namespace, {})
        names[key.name] = values[key]
    return found


def values(document: object) -> Iterator[tuple[ObjectKey, object]]:
    """The values of such a document, each with its object. Raises CodecError."""
    for group_kind, namespaces in mapping_of(document).items():
        group, _, kind = group_kind.rpartition("/")
        for namespace, names in mapping_of(namespaces).items():
            for name, value in mapping_of(names).items():
                yield ObjectKey(group=group, kind=kind, namespace=namespace, name=name), value


def mapping_of(value: object) -> dict[str, Any]:
    """A mapping in a document. Raises CodecError for anything else."""
    if not isinstance(value, dict):
        raise CodecError("entries", "expected a mapping")
    return value
