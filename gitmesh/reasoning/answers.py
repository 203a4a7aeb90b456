"""What the calculator answers to the question who is admitted (docs/concepts.md#who-may-call)."""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct

from gitmesh.model.policies import Origin
from gitmesh.model.workloads import Workload


class Answer(StrEnum):
    """`Depends`: some pods behind the destination admit the request and others do not, or they do as long as
    the connection is HTTP, or is not.
    """

    ALLOWED = "Allowed"
    DENIED = "Denied"
    DEPENDS = "Depends"
    UNKNOWN = "Unknown"


class Basis(StrEnum):
    """What decided. `Closed`: no policy means these pods, but an Allow for others closes the port here as
    well. `Shut`: the pods refuse the proxy that sends the request on.
    """

    NO_SELECTOR = "NoSelector"
    NO_PODS = "NoPods"
    NO_PROXY = "NoProxy"
    MTLS = "Mtls"
    DENY = "Deny"
    ALLOW = "Allow"
    NO_ALLOW = "NoAllow"
    CLOSED = "Closed"
    GATEWAY = "Gateway"
    EXEMPT = "Exempt"
    DEFAULT = "Default"
    FOREIGN = "Foreign"
    UNSEEN = "Unseen"
    SHUT = "Shut"
    HELD = "Held"
    ADDRESS = "Address"


class Refused(Struct, frozen=True, kw_only=True):
    """An Allow that was tried and does not admit the request."""

    origin: Origin
    why: str


class Ruling(Struct, frozen=True, kw_only=True):
    """The answer for some pods. `deciding` are the places in Git that decide, `tried` the Allows that did not
    admit.
    """

    answer: Answer
    basis: Basis
    text: str
    deciding: tuple[Origin, ...] = ()
    tried: tuple[Refused, ...] = ()


class Admission(Struct, frozen=True, kw_only=True):
    """The answer for a request; `pods` gives the ruling of each workload's pods at their container port,
    shape by shape. `led` is the answer of each place to which a policy leads a share of such requests, where
    that is elsewhere.
    """

    answer: Answer
    pods: tuple[tuple[Workload, int, Ruling], ...] = ()
    ruling: Ruling | None = None
    """Where there are no pods to ask about."""
    led: tuple[Led, ...] = ()


class Led(Struct, frozen=True, kw_only=True):
    """A port of a Service, or those of its pods with the labels of a subset, to which `origin` leads
    requests; None: as called.
    """

    service: tuple[str, str]
    port: int
    subset: tuple[tuple[str, str], ...] = ()
    origin: Origin | None = None
    admission: Admission
