"""Path rewrites and redirects, for each Istio match of a row.

Istio replaces exactly what it matched: the whole path of an exact match, the characters of a prefix. Whole segments are matched
by an exact path and a prefix that ends in `/`, so the two need replacements of their own.
"""

from __future__ import annotations

from typing import Any

from gitmesh.model.policies import Origin
from gitmesh.model.traffic import PathRewrite
from gitmesh.model.units import TextCondition

from gitmesh_istio.matches import Choice
from gitmesh_istio.scope import Notes

_WHOLE = "^.*$"


def rewrite_path(path: PathRewrite, asked: TextCondition | None, choice: Choice, origin: Origin, notes: Notes) -> dict[str, Any]:
    """`rewrite.uri` or `rewrite.uriRegexRewrite` of a row with this match; `asked` is the path condition of the deciding rule."""
    if path.replace_full_path is not None:
        return _whole(path.replace_full_path, choice, origin, notes)
    new = _replaced(path, asked, choice, origin, notes)
    return {"uri": new} if new else {}


def redirect_path(path: PathRewrite, asked: TextCondition | None, choice: Choice, origin: Origin, notes: Notes) -> dict[str, Any]:
    """`redirect.uri` or `redirect.prefixRewrite` of a row with this match."""
    if path.replace_full_path is not None:
        return {"uri": path.replace_full_path}
    new = _replaced(path, asked, choice, origin, notes)
    if not new or choice.shape == "exact":
        return {"uri": new} if new else {}
    return {"prefixRewrite": new} if notes.served("TrafficPolicy.redirect.path.replacePrefixMatch", origin) else {}


def _whole(new: str, choice: Choice, origin: Origin, notes: Notes) -> dict[str, Any]:
    if choice.shape == "exact":
        return {"uri": new}
    if not notes.served("TrafficPolicy.rewrite.path.replaceFullPath", origin):
        return {}
    return {"uriRegexRewrite": {"match": _WHOLE, "rewrite": new.replace("\\", "\\\\")}}


def _replaced(path: PathRewrite, asked: TextCondition | None, choice: Choice, origin: Origin, notes: Notes) -> str:
    """What stands in place of all that the match covers, when the asked prefix in it is replaced; "" where there is none (noted)."""
    new = path.replace_prefix_match or ""
    prefix, textual = _asked(asked, choice)
    if prefix is None or choice.shape not in ("exact", "segments", "text") or not _covers(prefix, textual, asked, choice):
        notes.add("GM301", "replacePrefixMatch needs a path match by prefix or stringPrefix in the same row", origin)
        return ""
    rest = choice.path[len(prefix) :]
    joined = (new if textual else new.rstrip("/") if rest else new) + rest
    return joined.rstrip("/") + "/" if choice.shape == "segments" else joined


def _asked(asked: TextCondition | None, choice: Choice) -> tuple[str | None, bool]:
    """The prefix to replace, and whether it is textual; that of the row's own match where the rule's is not given."""
    if asked is None:
        return (choice.path, choice.shape == "text") if choice.shape != "any" else (None, False)
    if asked.form not in ("prefix", "stringPrefix"):
        return None, False
    return (asked.value.rstrip("/"), False) if asked.form == "prefix" else (asked.value, True)


def _covers(prefix: str, textual: bool, asked: TextCondition | None, choice: Choice) -> bool:
    """Whether every path of the match begins with the prefix; a row that two rules share may be narrower than the prefix."""
    fold = asked is not None and asked.ignore_case
    path, wanted = (choice.path.lower(), prefix.lower()) if fold else (choice.path, prefix)
    ends = ("/",) if choice.shape == "text" else ("", "/")
    return path.startswith(wanted) and (textual or path[len(wanted) :][:1] in ends)
