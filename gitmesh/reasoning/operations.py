"""Whether one rule of an AccessPolicy means a request (docs/concepts.md#who-may-call: `*` is textual, hosts
ignore case).
"""

from __future__ import annotations

from gitmesh.model.grants import Operation
from gitmesh.reasoning.questions import Question
from gitmesh.resolution.matching import named_holds


def holds(operation: Operation, ports: frozenset[int], question: Question) -> bool:
    """Whether the rule means the request. `ports` are the Service ports by which its destination reaches the
    pods' port.
    """
    if operation.ports and not ports & set(operation.ports):
        return False
    if operation.asks_http and not question.http:
        return operation.raw
    return (
        (not operation.methods or question.method in operation.methods)
        and (not operation.paths or any(like(pattern, question.path) for pattern in operation.paths))
        and (not operation.hosts or any(is_host(pattern, question.authority) for pattern in operation.hosts))
        and all(named_holds(condition, question.headers) for condition in operation.headers)
    )


def connects(operation: Operation, ports: frozenset[int], question: Question, *, deny: bool) -> bool:
    """Whether the rule means the connection, for somebody who sees no requests."""
    if operation.ports and not ports & set(operation.ports):
        return False
    if not operation.asks_http:
        return True
    # Both err on the closed side: where requests are not seen, an Allow of some requests admits nothing, and
    # a Deny of some refuses everything that may be requests.
    return deny and (operation.raw or question.http or question.sniffed)


def like(pattern: str, text: str) -> bool:
    """`exact`, `prefix*`, `*suffix`; `*` alone is any."""
    if pattern.startswith("*"):
        return text.endswith(pattern[1:])
    return text.startswith(pattern[:-1]) if pattern.endswith("*") else text == pattern


def is_host(pattern: str, authority: str) -> bool:
    """A pattern without a port means the host with any."""
    pattern, authority = pattern.lower(), authority.lower()
    host, port = _split(authority)
    # Clients may send the port along, and a pattern without one means the host with any.
    return like(pattern, authority) or bool(port and not _split(pattern)[1] and like(pattern, host))


def _split(authority: str) -> tuple[str, str]:
    """(host, port or ""); an IPv6 address in brackets has colons of its own."""
    host, colon, port = authority.rpartition(":")
    return (host, port) if colon and "]" not in port else (authority, "")
