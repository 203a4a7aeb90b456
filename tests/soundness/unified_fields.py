"""What the values of TrafficPolicy's fields mean for one request, in one normal form that can be compared
(docs/kinds/trafficpolicy.md alone).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, TypeAlias

from gitmesh.model.facts import ClusterFacts
from gitmesh.model.services import Service

Document: TypeAlias = Mapping[str, Any]

_UNITS = {"h": 3_600_000, "m": 60_000, "s": 1000, "ms": 1}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(h|ms|m|s)")


@dataclass(frozen=True, kw_only=True)
class LookedAt:
    """Where a value is looked at: the requested Service, port and path, and the path condition of the rule
    that says it.
    """

    facts: ClusterFacts
    service: Service
    port: int
    path: str
    condition: Document


def effect(name: str, value: Any, place: LookedAt) -> Any:
    """The value of a field, in normal form. `name` as a policy spells it."""
    return _EFFECTS[name](value, place) if name in _EFFECTS else plain(value)


def plain(value: Any) -> Any:
    """Durations in milliseconds, numbers as they are, lists without an order."""
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return sorted((plain(item) for item in value), key=repr)
    if isinstance(value, str) and value and _DURATION.sub("", value) == "":
        return milliseconds(value)
    return value


def milliseconds(text: str) -> int:
    """`1m30s` and the like."""
    return int(sum(Fraction(number) * _UNITS[unit] for number, unit in _DURATION.findall(text)))


def new_path(change: Document, place: LookedAt) -> str:
    """A whole path, or the matched prefix replaced: whole segments with their slash, a stringPrefix by
    characters.
    """
    if "replaceFullPath" in change:
        return str(change["replaceFullPath"])
    new = str(change["replacePrefixMatch"])
    if "stringPrefix" in place.condition:
        return new + place.path[len(place.condition["stringPrefix"]) :] or "/"
    rest = place.path[len(place.condition["prefix"].rstrip("/")) :]
    return (new.rstrip("/") + rest if rest else new) or "/"


def _with_path(defaults: Document) -> Callable[[Document, LookedAt], Any]:
    def changed(value: Document, place: LookedAt) -> Any:
        path = {"path": new_path(value["path"], place)} if "path" in value else {}
        return {**defaults, **value, **path}

    return changed


def _split(value: Iterable[Document], place: LookedAt) -> Any:
    """Shares of the whole; what two items send to one place with the same headers is one share, and what gets
    nothing is none.
    """
    items = [item for item in value if item.get("weight", 1)]
    total = sum(item.get("weight", 1) for item in items)
    shares: dict[Any, Fraction] = {}
    for item in items:
        changes = tuple(
            (*name, tuple(sorted(change.items())))
            for name, change in headers(item.get("headers", {})).items()
        )
        share = (target(item["destination"], place), changes)
        shares[share] = shares.get(share, Fraction(0)) + Fraction(item.get("weight", 1), total)
    return sorted(shares.items())


def _mirror(value: Iterable[Document], place: LookedAt) -> Any:
    return sorted((repr(target(item["destination"], place)), float(item["percent"])) for item in value)


def target(reference: Document, place: LookedAt) -> tuple[Any, ...]:
    """(namespace, name, port, subset); without a port the only one there is, else the requested one."""
    namespace = reference.get("namespace", place.service.namespace)
    service = place.facts.service_index[namespace, reference["name"]]
    numbers = [port.number for port in service.ports]
    named = [port.number for port in service.ports if reference.get("port") in (port.number, port.name)]
    number = named[0] if named else numbers[0] if len(numbers) == 1 else place.port
    return (namespace, reference["name"], number, tuple(sorted(reference.get("subset", {}).items())))


def headers(value: Document) -> dict[tuple[str, str], dict[str, Any]]:
    """(side, name in lower case) -> what is done to the header."""
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for side, operations in value.items():
        for kind in ("set", "add"):
            for name, text in operations.get(kind, {}).items():
                found.setdefault((side, name.lower()), {})[kind] = text
        for name in operations.get("remove", ()):
            found.setdefault((side, name.lower()), {})["remove"] = True
    return dict(sorted(found.items()))


def _fault(value: Document, _: LookedAt) -> Any:
    return {kind: {**plain(part), "percent": float(part["percent"])} for kind, part in value.items()}


def _cors(value: Document, _: LookedAt) -> Any:
    lower = {
        name: sorted(map(str.lower, value[name]))
        for name in ("allowHeaders", "exposeHeaders")
        if name in value
    }
    return {"allowCredentials": False, **plain({**value, **lower})}


def _retries(value: Document, _: LookedAt) -> Any:
    return plain({**value, **({"retryOn": sorted(set(value["retryOn"]))} if "retryOn" in value else {})})


def _balancing(value: Document, _: LookedAt) -> Any:
    by = value.get("consistentHash", {})
    lower = {"consistentHash": {**by, "header": by["header"].lower()}} if "header" in by else {}
    return plain({**value, **lower})


_EFFECTS: Mapping[str, Callable[[Any, LookedAt], Any]] = {
    "split": _split,
    "redirect": _with_path({"statusCode": 302}),
    "rewrite": _with_path({}),
    "mirror": _mirror,
    "fault": _fault,
    "cors": _cors,
    "retries": _retries,
    "loadBalancing": _balancing,
}
