"""Rules that ask for what only HTTP requests have, on ports that carry something else or may: a plain TCP
port, and one whose protocol proxies sniff (api.md, AccessPolicy).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

from gitmesh.diagnostics import Diagnostic
from gitmesh.model.access import AccessPolicySpec, AccessRule
from gitmesh.model.facts import ServicePort
from gitmesh.model.policies import Policy
from gitmesh.resolution.index import Index, all_targets, targets
from gitmesh.resolution.situation import AccessInput, about


def beside_http(
    policy: Policy, number: int, rule: AccessRule, situation: AccessInput, ports: Collection[ServicePort]
) -> Iterator[Diagnostic]:
    """What must be said of a rule where not all that comes is HTTP; `ports` are those that it names.

    An Allow admits only what is certain. A Deny means all the rest, too, unless it says otherwise: told where
    the policy names the destination, an error under a broad selector, as nobody would see what it closes.
    """
    meant = [port for port in (ports if rule.ports else situation.service.ports) if port.raw]
    if not meant or not rule.asks_http or rule.non_http is not None:
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
