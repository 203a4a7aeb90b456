"""Errors that can be decided from one revision alone, across its policies; any of them refuses the
revision.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from gitmesh.diagnostics import Diagnostic, Severity, finding, in_order, suggest
from gitmesh.model.access import AccessPolicySpec
from gitmesh.model.matches import Match
from gitmesh.model.origins import lookalike, stranger
from gitmesh.model.policies import Policy, YamlPath
from gitmesh.model.requests import Cors
from gitmesh.model.selectors import DestinationSelector
from gitmesh.model.traffic import CONNECTION_FIELDS, TrafficPolicySpec
from gitmesh.model.virtualmesh import AdoptionSpec, VirtualMeshSpec
from gitmesh.resolution.comparing import MOST_COMPARISONS, comparisons, conflict_findings, extent, too_many
from gitmesh.resolution.membership import two_virtual_meshes
from gitmesh.resolution.routes import replaces_prefix
from gitmesh.resolution.rules import BY_NAME, Rule, in_precedence, rules_of
from gitmesh.resolution.slots import Slot, slots_of

MOST_CALLERS = 20_000
"""Callers of one AccessPolicy, counted for each of its rules: meshes write each rule with all of them."""
_OTHER_THAN_PORT = tuple(name for name in Match.model_fields if name != "port")


def check(policies: Sequence[Policy], clusters: Mapping[str, Mapping[str, str]]) -> tuple[Diagnostic, ...]:
    """Static findings over all policies. `clusters` maps every configured cluster to its labels; none
    configured (a run without configuration) means that cluster names cannot be checked."""
    ordered = sorted(policies, key=lambda policy: policy.id)
    traffic = [policy for policy in ordered if isinstance(policy.spec, TrafficPolicySpec)]
    diagnostics: list[Diagnostic] = []
    for policy in ordered if clusters else ():
        diagnostics += _unknown_clusters(policy, clusters)
    for policy in traffic:
        diagnostics += [
            *_connection_fields(policy),
            *_prefix_replacements(policy),
            *_too_long(policy),
            *_origins(policy),
        ]
    for policy in ordered:
        if isinstance(policy.spec, AccessPolicySpec):
            diagnostics += _too_many_callers(policy)
    diagnostics += _claimed_twice([policy for policy in ordered if isinstance(policy.spec, VirtualMeshSpec)])
    diagnostics += _contradictions(traffic, clusters or _named_clusters(traffic))
    return in_order(diagnostics)


def _finding(code: str, text: str, policy: Policy, path: YamlPath, hint: str = "") -> Diagnostic:
    return policy.origin(*path).finding(code, text, hint=hint)


def _unknown_clusters(policy: Policy, clusters: Mapping[str, Mapping[str, str]]) -> Iterator[Diagnostic]:
    # An Adoption only consents: one that means no cluster holds nothing up.
    severity = Severity.WARNING if isinstance(policy.spec, AdoptionSpec) else None
    for path, name in cluster_names(policy):
        if name not in clusters:
            hint, text = suggest(name, clusters), f"no cluster is called {name}"
            yield policy.origin(*path).finding("GM207", text, hint=hint, severity=severity)


def cluster_names(policy: Policy) -> Iterator[tuple[YamlPath, str]]:
    """Every cluster that the policy names, and where."""
    spec = policy.spec
    if isinstance(spec, TrafficPolicySpec | AccessPolicySpec):
        for part in ("sources", "destinations"):
            for number, item in enumerate(getattr(spec, part) or ()):
                yield from (
                    ((part, number, "clusters", i), name) for i, name in enumerate(item.clusters or ())
                )
    if isinstance(spec, AccessPolicySpec):
        for number, source in enumerate(spec.sources):
            for i, account in enumerate(source.service_accounts or ()):
                if account.cluster:
                    yield ("sources", number, "service_accounts", i, "cluster"), account.cluster
    if isinstance(spec, VirtualMeshSpec):
        for number, mesh in enumerate(spec.meshes):
            if mesh.cluster:
                yield ("meshes", number, "cluster"), mesh.cluster
            named = (mesh.selector.clusters if mesh.selector else None) or ()
            yield from ((("meshes", number, "selector", "clusters", i), name) for i, name in enumerate(named))
    if isinstance(spec, AdoptionSpec):
        yield from ((("objects", i), text.partition("/")[0]) for i, text in enumerate(spec.objects))


def _connection_fields(policy: Policy) -> Iterator[Diagnostic]:
    spec = policy.spec
    assert isinstance(spec, TrafficPolicySpec)
    further = any(
        getattr(match, name) is not None for match in spec.matches or () for name in _OTHER_THAN_PORT
    )
    for name in spec.given(CONNECTION_FIELDS) if further else ():
        text = (
            "a field of connections goes with no match, or with a match on port alone: a connection carries"
            " many requests"
        )
        yield _finding("GM203", text, policy, (name,), "put it into a policy of its own")


def _prefix_replacements(policy: Policy) -> Iterator[Diagnostic]:
    spec = policy.spec
    assert isinstance(spec, TrafficPolicySpec)
    matches = spec.matches or ()
    # An exact path or an expression has no prefix that could be replaced.
    if matches and all(match.path and (match.path.prefix or match.path.string_prefix) for match in matches):
        return
    for name in ("rewrite", "redirect"):
        if replaces_prefix(getattr(spec, name)):
            text = "replacePrefixMatch needs path.prefix or path.stringPrefix in every match of the policy"
            yield _finding(
                "GM203",
                text,
                policy,
                (name, "path", "replace_prefix_match"),
                "use replaceFullPath, or add a match on a prefix",
            )


def _origins(policy: Policy) -> Iterator[Diagnostic]:
    """Origins that a browser is told to trust with the user's credentials, and that anybody can have."""
    assert isinstance(policy.spec, TrafficPolicySpec)
    cors = policy.spec.cors
    for number, origin in (
        enumerate(cors.allow_origins) if isinstance(cors, Cors) and cors.allow_credentials else ()
    ):
        path = ("cors", "allow_origins", number)
        if site := stranger(origin):
            text = (
                f"allowCredentials with an origin that any site can have, such as {site}, lets any site act"
                " as the user"
            )
            yield _finding("GM203", text, policy, path, "name the origins")
        elif site := lookalike(origin):
            text = (
                f"this admits {site} as well, which anybody can register, and with allowCredentials it may"
                " act as the user"
            )
            yield _finding("GM219", text, policy, path)


def _claimed_twice(policies: Sequence[Policy]) -> Iterator[Diagnostic]:
    """Meshes that two VirtualMeshes name by cluster and name."""
    claims: dict[str, list[tuple[Policy, int, str]]] = {}
    for policy in policies:
        assert isinstance(policy.spec, VirtualMeshSpec)
        for number, mesh in enumerate(policy.spec.meshes):
            if mesh.cluster:
                claims.setdefault(mesh.cluster, []).append((policy, number, mesh.name or ""))
    for cluster, claimed in sorted(claims.items()):
        for policy, number, name in claimed:
            others = [
                (p, n)
                for p, n, other in claimed
                # Without a name every mesh of the cluster is meant.
                if p.id != policy.id and (not name or not other or name == other)
            ]
            if others:
                shown = ", ".join(f"{p.id} ({p.at('meshes', n)})" for p, n in others)
                yield two_virtual_meshes(policy, number, (cluster, name), shown)


def _named_clusters(policies: Sequence[Policy]) -> Mapping[str, Mapping[str, str]]:
    """Without a configuration: the clusters that policies name, and "" for those that none does."""
    return {"": {}, **{name: {} for policy in policies for _, name in cluster_names(policy)}}


def _contradictions(policies: Sequence[Policy], clusters: Mapping[str, object]) -> Iterator[Diagnostic]:
    """Conflicts on destinations that policies select by exact name, in clusters where both act."""
    named: dict[tuple[str, str], list[tuple[Policy, DestinationSelector]]] = {}
    for policy in policies:
        assert isinstance(policy.spec, TrafficPolicySpec)
        for item in policy.spec.destinations:
            # A name with labels may select nothing: without facts it is no certain contradiction.
            if item.name and not item.labels:
                for namespace in item.namespaces or (policy.namespace,):
                    named.setdefault((namespace, item.name), []).append((policy, item))
    slots = {
        policy.id: slots_of(policy)
        for selecting in named.values()
        if len(selecting) > 1
        for policy, _ in selecting
    }
    for key, selecting in sorted(named.items()):
        if len({policy.id for policy, _ in selecting}) > 1:
            yield from _on_destination(key, selecting, clusters, slots)


def _on_destination(
    key: tuple[str, str],
    selecting: Sequence[tuple[Policy, DestinationSelector]],
    clusters: Mapping[str, object],
    slots: Mapping[str, Mapping[Slot, object]],
) -> Iterator[Diagnostic]:
    """The conflicts in every cluster; clusters in which the same policies act have the same, unless clients
    are told by cluster.
    """
    seen: set[tuple[str, ...]] = set()
    for cluster in clusters:
        acting = {
            policy.id: policy for policy, item in selecting if not item.clusters or cluster in item.clusters
        }
        # Where some `sources` name clusters, rules differ from cluster to cluster with the same policies.
        told = tuple(acting) if not any(map(_told_by_cluster, acting.values())) else (*acting, cluster)
        # Hundreds of clusters may have the same policies; one comparison answers for all of them.
        if len(acting) > 1 and told not in seen:
            seen.add(told)
            yield from _in_cluster("/".join(key), cluster, acting, slots)


def _told_by_cluster(policy: Policy) -> bool:
    assert isinstance(policy.spec, TrafficPolicySpec)
    return any(source.clusters for source in policy.spec.sources or ())


def _in_cluster(
    destination: str, cluster: str, acting: Mapping[str, Policy], slots: Mapping[str, Mapping[Slot, object]]
) -> Iterator[Diagnostic]:
    sized = [(policy, _extent(policy, slots[name])) for name, policy in acting.items()]
    # Before any rule is made: the rules themselves are what costs.
    if comparisons(size for _, size in sized) > MOST_COMPARISONS:
        yield too_many(sized, destination, "")
        return
    found = [
        rule
        for policy in acting.values()
        for _, rule in rules_of(policy, slots[policy.id], BY_NAME, cluster, _symbolic)
    ]
    yield from conflict_findings(
        in_precedence(rule for rule in found if isinstance(rule, Rule)), "", destination
    )


def _extent(policy: Policy, slots: Mapping[Slot, object]) -> int:
    assert isinstance(policy.spec, TrafficPolicySpec)
    return extent(policy.spec, slots)


def _too_long(policy: Policy) -> Iterator[Diagnostic]:
    """A policy that makes too many rules wherever it acts, even if they set little."""
    size = _extent(policy, {})
    if comparisons([size]) > MOST_COMPARISONS:
        yield too_many([(policy, size)], "each of its destinations", "")


def _symbolic(port: int | str) -> int:
    """A number for a port name that is no port's number."""
    # Negative, so that it meets itself and no number.
    return port if isinstance(port, int) else -int.from_bytes(port.encode())


def _too_many_callers(policy: Policy) -> Iterator[Diagnostic]:
    """The finding where the rules of an AccessPolicy, each with all its callers, are more than can be
    written.
    """
    spec = policy.spec
    assert isinstance(spec, AccessPolicySpec)
    names = sum(
        1 + len(s.namespaces or ()) + len(s.service_accounts or ()) + len(s.ip_blocks or ())
        for s in spec.sources
    )
    # Without `rules` there is one: every request.
    rules = len(spec.rules or (None,))
    # A single rule costs what was typed; only the product of two lists grows beyond it.
    if rules > 1 and names * rules > MOST_CALLERS:
        text = (
            f"{rules:,} rules for {names:,} callers are more than {MOST_CALLERS:,} together, and meshes write"
            " each rule with all of them"
        )
        field = "rules" if rules > names else "sources"
        yield finding(
            "GM103",
            text,
            at=policy.at(field),
            policy=policy.id,
            field=f"spec.{field}",
            hint="Split the policy.",
        )
