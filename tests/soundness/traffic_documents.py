"""Random TrafficPolicies, as YAML gives them, and requests that tell them apart. Every choice is drawn from
one `Random`, so that a seed gives the same policies always, and hypothesis can draw (and shrink) them as
well.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

from hypothesis import strategies as st

from tests.soundness.requests import AskedRequest

Document = dict[str, Any]

_EXACT: tuple[Document, ...] = tuple({"exact": path} for path in ("/api", "/api/x", "/api/"))
_PREFIXES: tuple[Document, ...] = (
    *({"prefix": path} for path in ("/api", "/", "/api/x", "/api/")),
    *({"stringPrefix": path} for path in ("/api", "/ap", "/api/")),
)
_OTHER: tuple[Document, ...] = ({"suffix": "x"}, {"suffix": ".php"}, {"regex": "/a.*"}, {"regex": "/api"})
_FORMS: tuple[Document, ...] = (
    {"exact": "a"},
    {"prefix": "a"},
    {"suffix": "b"},
    {"regex": "a?"},
    {"present": True},
    {"exact": ""},
)
_QUERIES: tuple[Document, ...] = (
    {"name": "q", "exact": "1"},
    {"name": "q", "present": True},
    {"name": "Q", "regex": "1|2"},
)
_AUTHORITIES: tuple[Document, ...] = (
    {"exact": "r.shop"},
    {"prefix": "r"},
    {"suffix": "shop"},
    {"regex": "r\\..*"},
)
_SOURCES: tuple[Document, ...] = (
    {"all": True},
    {"namespaces": ["shop"]},
    {"namespaces": ["shop", "bank"], "labels": {"app": "a"}},
    {"labels": {"app": "a"}},
    {"labels": {"app": "b"}, "namespaces": ["shop"]},
    {"clusters": ["east"]},
    {"clusters": ["west"], "labels": {"app": "a"}},
)
_ACCOUNTS: tuple[Document, ...] = (
    {"serviceAccounts": ["default"]},
    {"serviceAccounts": ["web"], "namespaces": ["bank"]},
)
_DESTINATIONS: tuple[Document, ...] = (
    {"all": True},
    {"name": "r"},
    {"name": "r", "namespaces": ["shop"], "clusters": ["east"]},
    {"namespaces": ["shop"]},
    {"namespaces": ["shop"], "labels": {"team": "red"}},
    {"labels": {"team": "red"}},
    {"clusters": ["east"]},
    {"name": "s"},
)
_TO_R = {"name": "r", "namespace": "shop"}
_REFERENCES: tuple[Document, ...] = (
    _TO_R,
    {**_TO_R, "subset": {"version": "v1"}},
    {**_TO_R, "subset": {"version": "v2", "app": "r"}, "port": "http"},
    {"name": "s", "namespace": "shop", "port": 80},
    {"name": "t", "namespace": "bank"},
)
_CHANGES: tuple[Document, ...] = (
    {"request": {"set": {"X-A": "1"}}},
    {"request": {"set": {"x-a": "2"}, "remove": ["x-b"]}},
    {"request": {"add": {"X-B": "50%"}}, "response": {"set": {"x-a": "3"}}},
    {"response": {"add": {"x-c": "1"}, "remove": ["X-D"]}},
)
_SINGLE: Mapping[str, Sequence[Any]] = {
    "timeout": ("1s", "250ms", "1m30s"),
    "retries": (
        {"attempts": 0},
        {"attempts": 1},
        {"attempts": 3, "perTryTimeout": "1s", "retryOn": ["5xx", "reset"]},
        {"attempts": 3, "perTryTimeout": "1s", "retryOn": ["reset", "5xx"], "backoff": "25ms"},
    ),
    "fault": (
        {"delay": {"fixed": "2s", "percent": 50}},
        {"abort": {"httpStatus": 503, "percent": 0.5}},
        {"delay": {"fixed": "1s", "percent": 0}, "abort": {"httpStatus": 418, "percent": 100}},
    ),
    "cors": (
        {"allowOrigins": [{"exact": "https://a.example"}]},
        {
            "allowOrigins": [{"regex": "https://.*"}, {"prefix": "http://b"}],
            "allowMethods": ["POST", "GET"],
            "allowHeaders": ["X-A"],
            "maxAge": "60s",
        },
        {
            "allowOrigins": [{"exact": "https://a.example"}],
            "exposeHeaders": ["x-a", "X-B"],
            "allowCredentials": True,
        },
    ),
    "headers": _CHANGES,
}
_CONNECTION: Mapping[str, Sequence[Any]] = {
    "outlierDetection": ({"consecutiveErrors": 5, "interval": "10s"}, {"maxEjectionPercent": 50}),
    "connectionPool": ({"tcp": {"maxConnections": 1}}, {"http": {"maxRequests": 2, "idleTimeout": "1m30s"}}),
    "loadBalancing": ({"algorithm": "Random"}, {"consistentHash": {"header": "X-User"}}),
    "tls": ({"mode": "Disable"}, {"mode": "MeshMutual"}),
}


@dataclass(frozen=True, kw_only=True)
class PolicyWords:
    """What policies may say: `single` and `connection` are fields with their values, `ports` what a match may
    name.
    """

    destinations: Sequence[Document] = _DESTINATIONS
    sources: Sequence[Document] = _SOURCES
    references: Sequence[Document] = _REFERENCES
    changes: Sequence[Document] = _CHANGES
    single: Mapping[str, Sequence[Any]] = field(default_factory=lambda: _SINGLE)
    connection: Mapping[str, Sequence[Any]] = field(default_factory=lambda: _CONNECTION)
    authorities: Sequence[Document] = _AUTHORITIES
    hostnames: Sequence[str] = ("other.shop", "r.shop")
    percents: Sequence[float] = (0, 5, 0.5, 100)
    ports: Sequence[int | str] = (80, "http", 81)
    namespaces: Sequence[str] = ("shop",)


WITH_ACCOUNTS = PolicyWords(sources=(*_SOURCES, *_ACCOUNTS), namespaces=("shop", "shop", "shop", "bank"))
"""Clients by ServiceAccount as well, and policies in several namespaces."""


@dataclass(frozen=True)
class DrawnTraffic:
    """Draws TrafficPolicies."""

    random: Random
    words: PolicyWords = PolicyWords()

    def sets(self, most: int = 4) -> list[Document]:
        """One to `most` policies."""
        return [self.policy(f"t{number}") for number in range(self.random.randint(1, most))]

    def policy(self, name: str) -> Document:
        """One TrafficPolicy."""
        spec: Document = {"destinations": self._some(self._destination)}
        connection = bool(self.words.connection) and self._chance(4)
        if connection:
            spec.update(self._values(self.words.connection))
            spec.update({"matches": [{"port": self._one(self.words.ports)}]} if self._chance(2) else {})
        elif self._chance(2):
            spec["matches"] = self._some(self._match)
        if not connection or self._chance(3):
            spec.update(self._fields(spec.get("matches", ())))
        if self._chance(3):
            spec["sources"] = self._some(lambda: self._one(self.words.sources))
        if self._chance(3):
            spec["priority"] = self.random.randint(-1, 2)
        metadata = {"name": name, "namespace": self._one(self.words.namespaces)}
        return {
            "apiVersion": "gitmesh.io/v1alpha1",
            "kind": "TrafficPolicy",
            "metadata": metadata,
            "spec": spec,
        }

    def _chance(self, one_in: int) -> bool:
        return self.random.randrange(one_in) == one_in - 1

    def _one(self, options: Sequence[Any]) -> Any:
        return options[self.random.randrange(len(options))]

    def _some(self, make: Callable[[], Any]) -> list[Any]:
        made = [make() for _ in range(self.random.randint(1, 2))]
        return [one for position, one in enumerate(made) if one not in made[:position]]

    def _destination(self) -> Document:
        return dict(self._one(self.words.destinations))

    def _values(self, table: Mapping[str, Sequence[Any]]) -> Document:
        """Values for one or two of the fields; sometimes the end of inheritance."""
        names = self._some(lambda: self._one(sorted(table)))
        return {name: {"disabled": True} if self._chance(6) else self._one(table[name]) for name in names}

    def _fields(self, matches: Sequence[Document]) -> Document:
        """Request fields; a prefix is replaced only where every match has one."""
        prefixed = bool(matches) and all(
            match.get("path", {}).keys() & {"prefix", "stringPrefix"} for match in matches
        )
        fields = self._values(self.words.single) if not self._chance(4) else {}
        if self._chance(3):
            fields["rewrite"] = {"disabled": True} if self._chance(6) else self._rewrite(prefixed)
        if self._chance(4):
            fields["mirror"] = {"disabled": True} if self._chance(6) else self._mirrors()
        if self._chance(3) or not fields:
            kind, make = self._one(
                (
                    ("split", self._split),
                    ("redirect", lambda: self._redirect(prefixed)),
                    ("directResponse", self._response),
                )
            )
            fields[kind] = {"disabled": True} if self._chance(6) else make()
        return fields

    def _split(self) -> list[Document]:
        count = self.random.randint(1, 3)
        shares = [
            {"destination": dict(self._one(self.words.references)), "weight": self._one((1, 3, 90, 0))}
            for _ in range(count)
        ]
        shares[0]["weight"] = shares[0]["weight"] or 1
        for share in shares:
            share.update({"headers": self._one(self.words.changes)} if self._chance(5) else {})
        return shares

    def _mirrors(self) -> list[Document]:
        return self._some(
            lambda: {
                "destination": dict(self._one(self.words.references)),
                "percent": self._one(self.words.percents),
            }
        )

    def _path_change(self, prefixed: bool) -> Document:
        if prefixed and not self._chance(4):
            return {"replacePrefixMatch": self._one(("/", "/new", "/new/", "/api/x"))}
        return {"replaceFullPath": self._one(("/", "/new/x"))}

    def _rewrite(self, prefixed: bool) -> Document:
        host = {"hostname": self._one(self.words.hostnames)} if self._chance(2) else {}
        return {"path": self._path_change(prefixed), **host} if not host or self._chance(2) else host

    def _redirect(self, prefixed: bool) -> Document:
        options: tuple[Document, ...] = (
            {"hostname": "else.example"},
            {"port": 8443, "scheme": "https"},
            {"path": self._path_change(prefixed)},
        )
        code = {"statusCode": self._one((301, 302, 308))} if self._chance(2) else {}
        return {**self._one(options), **self._one(options), **code}

    def _response(self) -> Document:
        return {"status": self._one((200, 418, 503)), **({"body": "no"} if self._chance(2) else {})}

    def _match(self) -> Document:
        parts: Sequence[tuple[int, str, Callable[[], Any]]] = (
            (2, "path", self._path),
            (3, "headers", self._headers),
            (5, "method", lambda: self._one(("GET", "POST"))),
            (5, "port", lambda: self._one(self.words.ports)),
            (6, "authority", lambda: dict(self._one(self.words.authorities))),
            (6, "queryParams", lambda: [dict(self._one(_QUERIES))]),
        )
        match = {name: make() for one_in, name, make in parts if self._chance(one_in)}
        return match or {"path": dict(self._one(_PREFIXES))}

    def _path(self) -> Document:
        path = dict(self._one(self._one((_EXACT, _PREFIXES, _PREFIXES, _OTHER))))
        return {**path, **({"ignoreCase": True} if self._chance(4) else {})}

    def _headers(self) -> list[Document]:
        found = self._some(
            lambda: {
                "name": self._one(("X-One", "x-two")),
                **self._one(_FORMS),
                **({"invert": True} if self._chance(3) else {}),
            }
        )
        return found if len({header["name"] for header in found}) == len(found) else found[:1]


@st.composite
def traffic_sets(draw: st.DrawFn) -> list[Document]:
    """One to four policies, drawn by hypothesis."""
    return DrawnTraffic(draw(st.randoms(use_true_random=False))).sets()


REQUESTS = tuple(
    AskedRequest(path=path, method=method, host=host, headers=headers, query=query)
    for path, (method, host), headers, query in itertools.product(
        ("/api", "/api/", "/api/x", "/apix", "/API/X/y", "/other.php", "/ap/x"),
        (("GET", "r.shop"), ("POST", "r.shop.svc"), ("PUT", "alias.shop")),
        ({}, {"x-one": "a"}, {"x-two": "ab", "x-one": ""}, {"x-one": "b"}),
        ({}, {"q": "1"}, {"Q": "2", "q": ""}),
    )
)
