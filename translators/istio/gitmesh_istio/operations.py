"""Operations of the policy API -> `to` and `when` of an AuthorizationPolicy rule.

Every rule carries ports, workload ports: a rule without them would act on ports of other Services that share
the pods. What cannot be said closes: an Allow loses that alternative, a Deny loses that restriction.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from msgspec import Struct

from gitmesh.model.conditions import NamedCondition
from gitmesh.model.grants import Access, Operation
from gitmesh.model.policies import Origin
from gitmesh.model.services import ServicePort
from gitmesh.model.units import AccessUnit
from gitmesh_istio.effects import is_http
from gitmesh_istio.names import sorted_unique
from gitmesh_istio.scope import Notes


class RequestTerms(Struct, frozen=True, kw_only=True):
    """What a rule of Istio asks of the request: `to` (one operation, {} = any) and `when`."""

    operation: dict[str, list[str]]
    when: tuple[dict[str, Any], ...] = ()


def asks_http(operation: Operation) -> bool:
    """Whether it looks into requests, which only a proxy that reads them can tell."""
    return bool(operation.paths or operation.methods or operation.hosts or operation.headers)


def allowed(
    operation: Operation, unit: AccessUnit, access: Access, origin: Origin, notes: Notes
) -> RequestTerms | None:
    """At most the requests of the operation; None = no request can be said."""
    named = operation.ports or operation.targets or operation.unresolved_ports
    meant = operation.targets if named else access.targets
    ports = sorted(open_ports(meant, access, origin, notes))
    if operation.unresolved_ports:
        notes.add(
            "GM304",
            f"port {', '.join(operation.unresolved_ports)} is not known at the workloads and is not opened",
            origin,
        )
    paths = _paths(operation.paths, "is not admitted", origin, notes)
    headers = [c for c in operation.headers if _sayable(c, "nothing is admitted by this rule", origin, notes)]
    # An empty list in a rule means any (authorization_policy.proto, Operation): an alternative of which
    # nothing is left must go, not turn into everything.
    if not ports or (operation.paths and not paths) or len(headers) < len(operation.headers):
        return None
    hosts = [form for text in operation.hosts for form in _host_forms(text, unit.service.ports)]
    if any(_is_open_suffix(text) for text in operation.hosts):
        notes.add(
            "GM304",
            "Istio cannot match a *suffix host with any port after it: only the Service's own ports are"
            " admitted",
            origin,
        )
    return RequestTerms(operation=_operation(ports, paths, operation.methods, hosts), when=_when(headers))


def open_ports(ports: Iterable[int], access: Access, origin: Origin, notes: Notes) -> set[int]:
    """Of these target ports, the ones that may be opened on all pods of the destination."""
    mixed = set(ports) & set(access.mixed)
    if mixed:
        shown = ", ".join(str(port) for port in sorted(mixed))
        notes.add(
            "GM304",
            f"port {shown} is behind this destination on some of its workloads only, and is opened on none",
            origin,
        )
    return set(ports) - mixed


def denied(operation: Operation, access: Access, origin: Origin, notes: Notes) -> RequestTerms | None:
    """At least the requests of the operation; None where there are none."""
    ports = _denied_ports(operation, access, origin, notes)
    if ports and operation.asks_http and not operation.raw:
        ports = _of_requests(ports, access, operation.origin or origin, notes)
        if not ports:
            return None
    paths = _paths(operation.paths, "is denied with every other path", origin, notes)
    # One path that cannot be said widens the Deny to all of them: it must refuse at least what the policy
    # says.
    if len(paths) < len(operation.paths):
        paths = ()
    hosts = [form for text in operation.hosts for form in _host_forms(text, ())]
    if any(_is_open_suffix(text) for text in operation.hosts):
        notes.add(
            "GM304", "Istio cannot match a *suffix host with any port after it: every host is denied", origin
        )
        hosts = []
    headers = [
        c for c in operation.headers if _sayable(c, "the Deny holds without that condition", origin, notes)
    ]
    return RequestTerms(operation=_operation(ports, paths, operation.methods, hosts), when=_when(headers))


def _denied_ports(operation: Operation, access: Access, origin: Origin, notes: Notes) -> tuple[int, ...]:
    """Target ports of the Deny; () = every port of the pods, where some are not known."""
    if operation.targets and not operation.unresolved_ports:
        return operation.targets
    if access.spreads(operation):
        unknown = ", ".join(access.unresolved_targets) or "all of them"
        notes.add(
            "GM304",
            f"ports of the workloads are not known ({unknown}): the Deny acts on every port of the pods",
            origin,
        )
        return ()
    if operation.unresolved_ports:
        unknown = ", ".join(operation.unresolved_ports)
        notes.add(
            "GM304",
            f"port {unknown} is not known at the workloads: the Deny acts on every port of the Service",
            origin,
        )
    return access.targets


def _operation(
    ports: Sequence[int], paths: Sequence[str], methods: Sequence[str], hosts: Sequence[str]
) -> dict[str, list[str]]:
    numbers = [str(port) for port in sorted(set(ports))]
    given = {
        "ports": numbers,
        "paths": sorted_unique(paths),
        "methods": sorted_unique(methods),
        "hosts": sorted_unique(hosts),
    }
    return {field: values for field, values in given.items() if values}


def _paths(paths: Sequence[str], then: str, origin: Origin, notes: Notes) -> tuple[str, ...]:
    """Those that Istio reads as we do."""
    # Braces would make a template of the path, and istiod refuses other uses of them.
    templates = [path for path in paths if "{" in path or "}" in path]
    for path in templates:
        notes.add("GM301", f"Istio reads braces in a path as a template: {path} {then}", origin)
    return tuple(path for path in paths if path not in templates)


def _host_forms(text: str, ports: Sequence[ServicePort]) -> tuple[str, ...]:
    """The host, and the host with a port after it."""
    if _has_port(text) or text.endswith("*"):
        return (text,)
    if text.startswith("*"):
        # Istio allows one `*` at one end of a host, so a suffix cannot be followed by any port.
        return (text, *(f"{text}:{port.number}" for port in ports))
    # A Host header may carry a port, and Istio compares the whole header.
    return (text, f"{text}:*")


def _has_port(text: str) -> bool:
    # Colons inside brackets are an IPv6 address's.
    return ":" in text.rpartition("]")[2]


def _is_open_suffix(text: str) -> bool:
    return text.startswith("*") and text != "*" and not _has_port(text)


def _sayable(condition: NamedCondition, then: str, origin: Origin, notes: Notes) -> bool:
    """istiod refuses empty values."""
    if condition.condition.form != "present" and not condition.condition.value:
        notes.add(
            "GM301", f"Istio cannot compare header {condition.name!r} with the empty text: {then}", origin
        )
        return False
    return True


def _when(headers: Sequence[NamedCondition]) -> tuple[dict[str, Any], ...]:
    """Conditions of one rule, all of which must hold; an absent header has none of the values."""
    conditions = (
        {"key": f"request.headers[{c.name}]", "notValues" if c.invert else "values": [_pattern(c)]}
        for c in headers
    )
    return tuple(sorted(conditions, key=repr))


def _pattern(header: NamedCondition) -> str:
    wrap = {"exact": "{}", "prefix": "{}*", "suffix": "*{}", "present": "*"}
    return wrap[header.condition.form].replace("{}", header.condition.value)


def unseen(operation: Operation, access: Access) -> Operation | None:
    """A Deny as it is for who sees no requests: at least what it denies, so every connection to a port that
    may carry some; None where there are none that it means.
    """
    blind = replace(operation, paths=(), methods=(), hosts=(), headers=())
    if operation.raw or not operation.asks_http or access.spreads(operation):
        return blind
    exact = operation.targets and not operation.unresolved_ports
    meant = operation.targets if exact else access.targets
    silent = _silent(meant, access)
    if not silent:
        return blind
    left = tuple(port for port in meant if port not in silent)
    return replace(blind, targets=left, unresolved_ports=()) if left else None


def _silent(ports: Iterable[int], access: Access) -> set[int]:
    """Of these ports those that carry no requests, as every Service says that leads there."""
    carried = {port: access.spoken.get(port, ()) for port in ports}
    # A port of which no Service says anything may carry requests, so it is not silent.
    return {port for port, said in carried.items() if said and not any(map(is_http, said))}


def _of_requests(ports: tuple[int, ...], access: Access, origin: Origin, notes: Notes) -> tuple[int, ...]:
    """Of these ports those on which a Deny that leaves the rest alone has something to deny."""
    # Where no Service says HTTP there are no requests.
    silent = _silent(ports, access)
    # Where a port may carry either, Istio drops the HTTP fields of a DENY rule from what is no HTTP
    # (pilot/pkg/security/authz/model), so that the rest is denied with it.
    either = [
        port for port in ports if port not in silent and any(one.raw for one in access.spoken.get(port, ()))
    ]
    if either:
        notes.add(
            "GM304",
            f"Istio cannot spare what is not HTTP on workload port {_listed(either)}: it is denied, too",
            origin,
        )
    if silent.issuperset(ports):
        note_silent(silent, origin, notes)
    return tuple(port for port in ports if port not in silent)


def note_silent(ports: Iterable[int], origin: Origin, notes: Notes) -> None:
    """Note that a Deny that leaves the rest alone denies nothing: none of its ports carries requests."""
    text = f"workload port {_listed(ports)} carries no requests, so with nonHTTP: Ignore nothing is denied"
    notes.add("GM215", text, origin)


def _listed(ports: Iterable[int]) -> str:
    return ", ".join(str(port) for port in sorted(ports))
