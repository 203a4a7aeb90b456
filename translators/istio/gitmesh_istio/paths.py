"""Rewrites and redirects, for each Istio match of a row.

Istio replaces exactly what it matched: the whole path of an exact match, the characters of a prefix. Whole
segments are matched by an exact path and by a prefix that ends in `/`, so the two need replacements of their
own: with /foo -> /bar the exact path becomes /bar and the prefix /foo/ becomes /bar/, and no slash is doubled
or lost.
"""

from __future__ import annotations

from typing import Any

from gitmesh.model.policies import Origin
from gitmesh.model.requests import PathRewrite, Redirect, Rewrite
from gitmesh_istio.matches import Choice
from gitmesh_istio.scope import Notes

_WHOLE = "^.*$"


def redirection(redirect: Redirect, choice: Choice, origin: Origin, notes: Notes) -> dict[str, Any]:
    """`redirect` of a route."""
    # The code is always written: Istio's default is 301, ours 302.
    spec: dict[str, object] = {"redirectCode": redirect.status_code}
    if redirect.hostname is not None and ":" not in redirect.hostname and redirect.port is None:
        # A new host would drop the port that was asked for.
        spec["derivePort"] = "FROM_REQUEST_PORT"
    given = {"scheme": redirect.scheme, "authority": redirect.hostname, "port": redirect.port}
    spec.update({name: value for name, value in given.items() if value is not None})
    if redirect.path is not None:
        spec.update(_redirect_path(redirect.path, choice, origin, notes))
    return spec


def rewriting(rewrite: Rewrite, choice: Choice, origin: Origin, notes: Notes) -> dict[str, Any]:
    """`rewrite` of a route."""
    spec: dict[str, object] = {"authority": rewrite.hostname} if rewrite.hostname is not None else {}
    if rewrite.path is not None:
        spec.update(_rewrite_path(rewrite.path, choice, origin, notes))
    return spec


def _rewrite_path(path: PathRewrite, choice: Choice, origin: Origin, notes: Notes) -> dict[str, object]:
    """`rewrite.uri` or `rewrite.uriRegexRewrite` of a row with this match."""
    if path.replace_full_path is None:
        return _uri(_replaced(path, choice, origin, notes))
    if choice.shape == "exact":
        return {"uri": path.replace_full_path}
    # A backslash begins a reference to a group in RE2's replacement text.
    return {"uriRegexRewrite": {"match": _WHOLE, "rewrite": path.replace_full_path.replace("\\", "\\\\")}}


def _redirect_path(path: PathRewrite, choice: Choice, origin: Origin, notes: Notes) -> dict[str, object]:
    """`redirect.uri`, the new path, or `redirect.prefixRewrite` of a row with this match."""
    if path.replace_full_path is not None:
        return {"uri": path.replace_full_path}
    new = _replaced(path, choice, origin, notes)
    if choice.shape == "exact" or not new:
        return _uri(new)
    return {"prefixRewrite": new}


def _uri(new: str) -> dict[str, object]:
    return {"uri": new} if new else {}


def _replaced(path: PathRewrite, choice: Choice, origin: Origin, notes: Notes) -> str:
    """What stands in place of all that the match covers; "" where no prefix is matched (noted)."""
    new = path.replace_prefix_match or ""
    if choice.shape not in ("exact", "segments", "text"):
        notes.add("GM301", "replacePrefixMatch needs a match on path.prefix or path.stringPrefix", origin)
        return ""
    return new.rstrip("/") + "/" if choice.shape == "segments" else new
