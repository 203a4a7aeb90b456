"""With which TLS sidecars and gateways connect to a Service where no policy says it: as the DestinationRule
of somebody else that they take, else as MeshConfig has it. With enableAutoMtls istiod gives them mTLS
towards pods that take it wherever no DestinationRule speaks of TLS; without, they send plaintext there
(istio.io, 'Understanding TLS Configuration'). A rule that they take counts whole, and what it says of one
port counts there alone (destination_rule.proto, `port_level_settings`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from msgspec import Struct

from gitmesh.model.facts import ClusterFacts, Mesh
from gitmesh.model.services import Service
from gitmesh.model.strangers import ClientTls
from gitmesh.model.units import RoutingUnit
from gitmesh_istio.destination import TLS_MODES
from gitmesh_istio.kinds import AUTO_MTLS, DESTINATION_RULE
from gitmesh_istio.lookup import Lookup, Taken
from gitmesh_istio.meshwide import root_of
from gitmesh_istio.names import cluster_domain, host
from gitmesh_istio.settings import is_mutual

_MODES = {theirs: mode for mode, theirs in TLS_MODES.items()}
_PLAIN, _OWN = "Disable", "MeshMutual"


def client_tls(
    facts: ClusterFacts, meshes: Sequence[Mesh]
) -> Callable[[Service, RoutingUnit | None], tuple[ClientTls, ...]] | None:
    """What each Service's clients connect with, beside the routing of ours that is given."""
    names = {mesh.name for mesh in meshes}
    members = [one for one in facts.workloads if one.mesh in names and one.dataplane == "sidecar"]
    rules = [one for one in facts.strangers if one.kind == DESTINATION_RULE.kind]
    # Of revisions that differ it is not known by which a client goes, and what is not known is not told.
    by_hand = bool(meshes) and all(mesh.settings.get(AUTO_MTLS) == "false" for mesh in meshes)
    if not members or not (rules or by_hand):
        return None
    roots = tuple(sorted({root_of(mesh) for mesh in meshes}))
    clients = {one.namespace for one in members}
    return _Links(Lookup(rules, facts, roots, clients), roots, cluster_domain(meshes), by_hand).of


class _Links(Struct, frozen=True):
    """The rules of one cluster, and whether clients use mTLS only where one says so."""

    rules: Lookup
    roots: tuple[str, ...]
    domain: str
    by_hand: bool

    def of(self, service: Service, unit: RoutingUnit | None) -> tuple[ClientTls, ...]:
        """Those of single namespaces, then what all others have."""
        name = host(*service.key, self.domain)
        # Beside a rule for the very host in its namespace ours is not written (overrides).
        ours = bool(unit and (unit.settings or unit.subsets)) and not self.rules.exactly(
            name, service.namespace
        )
        local = self.rules.local(name)
        found = [
            self._link(namespace, taken)
            for namespace, taken in sorted(local.items())
            if not (ours and namespace == service.namespace)
        ]
        return (*found, *self._others(name, service, unit if ours else None))

    def _others(self, name: str, service: Service, ours: RoutingUnit | None) -> Iterator[ClientTls]:
        """What clients find that have no rule of their own."""
        behind = (
            self.rules.exported(name, place) for place in dict.fromkeys((service.namespace, *self.roots))
        )
        taken = next((one for one in behind if one), None)
        if ours is None and taken:
            yield self._link("", taken)
        elif ours is None and self.by_hand:
            yield ClientTls(tls=_PLAIN)
        elif ours and self.by_hand:
            # Ours goes on with what clients had before, else with the mesh's own mTLS (settings.mutual).
            kept = self._link("", taken) if taken and taken.tls else None
            yield kept or ClientTls(tls=_OWN if is_mutual(ours) else _PLAIN)

    def _link(self, namespace: str, taken: Taken) -> ClientTls:
        ports = {int(port): self._mode(mode) for port, mode in taken.port_tls.items()}
        return ClientTls(namespace=namespace, tls=self._mode(taken.tls), ports=ports, by=taken.by)

    def _mode(self, mode: str) -> str:
        return _MODES.get(mode, _PLAIN if self.by_hand and not mode else "")
