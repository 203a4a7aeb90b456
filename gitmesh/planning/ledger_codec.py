"""The ledger as a small JSON document: one file in a directory cluster, one ConfigMap in Kubernetes (1 MiB at
most).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import orjson
from msgspec.structs import replace

from gitmesh.codec import CodecError, closed, decode, encode
from gitmesh.model.empty import EMPTY
from gitmesh.model.facts import Mesh
from gitmesh.model.ledger import Entry, Hold, Ledger, Parts, Stored
from gitmesh.model.objects import ObjectKey
from gitmesh.model.ownership import WHOLE, Ownership
from gitmesh.model.units import UnitKey
from gitmesh.planning.keyed import keyed, mapping_of, values

API_VERSION = "gitmesh.io/v1alpha1"
SCHEMA = 4
"""Raised with every change that an older version would misread. Schema 3 knew no units and writers. Schema 2
knew parts by source alone. Schema 1 knew no origins, parts, kinds, holds and heals, and of a mesh only
translator, name and trust domain. What is not there is read as not known."""
_OWNING = 5
"""Where some objects are not ours as a whole. Other ledgers stay as they were: an upgrade rewrites nothing,
and can be taken back."""

_FIRST = frozenset(
    {"apiVersion", "kind", "schema", "instance", "clusterUid", "sources", "commits", "entries", "meshes"}
)
_SECOND = _FIRST | {"origins", "parts", "kinds", "holds", "heals"}
_FOURTH = _SECOND | {"units", "writers"}
_KEYS = _FOURTH | {"ownerships", "owned"}
_REQUIRED: Mapping[object, frozenset[str]] = {1: _FIRST, 2: _SECOND, 3: _SECOND, SCHEMA: _FOURTH}
"""Fields by schema; all of them in the newest."""


class FutureLedgerError(ValueError):
    """A newer version wrote this ledger; nothing may be concluded from it, and it must not be overwritten."""


def dump_ledger(ledger: Ledger) -> dict[str, Any]:
    """The document: entries by `group/Kind`, namespace and name as [uid, digest, index into commits, index
    into origins, index into units, *warnings]; `owned` is an index into ownerships, of whole objects none.
    """
    # Places in a list in place of texts: thousands of entries share few commits, and a ConfigMap ends at 1
    # MiB.
    commits = {
        commit: place
        for place, commit in enumerate(sorted({entry.commit for entry in ledger.entries.values()}))
    }
    origins = {
        names: place
        for place, names in enumerate(sorted({entry.sources for entry in ledger.entries.values()}))
    }
    units = {
        those: place for place, those in enumerate(sorted({entry.units for entry in ledger.entries.values()}))
    }
    rows = {
        key: [
            entry.uid,
            entry.digest,
            commits[entry.commit],
            origins[entry.sources],
            units[entry.units],
            *entry.warnings,
        ]
        for key, entry in ledger.entries.items()
    }
    owned = _owned(ledger.entries)
    return {
        "apiVersion": API_VERSION,
        "kind": "Ledger",
        "schema": _OWNING if owned else SCHEMA,
        "instance": ledger.instance,
        "clusterUid": ledger.cluster_uid,
        "sources": dict(sorted(ledger.sources.items())),
        "commits": list(commits),
        "origins": [list(names) for names in origins],
        "entries": keyed(rows),
        "parts": keyed({key: _encoded(entry.parts) for key, entry in ledger.entries.items() if entry.parts}),
        "units": [list(map(_unit_text, those)) for those in units],
        "writers": _writers(ledger.entries),
        "meshes": {name: encode(found) for name, found in sorted(ledger.meshes.items())},
        "kinds": sorted(ledger.kinds),
        "holds": encode(ledger.holds),
        "heals": keyed(ledger.heals),
        **owned,
    }


def _encoded(parts: Parts) -> dict[str, dict[str, list[str]]]:
    # Spelt out: `encode` asks each value of thousands for its type.
    return {
        source: {name: list(found[name]) for name in sorted(found)} for source, found in sorted(parts.items())
    }


def _owned(entries: Mapping[ObjectKey, Entry]) -> dict[str, Any]:
    """What is ours of the objects that are not ours as a whole; nothing where all are."""
    partial = {key: entry.ownership for key, entry in entries.items() if entry.ownership != WHOLE}
    if not partial:
        return {}
    kinds = sorted(set(partial.values()), key=lambda one: (one.only, one.excepted))
    places = {one: place for place, one in enumerate(kinds)}
    owned = keyed({key: places[one] for key, one in partial.items()})
    return {"ownerships": [encode(one) for one in kinds], "owned": owned}


def _writers(entries: Mapping[ObjectKey, Entry]) -> dict[str, Any]:
    """By `group/Kind` the writer of all its objects, or of each."""
    names: dict[tuple[str, str], set[str]] = {}
    for key, entry in entries.items():
        names.setdefault((key.group, key.kind), set()).add(entry.writer)
    several = {kind for kind, found in names.items() if len(found) > 1}
    of_each = keyed({key: entry.writer for key, entry in entries.items() if key[:2] in several})
    # Nearly always all objects of a kind have one writer, so its name is written once.
    of_all = {"/".join(kind): min(found) for kind, found in names.items() if kind not in several}
    return dict(sorted({**of_each, **of_all}.items()))


def load_ledger(document: object) -> Ledger:
    """The ledger in a document. Raises FutureLedgerError, or CodecError where it is no ledger."""
    schema = document.get("schema") if isinstance(document, Mapping) else None
    # Looked at before anything else, for a newer document may have any shape; `type`, as True is an int,
    # too.
    if type(schema) is int and schema > _OWNING:
        raise FutureLedgerError(
            f"the ledger has schema {schema}, this version knows {_OWNING}: a newer GitMesh wrote it"
        )
    body = closed(document, _KEYS, "")
    # Unknown and missing fields are refused alike: a ledger that is half understood would forget objects of
    # ours.
    missing = sorted(_REQUIRED.get(schema, _KEYS) - body.keys())
    if missing:
        raise CodecError("", f"the field {missing[0]!r} is missing")
    if (body["apiVersion"], body["kind"]) != (API_VERSION, "Ledger") or decode(
        int, body["schema"], "schema"
    ) not in (*_REQUIRED, _OWNING):
        raise CodecError("", "not a ledger")
    return Ledger(
        instance=decode(str, body["instance"], "instance"),
        cluster_uid=decode(str, body["clusterUid"], "clusterUid"),
        sources=decode(Mapping[str, str], body["sources"], "sources"),
        entries=_entries(body),
        meshes=_meshes(body["meshes"]),
        kinds=decode(frozenset[str], body.get("kinds", []), "kinds"),
        holds=decode(Mapping[str, Hold], body.get("holds", {}), "holds"),
        heals={key: decode(int, count, "heals") for key, count in values(body.get("heals", {}))},
    )


def encode_ledger(ledger: Ledger) -> bytes:
    """The document as compact JSON, which is YAML too: equal ledgers are equal bytes."""
    return orjson.dumps(dump_ledger(ledger))


def read_ledger(content: bytes, instance: str, version: str) -> Stored:
    """What a store holds. Content that is no ledger reads as empty and `corrupt`, for the caller to rebuild
    from the cluster (docs/reliability.md X11). Raises FutureLedgerError."""
    try:
        return Stored(ledger=load_ledger(orjson.loads(content)), version=version)
    # It must not read as corrupt: a corrupt one is rebuilt and overwritten, which would undo what a newer
    # version knows.
    except FutureLedgerError:
        raise
    except ValueError:
        return Stored(ledger=Ledger(instance=instance), version=version, corrupt=True)


def _entries(body: Mapping[str, Any]) -> dict[ObjectKey, Entry]:
    commits = decode(tuple[str, ...], body["commits"], "commits")
    origins = decode(tuple[tuple[str, ...], ...], body["origins"], "origins") if "origins" in body else None
    parts = {
        key: {source: _parts(found) for source, found in mapping_of(value).items()}
        for key, value in values(body.get("parts", {}))
    }
    units = [tuple(map(_unit, those)) for those in _lists(body["units"])] if "units" in body else None
    rows = values(body["entries"])
    found = {key: _entry(row, commits, origins, units, parts.get(key, EMPTY)) for key, row in rows}
    writers = mapping_of(body.get("writers", {}))
    of_all = {kind: name for kind, name in writers.items() if isinstance(name, str)}
    of_each = dict(values({kind: names for kind, names in writers.items() if kind not in of_all}))
    owned = _ownerships(body)
    return {
        key: replace(
            entry,
            writer=decode(str, of_each.get(key, of_all.get(f"{key.group}/{key.kind}", "")), "writers"),
            ownership=owned.get(key, WHOLE),
        )
        for key, entry in found.items()
    }


def _ownerships(body: Mapping[str, Any]) -> dict[ObjectKey, Ownership]:
    if "owned" not in body:
        return {}
    kinds = decode(tuple[Ownership, ...], body["ownerships"], "ownerships")
    places = {key: decode(int, place, "owned") for key, place in values(body["owned"])}
    if not all(0 <= place < len(kinds) for place in places.values()):
        raise CodecError("owned", "an object is not ours in any known way")
    return {key: kinds[place] for key, place in places.items()}


def _lists(value: object) -> tuple[tuple[str, ...], ...]:
    found: tuple[tuple[str, ...], ...] = decode(tuple[tuple[str, ...], ...], value, "units")
    return found


def _unit_text(unit: UnitKey) -> str:
    """`half/written/home/namespace/name`, home "" where it is the written cluster; a name may be any text."""
    # Nearly all units are written where they live; leaving that out keeps the ledger small.
    home = unit.home if unit.home != unit.written else ""
    return f"{unit.half}/{unit.written}/{home}/{unit.namespace}/{unit.name}"


def _unit(text: str) -> UnitKey:
    # The name is the rest, whatever is in it.
    match text.split("/", 4):
        case [("routing" | "access" | "mesh") as half, written, home, namespace, name]:
            return UnitKey(half=half, home=home or written, written=written, namespace=namespace, name=name)
    raise CodecError("units", "a unit is not half/written/home/namespace/name")


def _parts(value: object) -> Mapping[str, tuple[str, ...]]:
    """The digests of one source's rules, by policy where that is known."""
    if isinstance(value, list):
        return {"": decode(tuple[str, ...], value, "parts")}
    found: Mapping[str, tuple[str, ...]] = decode(Mapping[str, tuple[str, ...]], value, "parts")
    return found


def _entry(
    row: object,
    commits: tuple[str, ...],
    origins: tuple[tuple[str, ...], ...] | None,
    units: Sequence[tuple[UnitKey, ...]] | None,
    parts: Parts,
) -> Entry:
    match row:
        # Rows grew at their end from schema to schema, so each table that is there takes the next number.
        case [str(uid), str(digest), int(place), *more] if 0 <= place < len(commits):
            sources: tuple[str, ...] = ()
            if origins is not None:
                match more:
                    case [int(origin), *more] if 0 <= origin < len(origins):
                        sources = origins[origin]
                    case _:
                        raise CodecError("entries", "an entry has no origin")
            wanting: tuple[UnitKey, ...] = ()
            if units is not None:
                match more:
                    case [int(place_of_units), *more] if 0 <= place_of_units < len(units):
                        wanting = units[place_of_units]
                    case _:
                        raise CodecError("entries", "an entry has no units")
            told = decode(tuple[str, ...], list(more), "entries") if more else ()
            return Entry(
                uid=uid,
                digest=digest,
                commit=commits[place],
                warnings=told,
                sources=sources,
                parts=parts,
                units=wanting,
            )
    raise CodecError("entries", "an entry is not [uid, digest, commit, origin, units, *warnings]")


def _meshes(document: object) -> dict[str, tuple[Mesh, ...]]:
    found = {name: _mapping_list(rows) for name, rows in mapping_of(document).items()}
    return {name: tuple(map(_mesh, rows)) for name, rows in found.items()}


def _mapping_list(rows: object) -> list[object]:
    if not isinstance(rows, list):
        raise CodecError("meshes", "expected a list")
    return rows


def _mesh(row: object) -> Mesh:
    match row:
        case [str(translator), str(name), str(trust_domain)]:
            return Mesh(translator=translator, name=name, trust_domain=trust_domain)
        case dict():
            mesh: Mesh = decode(Mesh, row, "meshes")
            return mesh
    raise CodecError("meshes", "a mesh is neither [translator, name, trust domain] nor a mapping")
