"""Translators by entry point: ours register through the same group as strangers'."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import EntryPoint, entry_points
from typing import cast

from gitmesh.ports import Translator

GROUP = "gitmesh.translators"


class PluginError(Exception):
    """A translator could not be loaded. Objects of its mesh would look unwanted, so nothing runs without
    it.
    """


def load_translators() -> Mapping[str, Translator]:
    """Every installed translator by name, sorted. Raises PluginError naming the one that does not load."""
    return {
        entry.name: _load(entry) for entry in sorted(entry_points(group=GROUP), key=lambda entry: entry.name)
    }


def _load(entry: EntryPoint) -> Translator:
    try:
        module = entry.load()
    except Exception as error:  # a stranger's module may fail in any way at import
        raise PluginError(
            f"translator {entry.name} ({entry.value}) does not load: {type(error).__name__}: {error}"
        ) from error
    missing = [
        name
        for name in ("name", "resources", "supports", "detect", "member", "translate", "claims", "steps")
        if not hasattr(module, name)
    ]
    if missing:
        raise PluginError(f"translator {entry.name} ({entry.value}) lacks {', '.join(missing)}")
    return cast(Translator, module)
