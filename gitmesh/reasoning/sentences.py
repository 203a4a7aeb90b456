"""Words for requests: `GET, HEAD /admin/*`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from gitmesh.confidential import MASK, is_credential
from gitmesh.reasoning.dimensions import HOST, METHOD, PATH
from gitmesh.reasoning.values import Terms, spoken

_WORDS = {PATH: "any path", METHOD: "any method", HOST: "any host"}


def sentences(said: Mapping[str, Terms]) -> Iterator[str]:
    """`GET, HEAD /admin/*`; a path that is told by what it is not has a sentence of its own."""
    headers = [_with(found) for name, found in sorted(said.items()) if name not in _WORDS]
    host = [f"to {_alternatives(HOST, said[HOST])}"] if HOST in said else []
    methods = _alternatives(METHOD, said[METHOD]) if METHOD in said else ""
    paths = said.get(PATH, ())
    plain = tuple(one for one in paths if one[0] and not one[1])
    rest = [one for one in paths if one not in plain]
    texts = ([_alternatives(PATH, plain)] if plain else []) + [_alternatives(PATH, (one,)) for one in rest]
    for path in texts or [""]:
        on = "on " if path and methods and (path.startswith("any") or methods.startswith("any")) else ""
        yield " ".join(part for part in (methods, f"{on}{path}", *host, *headers) if part)


def _alternatives(name: str, found: Terms) -> str:
    return spoken(found, _WORDS[name])


def _with(found: Terms) -> str:
    texts = []
    for conditions, refused in found:
        base = f"with {' and '.join(map(_shown, conditions))}" if conditions else ""
        without = f"without {' or '.join(map(_shown, refused))}" if refused else ""
        texts.append(" ".join(part for part in (base, without) if part))
    return " or ".join(texts)


def _shown(condition: str) -> str:
    """Without what may be a credential."""
    name, colon, _ = condition.partition(": ")
    return f"{name}: {MASK}" if colon and is_credential(name) else condition
