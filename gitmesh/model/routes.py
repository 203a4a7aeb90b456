"""How requests go to a destination, decided: the rows of a first-match list and what fields are in each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from gitmesh.model.conditions import RequestMatch, SourceCondition
from gitmesh.model.empty import no_items
from gitmesh.model.policies import Origin
from gitmesh.model.services import Service, ServicePort


class Decided(Struct, frozen=True, kw_only=True):
    """A decided value and where it comes from. For request and connection fields `value` is the policy
    model's value (e.g. `Retries`, int milliseconds for timeout, tuple of `SplitTarget`), with every reference
    resolved in `Route`. `parts` is where each part of a compound value stands, by its dotted path below the
    field as policies spell it. `source` and `fallback` are for connection fields: the value holds for these
    clients only (for request fields the route's match says it), for others the `fallback` is decided;
    `Disabled` leaves these clients the mesh's own.
    """

    value: Any
    origin: Origin
    parts: Mapping[str, Origin] = no_items()
    source: SourceCondition = SourceCondition()
    fallback: Decided | None = None


class Target(Struct, frozen=True, kw_only=True):
    """A resolved split or mirror destination: the Service, its port number (0 = the requested one) and the
    subset labels.
    """

    service: Service
    port: int = 0
    subset: tuple[tuple[str, str], ...] = ()


class Laid(Struct, frozen=True, kw_only=True):
    """A field of a TrafficPolicy where a policy lays it: on these ports of a Service, none if it has none.

    `field` is the policy model's name, `value` the model's value. Each item of `split` and `mirror` is laid
    by itself, too: its value is then the `Target` that it sends requests to.
    """

    field: str
    value: object
    service: Service
    ports: tuple[ServicePort, ...]


class Route(Struct, frozen=True, kw_only=True):
    """One row of a first-match list: requests that `match`, and the value of every field that some rule sets
    for them.

    `fields` uses the policy model's Python names. `headers` is already merged; its Decided.value is a
    `Headers` and its origin the greatest rule's. `targets` resolves `split` (same order) and `mirrors`
    resolves `mirror`. `origins` are all rules that take part, greatest first; `header_origins` says of each
    (side, name) who changes it. `item_origins` says of each item of `split` and `mirror`, in their order,
    where its parts stand, "" = the item.
    """

    match: RequestMatch
    fields: Mapping[str, Decided]
    targets: tuple[Target, ...] = ()
    mirrors: tuple[Target, ...] = ()
    origins: tuple[Origin, ...] = ()
    header_origins: Mapping[tuple[str, str], Origin] = no_items()
    item_origins: Mapping[str, tuple[Mapping[str, Origin], ...]] = no_items()


class Ended(Struct, frozen=True, kw_only=True):
    """A rule that leaves a field to the mesh (`{disabled: true}`) for the requests that it matches."""

    field: str
    match: RequestMatch
    origin: Origin


class Subset(Struct, frozen=True, kw_only=True):
    """Pod labels behind a Service that some split routes to; `origins` say which."""

    labels: tuple[tuple[str, str], ...]
    origins: tuple[Origin, ...] = ()
