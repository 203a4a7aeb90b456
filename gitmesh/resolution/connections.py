"""Connection fields of a destination: decided for each port and each group of clients, since a connection
carries many requests; and connections that its pods refuse, which take no TLS but the mesh's own.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence

from msgspec.structs import replace

from gitmesh.diagnostics import Diagnostic, Severity
from gitmesh.model.conditions import RequestMatch, SourceCondition
from gitmesh.model.connections import Tls
from gitmesh.model.policies import Origin
from gitmesh.model.routes import Decided
from gitmesh.model.services import Service
from gitmesh.model.traffic import CONNECTION_FIELDS
from gitmesh.model.workloads import Workload
from gitmesh.resolution.index import targets
from gitmesh.resolution.matching import implies
from gitmesh.resolution.rules import Rule
from gitmesh.resolution.slots import Slot, is_disabled

CONNECTION: frozenset[Slot] = frozenset((name,) for name in CONNECTION_FIELDS)
REFUSED = "GM220"
_OWN = "MeshMutual"
# A client certificate from a file, which may be one of the mesh's.
_PERHAPS = "Mutual"


def settings(rules: Sequence[Rule]) -> Mapping[int, Mapping[str, Decided]]:
    """Connection fields by Service port number, 0 = the whole destination; a port has an entry if some rule
    names it.

    `rules` are in precedence. The greatest rule that sets a field decides it for its clients, lesser ones for
    the others.
    """
    setting = [rule for rule in rules if rule.slots.keys() & CONNECTION]
    ports = sorted({rule.match.port for rule in setting if rule.match.port > 0})
    table = {port: _setting(rule for rule in setting if rule.match.port in (0, port)) for port in ports}
    whole = _setting(rule for rule in setting if not rule.match.port)
    return {**({0: whole} if whole else {}), **table}


def _setting(rules: Iterator[Rule]) -> Mapping[str, Decided]:
    said: dict[str, list[Decided]] = {}
    for rule in rules:
        for slot in sorted(rule.slots.keys() & CONNECTION):
            greater = said.setdefault(slot[0], [])
            # Where a greater rule means all of these clients, it has decided for them already.
            if not any(_covers(one.source, rule.match.source) for one in greater):
                value, parts = rule.slots[slot], rule.parts.get(slot, {})
                greater.append(
                    Decided(value=value, origin=rule.origin(slot), parts=parts, source=rule.match.source)
                )
    chains = {name: _chain(greater) for name, greater in sorted(said.items())}
    return {name: chain for name, chain in chains.items() if chain is not None}


def _covers(wide: SourceCondition, narrow: SourceCondition) -> bool:
    """Whether every client of `narrow` is one of `wide`."""
    return implies(RequestMatch(source=narrow), RequestMatch(source=wide))


def _chain(decisions: Sequence[Decided]) -> Decided | None:
    """The decisions, greatest first, as one; None where all of them leave the mesh its own."""
    chain: Decided | None = None
    # From the least: what ends inheritance, and has nothing behind it, is as if nobody had spoken.
    for decided in reversed(decisions):
        if chain is not None or not is_disabled(decided.value):
            chain = replace(decided, fallback=chain)
    return chain


def beyond(chain: Decided, most: int) -> Origin | None:
    """The origin of the last decision of a chain that is longer."""
    length, one = 1, chain
    while one.fallback is not None:
        length, one = length + 1, one.fallback
    return one.origin if length > most else None


def refused_connections(
    cluster: str,
    service: Service,
    workloads: Sequence[Workload],
    settings: Mapping[int, Mapping[str, Decided]],
    strict: Mapping[str, Origin],
    named: Collection[str],
) -> tuple[Diagnostic, ...]:
    """A finding on each `tls` with which connections to the Service fail; `strict` says by mesh where it is
    made Strict.

    An error where every connection fails to what a policy selects by name (`named` are those policies), else
    a warning.
    """
    found: dict[Origin, Diagnostic] = {}
    for port, decided in _by_port(settings):
        meeting = _refusing(service, port, workloads, strict)
        if not any(meeting):
            continue
        origin, mode = decided.origin, decided.value.mode
        # An error holds the routing, so it takes certainty: every pod refuses, and the policy names this
        # Service.
        certain = all(meeting) and mode != _PERHAPS and origin.policy in named
        where = strict[next(w.mesh for w, refuses in zip(workloads, meeting, strict=True) if refuses)]
        unless = " unless the certificate is one of the mesh's" if mode == _PERHAPS else ""
        name = f"{service.namespace}/{service.name}"
        text = (
            f"tls {mode}: pods behind Service {name} refuse it{unless}, as {where.policy} ({where.at}) says"
            " Strict"
        )
        one = origin.finding(
            REFUSED, text, cluster=cluster, severity=Severity.ERROR if certain else Severity.WARNING
        )
        if origin not in found or one.is_error:
            found[origin] = one
    return tuple(found.values())


def _by_port(settings: Mapping[int, Mapping[str, Decided]]) -> Iterator[tuple[int, Decided]]:
    """Every decision on `tls` that is not the mesh's own, with the Service port that it is for, 0 = all."""
    for port, fields in sorted(settings.items()):
        decided = fields.get("tls")
        while decided is not None:
            if isinstance(decided.value, Tls) and decided.value.mode != _OWN:
                yield port, decided
            decided = decided.fallback


def _refusing(
    service: Service, port: int, workloads: Sequence[Workload], strict: Mapping[str, Origin]
) -> list[bool]:
    """For each shape of pods whether they refuse."""
    ports = [one for one in service.ports if port in (0, one.number)]
    return [
        workload.mesh in strict
        # A proxy refuses only on ports that it sees.
        and all(workload.guards(number) for one in ports for number in targets(one, [workload]))
        for workload in workloads
    ]
