"""Routes with a Service as parent -> TrafficPolicies that mean the same, for the conformance suite.

Written from the specification of the Gateway API (1.6) and our policy API alone; it shares nothing with the
translators. What it does not know for sure to mean the same it refuses. Three things are said in other words:

- requests that no rule of a route matches are answered 404: a policy of its own, behind all others, says so;
- a redirect that names a status alone goes to the same path: the matched prefix is replaced by itself;
- a share of weight 0 gets nothing, and its Service need not be there: it is left out.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

Body = Mapping[str, Any]
Spec = dict[str, Any]

_EVERY_PATH: Body = {"path": {"type": "PathPrefix", "value": "/"}}
"""What a rule without matches means, and a match without path (defaults of HTTPRouteSpec)."""
_SIDES = {"RequestHeaderModifier": "request", "ResponseHeaderModifier": "response"}


class RefusedError(Exception):
    """A route that is not said in policies; the message is the reason, for people."""


def policies_of(route: Body, cluster: str) -> list[dict[str, Any]]:
    """The policies of an HTTPRoute, or of a GRPCRoute that looks into no request, for one cluster."""
    _known(route["spec"], "parentRefs", "rules")
    if route["kind"] == "GRPCRoute" and any({*rule} != {"backendRefs"} for rule in route["spec"]["rules"]):
        raise RefusedError("GRPCRoute with matches or filters")
    rules = [_Rule(rule) for rule in route["spec"]["rules"]]
    meta = route["metadata"]
    found: dict[str, Spec] = {}
    for count, parent in enumerate(route["spec"]["parentRefs"]):
        place = _Parent(parent, meta["namespace"])
        specs = [{**rule.spec(place), **_stopped(rule, rules)} for rule in rules]
        specs += [] if any(rule.is_for_all for rule in rules) else [_rest(place)]
        clients = place.spec(cluster)
        found |= {
            f"{meta['name']}-{count}-{number}": {**clients, **spec} for number, spec in enumerate(specs)
        }
    return [
        {
            "apiVersion": "gitmesh.io/v1alpha1",
            "kind": "TrafficPolicy",
            "metadata": {"name": name, "namespace": meta["namespace"]},
            "spec": spec,
        }
        for name, spec in found.items()
    ]


def _rest(place: _Parent) -> Spec:
    """What no rule matches."""
    match = place.on_port({})
    return {**({"matches": [match]} if match else {}), "directResponse": {"status": 404}}


class _Parent:
    """The Service that requests must be for, and whose requests are meant."""

    def __init__(self, parent: Body, namespace: str) -> None:
        _known(parent, "group", "kind", "name", "namespace", "port")
        if (parent.get("group"), parent.get("kind")) != ("", "Service"):
            raise RefusedError(f"parent of kind {parent.get('kind', 'Gateway')}")
        self._name = parent["name"]
        self._port = parent.get("port")
        self._home = parent.get("namespace", namespace)
        self._namespace = namespace

    def spec(self, cluster: str) -> Spec:
        """A route in another namespace than its Service's is for the clients of its own (GEP-1426)."""
        clients = {} if self._home == self._namespace else {"sources": [{"namespaces": [self._namespace]}]}
        place = {"name": self._name, "namespaces": [self._home], "clusters": [cluster]}
        return {**clients, "destinations": [place]}

    def on_port(self, match: Body) -> Spec:
        """The same match, on the port that the parent names."""
        return {**match, **({"port": self._port} if self._port else {})}


class _Rule:
    """One rule: its matches and its fields as policies have them."""

    def __init__(self, rule: Body) -> None:
        _known(rule, "name", "matches", "filters", "backendRefs")
        matches = rule.get("matches") or [_EVERY_PATH]
        self.matches = [_match({**_EVERY_PATH, **match}) for match in matches]
        self.fields = dict(_filtered(rule.get("filters", ()), self.matches))
        backends = rule.get("backendRefs", ())
        if ("redirect" in self.fields) == bool(backends):
            raise RefusedError("rule that neither redirects nor names where to go, or does both")
        if backends:
            self.fields["split"] = [_share(one) for one in backends if one.get("weight", 1)]
            if not self.fields["split"]:
                raise RefusedError("rule whose every share is 0")

    @property
    def is_for_all(self) -> bool:
        """Whether every request matches."""
        return {"path": {"prefix": "/"}} in self.matches

    def spec(self, place: _Parent) -> Spec:
        """A policy's matches and fields."""
        return {"matches": [place.on_port(match) for match in self.matches], **self.fields}


def _filtered(filters: Sequence[Body], matches: Sequence[Body]) -> Iterator[tuple[str, Any]]:
    changes = [one for one in filters if one["type"] in _SIDES]
    if changes:
        yield "headers", _headers(changes)
    for one in filters:
        if one["type"] == "RequestRedirect":
            yield "redirect", _redirect(one["requestRedirect"], matches)
        elif one["type"] == "URLRewrite":
            _known(one["urlRewrite"], "hostname", "path")
            yield "rewrite", _with_path(one["urlRewrite"])
        elif one not in changes:
            raise RefusedError(f"filter {one['type']}")


def _match(match: Body) -> Spec:
    """Exact and prefixed paths, exact headers and parameters. A method has another place in our precedence
    than in the Gateway API's, so it is refused.
    """
    _known(match, "path", "headers", "queryParams")
    kinds = {"PathPrefix": "prefix", "Exact": "exact"}
    path = match["path"]
    if path["type"] not in kinds:
        raise RefusedError(f"path of type {path['type']}")
    found: Spec = {"path": {kinds[path["type"]]: path["value"]}}
    for name in ("headers", "queryParams"):
        conditions = match.get(name, ())
        if any(one.get("type", "Exact") != "Exact" for one in conditions):
            raise RefusedError(f"condition on {name} that is not exact")
        if conditions:
            found[name] = [{"name": one["name"], "exact": one["value"]} for one in conditions]
    return found


def _redirect(redirect: Body, matches: Sequence[Body]) -> Spec:
    _known(redirect, "scheme", "hostname", "port", "path", "statusCode")
    found = _with_path(redirect)
    if not found.keys() - {"statusCode"}:
        prefixes = {match["path"].get("prefix") for match in matches}
        if len(prefixes) != 1 or None in prefixes:
            raise RefusedError("redirect to the same path, of more than one prefix")
        found["path"] = {"replacePrefixMatch": prefixes.pop()}
    return found


def _with_path(body: Body) -> Spec:
    """A redirect or rewrite, whose path our API spells without its type."""
    path = body.get("path")
    rest = {name: value for name, value in body.items() if name != "path"}
    return rest if path is None else {**rest, "path": {n: v for n, v in path.items() if n != "type"}}


def _share(backend: Body) -> Spec:
    _known(backend, "group", "kind", "name", "namespace", "port", "weight", "filters")
    place = {name: backend[name] for name in ("name", "namespace", "port") if name in backend}
    headers = {"headers": _headers(backend["filters"])} if backend.get("filters") else {}
    return {"destination": place, "weight": backend.get("weight", 1), **headers}


def _headers(filters: Iterable[Body]) -> Spec:
    found: Spec = {}
    for one in filters:
        side = _SIDES.get(one["type"])
        if side is None or side in found:
            raise RefusedError(f"filter {one['type']} of a share, or twice the same")
        body = one[f"{side}HeaderModifier"]
        _known(body, "set", "add", "remove")
        named = {name: {h["name"]: h["value"] for h in body[name]} for name in ("set", "add") if name in body}
        if any(len(named[name]) != len(body[name]) for name in named):
            raise RefusedError("one header named twice")
        found[side] = {**named, **({"remove": body["remove"]} if "remove" in body else {})}
    return found


def _stopped(rule: _Rule, rules: Sequence[_Rule]) -> Spec:
    """Fields of other rules that a request of this one must not get: unset fields come from lesser rules in
    our API, and from none in the Gateway API. Of headers each comes by itself, so two rules may not both
    change some.
    """
    others = [other for other in rules if other is not rule and _may_meet(rule, other)]
    if "headers" in rule.fields and any("headers" in other.fields for other in others):
        raise RefusedError("header changes of two rules for the same requests")
    fields = {name for other in others for name in other.fields if name in ("rewrite", "headers")}
    return {name: {"disabled": True} for name in sorted(fields - rule.fields.keys())}


def _may_meet(rule: _Rule, other: _Rule) -> bool:
    """False where their paths tell their requests apart."""
    return not all(
        _apart(one["path"], two["path"]) for one, two in itertools.product(rule.matches, other.matches)
    )


def _apart(one: Body, two: Body) -> bool:
    """Whether neither path lies below the other."""
    paths = [f"{next(iter(path.values())).rstrip('/')}/" for path in (one, two)]
    return not paths[0].startswith(paths[1]) and not paths[1].startswith(paths[0])


def _known(body: Body, *names: str) -> None:
    if unknown := sorted(body.keys() - set(names)):
        raise RefusedError(f"field {', '.join(unknown)}")
