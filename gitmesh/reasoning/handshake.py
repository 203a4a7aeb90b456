"""How a client and some pods come to a connection, before any policy is asked who may call: with which TLS
the client makes it, what of itself it shows by that, and whether the pods take it.
"""

from __future__ import annotations

from gitmesh.reasoning import foreign
from gitmesh.reasoning.answers import Answer, Basis, Ruling
from gitmesh.reasoning.callers import is_taken
from gitmesh.reasoning.connecting import connection_of
from gitmesh.reasoning.questions import Client, Known, Pair, Question

_NAMELESS = frozenset({"Disable", "Simple"})
"""Modes of `tls` with which a client shows no identity."""


class Handshake:
    """One client at one pair; `client` is what the pods see of it."""

    def __init__(self, question: Question, known: Known, pair: Pair) -> None:
        mesh = known.meshes.get(pair.workload.mesh)
        self._mtls = mesh.mtls if mesh else None
        self._takes = known.takes(pair)
        mode, self._by = foreign.mode_of(
            pair.foreign, pair.number, self._mtls.value.mode if self._mtls else ""
        )
        # Pods without a proxy of their own take mTLS from each other whatever the mode.
        keeps = pair.workload.dataplane == "ambient" and not known.approach.by_own_proxy(question.client)
        self._strict, self._disabled = mode == "Strict", mode == "Disabled" and not keeps
        self._made = connection_of(question, known)
        hides = self._disabled or (self._made is not None and self._made.mode in _NAMELESS)
        self.client = _nameless(question.client) if hides else question.client

    def refused(self) -> Ruling | None:
        """Why the pods do not take the connection, or why that is not known; None where they take it."""
        return self._plain() or self._own_certificate() or self._domain()

    def hidden(self) -> str:
        """Why the client shows no identity, as the end of a sentence; "" where the way of the connection is
        not why."""
        if self._disabled:
            return ", as mTLS is Disabled and nobody has an identity"
        if self._made is not None and self._made.mode in _NAMELESS:
            return f", as the connection shows no identity: {self._made.made} with tls {self._made.mode}"
        return ""

    def _plain(self) -> Ruling | None:
        if not self._strict or self.client.trust_domain is not None:
            return None
        made, mtls = self._made, self._mtls
        if self._by is not None:
            text = f"{self._by}, which is not ours, refuses clients without identity: its mode is Strict"
            return Ruling(answer=Answer.DENIED, basis=Basis.MTLS, text=f"{text}{self.hidden()}")
        if mtls is None:
            return None
        text = "mTLS is Strict, which refuses a client that shows no identity"
        if made is not None:
            text = f"mTLS is Strict, which refuses the connection: {made.made} with tls {made.mode}"
        deciding = (made.origin, mtls.origin) if made and made.origin else (mtls.origin,)
        return Ruling(answer=Answer.DENIED, basis=Basis.MTLS, text=text, deciding=deciding)

    def _own_certificate(self) -> Ruling | None:
        """A client certificate from a file: whose it is nobody knows."""
        made = self._made
        if made is None or made.mode != "Mutual" or self._disabled:
            return None
        text = f"the certificate of the connection is not known: {made.made} with one from a file"
        deciding = (made.origin,) if made.origin else ()
        return Ruling(answer=Answer.UNKNOWN, basis=Basis.MTLS, text=text, deciding=deciding)

    def _domain(self) -> Ruling | None:
        """An identity that the pods' proxies take in no mode."""
        if is_taken(self.client.trust_domain, self._takes):
            return None
        text = (
            f"its proxies take identities of trust domain {', '.join(self._takes)} alone, and refuse the"
            f" connection of one of {self.client.trust_domain}"
        )
        return Ruling(answer=Answer.DENIED, basis=Basis.MTLS, text=text)


def _nameless(client: Client) -> Client:
    """Trust domain and account of the caller are lost."""
    return Client(namespace=client.namespace, labels=client.labels, mesh=client.mesh, ip=client.ip)
