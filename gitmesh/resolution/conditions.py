"""Algebra of single text conditions: whether one holds, implies another, excludes another, and their
conjunction.

Paths read `prefix` as whole segments (`/foo` is `/foo` and `/foo/...`; a trailing slash does not count; `/`
is every path); other text reads it as characters. Case is ASCII case, as proxies fold it. Every answer
"implies" or "excludes" is proven; a `False` only says that no proof was found.
"""

from __future__ import annotations

from functools import lru_cache

from msgspec import Struct
from msgspec.structs import replace

from gitmesh.model.conditions import TextCondition
from gitmesh.model.expressions import fullmatch

# ASCII alone: proxies fold no other letters, and what they take for different must be different here.
_FOLD = {upper: upper + 32 for upper in range(ord("A"), ord("Z") + 1)}
_SPECIAL = frozenset("\\.+*?()|[]{}^$")
# Meshes refuse longer ones (Istio's validation of StringMatch.regex).
_LONGEST_EXPRESSION = 1024


class Disjoint(Struct, frozen=True):
    """No request can meet both."""


class Inexpressible(Struct, frozen=True):
    """Requests may meet both, but which ones cannot be written as one match."""

    reason: str


def normal_path(condition: TextCondition) -> TextCondition:
    """The same condition with the trailing slashes of a segment prefix removed; `/` stays."""
    if condition.form != "prefix":
        return condition
    return replace(condition, value=condition.value.rstrip("/") or "/")


def fold(text: str) -> str:
    """ASCII letters in lower case."""
    return text.translate(_FOLD)


def holds(condition: TextCondition, value: str, *, path: bool) -> bool:
    """Whether a value that is there meets the condition."""
    if condition.form == "present":
        return True
    if condition.form == "regex":
        return fullmatch(condition.value, value, ignore_case=condition.ignore_case)
    wanted = condition.value
    if condition.ignore_case:
        value, wanted = fold(value), fold(wanted)
    if condition.form == "exact":
        return value == wanted
    if condition.form == "suffix":
        return value.endswith(wanted)
    if path and condition.form == "prefix":
        # Gateway API, HTTPRouteMatch PathPrefix: whole path elements, and a trailing slash does not count.
        base = wanted.rstrip("/")
        return not base or value == base or value.startswith(base + "/")
    return value.startswith(wanted)


def implies(a: TextCondition, b: TextCondition, *, path: bool) -> bool:
    """True only if every value that meets `a` meets `b`."""
    if a == b or _everything(b, path):
        return True
    if b.form == "regex":
        return a.form == "exact" and _decidable(a, b) and holds(b, a.value, path=path)
    if a.form == "regex":
        # Implication of expressions is not decided; that all values begin with certain text is, and often
        # enough.
        lead = _lead(a)
        return bool(lead.value) and b.form != "exact" and implies(lead, b, path=path)
    if _sensitive(a) and _sensitive(b):
        return _literal_implies(a, b, path)
    # If `b` minds case and has letters, a value of `a` may be spelled in a way that `b` does not take.
    either_case = not _sensitive(b) or _caseless(b)
    if not either_case and not _caseless(a):
        return False
    return _literal_implies(_folded(a), _folded(b), path) if either_case else _literal_implies(a, b, path)


def excludes(a: TextCondition, b: TextCondition, *, path: bool) -> bool:
    """True only if no value meets both."""
    if "present" in (a.form, b.form) or _everything(a, path) or _everything(b, path):
        return False
    if "exact" in (a.form, b.form) and "regex" in (a.form, b.form):
        exact, regex = (a, b) if a.form == "exact" else (b, a)
        if _decidable(exact, regex):
            return not holds(regex, exact.value, path=path)
    a, b = (_lead(c) if c.form == "regex" else c for c in (a, b))
    if not (_sensitive(a) and _sensitive(b)):
        # Folding makes more values equal, so what is apart after it is apart before it.
        a, b = _folded(a), _folded(b)
    return _literal_excludes(a, b, path)


def meet(a: TextCondition, b: TextCondition, *, path: bool) -> TextCondition | Disjoint | Inexpressible:
    """The condition that holds where both hold."""
    if implies(a, b, path=path):
        return a
    if implies(b, a, path=path):
        return b
    if excludes(a, b, path=path):
        return Disjoint()
    if b.form != "suffix":
        a, b = b, a
    joined = (
        _lead_and_suffix(a, b, path) if b.form == "suffix" and a.form in ("prefix", "stringPrefix") else None
    )
    return joined or Inexpressible(f"{_shown(a)} and {_shown(b)} cannot be written as one condition")


def _shown(condition: TextCondition) -> str:
    return f"{condition.form} {condition.value!r}" + (" (ignoring case)" if condition.ignore_case else "")


def _everything(condition: TextCondition, path: bool) -> bool:
    return condition.form == "present" or (
        path and condition.form == "prefix" and not condition.value.rstrip("/")
    )


def _sensitive(condition: TextCondition) -> bool:
    return not condition.ignore_case


def _caseless(condition: TextCondition) -> bool:
    """Without letters, so that case makes no difference."""
    return fold(condition.value) == condition.value == condition.value.upper()


def _folded(condition: TextCondition) -> TextCondition:
    return replace(condition, value=fold(condition.value), ignore_case=False)


def _decidable(exact: TextCondition, regex: TextCondition) -> bool:
    """Whether one evaluation answers for every spelling of the exact value."""
    # An expression may switch case back on by a flag, so that one spelling says nothing of another.
    return _sensitive(exact) or _caseless(exact) or (regex.ignore_case and "(?" not in regex.value)


def _base(condition: TextCondition, path: bool) -> tuple[str, bool]:
    """(leading text, whether whole segments are meant)."""
    segments = path and condition.form == "prefix"
    return (condition.value.rstrip("/") if segments else condition.value), segments


def _literal_implies(a: TextCondition, b: TextCondition, path: bool) -> bool:
    """Both literal and compared letter by letter."""
    if a.form == "exact":
        return holds(b, a.value, path=path)
    if b.form == "exact" or (a.form == "suffix") != (b.form == "suffix"):
        return False
    if a.form == "suffix":
        return a.value.endswith(b.value)
    (left, left_segments), (right, right_segments) = _base(a, path), _base(b, path)
    if not right_segments:
        return left.startswith(right)
    # `/foo` as characters also means `/foobar`, so it implies the segments `/foo` only where more follows.
    return left.startswith(right + "/") or (left_segments and left == right)


def _literal_excludes(a: TextCondition, b: TextCondition, path: bool) -> bool:
    """Both literal and compared letter by letter. Two leading texts, or two trailing ones, contain or exclude
    each other.
    """
    if a.form == "exact":
        return not holds(b, a.value, path=path)
    if b.form == "exact":
        return not holds(a, b.value, path=path)
    if (a.form == "suffix") != (b.form == "suffix"):
        return False
    return not (_literal_implies(a, b, path) or _literal_implies(b, a, path))


@lru_cache(maxsize=4096)
def _lead(regex: TextCondition) -> TextCondition:
    """The literal text with which every value of the expression begins, "" where none is certain."""
    pattern = regex.value.removeprefix("^")
    # An alternative, a flag or a quotation may change what the text before it means: no certain beginning.
    text = "" if "|" in pattern or "(?" in pattern or "\\Q" in pattern else _literal_start(pattern)
    return TextCondition(form="stringPrefix", value=text, ignore_case=regex.ignore_case)


def _literal_start(pattern: str) -> str:
    text, index = "", 0
    while index < len(pattern):
        character = pattern[index]
        escaped = character == "\\" and not pattern[index + 1 : index + 2].isalnum()
        if character in _SPECIAL and not escaped:
            break
        index += 2 if escaped else 1
        if pattern[index : index + 1] and pattern[index] in "*?{":
            break  # the character may be absent
        text += pattern[index - 1]
    return text


def _lead_and_suffix(lead: TextCondition, suffix: TextCondition, path: bool) -> TextCondition | None:
    """An RE2 expression for "begins with and ends with", also where both share characters. None where case
    differs.
    """
    if lead.ignore_case != suffix.ignore_case:
        caseless = lead if _caseless(lead) else suffix if _caseless(suffix) else None
        if caseless is None:
            return None
    ignore = lead.ignore_case or suffix.ignore_case
    end = fold(suffix.value) if ignore else suffix.value
    text, segments = _base(_folded(lead) if ignore else lead, path)
    whole = [text] if segments and text.endswith(end) else []
    start = text + "/" if segments else text
    whole += [
        # `/ab` and `ba` meet in `/aba`, too: both conditions may share characters, which `.*` between them
        # misses.
        start + end[size:]
        for size in range(1, min(len(start), len(end)) + 1)
        if start.endswith(end[:size])
    ]
    pattern = "|".join([f"{_quoted(start)}.*{_quoted(end)}", *map(_quoted, sorted(set(whole)))])
    return (
        TextCondition(form="regex", value=pattern, ignore_case=ignore)
        # Longer ones no mesh takes, so it is told as inexpressible instead of being refused in the cluster.
        if len(pattern) <= _LONGEST_EXPRESSION
        else None
    )


def _quoted(text: str) -> str:
    return "".join("\\" + c if c in _SPECIAL else c for c in text)
