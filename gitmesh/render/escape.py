"""Untrusted text made fit for a terminal or a comment: what repositories and APIs say is never markup to
us.
"""

from __future__ import annotations

import re
import unicodedata

from gitmesh.render.paint import SEQUENCES, Paint, ansi, plain

# Cf has the marks that turn the direction of text; Zl and Zp end lines for some viewers.
_HIDDEN = frozenset({"Cc", "Cf", "Cs", "Co", "Zl", "Zp"})
# `@` mentions somebody and `#` names an issue, and both send notices to people.
_MARKDOWN = str.maketrans(
    {char: "\\" + char for char in "\\`*_{}[]()~|!"}
    | {"&": "&amp;", "<": "&lt;", ">": "&gt;", "@": "&#64;", "#": "&#35;"}
)
# What forges make links of without being asked: addresses, and GH-1 for an issue.
_LINKS = (("://", "&#58;//"), ("www.", "www&#46;"), ("GH-", "GH&#45;"))
_BACKTICKS = re.compile(r"`+")


def printable(text: str) -> str:
    """One line without control, format or direction characters: each becomes its visible escape, so that no
    text moves a cursor, changes a colour or reorders what a reader sees."""
    # Nearly all text is of this sort, so that it is not looked at character by character.
    if text.isascii() and text.isprintable():
        return text
    return "".join(_visible(char) for char in text)


def printable_lines(text: str, paint: Paint = plain) -> str:
    """Several lines fit for a terminal: line ends stay, and of `ansi` its own colours."""
    if text.isascii() and text.replace("\n", "").isprintable():
        return text
    parts = SEQUENCES.split(text) if paint is ansi else [text]
    return "".join(
        part if index % 2 else "\n".join(map(printable, part.split("\n"))) for index, part in enumerate(parts)
    )


def _visible(char: str) -> str:
    if unicodedata.category(char) not in _HIDDEN:
        return char
    return char.encode("unicode_escape", "backslashreplace").decode("ascii")


def width(text: str) -> int:
    """Columns that the text takes on a terminal."""
    return sum(
        0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text
    )


def markdown(text: str) -> str:
    """Text that a forge shows as it is: no HTML, emphasis, link, mention, issue reference or automatic
    link.
    """
    safe = printable(text).translate(_MARKDOWN)
    for mark, entity in _LINKS:
        safe = safe.replace(mark, entity)
    return safe


def fenced(text: str, language: str = "") -> str:
    """A code block."""
    # The fence is longer than any run of backticks inside, so that nothing inside can end it.
    longest = max((len(run) for run in _BACKTICKS.findall(text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{text}\n{fence}"
