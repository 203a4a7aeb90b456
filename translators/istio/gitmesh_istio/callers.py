"""Callers of the policy API -> `from` of an AuthorizationPolicy.

A caller that cannot be said exactly closes: an Allow leaves it out, a Deny is widened to everybody it could
be. Inside one source all fields must hold; sources of one rule, and values of one field, are alternatives.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TypeAlias

from gitmesh.model.facts import Mesh
from gitmesh.model.grants import Caller, Principal
from gitmesh.model.policies import Origin
from gitmesh_istio.names import DEFAULT_DOMAIN, sorted_unique
from gitmesh_istio.scope import Notes

Source: TypeAlias = dict[str, list[str]]

ANYBODY: tuple[Source, ...] = ({},)
"""An empty source: the rule is written without `from`."""


def allowed(
    callers: Sequence[Caller], meshes: Sequence[Mesh], origin: Origin, notes: Notes
) -> tuple[Source, ...]:
    """Sources that admit these callers and nobody else; empty = nobody."""
    found: list[Source] = []
    for caller in callers:
        _note_inexpressible(caller, "is not admitted", origin, notes)
        known = [p for p in caller.principals if _sayable(p, meshes, "is not admitted", origin, notes)]
        _note_refused(known, meshes, origin, notes)
        _note_aliases(known, meshes, origin, notes)
        found += _sources(caller, known)
    return _simplified(found)


def denied(
    callers: Sequence[Caller], meshes: Sequence[Mesh], origin: Origin, notes: Notes
) -> tuple[Source, ...]:
    """Sources that cover at least these callers. A caller could hide by showing no identity, so those without
    one are denied too.
    """
    found: list[Source] = []
    for caller in callers:
        if caller.kind in ("all", "address"):
            _note_inexpressible(caller, "is denied to every caller", origin, notes)
            found.append({} if caller.inexpressible else _addresses(caller))
            continue
        unsaid = [
            p
            for p in caller.principals
            if not _sayable(p, meshes, "is denied to every caller", origin, notes)
        ]
        if caller.inexpressible or unsaid:
            _note_inexpressible(caller, "is denied to every caller", origin, notes)
            notes.add(
                "GM304",
                "the Deny was widened to every caller, since Istio cannot name all that it means",
                origin,
            )
            found.append(_addresses(caller))
            continue
        found += _sources(caller, caller.principals)
        # Matches whoever shows no identity at all: `principals` in a DENY would not, and plaintext would
        # get past it.
        found.append({"notPrincipals": ["*"], **_addresses(caller)})
    return _simplified(found)


def _note_inexpressible(caller: Caller, then: str, origin: Origin, notes: Notes) -> None:
    if caller.inexpressible:
        notes.add(
            "GM301", f"a caller cannot be told by its identity and {then}: {caller.inexpressible}", origin
        )


def _sayable(principal: Principal, meshes: Sequence[Mesh], then: str, origin: Origin, notes: Notes) -> bool:
    """Whether Istio has a pattern for the principal, and means by it what it says.

    Istio replaces the trust domain `cluster.local` in a full principal by the mesh's own
    (trustdomain/bundle.go), so a caller of another mesh that really is in `cluster.local` cannot be named in
    a mesh with a trust domain of another name.
    """
    if principal.trust_domain and principal.service_account and not principal.namespace:
        notes.add(
            "GM301",
            f"ServiceAccount {principal.service_account} of any namespace {then}: Istio has no such pattern",
            origin,
        )
        return False
    if principal.trust_domain == DEFAULT_DOMAIN and principal.namespace and principal.service_account:
        foreign = [mesh.name for mesh in meshes if DEFAULT_DOMAIN not in trust_domains(mesh)]
        if foreign:
            text = (
                f"{principal.namespace}/{principal.service_account} of trust domain {DEFAULT_DOMAIN} {then}"
            )
            notes.add("GM301", f"{text}: mesh {foreign[0]} reads that name as its own trust domain", origin)
            return False
    return True


def trust_domains(mesh: Mesh) -> tuple[str, ...]:
    """The mesh's trust domain and the names that it holds for equal."""
    aliases = mesh.settings.get("trustDomainAliases", "")
    return (mesh.trust_domain or DEFAULT_DOMAIN, *(alias for alias in aliases.split(",") if alias))


def _note_refused(
    principals: Iterable[Principal], meshes: Sequence[Mesh], origin: Origin, notes: Notes
) -> None:
    """Note who is admitted in vain: proxies verify the trust domain of whoever connects
    (pilot/pkg/security/authn, TrustDomainsForValidation), and come to no policy where it is not one of
    theirs."""
    # Who is named without a cluster has a principal for each trust domain there is: one that is taken will
    # do.
    domains: dict[tuple[str, str], set[str]] = {}
    for one in principals:
        domains.setdefault((one.namespace, one.service_account), set()).add(one.trust_domain)
    for mesh in meshes:
        vain = {name for own in domains.values() if not own & {"", *mesh.takes} for name in own}
        if mesh.takes and vain:
            text = (
                f"callers of trust domain {', '.join(sorted(vain))} come to no pod of mesh {mesh.name}, whose"
                f" proxies take identities of {', '.join(mesh.takes)} alone"
            )
            notes.add("GM327", text, origin)


def _note_aliases(
    principals: Iterable[Principal], meshes: Sequence[Mesh], origin: Origin, notes: Notes
) -> None:
    for mesh in meshes:
        names = trust_domains(mesh)
        if len(names) > 1 and any(
            p.trust_domain in names and p.namespace and p.service_account for p in principals
        ):
            notes.add("GM303", f"mesh {mesh.name} takes callers of {', '.join(names)} for the same", origin)


def _sources(caller: Caller, principals: Sequence[Principal]) -> list[Source]:
    addresses = _addresses(caller)
    if caller.kind in ("all", "address"):
        return [addresses]
    if caller.kind == "authenticated":
        # `*` is any non-empty principal (authorization_policy.proto, Source), so it asks for an identity.
        return [{"principals": ["*"], **addresses}]
    namespaces = sorted_unique(p.namespace for p in principals if _is_namespace(p))
    named = sorted_unique(_pattern(p) for p in principals if not _is_namespace(p))
    fields = (("principals", named), ("namespaces", namespaces))
    # A source for each field: inside one source all fields must hold, and these are alternatives.
    return [{field: values, **addresses} for field, values in fields if values]


def _addresses(caller: Caller) -> Source:
    given = (("ipBlocks", caller.ip_blocks), ("notIpBlocks", caller.not_ip_blocks))
    return {field: sorted_unique(blocks) for field, blocks in given if blocks}


def _is_namespace(principal: Principal) -> bool:
    """A namespace of any trust domain has a field of its own."""
    return bool(principal.namespace) and not principal.trust_domain and not principal.service_account


def _pattern(principal: Principal) -> str:
    """`<trust domain>/ns/<namespace>/sa/<account>` without spiffe://, with one `*` at an end for what is not
    given.
    """
    domain, namespace, account = principal.trust_domain, principal.namespace, principal.service_account
    if account:
        place = f"ns/{namespace}/sa/{account}" if namespace else f"sa/{account}"
        # A pattern may have `*` at one end only, which is why an account of any namespace in one trust
        # domain cannot be said.
        return f"{domain or '*'}/{place}"
    if namespace:
        return f"{domain}/ns/{namespace}/*"
    return f"{domain}/*" if domain else "*"


def _simplified(sources: list[Source]) -> tuple[Source, ...]:
    """Without repeats, in a fixed order; anybody makes the others needless."""
    if {} in sources:
        return ANYBODY
    unique = {repr(sorted(source.items())): source for source in sources}
    return tuple(unique[key] for key in sorted(unique))


def as_from(sources: Sequence[Source]) -> list[dict[str, object]]:
    """The `from` list; for `ANYBODY` it must be left out."""
    return [{"source": source} for source in sources]
