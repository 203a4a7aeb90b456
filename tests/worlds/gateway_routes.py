"""How proxies read HTTPRoutes whose parent is a Service (GEP-1294): routes of the Service's own namespace
alone are drawn, and each rule takes every request.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from gitmesh.model.facts import ClusterFacts
from gitmesh.model.services import Service
from tests.worlds.objects import Object

_UNITS = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000}


def routes_of(objects: Sequence[Object], service: Service, port: int) -> list[Object]:
    """The HTTPRoutes that a Service's port has."""
    return [
        one
        for one in objects
        if one["kind"] == "HTTPRoute"
        and any(
            (parent["name"], parent.get("port", port)) == (service.name, port)
            and parent.get("namespace", one["metadata"]["namespace"]) == service.namespace
            for parent in one["spec"]["parentRefs"]
        )
    ]


def timeout_of(route: Object) -> int | None:
    """Of the rule that takes the requests, in milliseconds."""
    said = route["spec"]["rules"][0].get("timeouts", {}).get("request")
    if said is None:
        return None
    return sum(int(number) * _UNITS[unit] for number, unit in re.findall(r"(\d+)(ms|s|m|h)", said))


def missing(route: Object, facts: ClusterFacts, objects: Sequence[Object]) -> Iterator[str]:
    """The backends that are not there: no such Service or port, or in another namespace that does not let the
    route name it (gateway-api.sigs.k8s.io, 'ReferenceGrant').
    """
    there = {(*service.key, port.number) for service in facts.services for port in service.ports}
    home = route["metadata"]["namespace"]
    for rule in route["spec"]["rules"]:
        for backend in rule.get("backendRefs", ()):
            place = (backend.get("namespace", home), backend["name"], backend["port"])
            if place not in there or not (place[0] == home or _is_granted(route, place, objects)):
                yield "/".join(map(str, place))


def _is_granted(route: Object, place: tuple[str, str, int], objects: Sequence[Object]) -> bool:
    wanted = (route["kind"], route["metadata"]["namespace"])
    return any(
        one["kind"] == "ReferenceGrant"
        and one["metadata"]["namespace"] == place[0]
        and any((each["kind"], each["namespace"]) == wanted for each in one["spec"]["from"])
        and any(each.get("name", place[1]) == place[1] for each in one["spec"]["to"])
        for one in objects
    )
