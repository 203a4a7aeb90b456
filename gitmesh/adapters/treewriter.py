"""Writing objects into a tree of YAML files: each where it lives, new ones in a file of their own."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from msgspec.structs import replace

from gitmesh.adapters.contents import Content, ObjectPlace, new_file, object_at, replace_object
from gitmesh.adapters.files import read_inside, remove_inside, write_inside
from gitmesh.adapters.tree import Tree
from gitmesh.adapters.writing import StepError, body_of, carry_out, check_step
from gitmesh.model.objects import Body, ObjectKey
from gitmesh.model.plan import Action, Change, Live, Outcome, Plan


class Writer:
    """Carries out one plan under the directory's lock. `paths` are the places for new objects."""

    def __init__(self, root: Path, tree: Tree, paths: Mapping[ObjectKey, str]) -> None:
        self._root = root
        self._tree = tree
        self._paths = paths

    def carry_out(self, plan: Plan) -> tuple[Outcome, ...]:
        """The outcomes of the plan's writes."""
        try:
            return carry_out(plan, self._step)
        finally:
            self._tree.settle()

    def _step(self, change: Change, expected: str) -> Live | None:
        homes = [path for path, _ in self._tree.homes.get(change.key, ())]
        # Whichever was written, the other one would still say the old.
        if len(homes) > 1:
            raise StepError(f"{change.key} stands in {homes[0]} and in {homes[1]}: remove one of them")
        try:
            return self._rewrite(change, expected, homes[0]) if homes else self._create(change, expected)
        except ValueError as error:
            raise StepError(f"{change.key} cannot be read any more: {error}") from error
        except OSError as error:
            raise StepError(
                f"{change.key} cannot be written: {error.strerror or error}", code="GM501"
            ) from error

    def _create(self, change: Change, expected: str) -> Live | None:
        check_step(change, expected, None)
        path, body = self._paths[change.key], body_of(change)
        content, live = self._checked(change, body)
        # `lexists`: a link that leads nowhere is something, too.
        if os.path.lexists(self._root / path) and not self._is_empty(path):
            raise StepError(f"{path} exists and holds something else than {change.key}")
        write_inside(self._root, path, new_file(body))
        self._tree.note(path, content)
        return live

    def _is_empty(self, path: str) -> bool:
        entry = self._tree.entry(path)
        return entry is not None and not entry.problem and entry.content == Content()

    def _checked(self, change: Change, body: Body) -> tuple[Content, Live]:
        """A file's content with this one object. Raises StepError if it is not the object of the key."""
        content = self._tree.reader.content([(ObjectPlace(0), body)])
        if not content.live or content.live[0][0].key != change.key:
            raise StepError(
                f"the content for {change.key} is another object, or of a kind that no translator writes",
                retryable=False,
            )
        (live, place), *_ = content.live
        if live.body == change.body:  # held once: what is wanted and what is there
            live = replace(live, key=change.key, body=change.body)
        return replace(content, live=((live, place),)), live

    def _rewrite(self, change: Change, expected: str, path: str) -> Live | None:
        """Replace or remove the object in its file, if the file still says what was observed."""
        data, reader = read_inside(self._root, path), self._tree.reader
        current, place = next(
            (pair for pair in reader.read(path, data).live if pair[0].key == change.key), (None, None)
        )
        check_step(change, expected, current)
        if place is None:
            raise StepError(f"{change.key} is gone")
        if change.action is Action.DELETE:
            self._put(path, replace_object(path, data, place, None))
            return None
        body: Body = body_of(change)
        if not change.ownership.is_object:
            # A file of somebody else's keeps what is no part of a live object, such as the status.
            body = change.ownership.onto(body, object_at(path, data, place))
        live = self._checked(change, body)[1]
        self._put(path, replace_object(path, data, place, body))
        return live

    def _put(self, path: str, data: bytes | None) -> None:
        """Write a file's new content; remove it where no object is left."""
        if data is None:
            remove_inside(self._root, path)
            self._tree.note(path, None)
            return
        # Read before it is written: what cannot be read again must not be put there.
        content = self._tree.reader.read(path, data)
        write_inside(self._root, path, data)
        self._tree.note(path, content)
