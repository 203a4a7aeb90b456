"""What objects decide, and what a change of one does to who is admitted (design law 2)."""

from __future__ import annotations

from enum import StrEnum
from typing import Literal, TypeAlias

Subject: TypeAlias = Literal["routing", "access", "trust"]
"""What an object decides: how requests go, who may call, or by what callers are known and which traffic is
taken at all (mTLS), on which all access of a mesh hangs.
"""
GUARDING: frozenset[Subject] = frozenset({"access", "trust"})
"""Objects that decide who may call: one that is not as it should be may admit more than the policies do
(security law).
"""


class Effect(StrEnum):
    """What a change of one object does to who is admitted, whatever the other objects say."""

    NEITHER = "neither"
    """The same as before."""
    NARROWS = "narrows"
    """At most who was admitted before."""
    WIDENS = "widens"
    """At least who was admitted before."""
    BOTH = "both"
    """Others than before."""
    CLOSES = "closes"
    """From now on nobody but whom other objects grant it: it comes after these."""
    OPENS = "opens"
    """Whoever needed a grant needs none any more: it comes before the grants go."""


NARROWING: frozenset[Effect] = frozenset({Effect.NARROWS, Effect.BOTH, Effect.CLOSES})
"""Some who were admitted may not be any more."""
