"""Identity selectors -> callers that meshes can verify (docs/concepts.md#selectors; the security law for what
cannot be said).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from msgspec import Struct

from gitmesh.model.grants import Caller, Principal
from gitmesh.model.objects import is_trust_domain
from gitmesh.model.selectors import IdentitySelector
from gitmesh.resolution.index import Index, KnownClusters


class Identities(Struct, frozen=True, kw_only=True):
    """The callers, and the clusters whose unknown facts would decide what they are."""

    callers: tuple[Caller, ...]
    unknown: tuple[str, ...] = ()


class Trust:
    """Who is who in one world: the trust domains of all managed meshes with known facts, and every selection
    resolved once.
    """

    def __init__(self, world: KnownClusters) -> None:
        self._world = world
        self._domains = {cluster: _names(index) for cluster, index in world.known()}
        self._all = tuple(sorted({domain for domains in self._domains.values() for domain in domains}))
        self._resolved: dict[tuple[tuple[IdentitySelector, ...], str, bool], Identities] = {}

    def identities(self, items: tuple[IdentitySelector, ...], namespace: str, *, deny: bool) -> Identities:
        """Resolve the items; `namespace` is the default namespace of ServiceAccounts."""
        found = self._resolved.get((items, namespace, deny))
        if found is None:
            found = self._resolved[items, namespace, deny] = self._resolve(items, namespace, deny)
        return found

    def _resolve(self, items: Sequence[IdentitySelector], namespace: str, deny: bool) -> Identities:
        unknown = sorted({name for item in items for name in _unknown(item, self._world)})
        resolved = {_caller(item, namespace, self, deny) for item in items}
        return Identities(callers=tuple(sorted(resolved, key=repr)), unknown=tuple(unknown))

    def anywhere(self, deny: bool) -> tuple[tuple[str, ...], str]:
        """(trust domains of an identity without a cluster, what of it cannot be said)."""
        # A Deny must also mean who comes from a mesh that is not managed here; an Allow must not.
        trusted = ("",) if deny else self._all
        return trusted, "" if trusted else "no managed mesh has a known trust domain"

    def bound_to(self, cluster: str) -> tuple[tuple[str, ...], str]:
        """(trust domains that only this cluster has, what of it cannot be said)."""
        if cluster not in self._world.indexes:
            return (), f"cluster {cluster} is not managed here, so its identities are not known"
        mine = self._domains.get(cluster, ())
        if not mine:
            return (), f"cluster {cluster} has no mesh with a trust domain"
        having = {
            domain: [name for name, domains in self._domains.items() if domain in domains] for domain in mine
        }
        reasons = [
            f"clusters {' and '.join(names)} share the trust domain {d}"
            for d, names in having.items()
            if len(names) > 1
        ]
        # A trust domain that two clusters share cannot tell their callers apart, so neither of them is
        # named by it.
        return tuple(domain for domain, names in having.items() if len(names) == 1), "; ".join(reasons)


def _names(index: Index) -> tuple[str, ...]:
    """The trust domains of a cluster's meshes."""
    return tuple(
        # A mesh may say anything of itself, also what means everybody to others (`*`): only a name counts.
        sorted({mesh.trust_domain for mesh in index.facts.meshes if is_trust_domain(mesh.trust_domain)})
    )


def _clusters(item: IdentitySelector) -> set[str]:
    return {
        *(item.clusters or ()),
        *(account.cluster for account in item.service_accounts or () if account.cluster),
    }


def _unknown(item: IdentitySelector, world: KnownClusters) -> tuple[str, ...]:
    """The clusters whose unknown facts would decide what an item means."""
    # A trust domain is one cluster's own only if no other has it: who is bound to a cluster hangs on the
    # facts of all.
    return world.unidentified() if _clusters(item) else ()


def _caller(item: IdentitySelector, namespace: str, trust: Trust, deny: bool) -> Caller:
    if item.all or item.authenticated:
        return Caller(kind="all" if item.all else "authenticated")
    principals, reasons = _principals(item, namespace, trust, deny)
    named = bool(item.service_accounts or item.namespaces or item.clusters)
    return Caller(
        # Named, though nothing may be left to name: the caller then is nobody, while an address alone would
        # admit all at it.
        kind="principals" if named else "address",
        principals=tuple(sorted(set(principals), key=repr)),
        ip_blocks=tuple(sorted(set(item.ip_blocks or ()))),
        not_ip_blocks=tuple(sorted(set(item.not_ip_blocks or ()))),
        inexpressible="; ".join(sorted(set(reasons))),
    )


def _principals(
    item: IdentitySelector, namespace: str, trust: Trust, deny: bool
) -> tuple[list[Principal], list[str]]:
    found: list[Principal] = []
    reasons: list[str] = []
    for cluster, own_namespace, account in _named(item, namespace):
        trusted, reason = trust.bound_to(cluster) if cluster else trust.anywhere(deny)
        reasons += [reason] if reason else []
        found += [
            Principal(trust_domain=domain, namespace=own_namespace, service_account=account)
            for domain in trusted
        ]
    return found, reasons


def _named(item: IdentitySelector, namespace: str) -> Iterator[tuple[str, str, str]]:
    """(cluster, namespace, account) of every identity that the item names; "" = any."""
    if item.service_accounts:
        yield from (
            (account.cluster or "", account.namespace or namespace, account.name)
            for account in item.service_accounts
        )
    elif item.namespaces or item.clusters:
        yield from (
            (cluster, own, "") for cluster in item.clusters or ("",) for own in item.namespaces or ("",)
        )
