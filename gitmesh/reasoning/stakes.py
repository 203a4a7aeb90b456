"""All that an answer about a destination can hang on (`access.can` reads nothing else), as values to compare:
places in files left out.

Two sides on which these are equal decide every request alike; what they name is what tells requests and
clients apart.
"""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import Struct

from gitmesh.model.grants import Access, Caller, Grant, Operation
from gitmesh.model.services import Service, ServicePort
from gitmesh.model.units import MeshUnit
from gitmesh.model.workloads import WorkloadKey
from gitmesh.reasoning.aliases import answering
from gitmesh.reasoning.connecting import TlsChain, tls_chain
from gitmesh.reasoning.questions import Approach, ForeignWords, Known, Pair, ServiceKey
from gitmesh.reasoning.ways import shutting, ways_of

_Grants = frozenset[tuple[tuple[Caller, ...], frozenset[Operation]]]


class AccessStake(Struct, frozen=True, kw_only=True):
    """An access decision without the places that it comes from."""

    allows: _Grants
    denies: _Grants
    governed: bool
    exempt: tuple[tuple[int, ...], tuple[int, ...], tuple[Caller, ...]] | None

    def grants(self) -> Iterator[tuple[tuple[Caller, ...], bool, frozenset[Operation]]]:
        """Callers, whether they are denied, and the requests that are meant (none = all)."""
        yield from ((callers, False, rules) for callers, rules in self.allows)
        yield from ((callers, True, rules) for callers, rules in self.denies)


class PairStake(Struct, frozen=True, kw_only=True):
    """Pods and a port behind a port of the destination, of shapes that are decided alike but once; `mesh` are
    the modes and defaults of their mesh, `foreign` is what strangers say of them, `ways` are the Services
    whose requests are seen on the way to them, by each destination that decides, and `shut` those whose
    proxy they refuse. `takes` are the trust domains of which they take identities, () = of any.
    """

    workload: WorkloadKey
    number: int
    proxied: tuple[str, str, bool]
    mesh: tuple[str, str, bool, bool, bool] | None
    reached: tuple[tuple[frozenset[int], AccessStake | None, bool], ...]
    closing: tuple[tuple[frozenset[int], AccessStake | None], ...]
    denying: tuple[tuple[frozenset[int], AccessStake | None], ...] = ()
    spreading: tuple[AccessStake | None, ...] = ()
    foreign: tuple[ForeignWords, ...] = ()
    ways: tuple[tuple[ServiceKey, ...], ...] = ()
    shut: tuple[tuple[ServiceKey, ...], ...] = ()
    takes: tuple[str, ...] = ()

    def accesses(self) -> Iterator[AccessStake]:
        """Every decision that acts here."""
        yield from (one for _, one, _ in self.reached if one)
        yield from (one for _, one in (*self.closing, *self.denying) if one)
        yield from filter(None, self.spreading)


class Stake(Struct, frozen=True, kw_only=True):
    """A destination; `own` is what policies that select it say, also where no pods are behind it."""

    ports: tuple[ServicePort, ...]
    selected: bool
    own: AccessStake | None
    held: bool
    pairs: tuple[tuple[int, tuple[PairStake, ...]], ...]
    tls: tuple[tuple[int, TlsChain], ...]
    approach: Approach | None = None
    """What tells clients apart by their way, where some of its pods have no proxy of their own."""

    def accesses(self, port: int = 0) -> Iterator[AccessStake]:
        """Every decision that acts on its pods, or on those behind one of its ports."""
        pairs = (pair for number, pairs in self.pairs for pair in pairs if port in (0, number))
        yield from (one for pair in pairs for one in pair.accesses())

    @property
    def size(self) -> int:
        """How many callers and rules must be looked at to answer one request."""
        grants = (grant for access in self.accesses() for grant in access.grants())
        return sum(
            len(rules) + sum(1 + len(one.principals) for one in callers) for callers, _, rules in grants
        )

    @property
    def disabled(self) -> bool:
        """Whether mTLS is disabled for some of its pods."""
        return any(_is_disabled(pair) for _, pairs in self.pairs for pair in pairs)


def _is_disabled(pair: PairStake) -> bool:
    theirs = (mode for one in pair.foreign for mode in (one.guard.mode, *one.guard.ports.values()))
    return (pair.mesh is not None and pair.mesh[0] == "Disabled") or "Disabled" in theirs


def stake(key: ServiceKey, known: Known) -> Stake:
    """What is at stake for a Service that is there."""
    service = known.index.facts.service_index[key]
    answers = answering(service, known.index.facts) or service
    numbers = sorted({port.number for port in service.ports})
    pairs = tuple((number, tuple(_pairs(service, number, known))) for number in numbers)
    return Stake(
        ports=service.ports,
        selected=bool(answers.selector),
        own=_access(answers.key, known),
        held=known.holds(answers.key, "access"),
        pairs=pairs,
        tls=tuple((number, chain) for number in numbers if (chain := tls_chain(answers.key, number, known))),
        approach=known.approach if any(_is_unseen(one) for _, some in pairs for one in some) else None,
    )


def _is_unseen(pair: PairStake) -> bool:
    """Whether it depends on the way of a request what is seen of it, or of its client."""
    _, dataplane, _ = pair.proxied
    return dataplane == "ambient" or bool(pair.ways) or bool(pair.shut)


def _access(key: ServiceKey, known: Known) -> AccessStake | None:
    unit = known.access.get(key)
    return _without_places(unit.access) if unit else None


def _without_places(access: Access) -> AccessStake:
    exempt = access.exempt
    return AccessStake(
        allows=_grants(access.allows),
        denies=_grants(access.denies),
        governed=access.governed,
        exempt=(exempt.ports, exempt.targets, exempt.callers) if exempt else None,
    )


def _grants(found: tuple[Grant, ...]) -> _Grants:
    return frozenset((one.callers, frozenset(one.operations)) for one in found)


def _pairs(service: Service, number: int, known: Known) -> Iterator[PairStake]:
    """The pods and ports behind a port of the Service, once for all shapes with one ground."""
    # By their grounds, not by the stakes themselves: these hold what strangers say, which has mappings in it
    # and so no hash.
    grounds = {pair.ground: pair for pair in known.behind(service, number)}
    yield from (_pair(pair, known) for pair in grounds.values())


def _pair(pair: Pair, known: Known) -> PairStake:
    workload = pair.workload
    return PairStake(
        workload=workload.key,
        number=pair.number,
        proxied=(workload.mesh, workload.dataplane, workload.guards(pair.number)),
        mesh=_mesh(pair, known.meshes.get(workload.mesh), known),
        reached=tuple(
            (ports, _access(one.key, known), known.holds(one.key, "access")) for one, ports in pair.reached
        ),
        closing=tuple((ports, _access(one.key, known)) for one, ports in pair.closing),
        denying=tuple((ports, _access(one.key, known)) for one, ports in pair.denying),
        spreading=tuple(_access(one.key, known) for one in pair.spreading),
        foreign=pair.foreign,
        ways=tuple(ways_of(known, pair)),
        shut=tuple(unit.around.shut for unit in shutting(known, pair)),
        takes=known.takes(pair),
    )


def _mesh(pair: Pair, mesh: MeshUnit | None, known: Known) -> tuple[str, str, bool, bool, bool] | None:
    held = known.holds_mesh(pair.workload.mesh)
    if mesh is None:
        return ("", "", False, False, held) if held else None
    mode = mesh.mtls.value.mode if mesh.mtls else ""
    default = str(mesh.access_default.value) if mesh.access_default else ""
    return mode, default, pair.gateway is True, pair.gateway is None, held
