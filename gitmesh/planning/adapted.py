"""What the steps between a build and its plan answer: the build as it must be beside what is live, and what
is said of that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from gitmesh.diagnostics import Diagnostic, first_of
from gitmesh.model.manifests import Build

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gitmesh.model.objects import ObjectKey

_MOST_NAMED = 10


class Adapted(Struct, frozen=True, kw_only=True):
    """A build, and the findings on what was changed in it; the very same build where nothing was."""

    built: Build
    diagnostics: tuple[Diagnostic, ...] = ()

    def then(self, following: Adapted) -> Adapted:
        """What a following step made of this build, with the findings of both."""
        return Adapted(built=following.built, diagnostics=(*self.diagnostics, *following.diagnostics))


def named(keys: Iterable[ObjectKey]) -> str:
    """The first objects by name, and how many more there are."""
    return first_of(map(str, keys), _MOST_NAMED)
