"""Bytes of a file -> text, refusing what a reviewer cannot see (docs/reliability.md Y16, Y17)."""

from __future__ import annotations

import re
import unicodedata

from msgspec import Struct

HIDDEN = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f"  # controls, U+0085 among them
    "\u2028\u2029"  # line separators
    "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"  # direction marks and overrides
    "\u00ad\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200d\u2060-\u2065\u206a-\u206f"  # zero width
    "\u2800\u3164\ufeff\uffa0\ufff0-\uffff"  # fillers
    "\ud800-\udfff\U000e0000-\U000e0fff]"  # surrogates, tag characters
    "|\r(?!\n)"  # a line break to YAML, none to many viewers
)
"""Characters that hide content, and those that no YAML text may hold."""

_PLAIN = bytes([*range(0x20, 0x7F), 0x0A])
_MAX_SHOWN = 20


class CharacterFault(Struct, frozen=True):
    """A refused character or byte: 1-based line and column, and what it is."""

    line: int
    column: int
    message: str


def decode(content: bytes) -> tuple[str, tuple[CharacterFault, ...]]:
    """The text of a UTF-8 file, and the first 20 of its faults. A byte order mark at the very beginning is
    dropped.
    """
    # Nearly every file: plain ASCII hides nothing, so it is not searched.
    if not content.translate(None, _PLAIN):
        return content.decode("ascii"), ()
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "", (CharacterFault(1, 1, "the file is UTF-16; save it as UTF-8"),)
    try:
        text = content.removeprefix(b"\xef\xbb\xbf").decode()
    except UnicodeDecodeError as error:
        return "", (_undecodable(error),)
    # Only the first: a file of nothing else would make as many findings as it has characters.
    found = [match for match, _ in zip(HIDDEN.finditer(text), range(_MAX_SHOWN), strict=False)]
    return text, tuple(
        CharacterFault(*place(text, match.start()), f"{describe(match.group())} is not allowed")
        for match in found
    )


def place(text: str, index: int) -> tuple[int, int]:
    """1-based line and column of a character."""
    return text.count("\n", 0, index) + 1, index - text.rfind("\n", 0, index)


def describe(character: str) -> str:
    """`U+202E RIGHT-TO-LEFT OVERRIDE`."""
    code = ord(character)
    name = unicodedata.name(character, "") or (
        "carriage return without line feed" if character == "\r" else "control character"
    )
    return f"U+{code:04X} {name}"


def visible(text: str) -> str:
    """The same text with each hidden character replaced by U+FFFD, as wide as before."""
    return HIDDEN.sub("\ufffd", text)


def _undecodable(error: UnicodeDecodeError) -> CharacterFault:
    before = error.object[: error.start].removeprefix(b"\xef\xbb\xbf").decode()
    line, column = place(before, len(before))
    return CharacterFault(
        line, column, f"byte 0x{error.object[error.start]:02x} is not UTF-8; save the file as UTF-8"
    )
