"""What the expressions of a file cost, told before any of them is compiled."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from msgspec import Struct

from gitmesh.diagnostics import Diagnostic, Location, finding
from gitmesh.model.expressions import MAX_LENGTH, weight
from gitmesh.model.policies import YamlPath
from gitmesh.parsing.nodes import Document

MAX_FILE_WEIGHT = 1_000_000
"""Instructions of RE2 programs: under half a second, and some 20 MB."""
MAX_REVISION_WEIGHT = 16_000_000
_KEY = "regex"
"""Every field that holds an expression is called so."""


class Load(Struct, frozen=True):
    """The cost of different expressions together, and the costliest of them, the first in the file among
    equals.
    """

    total: int = 0
    most: int = 0
    at: Location | None = None

    def plus(self, other: Load) -> Load:
        """Both together."""
        greater = self if self.most >= other.most else other
        return Load(self.total + other.total, greater.most, greater.at)

    def refusal(self, scope: str, limit: int) -> Diagnostic:
        """The finding where it is more than the limit."""
        text = (
            f"the regular expressions of this {scope} make some {self.total:,} instructions together, more"
            f" than {limit:,}"
        )
        return finding(
            "GM103",
            text + "; this is the costliest",
            at=self.at,
            hint="repeat less, use smaller classes, or fewer expressions",
        )


def load(content: bytes, documents: Iterable[Document]) -> Load:
    """What the expressions of a file's documents cost; those too long to be compiled cost nothing."""
    # Nearly every file: one search of its bytes saves the walk.
    if _KEY.encode() not in content:
        return Load()
    first: dict[str, Location] = {}
    for document in documents:
        for path, text in _expressions(document.data):
            if text not in first:
                first[text] = document.positions.at(path)
    # Equal texts count once, as each is compiled once. Too long ones are refused by their length alone.
    weights = {text: weight(text) for text in first if len(text) <= MAX_LENGTH}
    if not weights:
        return Load()
    costliest = min(weights, key=lambda text: (-weights[text], first[text]))
    return Load(sum(weights.values()), weights[costliest], first[costliest])


def _expressions(data: object) -> Iterator[tuple[YamlPath, str]]:
    """Every expression in a document, with its path, in no order."""
    # Without recursion: the document is anybody's, and may be as deep as the parser lets it.
    waiting: list[tuple[YamlPath, object]] = [((), data)]
    while waiting:
        path, value = waiting.pop()
        if isinstance(value, dict):
            waiting += [((*path, key), item) for key, item in value.items()]
        elif isinstance(value, list):
            waiting += [((*path, index), item) for index, item in enumerate(value)]
        elif isinstance(value, str) and path and path[-1] == _KEY:
            yield path, value
