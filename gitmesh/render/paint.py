"""Colours as roles: a renderer names what a text means, the terminal's owner decides how that looks."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Literal, TypeAlias

Role: TypeAlias = Literal["error", "warning", "info", "good", "add", "change", "remove", "strong", "faint"]
Paint: TypeAlias = Callable[[Role, str], str]

_SGR: Mapping[Role, str] = {
    "error": "1;31",
    "warning": "1;33",
    "info": "1;36",
    "good": "1;32",
    "add": "32",
    "change": "33",
    "remove": "31",
    "strong": "1",
    "faint": "2",
}

SEQUENCES = re.compile(f"(\x1b\\[(?:0|{'|'.join(_SGR.values())})m)")
"""Every sequence that `ansi` writes; any other in a text is somebody else's."""


def plain(_role: Role, text: str) -> str:
    """No colour. A word or a symbol always accompanies colour, so nothing is lost."""
    return text


def ansi(role: Role, text: str) -> str:
    """Colour for a terminal that takes ANSI sequences."""
    return f"\x1b[{_SGR[role]}m{text}\x1b[0m" if text else text
