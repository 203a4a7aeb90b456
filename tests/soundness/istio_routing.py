"""What Istio does with a request by its VirtualService: the first route of which one match holds
(virtual_service.proto).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import re2

from tests.soundness.unified_fields import effect, headers
from tests.soundness.unified_routing import Decision, RoutedRequest

Body = Mapping[str, Any]
_KNOWN = {
    "uri",
    "ignoreUriCase",
    "method",
    "port",
    "authority",
    "headers",
    "withoutHeaders",
    "queryParams",
    "sourceLabels",
    "sourceNamespace",
}


def done(objects: Iterable[Body], asked: RoutedRequest) -> Decision:
    """What happens to the request, in the evaluator's normal form (unified_fields); {} where no object speaks
    of its destination. A VirtualService without a route for the port and the client is none to them: istiod
    gives them the routes of a Service without one (route.go, BuildHTTPRoutesForVirtualService).
    """
    bodies = list(objects)
    own = host(asked.service.namespace, asked.service.name)
    routes = next(
        (
            body["spec"]["http"]
            for body in bodies
            if body["kind"] == "VirtualService" and own in body["spec"]["hosts"]
        ),
        None,
    )
    if routes is None:
        return {}
    given = [(route, match) for route in routes for match in route.get("match", [{}]) if _given(match, asked)]
    if not given:
        return {}
    taken = [(route, match) for route, match in given if _matches(match, asked)]
    assert taken, "a request that no policy matches keeps the mesh's own behaviour"
    return _told(*taken[0], _RoutingReader(bodies, asked))


def host(namespace: str, name: str) -> str:
    """The full name of a Service."""
    return f"{name}.{namespace}.svc.cluster.local"


def _told(route: Body, match: Body, reader: _RoutingReader) -> Decision:
    known = {
        "match",
        "route",
        "redirect",
        "directResponse",
        "rewrite",
        "fault",
        "timeout",
        "retries",
        "corsPolicy",
        "mirrors",
        "headers",
    }
    assert not route.keys() - known, f"the evaluator does not know {route.keys() - known}"
    told: Decision = {
        ("headers", *name): change for name, change in _changes(route.get("headers", {})).items()
    }
    told |= {name: reader.effect(name, route[name]) for name in ("timeout",) if name in route}
    for name, ours, read in (
        ("rewrite", "rewrite", _rewritten),
        ("fault", "fault", _fault),
        ("retries", "retries", _retries),
        ("corsPolicy", "cors", _cors),
    ):
        if name in route:
            told[ours] = reader.effect(ours, read(route[name], match, reader.asked.request.path))
    if "mirrors" in route:
        told["mirror"] = reader.effect("mirror", [_copy(item, reader) for item in route["mirrors"]])
    told["routing"] = _routing(route, match, reader)
    return told


def _routing(route: Body, match: Body, reader: _RoutingReader) -> Any:
    """Exactly one of the three (HTTPRoute, validation of istiod)."""
    kinds = [kind for kind in ("route", "redirect", "directResponse") if kind in route]
    assert len(kinds) == 1, kinds
    if kinds == ["redirect"]:
        return {
            "redirect": reader.effect(
                "redirect", _redirected(route["redirect"], match, reader.asked.request.path)
            )
        }
    if kinds == ["directResponse"]:
        answer = route["directResponse"]
        return {
            "directResponse": {
                "status": answer["status"],
                **({"body": answer["body"]["string"]} if "body" in answer else {}),
            }
        }
    return {"split": reader.effect("split", [_share(share, reader) for share in route["route"]])}


class _RoutingReader:
    """Reads values in the light of the other objects."""

    def __init__(self, bodies: Iterable[Body], asked: RoutedRequest) -> None:
        rules = [body["spec"] for body in bodies if body["kind"] == "DestinationRule"]
        self.subsets = {
            (rule["host"], subset["name"]): subset["labels"]
            for rule in rules
            for subset in rule.get("subsets", ())
        }
        self.asked = asked

    def effect(self, name: str, value: Any) -> Any:
        """In normal form; paths are whole ones by then."""
        return effect(name, value, self.asked.place({}))

    def destination(self, body: Body) -> dict[str, Any]:
        """Without a port: the only one there is, else the requested one (route.go, GetDestinationCluster)."""
        name, namespace = body["host"].split(".")[:2]
        assert body["host"] == host(namespace, name)
        subset = {"subset": self.subsets[body["host"], body["subset"]]} if "subset" in body else {}
        return {
            "name": name,
            "namespace": namespace,
            **subset,
            **({"port": body["port"]["number"]} if "port" in body else {}),
        }


def _share(share: Body, reader: _RoutingReader) -> dict[str, Any]:
    changes = {"headers": _literal(share["headers"])} if "headers" in share else {}
    return {
        "destination": reader.destination(share["destination"]),
        "weight": share.get("weight", 1),
        **changes,
    }


def _copy(item: Body, reader: _RoutingReader) -> dict[str, Any]:
    return {"destination": reader.destination(item["destination"]), "percent": item["percentage"]["value"]}


def _changes(sides: Body) -> dict[tuple[str, str], dict[str, Any]]:
    return headers(_literal(sides))


def _literal(sides: Body) -> dict[str, Any]:
    """Envoy reads %% as a percent sign; a single one begins a variable."""
    found: dict[str, Any] = {}
    for side, operations in sides.items():
        for kind, values in operations.items():
            texts = (
                values
                if kind == "remove"
                else {name: text.replace("%%", "%") for name, text in values.items()}
            )
            assert kind == "remove" or not any("%" in text.replace("%%", "") for text in values.values())
            found.setdefault(side, {})[kind] = texts
    return found


def _replaced(new: str, match: Body, path: str) -> dict[str, str]:
    """Envoy replaces what the route matched: the prefix, or the whole path of an exact match or an
    expression.
    """
    matched = match.get("uri", {}).get("prefix", path)
    return {"replaceFullPath": new + path[len(matched) :]}


def _rewritten(rewrite: Body, match: Body, path: str) -> dict[str, Any]:
    assert not rewrite.keys() - {"authority", "uri", "uriRegexRewrite"}
    told: dict[str, Any] = {"hostname": rewrite["authority"]} if "authority" in rewrite else {}
    if "uri" in rewrite:
        assert "uri" in match, "without a match on the path Envoy prefixes the path"
        told["path"] = _replaced(rewrite["uri"], match, path)
    if "uriRegexRewrite" in rewrite:
        assert rewrite["uriRegexRewrite"]["match"] == "^.*$"
        told["path"] = {"replaceFullPath": rewrite["uriRegexRewrite"]["rewrite"].replace("\\\\", "\\")}
    return told


def _redirected(redirect: Body, match: Body, path: str) -> dict[str, Any]:
    names = {"scheme": "scheme", "authority": "hostname", "port": "port", "redirectCode": "statusCode"}
    assert not redirect.keys() - names.keys() - {"uri", "prefixRewrite", "derivePort"}
    told: dict[str, Any] = {ours: redirect[name] for name, ours in names.items() if name in redirect}
    if (
        "authority" in redirect
        and "port" not in redirect
        and redirect.get("derivePort") != "FROM_REQUEST_PORT"
    ):
        told["port"] = "that of the scheme"
    if "uri" in redirect:
        told["path"] = {"replaceFullPath": redirect["uri"]}
    if "prefixRewrite" in redirect:
        told["path"] = _replaced(redirect["prefixRewrite"], match, path)
    return told


def _fault(fault: Body, _match: Body, _path: str) -> dict[str, Any]:
    told: dict[str, Any] = {}
    if "delay" in fault:
        told["delay"] = {
            "fixed": fault["delay"]["fixedDelay"],
            "percent": fault["delay"]["percentage"]["value"],
        }
    if "abort" in fault:
        told["abort"] = {
            "httpStatus": fault["abort"]["httpStatus"],
            "percent": fault["abort"]["percentage"]["value"],
        }
    return told


def _retries(retries: Body, _match: Body, _path: str) -> dict[str, Any]:
    return {**retries, **({"retryOn": retries["retryOn"].split(",")} if "retryOn" in retries else {})}


def _cors(cors: Body, _match: Body, _path: str) -> dict[str, Any]:
    return dict(cors)


def _given(match: Body, asked: RoutedRequest) -> bool:
    """Whether the client's proxy is given the route, for the port that is asked for."""
    client = asked.client
    return bool(
        match.get("port", asked.port) == asked.port
        and match.get("sourceLabels", {}).items() <= client.labels.items()
        and match.get("sourceNamespace", client.namespace) == client.namespace
    )


def _matches(match: Body, asked: RoutedRequest) -> bool:
    """Whether the request takes a route that its client's proxy is given."""
    unknown = match.keys() - _KNOWN
    assert not unknown, f"the evaluator does not know {unknown}"
    request = asked.request
    answers = [
        "uri" not in match
        or _text(match["uri"], request.path, ignore_case=match.get("ignoreUriCase", False)),
        "method" not in match or _text(match["method"], request.method),
        "authority" not in match or _text(match["authority"], request.host),
        all(
            name in request.headers and _text(m, request.headers[name])
            for name, m in match.get("headers", {}).items()
        ),
        not any(_met(m, request.headers.get(name)) for name, m in match.get("withoutHeaders", {}).items()),
        all(
            name in request.query and _text(m, request.query[name])
            for name, m in match.get("queryParams", {}).items()
        ),
    ]
    return all(answers)


def _met(match: Body, value: str | None) -> bool:
    """Presence asks whether the header is there; everything else takes an absent one for the empty text
    (route.go).
    """
    return _text(match, value or "") if match else value is not None


def _text(match: Body, value: str, *, ignore_case: bool = False) -> bool:
    """An empty StringMatch asks for presence only. ignoreUriCase acts on exact and prefix."""
    if "regex" in match:
        return re2.fullmatch(match["regex"], value) is not None
    if ignore_case:
        match, value = {name: text.lower() for name, text in match.items()}, value.lower()
    return bool(value == match.get("exact", value) and value.startswith(match.get("prefix", "")))
