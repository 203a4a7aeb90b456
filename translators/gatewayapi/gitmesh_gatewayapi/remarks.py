"""What a mesh says of its HTTPRoutes, and what could not be said in them."""

from __future__ import annotations

from collections.abc import Callable

from msgspec import Struct

from gitmesh.model.policies import Origin


class Dialect(Struct, frozen=True, kw_only=True):
    """How one mesh of one cluster reads HTTPRoutes.

    `mesh` is its name for people. `served` tells whether the cluster's CRD has a field (`spec.rules.retry`).
    `dropped_headers` are header names on which the mesh ignores conditions. `doubled_percent`: it reads % in
    header values as the start of a variable, and %% as one. `always_retried` are the conditions on which
    it retries whenever a route has `retry`, beside the codes that are given there. `asks_leave`: its routes
    may name Services of other namespaces only by leave of those, a ReferenceGrant, though GEP-1426 lets
    routes of Services do without; `grantable`: the cluster serves ReferenceGrants. `grpc_routes`: ports of
    gRPC are for GRPCRoutes, as some clients may follow nothing else there, and the cluster serves them.
    """

    mesh: str
    served: Callable[[str], bool]
    dropped_headers: frozenset[str] = frozenset()
    doubled_percent: bool = False
    always_retried: frozenset[str] = frozenset()
    asks_leave: bool = False
    grantable: bool = True
    grpc_routes: bool = False


class Remark(Struct, frozen=True, kw_only=True):
    """A finding on a policy, without its cluster and mesh: the code of the register, and what it is about."""

    code: str
    text: str
    origin: Origin
    hint: str = ""


class Remarks:
    """Collects the remarks of one destination, each once, in the order in which they are met."""

    def __init__(self, dialect: Dialect) -> None:
        self.dialect = dialect
        self.found: list[Remark] = []

    def add(self, code: str, text: str, origin: Origin, hint: str = "") -> None:
        """Note a finding at the policy's line."""
        remark = Remark(code=code, text=text, origin=origin, hint=hint)
        if remark not in self.found:
            self.found.append(remark)

    def unsupported(self, text: str, origin: Origin, hint: str = "") -> None:
        """Note what HTTPRoutes of this mesh cannot say: GM301, an error, which holds the routing."""
        self.add("GM301", text, origin, hint)

    def served(self, path: str, origin: Origin) -> bool:
        """Whether the cluster's HTTPRoutes have the field; if not, note GM302."""
        if self.dialect.served(path):
            return True
        self.add("GM302", f"needs HTTPRoute.{path}, which the cluster's CRD does not have", origin)
        return False
