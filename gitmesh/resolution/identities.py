"""Identity selectors -> callers that meshes can verify (api.md, Selectors; the security law for what cannot be said)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from gitmesh.model.selectors import IdentitySelector
from gitmesh.model.units import Caller, Principal
from gitmesh.resolution.index import World

_NAME = re.compile(r"[A-Za-z0-9._-]+")
"""A trust domain (SPIFFE-ID, section 2.1; Istio takes capitals too)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Identities:
    """The callers, and the clusters whose unknown facts would decide what they are."""

    callers: tuple[Caller, ...]
    unknown: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class TrustDomains:
    """Trust domains of all managed meshes with known facts."""

    world: World

    def all(self) -> tuple[str, ...]:
        return tuple(sorted({domain for cluster, _ in self.world.known() for domain in self.of(cluster)}))

    def of(self, cluster: str) -> tuple[str, ...]:
        """A mesh may say anything of itself, also what means everybody to others (`*`): only a name counts."""
        said = {mesh.trust_domain for _, index in self.world.known([cluster]) for mesh in index.facts.meshes}
        return tuple(sorted(filter(_NAME.fullmatch, said)))

    def bound_to(self, cluster: str) -> tuple[tuple[str, ...], str]:
        """(trust domains that only this cluster has, what of it cannot be said)."""
        if cluster not in self.world.indexes:
            return (), f"cluster {cluster} is not managed here, so its identities are not known"
        mine = self.of(cluster)
        if not mine:
            return (), f"cluster {cluster} has no mesh with a trust domain"
        others = {name: set(self.of(name)) & set(mine) for name, _ in self.world.known() if name != cluster}
        shared = {domain: sorted([cluster, *(n for n, common in others.items() if domain in common)]) for domain in mine}
        reasons = [f"clusters {' and '.join(names)} share the trust domain {d}" for d, names in shared.items() if len(names) > 1]
        return tuple(domain for domain in mine if len(shared[domain]) == 1), "; ".join(reasons)


def identities(items: Sequence[IdentitySelector], namespace: str, world: World, *, deny: bool) -> Identities:
    """Resolve the items. Without a cluster an Allow names every known trust domain, a Deny any: each errs on the closed side.

    `namespace` is the default namespace of ServiceAccounts.
    """
    unknown = sorted({name for item in items for name in _unknown(item, world)})
    resolved = {_caller(item, namespace, TrustDomains(world), deny) for item in items}
    return Identities(callers=tuple(sorted(resolved, key=repr)), unknown=tuple(unknown))


def _clusters(item: IdentitySelector) -> set[str]:
    return {*(item.clusters or ()), *(account.cluster for account in item.service_accounts or () if account.cluster)}


def _unknown(item: IdentitySelector, world: World) -> tuple[str, ...]:
    """A trust domain is one cluster's own only if no other has it, so a bound identity depends on the facts of all."""
    return world.unknown() if _clusters(item) else ()


def _caller(item: IdentitySelector, namespace: str, domains: TrustDomains, deny: bool) -> Caller:
    if item.all or item.authenticated:
        return Caller(kind="all" if item.all else "authenticated")
    principals, reasons = _principals(item, namespace, domains, deny)
    named = bool(item.service_accounts or item.namespaces or item.clusters)
    return Caller(
        kind="principals" if named else "address",
        principals=tuple(sorted(set(principals), key=repr)),
        ip_blocks=tuple(sorted(set(item.ip_blocks or ()))),
        not_ip_blocks=tuple(sorted(set(item.not_ip_blocks or ()))),
        inexpressible="; ".join(sorted(set(reasons))),
    )


def _principals(item: IdentitySelector, namespace: str, domains: TrustDomains, deny: bool) -> tuple[list[Principal], list[str]]:
    found: list[Principal] = []
    reasons: list[str] = []
    for cluster, own_namespace, account in _named(item, namespace):
        trusted, reason = domains.bound_to(cluster) if cluster else _anywhere(domains, deny)
        reasons += [reason] if reason else []
        found += [Principal(trust_domain=domain, namespace=own_namespace, service_account=account) for domain in trusted]
    return found, reasons


def _named(item: IdentitySelector, namespace: str) -> Iterator[tuple[str, str, str]]:
    """(cluster, namespace, account) of every identity that the item names; "" = any."""
    if item.service_accounts:
        yield from ((account.cluster or "", account.namespace or namespace, account.name) for account in item.service_accounts)
    elif item.namespaces or item.clusters:
        yield from ((cluster, own, "") for cluster in item.clusters or ("",) for own in item.namespaces or ("",))


def _anywhere(domains: TrustDomains, deny: bool) -> tuple[tuple[str, ...], str]:
    trusted = ("",) if deny else domains.all()
    return trusted, "" if trusted else "no managed mesh has a known trust domain"
