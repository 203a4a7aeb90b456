"""What one file of a directory cluster holds: rows for facts, live objects of the kinds that GitMesh writes,
and where they stand.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from sys import intern
from typing import Any

import orjson
from msgspec import Struct

from gitmesh.adapters.writing import live_object
from gitmesh.discovery.rows import Reduced
from gitmesh.model.objects import Body, ObjectKey
from gitmesh.model.plan import Live
from gitmesh.yaml_documents import PlacedDocument, read_documents
from gitmesh.yaml_text import dump

_NO_OBJECTS = frozenset({"kustomize.config.k8s.io"})
"""Groups of documents that lie among objects but are none."""


class ObjectPlace(Struct, frozen=True):
    """Where an object stands in its file: which document, and which item of it where that is a list (-1 = it
    is none).
    """

    document: int
    item: int = -1


class Content(Struct, frozen=True):
    """A file's content. `problems` are documents that are no objects: they hide nothing."""

    rows: tuple[Reduced, ...] = ()
    live: tuple[tuple[Live, ObjectPlace], ...] = ()
    problems: tuple[str, ...] = ()


def uid_of(text: str) -> str:
    """A hash in the form of a uid (RFC 9562, version 8)."""
    digest = hashlib.sha256(text.encode()).hexdigest()
    return f"{digest[:8]}-{digest[8:12]}-8{digest[13:16]}-a{digest[17:20]}-{digest[20:32]}"


def object_uid(key: ObjectKey) -> str:
    """The uid of an object in a directory: the same key is the same object."""
    return uid_of(key.id(""))


class Reader(Struct, frozen=True):
    """Reads files. `reduce` makes rows; `watched` maps the (group, kind) of live objects to whether it is
    namespaced.
    """

    reduce: Callable[[Body], Reduced | None]
    watched: Mapping[tuple[str, str], bool]

    def read(self, path: str, data: bytes) -> Content:
        """The content of a file. Raises ValueError for what cannot be parsed."""
        return self.content(_objects(path, data))

    def content(self, objects: Iterable[tuple[ObjectPlace, Any]]) -> Content:
        """What objects at their places amount to."""
        rows: list[Reduced] = []
        live: list[tuple[Live, ObjectPlace]] = []
        problems: list[str] = []
        for place, body in objects:
            if not _is_object(body):
                problems.append(f"document {place.document + 1} is not a Kubernetes object")
                continue
            row, key = self.reduce(body), key_of(body, self.watched)
            if row is not None:
                rows.append(row)
            if key is not None:
                live.append((live_object(key, object_uid(key), body), place))
        return Content(tuple(rows), tuple(live), tuple(problems))


def key_of(body: Body, watched: Mapping[tuple[str, str], bool]) -> ObjectKey | None:
    """The identity of an object of a watched kind."""
    group, kind = str(body["apiVersion"]).rpartition("/")[0], str(body["kind"])
    namespaced = watched.get((group, kind))
    if namespaced is None:
        return None
    metadata = body["metadata"]
    # An object without a namespace belongs to `default`, as kubectl has it.
    namespace = metadata.get("namespace") or "default" if namespaced else ""
    return ObjectKey(*map(intern, (group, kind, str(namespace), metadata["name"])))


def object_at(path: str, data: bytes, place: ObjectPlace) -> Body:
    """The object at its place, with all that the file says of it. Raises ValueError for what cannot be
    parsed.
    """
    return next(body for found, body in _objects(path, data) if found == place)


def replace_object(path: str, data: bytes, place: ObjectPlace, body: Body | None) -> bytes | None:
    """The file with one object replaced, or taken out where `body` is None; other documents keep every byte.

    None where no object is left in it. Raises ValueError for what cannot be parsed.
    """
    if path.endswith(".json"):
        value = _put(orjson.loads(data), place, body)
        return (
            None
            if value is None
            else json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False).encode() + b"\n"
        )
    text = _text(data)
    documents = read_documents(text)
    value = _put(documents[place.document].value, place, body)
    if value is None and all(
        document.value is None for document in documents if document is not documents[place.document]
    ):
        return None
    start, end = _span(documents, place.document, len(text))
    # Its own mark lies inside the span that is replaced: without it two documents would run together.
    mark = "---\n" if documents[place.document].marked and value is not None else ""
    return (text[:start] + mark + (dump(value) if value is not None else "") + text[end:]).encode()


def new_file(body: Body) -> bytes:
    """The content of a file for one object."""
    return dump(body).encode()


def _span(documents: tuple[PlacedDocument, ...], index: int, length: int) -> tuple[int, int]:
    return documents[index].start, documents[index + 1].start if index + 1 < len(documents) else length


def _put(value: Any, place: ObjectPlace, body: Body | None) -> object:
    """A document's value with the object replaced; None where nothing is left."""
    if place.item < 0:
        return body
    before, after = value["items"][: place.item], value["items"][place.item + 1 :]
    return {**value, "items": [*before, *([] if body is None else [body]), *after]}


def _text(data: bytes) -> str:
    try:
        # A byte order mark, as editors on Windows write it, is no part of the first key.
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ValueError("not UTF-8") from None


def _objects(path: str, data: bytes) -> Iterator[tuple[ObjectPlace, Any]]:
    """The objects of a file, those in lists one by one; empty documents are skipped."""
    for index, value in enumerate(_values(path, data)):
        if value is None or _ignored(value):
            continue
        items = (
            value.get("items")
            if isinstance(value, dict) and str(value.get("kind")).endswith("List")
            else None
        )
        if not isinstance(items, list):
            yield ObjectPlace(index), value
        for number, item in enumerate(items if isinstance(items, list) else ()):
            yield ObjectPlace(index, number), item


def _values(path: str, data: bytes) -> list[object]:
    if path.endswith(".json"):
        try:
            return [orjson.loads(data)]
        except orjson.JSONDecodeError as error:
            raise ValueError(f"not well-formed JSON at line {error.lineno}") from None
    return [document.value for document in read_documents(_text(data))]


def _ignored(value: Any) -> bool:
    return isinstance(value, dict) and str(value.get("apiVersion")).partition("/")[0] in _NO_OBJECTS


def _is_object(body: Any) -> bool:
    if not isinstance(body, dict) or not isinstance(body.get("metadata"), dict):
        return False
    words = (body.get("apiVersion"), body.get("kind"), body["metadata"].get("name"))
    return all(isinstance(word, str) and word for word in words)
