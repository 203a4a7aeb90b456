"""Facts as an agent published them on the status branch."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from gitmesh.cli import console, saved_facts
from gitmesh.render.escape import printable
from gitmesh.render.values import ago

if TYPE_CHECKING:
    from gitmesh.adapters.git.checkout import Checkout
    from gitmesh.model.facts import ClusterFacts

_FACTS_ROOM = 1 << 25
"""Bytes of one cluster's facts."""
_OLD = 86_400
"""Seconds after which facts are called old."""


def published_facts(
    checkout: Checkout, branch: str, now: float, among: Collection[str] | None = None
) -> tuple[Mapping[str, ClusterFacts], str]:
    """The facts on the status branch, and which they are. A file that holds none is left out, and said: its
    cluster is then unknown. Only clusters `among` these are read (None = all). Raises SourceError.
    """
    tip = checkout.known_branch(branch)
    found: dict[str, ClusterFacts] = {}
    for name in checkout.names(tip, "facts"):
        # Whoever may push there does not say how many are read.
        if among is not None and name.removesuffix(".yaml") not in among:
            continue
        content = checkout.file(tip, f"facts/{name}", _FACTS_ROOM) or b""
        try:
            loaded = saved_facts.facts_in(content)
        except ValueError as error:
            console.note(printable(f"facts/{name} of {branch} cannot be used: {error}"))
            continue
        found |= {cluster: one for cluster, one in loaded.items() if f"{cluster}.yaml" == name}
    written = checkout.seconds(tip)
    # By a time and no age, but for facts that are old: a review that is repeated says the same.
    old = f", which is {ago(now - written)} ago" if now - written > _OLD else ""
    return (
        found,
        f"{branch} {tip[:12]}, written {datetime.fromtimestamp(written, UTC):%Y-%m-%d %H:%M} UTC{old}",
    )
