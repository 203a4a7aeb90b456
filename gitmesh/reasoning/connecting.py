"""With which TLS a client's proxy makes its connection: as an object of somebody else in its own namespace
says, else as a policy does, else as others find it; where none of them says anything, the mesh chooses.
"""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import Struct

from gitmesh.model.base import Disabled
from gitmesh.model.conditions import SourceCondition
from gitmesh.model.objects import ObjectKey
from gitmesh.model.policies import Origin
from gitmesh.model.routes import Decided
from gitmesh.model.strangers import ClientTls
from gitmesh.reasoning.questions import Client, Known, Question, ServiceKey
from gitmesh.reasoning.routing import tls_of

_MESH = ("", "MeshMutual")
"""Modes that are what the mesh chooses towards pods that take its mTLS."""

TlsChain = tuple[tuple[SourceCondition, str], ...]
"""The clients that are meant, and the mode of the first of them that means a client; "" leaves it to the
mesh."""


class Connection(Struct, frozen=True, kw_only=True):
    """A connection that is not the mesh's own: the mode of its TLS as policies have it, and who says so: the
    line of a policy, or the object of somebody else; neither, the mesh's settings."""

    mode: str
    origin: Origin | None = None
    by: ObjectKey | None = None

    @property
    def made(self) -> str:
        """Who makes it, for people."""
        if self.origin is not None:
            return "a policy makes it"
        return f"{self.by}, which is not ours, makes it" if self.by else "the mesh's settings make it"


def connection_of(question: Question, known: Known) -> Connection | None:
    """The client's connection to what it asks for; None where it is the mesh's own, or nobody makes one."""
    links = known.client_tls.get(question.service, ()) if _by_rules(question.client, known) else ()
    own = next((link for link in links if link.namespace == question.client.namespace), None)
    if own is not None:
        return _of(own, question.port)
    if decided := tls_of(question, known):
        return Connection(mode=decided.value.mode, origin=decided.origin)
    others = next((link for link in links if not link.namespace), None)
    return _of(others, question.port) if others else None


def tls_chain(key: ServiceKey, port: int, known: Known) -> TlsChain:
    """All by which the TLS of connections to a port hangs on the client."""
    unit = known.refused.get(key) or known.routing.get(key)
    settings = unit.settings.get(port, unit.settings.get(0, {})) if unit else {}
    links = known.client_tls.get(key, ())
    local = [(SourceCondition(namespaces=(one.namespace,)), one.at(port)) for one in links if one.namespace]
    others = [(SourceCondition(), one.at(port)) for one in links if not one.namespace]
    chain = (*_decided(settings.get("tls")), *others)
    return (*local, *chain) if any(mode for _, mode in (*local, *chain)) else ()


def _decided(decided: Decided | None) -> Iterator[tuple[SourceCondition, str]]:
    while decided is not None:
        yield decided.source, "" if isinstance(decided.value, Disabled) else decided.value.mode
        decided = decided.fallback


def _by_rules(client: Client, known: Known) -> bool:
    """Whether what is said of connections is for the client: for one that surely has a proxy of its own."""
    _, without, _ = known.approach.told(client)
    return bool(client.mesh) and not without


def _of(link: ClientTls, port: int) -> Connection | None:
    mode = link.at(port)
    return None if mode in _MESH else Connection(mode=mode, by=link.by)
