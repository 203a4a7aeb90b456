"""How Istio finds the DestinationRule that a client takes for a host (pilot/pkg/model/push_context.go,
destinationRule): of the client's namespace, then of the Service's, then of the root namespace; in each the
host's own before the longest wildcard.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tests.worlds.objects import ROOT, Object


def leads_to(route: Object, client: str) -> Iterator[tuple[str, str]]:
    """(host, subset or "") of every destination of a VirtualService to which clients of a namespace come: no
    further than the first rule that means all that they ask.
    """
    for rule in route["spec"].get("http", ()):
        meant = [one for one in rule.get("match", [{}]) if one.get("sourceNamespace", client) == client]
        for share in rule.get("route", ()) if meant else ():
            place = share["destination"]
            yield place["host"], place.get("subset", "")
        if any(one.keys() <= {"sourceNamespace"} for one in meant):
            return


def taken_rule(objects: Sequence[Object], host: str, client: str) -> Object | None:
    """The DestinationRule that clients of a namespace take for a Service's host."""
    home = host.split(".")[1] if host.count(".") > 1 else client
    rules = [one for one in objects if one["kind"] == "DestinationRule"]
    for place in dict.fromkeys((client, home, ROOT)):
        seen = [
            one
            for one in rules
            if one["metadata"]["namespace"] == place and _is_shown(one, client) and _fits(one, host)
        ]
        if seen:
            return max(
                seen, key=lambda one: (not one["spec"]["host"].startswith("*"), len(one["spec"]["host"]))
            )
    return None


def seen_routes(objects: Sequence[Object], host: str, client: str) -> list[Object]:
    """The VirtualServices for a host that clients of a namespace see."""
    routes = (one for one in objects if one["kind"] == "VirtualService")
    return [one for one in routes if host in one["spec"]["hosts"] and _is_shown(one, client)]


def _exactness(rule: Object) -> tuple[bool, int]:
    host: str = rule["spec"]["host"]
    return not host.startswith("*"), len(host)


def _is_shown(rule: Object, client: str) -> bool:
    shown = rule["spec"].get("exportTo", ["*"])
    return "*" in shown or client in shown or ("." in shown and rule["metadata"]["namespace"] == client)


def _fits(rule: Object, host: str) -> bool:
    named: str = rule["spec"]["host"]
    return host.endswith(named[1:]) if named.startswith("*") else host == named
