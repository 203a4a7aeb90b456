"""Translators by entry point: ours register through the same group as strangers', and all come through one
door: every member of the port is looked at before anything is asked.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib.metadata import EntryPoint, entry_points
from typing import cast

from gitmesh.model.features import FEATURES, Support
from gitmesh.model.objects import ApiKind
from gitmesh.ports import Translator

GROUP = "gitmesh.translators"


class PluginError(Exception):
    """A translator could not be loaded, or is none. Objects of its mesh would look unwanted, so nothing runs
    without it.
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
    wrong = list(faults(entry.name, module))
    if wrong:
        raise PluginError(f"translator {entry.name} ({entry.value}) is none: {'; '.join(wrong)}")
    return cast(Translator, module)


def faults(name: str, module: object) -> Iterator[str]:
    """What keeps a module, or any other object, from being the translator of this name."""
    for member in _members():
        if not hasattr(module, member):
            yield f"it lacks {member}"
        elif member in _VALUES:
            expected, is_one = _VALUES[member]
            if not is_one(getattr(module, member)):
                yield f"{member} is not {expected}"
        elif callable(getattr(Translator, member, None)):
            yield from _not_callable(member, getattr(module, member))
    if getattr(module, "name", name) != name:
        yield f"its name is not {name}, under which it is registered"
    yield from _gaps(getattr(module, "supports", {}))
    others = getattr(module, "other_planes", {})
    for table in others.values() if isinstance(others, Mapping) else ():
        yield from _gaps(table)


def _members() -> list[str]:
    methods = (member for member in vars(Translator) if not member.startswith("_"))
    return sorted({*methods, *Translator.__annotations__})


def _not_callable(member: str, found: object) -> Iterator[str]:
    """Whether it takes what the port's member is given: all of it, by position."""
    wanted = [one for one in inspect.signature(getattr(Translator, member)).parameters if one != "self"]
    if not callable(found):
        yield f"{member} is no function"
        return
    try:
        # By position, as the core calls it: what its parameters are called is the plug-in's own affair.
        inspect.signature(found).bind(*wanted)
    except TypeError:
        yield f"{member} does not take ({', '.join(wanted)})"
    except ValueError:  # written in another language, which says nothing of its parameters
        return


def _gaps(supports: object) -> Iterator[str]:
    """Features of which the table says nothing, or that there are not."""
    if not isinstance(supports, Mapping):
        return
    for feature in FEATURES:
        if not isinstance(supports.get(feature), Support):
            yield f"supports says nothing of {feature}"
        elif supports[feature].level == "none" and not supports[feature].note:
            yield f"supports does not say why there is no {feature}"
    yield from (
        f"supports names {one}, which is no feature" for one in sorted(supports.keys() - set(FEATURES))
    )


def _is_list_of(kind: type) -> Callable[[object], bool]:
    return lambda value: (
        isinstance(value, Sequence)
        and not isinstance(value, str)
        and all(isinstance(item, kind) for item in value)
    )


def _is_text_set(value: object) -> bool:
    return isinstance(value, frozenset) and all(isinstance(item, str) for item in value)


_VALUES: Mapping[str, tuple[str, Callable[[object], bool]]] = {
    "name": ("a text", lambda value: isinstance(value, str) and bool(value)),
    "resources": ("a list of ApiKind", _is_list_of(ApiKind)),
    "homes": ("a list of texts", _is_list_of(str)),
    "opt_out_keys": ("a frozenset of texts", _is_text_set),
    "naming": ("a frozenset of texts", _is_text_set),
    "supports": ("a table of features", lambda value: isinstance(value, Mapping)),
    "other_planes": ("a table of tables", lambda value: isinstance(value, Mapping)),
}
"""What the members that are no functions must be."""
