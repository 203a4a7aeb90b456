"""What the objects of a plan are to each other, as their translators say it. Called by relying; no I/O."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

from gitmesh.model.links import UNLINKED, Links
from gitmesh.model.objects import ObjectKey, decode
from gitmesh.model.plan import Live

if TYPE_CHECKING:
    from gitmesh.planning.scenery import Scenery


class LinkPair(NamedTuple):
    """What a row's object provides and uses before and after its write."""

    before: Links
    after: Links


class LinkReader:
    """Asks translators for links."""

    def __init__(self, scenery: Scenery) -> None:
        self._writers, self._meshes, self._memo = scenery.writers, scenery.built.meshes, scenery.memo

    def links(self, key: ObjectKey, content: bytes | None) -> Links:
        """Of an object with this content; of none where there is no content."""
        writer = self._writers.get(key)
        return writer.links(decode(content), self._meshes) if writer and content else UNLINKED

    def of_all(self, lives: Mapping[ObjectKey, Live]) -> Mapping[ObjectKey, Links]:
        """Of live objects; of those that did not move since the last time as they were then."""
        # What an object is to others depends on the meshes too, as names of hosts and subsets do.
        meshes, known = self._memo.get("links", ((), {}))
        old: Mapping[ObjectKey, tuple[Live, Links]] = known if meshes == self._meshes else {}
        seen: dict[ObjectKey, tuple[Live, Links]] = {}
        for key, live in lives.items():
            found = old.get(key)
            seen[key] = found if found and found[0] is live else (live, self.links(key, live.body))
        self._memo["links"] = (self._meshes, seen)
        return {key: links for key, (_, links) in seen.items()}
