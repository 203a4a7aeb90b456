"""Rules of AccessPolicies -> grants: who may do what on which ports of the pods.

A rule may ask for what only HTTP requests have, on ports that carry something else or may: a plain TCP port,
and one whose protocol proxies sniff (docs/concepts.md#who-may-call).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

from gitmesh.diagnostics import Diagnostic
from gitmesh.model.access import AccessPolicySpec, AccessRule, HeaderRule
from gitmesh.model.conditions import NamedCondition, TextCondition
from gitmesh.model.grants import Grant, Operation
from gitmesh.model.policies import Policy, YamlPath
from gitmesh.model.services import ServicePort
from gitmesh.resolution.identities import Trust
from gitmesh.resolution.index import Index, all_targets, all_targets_of, port_of, targets
from gitmesh.resolution.selection import missing_port
from gitmesh.resolution.situation import AccessInput, about


class Grants:
    """What the AccessPolicies of one destination admit or deny there. `withheld` are policies of which a part
    cannot be told; `asks_http`: some rule tells requests apart.
    """

    def __init__(self, situation: AccessInput, trust: Trust) -> None:
        self.situation, self.trust = situation, trust
        self.diagnostics: list[Diagnostic] = []
        self.withheld = set(situation.broken)
        self.asks_http = False

    def of(self, policy: Policy) -> Grant:
        """One policy's callers and operations."""
        spec = access_spec(policy)
        who = self.trust.identities(spec.sources, policy.namespace, deny=spec.action == "Deny")
        for cluster in who.unknown:
            self._withhold(
                policy.origin("sources").finding(
                    "GM216",
                    f"the identities of a cluster cannot be told apart while the facts of cluster {cluster}"
                    " are unknown",
                    cluster=self.situation.cluster,
                )
            )
        # A set: rules that mean the same in this cluster are one, whatever their order in the file.
        operations = {self._operation(policy, number, rule) for number, rule in enumerate(spec.rules or ())}
        return Grant(
            callers=who.callers, operations=tuple(sorted(operations, key=repr)), origin=policy.origin()
        )

    def _operation(self, policy: Policy, number: int, rule: AccessRule) -> Operation:
        if access_spec(policy).action == "Deny":
            self.diagnostics += _by_path(policy, number, rule)
        ports: set[ServicePort] = set()
        numbers: set[int] = set()
        unresolved: set[str] = set()
        for position, reference in enumerate(rule.ports or ()):
            port = port_of(self.situation.service, reference)
            if port is None:
                self._withhold(
                    missing_port(
                        policy,
                        ("rules", number, "ports", position),
                        self.situation.service,
                        reference,
                        self.situation.cluster,
                    )
                )
                continue
            found = targets(port, self.situation.bearers)
            ports.add(port)
            numbers |= found
            # No pod has that name of a port: a rule without numbers would mean every port, so the name is
            # kept and the translator closes.
            unresolved |= set() if found else {str(port.target)}
        # Never wider: what a number means on other pods is left out of an Allow, and stays in a Deny.
        ambiguous = self.ambiguous(policy, ("rules", number, "ports"), ports)
        numbers -= ambiguous if access_spec(policy).action == "Allow" else frozenset()
        self.asks_http |= rule.asks_http
        for said in beside_http(policy, number, rule, self.situation, ports):
            if said.is_error:
                self._withhold(said)
            else:
                self.diagnostics.append(said)
        return Operation(
            paths=tuple(sorted(set(rule.paths or ()))),
            methods=tuple(sorted(set(rule.methods or ()))),
            targets=tuple(sorted(numbers)),
            hosts=tuple(sorted(set(rule.hosts or ()))),
            headers=tuple(sorted({_header(header) for header in rule.headers or ()})),
            ports=tuple(sorted({port.number for port in ports})),
            unresolved_ports=tuple(sorted(unresolved)),
            # A Deny that looks into requests would let through what it cannot look into.
            raw=access_spec(policy).action == "Deny" and rule.asks_http and rule.non_http != "Ignore",
            origin=policy.origin("rules", number),
        )

    def ambiguous(self, policy: Policy, path: YamlPath, ports: Collection[ServicePort]) -> frozenset[int]:
        """Target numbers of the ports that on some other pod are behind another port: meshes name pods and
        numbers, but no pairs. An Allow, or an exemption, opens them on none, a Deny closes them on all.
        """
        wanted = all_targets_of(ports, self.situation.bearers)
        meshed = [workload for workload in self.situation.workloads if workload.mesh]
        others = (all_targets(self.situation.service, [w]) - all_targets_of(ports, [w]) for w in meshed)
        found = wanted & frozenset().union(*others) if ports else frozenset()
        if found:
            shown = ", ".join(str(number) for number in sorted(found))
            denies = isinstance(policy.spec, AccessPolicySpec) and policy.spec.action == "Deny"
            done = "denied on these, too" if denies else "opened on none"
            text = f"workload port {shown} is behind another port of the Service on other pods, and is {done}"
            self.diagnostics.append(about("GM304", text, policy, self.situation, *path))
        return found

    def _withhold(self, diagnostic: Diagnostic) -> None:
        """Note an error for which the part of its policy, and no other, cannot be told."""
        self.diagnostics.append(diagnostic)
        self.withheld.add(diagnostic.policy)


def access_spec(policy: Policy) -> AccessPolicySpec:
    """What an AccessPolicy says."""
    assert isinstance(policy.spec, AccessPolicySpec)
    return policy.spec


def _header(rule: HeaderRule) -> NamedCondition:
    if rule.exact is not None:
        condition = TextCondition(form="exact", value=rule.exact)
    elif rule.prefix is not None:
        condition = TextCondition(form="prefix", value=rule.prefix)
    elif rule.suffix is not None:
        condition = TextCondition(form="suffix", value=rule.suffix)
    else:
        condition = TextCondition(form="present")
    return NamedCondition(name=rule.name.lower(), condition=condition, invert=rule.invert)


def _by_path(policy: Policy, number: int, rule: AccessRule) -> Iterator[Diagnostic]:
    for position, path in enumerate(rule.paths or ()):
        # Of every path there is nothing to normalise.
        if path != "*":
            at = ("rules", number, "paths", position)
            text = f"this Deny depends on how the mesh normalises paths before it compares {path}"
            yield policy.origin(*at).finding("GM310", text)


def beside_http(
    policy: Policy, number: int, rule: AccessRule, situation: AccessInput, ports: Collection[ServicePort]
) -> Iterator[Diagnostic]:
    """What must be said of a rule where not all that comes is HTTP; `ports` are those that it names.

    An Allow admits only what is certain. A Deny means all the rest, too, unless it says otherwise: told where
    the policy names the destination, an error under a broad selector, as nobody would see what it closes.
    """
    asked = ports if rule.ports else situation.service.ports
    meant = [port for port in asked if port.raw]
    if not rule.asks_http or rule.non_http is not None:
        return
    yield from _said_otherwise(policy, number, situation, [port for port in asked if not port.raw])
    if not meant:
        return
    spec = policy.spec
    assert isinstance(spec, AccessPolicySpec)
    if spec.action == "Allow":
        code, then = "GM304", "this rule admits nothing that is not HTTP there"
    elif policy.id in situation.named:
        code, then = (
            "GM304",
            "what is not HTTP there is denied altogether; say by nonHTTP whether it is meant",
        )
    else:
        code, then = "GM222", "say by nonHTTP what becomes there of what is not HTTP"
    yield about(code, f"{_shown(meant, situation)}: {then}", policy, situation, "rules", number)


def _said_otherwise(
    policy: Policy, number: int, situation: AccessInput, ports: Collection[ServicePort]
) -> Iterator[Diagnostic]:
    """A warning where another Service says of the same port of the pods that it may carry what is not HTTP: a
    proxy takes the word of one of them."""
    numbers = all_targets_of(ports, situation.bearers)
    for neighbour in situation.neighbours:
        others = [port for port in neighbour.service.ports if port.raw]
        shared = numbers & all_targets_of(others, situation.bearers)
        if shared:
            name = f"{neighbour.service.namespace}/{neighbour.service.name}"
            shown = ", ".join(map(str, sorted(shared)))
            text = (
                f"workload port {shown} is HTTP by Service {situation.service.namespace}/"
                f"{situation.service.name}, and not for sure by {name}: what counts as no HTTP there"
            )
            spec = access_spec(policy)
            then = "is not admitted by this rule" if spec.action == "Allow" else "is denied altogether"
            yield about("GM304", f"{text} {then}", policy, situation, "rules", number)


def _shown(ports: Collection[ServicePort], situation: AccessInput) -> str:
    numbers = ", ".join(f"{port.number} ({port.protocol or 'no protocol'})" for port in sorted(ports))
    carries = "may carry what is not HTTP" if any(port.http for port in ports) else "is not HTTP"
    return f"port {numbers} of Service {situation.service.namespace}/{situation.service.name} {carries}"


def spoken(situation: AccessInput, index: Index) -> Mapping[int, tuple[ServicePort, ...]]:
    """Target port -> the ports of every Service by which it is reached, or could be: of another Service whose
    selector the same pods could meet.
    """
    own = all_targets(situation.service, situation.bearers)
    found: dict[int, set[ServicePort]] = {number: set() for number in sorted(own)}
    for service in (situation.service, *index.compatible(situation.service)):
        for port in service.ports if own else ():
            for number in targets(port, situation.bearers) & own:
                found[number].add(port)
    return {number: tuple(sorted(ports, key=repr)) for number, ports in found.items()}
