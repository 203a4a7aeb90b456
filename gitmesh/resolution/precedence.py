"""The order of rules (api.md, Precedence). Every part is syntactic, so that no new object in a cluster
changes who wins.
"""

from __future__ import annotations

from typing import TypeAlias

from gitmesh.model.selectors import DestinationSelector, WorkloadSelector
from gitmesh.model.traffic import Match, PathMatch

Key: TypeAlias = tuple[int, tuple[int, int], int, int, bool, bool, bool, int, int]
"""Greater decides: priority, path, header conditions, query conditions, method, authority, port, source form,
destination form.
"""

_PATH_FORMS = (("exact", 5), ("prefix", 4), ("string_prefix", 3), ("suffix", 2), ("regex", 1))
_SOURCE_FORMS = (("service_accounts", 4), ("labels", 3), ("namespaces", 2), ("clusters", 1))
_DESTINATION_FORMS = (("name", 4), ("labels", 3), ("namespaces", 2), ("clusters", 1))
BY_NAME = 4
"""The destination form of an exact name."""


def path_rank(path: PathMatch | None) -> tuple[int, int]:
    """Exact, longer prefix, longer stringPrefix, suffix, regex, none. A prefix's trailing slash has no
    length.
    """
    if path is None:
        return (0, 0)
    if path.prefix is not None:
        return (4, len(path.prefix.rstrip("/") or "/"))
    if path.string_prefix is not None:
        return (3, len(path.string_prefix))
    return (next(rank for name, rank in _PATH_FORMS if getattr(path, name) is not None), 0)


def source_form(item: WorkloadSelector | None) -> int:
    """serviceAccounts, labels, namespaces, clusters, none."""
    return _form(item, _SOURCE_FORMS)


def destination_form(item: DestinationSelector) -> int:
    """name, labels, namespaces, clusters, all."""
    return _form(item, _DESTINATION_FORMS)


def _form(item: WorkloadSelector | DestinationSelector | None, forms: tuple[tuple[str, int], ...]) -> int:
    return next((rank for name, rank in forms if item is not None and getattr(item, name)), 0)


def precedence(priority: int, match: Match | None, source: WorkloadSelector | None, destination: int) -> Key:
    """The key of one rule; `destination` is the greatest form by which its policy selects the destination."""
    if match is None:
        return (priority, (0, 0), 0, 0, False, False, False, source_form(source), destination)
    return (
        priority,
        path_rank(match.path),
        len(match.headers or ()),
        len(match.query_params or ()),
        match.method is not None,
        match.authority is not None,
        match.port is not None,
        source_form(source),
        destination,
    )
