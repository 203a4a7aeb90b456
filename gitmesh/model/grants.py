"""Who may call a destination, decided: callers, what they may ask for, and what stays closed."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

from gitmesh.model.conditions import NamedCondition
from gitmesh.model.empty import no_items
from gitmesh.model.objects import ObjectKey
from gitmesh.model.policies import Origin
from gitmesh.model.services import ServicePort


class Principal(Struct, frozen=True, kw_only=True):
    """A SPIFFE identity; "" means any. `spiffe://<trust_domain>/ns/<namespace>/sa/<service_account>`."""

    trust_domain: str = ""
    namespace: str = ""
    service_account: str = ""


class Caller(Struct, frozen=True, kw_only=True):
    """One identity item, resolved. `kind`: `all` = anybody, `authenticated` = any verified identity,
    `principals` = one of `principals`; `principals` with an empty tuple = nobody can be named (see
    `inexpressible`), `address` = address only. In every case ip_blocks / not_ip_blocks must hold too.

    `inexpressible` says, for people, what of the item could not be resolved to identities; a translator must
    then close.
    """

    kind: Literal["all", "authenticated", "principals", "address"]
    principals: tuple[Principal, ...] = ()
    ip_blocks: tuple[str, ...] = ()
    not_ip_blocks: tuple[str, ...] = ()
    inexpressible: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """Requests that one rule of an AccessPolicy means; empty = any. `ports` are Service port numbers,
    `targets` the workload port numbers behind them (empty = every governed port of the destination); paths
    and hosts in the policy's own `*` notation. `raw`: it means connections without requests, too, though it
    asks for what only a request has. `origin` is the rule; it takes no part in comparisons, as rules that say
    the same are one.
    """

    paths: tuple[str, ...] = ()
    methods: tuple[str, ...] = ()
    targets: tuple[int, ...] = ()
    hosts: tuple[str, ...] = ()
    headers: tuple[NamedCondition, ...] = ()
    ports: tuple[int, ...] = ()
    unresolved_ports: tuple[str, ...] = ()
    raw: bool = False
    # Left out of comparisons: rules that say the same are one, wherever they stand.
    origin: Origin | None = field(default=None, compare=False, repr=False)

    @property
    def asks_http(self) -> bool:
        """Whether it asks for what only a request has."""
        return bool(self.paths or self.methods or self.hosts or self.headers)


class Grant(Struct, frozen=True, kw_only=True):
    """One AccessPolicy on one destination: callers (OR) x operations (OR; empty = every request)."""

    callers: tuple[Caller, ...]
    operations: tuple[Operation, ...]
    origin: Origin


class Exemption(Struct, frozen=True, kw_only=True):
    """What a default of Deny does not cover on this destination. `ports` are Service port numbers, `targets`
    the workload ports behind them; empty = all of its ports; callers empty = anybody."""

    ports: tuple[int, ...] = ()
    targets: tuple[int, ...] = ()
    callers: tuple[Caller, ...] = ()
    origin: Origin


class PodsApart(Struct, frozen=True, kw_only=True):
    """Some pods of a destination, by `labels` that they all have, on which fewer ports are governed
    (`governed_ports`) than on all of its pods together: an Allow of another Service governs the others, or a
    stranger's closes others of the pods, and selects none of these."""

    labels: tuple[tuple[str, str], ...]
    governed_ports: tuple[int, ...] = ()


class Access(Struct, frozen=True, kw_only=True):
    """The access decision of one destination.

    `targets` are its workload port numbers. `governed_ports` are all workload ports, of these pods, that some
    enforced Allow governs, its own or that of another Service that can share the pods; the rest keeps
    `default`. `governed` says whether an Allow selects this destination. `mixed` are targets that only some
    of its workloads have, while the same number on another one is denied or governed apart: an Allow, which
    names pods and ports but no pairs, must not open it. `apart` are pods on which ports keep `default` that
    are guarded on others, or closed there by a stranger's Allow (`shut_by`), beside which nothing of ours
    opens more than it grants. `spoken` has, for each target, the ports of every Service that reach it or
    could; they need not say the same of what it carries.
    """

    allows: tuple[Grant, ...] = ()
    denies: tuple[Grant, ...] = ()
    governed: bool = False
    targets: tuple[int, ...] = ()
    unresolved_targets: tuple[str, ...] = ()
    governed_ports: tuple[int, ...] = ()
    default: Literal["Deny", "Allow", "MeshDefault"] = "MeshDefault"
    exempt: Exemption | None = None
    mixed: tuple[int, ...] = ()
    apart: tuple[PodsApart, ...] = ()
    shut_by: ObjectKey | None = None
    spoken: Mapping[int, tuple[ServicePort, ...]] = no_items()

    @property
    def spread(self) -> tuple[Grant, ...]:
        """Its Denies of which the port numbers are not all known, as they act: on every port of the pods."""
        found = (
            # Without operations it means every request, and so has no port number either.
            (grant, tuple(filter(self.spreads, grant.operations or (Operation(),))))
            for grant in self.denies
        )
        return tuple(
            replace(grant, operations=tuple(dataclasses.replace(one, ports=()) for one in operations))
            for grant, operations in found
            if operations
        )

    def spreads(self, operation: Operation) -> bool:
        """Whether a Deny of these requests acts on every port of the pods."""
        # More must not be admitted, and which its own ports are may not be known.
        known = operation.targets and not operation.unresolved_ports
        return not known and bool(self.unresolved_targets or not self.targets)

    def closes(self, labels: Mapping[str, str], port: int) -> bool:
        """Whether pods of the destination with these labels are closed at a port that no Allow governs
        there: an Allow of this destination closes every port of its pods that it does not leave open."""
        if not self.governed or self.default == "Deny":
            return False
        # Which ports are governed is not known then, and none may be taken for open.
        if self.unresolved_targets:
            return True
        return (self.shut_by is not None or port in self.governed_ports) and not any(
            port not in part.governed_ports and all(labels.get(key) == value for key, value in part.labels)
            for part in self.apart
        )

    def without(self, policies: Collection[str]) -> Access:
        """The decision without what these policies grant, deny and exempt."""
        exempt = self.exempt
        return replace(
            self,
            allows=tuple(
                # Emptied, not dropped: an Allow that admits nobody keeps the pods closed, none at all would
                # open them.
                replace(one, callers=(), operations=()) if one.origin.policy in policies else one
                for one in self.allows
            ),
            denies=tuple(one for one in self.denies if one.origin.policy not in policies),
            # What one of their Allows selects stays governed, and so does what a default closes: nothing is
            # left there of what nobody grants any more.
            governed=self.governed or self.default == "Deny",
            exempt=None if exempt is not None and exempt.origin.policy in policies else exempt,
        )
