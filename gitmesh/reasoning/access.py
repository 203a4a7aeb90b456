"""Who is admitted (api.md, AccessPolicy), told from units: a ruling for each pair of pods and port behind the
destination.

Answers are of three values: what hangs on something that is not known (a held unit, an address that was not
given) is `Unknown`, unless what is known decides already.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from enum import StrEnum

from msgspec import Struct
from msgspec.structs import replace

from gitmesh.model.facts import Service, Workload
from gitmesh.model.policies import Origin
from gitmesh.model.units import Access, Caller, Exemption, Grant, Operation
from gitmesh.reasoning import foreign
from gitmesh.reasoning.callers import is_meant
from gitmesh.reasoning.foreign import ForeignWord
from gitmesh.reasoning.operations import connects, holds
from gitmesh.reasoning.questions import Client, Known, Pair, Question
from gitmesh.reasoning.routing import tls_of
from gitmesh.reasoning.ways import Way, comes_by_own_proxy, way_of

__all__ = ["Admission", "Answer", "Basis", "Led", "Refused", "Ruling", "can", "ruled"]


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
    well.
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


def can(question: Question, known: Known) -> Admission:
    """Whether the destination admits the request. Raises KeyError where the cluster has no such Service."""
    service = known.index.facts.service_index[question.service]
    if not service.selector:
        return _whole(
            Answer.ALLOWED,
            Basis.NO_SELECTOR,
            "the Service has no selector, so there are no pods that could be guarded",
        )
    asked = [port for port in service.ports if port.number == question.port]
    if asked and not any(port.seen for port in asked):
        text = (
            f"port {question.port} carries {asked[0].protocol.upper()}, which proxies never see, so nothing"
            " guards it"
        )
        return _whole(Answer.ALLOWED, Basis.NO_PROXY, text)
    pairs = known.behind(service, question.port)
    if not pairs:
        return _whole(Answer.UNKNOWN, Basis.NO_PODS, _no_pods(known, service))
    rulings: dict[object, tuple[Ruling, ...]] = {}
    for pair in pairs:
        if pair.ground not in rulings:
            rulings[pair.ground] = tuple(_rulings(question, known, pair))
    pods = tuple((pair.workload, pair.number, ruling) for pair in pairs for ruling in rulings[pair.ground])
    answers = {ruling.answer for _, _, ruling in pods}
    if len(answers) == 1:
        return Admission(answer=answers.pop(), pods=pods)
    return Admission(answer=Answer.UNKNOWN if Answer.UNKNOWN in answers else Answer.DEPENDS, pods=pods)


def ruled(question: Question, pair: Pair, known: Known) -> Ruling:
    """The answer for the pods of one pair, whichever Service leads there."""
    return _Asked(question, known, pair).ruling()


def _no_pods(known: Known, service: Service) -> str:
    if keys := known.index.unsure(service):
        return f"its pods are unknown: the facts leave out labels by which it selects ({', '.join(keys)})"
    return "no pods are behind this port of the Service"


def _whole(answer: Answer, basis: Basis, text: str) -> Admission:
    return Admission(answer=answer, ruling=Ruling(answer=answer, basis=basis, text=text))


def _rulings(question: Question, known: Known, pair: Pair) -> Iterator[Ruling]:
    """One for the pods of a pair, and another where the connection may be no HTTP and that is answered
    otherwise.
    """
    asked = _decided(question, known, pair)
    yield asked
    if question.sniffed:
        other = _decided(replace(question, http=False), known, pair)
        if other.answer is not asked.answer:
            yield replace(other, text=f"where the connection is not HTTP: {other.text}")


def _decided(question: Question, known: Known, pair: Pair) -> Ruling:
    """As somebody on the way decides who sees the request; else as who sees connections alone."""
    way = way_of(question, known, pair)
    seen = _Asked(question, known, pair, ahead=way in (Way.AHEAD, Way.UNSURE)).ruling()
    if way in (Way.SEEN, Way.AHEAD):
        return seen
    unseen = _Asked(question, known, pair, unseen=True).ruling()
    if unseen.answer is seen.answer:
        return unseen
    if way is Way.UNSEEN:
        return replace(unseen, text=f"{unseen.text}: nobody on the way to its pods sees requests")
    text = (
        "it is not known whether somebody on the way to its pods sees requests; where somebody does:"
        f" {seen.text}"
    )
    return Ruling(answer=Answer.UNKNOWN, basis=Basis.UNSEEN, text=text)


_NAMELESS = frozenset({"Disable", "Simple"})
"""Modes of `tls` with which a client shows no identity."""

_CLOSED = "no policy selects it, but an Allow for other ports of these pods closes it as well"

_UNKNOWN_PORT = frozenset({0})
_Said = tuple[frozenset[int], Access]
"""The Service ports by which a destination reaches the pair, and its access decision."""


def _without_address(caller: Caller, *, deny: bool) -> Caller | None:
    """Whom it means where addresses are not seen: a Deny means them at any, an Allow at none."""
    if not caller.ip_blocks and not caller.not_ip_blocks:
        return caller
    kind = "all" if caller.kind == "address" else caller.kind
    return replace(caller, kind=kind, ip_blocks=(), not_ip_blocks=()) if deny else None


class _Asked:
    """One request at one pair."""

    def __init__(
        self, question: Question, known: Known, pair: Pair, *, unseen: bool = False, ahead: bool = False
    ) -> None:
        self.unseen, self.ahead = unseen, ahead
        self.question, self.known, self.pair = question, known, pair
        self.mesh = known.meshes.get(pair.workload.mesh)
        self.client = question.client
        own = self.mesh.mtls.value.mode if self.mesh and self.mesh.mtls else ""
        mode, self.mode_by = foreign.mode_of(pair.foreign, pair.number, own)
        # Pods without a proxy of their own take mTLS from each other whatever the mode.
        keeps = pair.workload.dataplane == "ambient" and not comes_by_own_proxy(self.client, known)
        self.strict, self.disabled = mode == "Strict", mode == "Disabled" and not keeps
        self.tls = tls_of(question, known)
        if self.disabled or (self.tls is not None and self.tls.value.mode in _NAMELESS):
            self.client = Client(
                namespace=self.client.namespace,
                labels=self.client.labels,
                mesh=self.client.mesh,
                ip=self.client.ip,
            )
        units = ((ports, known.destinations.get(service.key)) for service, ports in pair.reached)
        self.said: list[_Said] = [(ports, unit.access) for ports, unit in units if unit and unit.access]
        closing = ((ports, known.destinations[service.key].access) for service, ports in pair.closing)
        self.closing: list[_Said] = [(ports, access) for ports, access in closing if access]
        denying = ((ports, known.destinations[service.key].access) for service, ports in pair.denying)
        self.denying: list[_Said] = [(ports, access) for ports, access in denying if access]
        spreading = (known.destinations[service.key].access for service in pair.spreading)
        self.spread = [grant for access in spreading if access for grant in access.spread]
        self.held = known.holds_mesh(pair.workload.mesh) or any(
            known.holds(service.key, "access") for service, _ in pair.reached
        )

    def ruling(self) -> Ruling:
        """Deny beats Allow; what no Allow admits is denied where an Allow governs; else the default."""
        if not self.pair.workload.mesh:
            return Ruling(
                answer=Answer.ALLOWED,
                basis=Basis.NO_PROXY,
                text="its pods carry no proxy, so nothing guards them",
            )
        if not self.pair.workload.guards(self.pair.number):
            return Ruling(
                answer=Answer.ALLOWED,
                basis=Basis.NO_PROXY,
                text="their proxies do not see this port, so nothing guards it",
            )
        return (
            self._refused_plain()
            or self._own_certificate()
            or self._denied()
            or self._denied_by_others()
            or self._unknown()
            or self._beside_others(
                self._allowed(self.said, Basis.NO_ALLOW, "no Allow admits it")
                or self._allowed(self.closing, Basis.CLOSED, _CLOSED)
                or self._default()
            )
        )

    def _words(self, action: str) -> tuple[ForeignWord, ...]:
        return foreign.words(action, self.pair, self.question, self.client)

    def _denied_by_others(self) -> Ruling | None:
        words = self._words("Deny")
        for meets, answer, says in ((True, Answer.DENIED, "refuses"), (None, Answer.UNKNOWN, "may refuse")):
            if by := next((word.by for word in words if word.meets is meets), None):
                return Ruling(answer=answer, basis=Basis.FOREIGN, text=f"{by}, which is not ours, {says} it")
        return None

    def _beside_others(self, own: Ruling) -> Ruling:
        """Allows of all add up, and one of anybody's closes what none admits: what others close may stay open
        only where an object of ours opens it."""
        opened = own.answer is Answer.ALLOWED and own.basis is not Basis.DEFAULT
        if opened or not (words := self._words("Allow")):
            return own
        if by := next((word.by for word in words if word.meets), None):
            text = f"{by}, which is not ours, admits it"
            return Ruling(answer=Answer.ALLOWED, basis=Basis.FOREIGN, text=text)
        if by := next((word.by for word in words if word.meets is None), None):
            text = f"{by}, which is not ours, may admit it"
            return Ruling(answer=Answer.UNKNOWN, basis=Basis.FOREIGN, text=f"{text}; else: {own.text}")
        if own.answer is not Answer.ALLOWED:
            return own
        by = next((word.by for word in words if word.selects), None)
        text = (
            f"{by or words[0].by}, which is not ours, {'closes' if by else 'may close'} what no Allow admits"
        )
        return Ruling(answer=Answer.DENIED if by else Answer.UNKNOWN, basis=Basis.FOREIGN, text=text)

    def _refused_plain(self) -> Ruling | None:
        if not self.strict or self.client.trust_domain is not None:
            return None
        if self.mode_by is not None:
            text = f"{self.mode_by}, which is not ours, refuses clients without identity: its mode is Strict"
            return Ruling(answer=Answer.DENIED, basis=Basis.MTLS, text=text)
        mtls = self.mesh.mtls if self.mesh else None
        if mtls is None:
            return None
        text = "mTLS is Strict, which refuses a client that shows no identity"
        if self.tls is not None:
            text = (
                "mTLS is Strict, which refuses the connection: a policy makes it with tls"
                f" {self.tls.value.mode}"
            )
        deciding = (mtls.origin,) if self.tls is None else (self.tls.origin, mtls.origin)
        return Ruling(answer=Answer.DENIED, basis=Basis.MTLS, text=text, deciding=deciding)

    def _own_certificate(self) -> Ruling | None:
        """A client certificate from a file: whose it is nobody knows."""
        if self.tls is None or self.tls.value.mode != "Mutual" or self.disabled:
            return None
        text = "a policy makes the connection with a certificate from a file, which is not known"
        return Ruling(answer=Answer.UNKNOWN, basis=Basis.MTLS, text=text, deciding=(self.tls.origin,))

    def _denied(self) -> Ruling | None:
        denies = [(ports, one) for ports, access in self.denying for one in access.denies]
        denies += [(_UNKNOWN_PORT, one) for one in self.spread]
        asked = [(meets, origin) for ports, one in denies for meets, origin in self._asked(one, ports, True)]
        found = _origins(origin for meets, origin in asked if meets)
        if found:
            return Ruling(
                answer=Answer.DENIED,
                basis=Basis.DENY,
                text=f"a Deny means this request{self._without_identity()}",
                deciding=found,
            )
        return self._address(origin for meets, origin in asked if meets is None)

    def _without_identity(self) -> str:
        if self.disabled:
            return ", as mTLS is Disabled and nobody has an identity"
        if self.tls is not None and self.tls.value.mode in _NAMELESS:
            return (
                f", as a policy makes the connection with tls {self.tls.value.mode}, which shows no identity"
            )
        return ""

    def _unknown(self) -> Ruling | None:
        if not self.held:
            return None
        text = (
            "errors or missing facts hold what decides here: the last good objects stay in force, whatever"
            " they say"
        )
        return Ruling(answer=Answer.UNKNOWN, basis=Basis.HELD, text=text)

    def _allowed(self, said: Sequence[_Said], basis: Basis, otherwise: str) -> Ruling | None:
        """What these Allows admit, and that they close the port for others; what other pods have for another
        port is opened on none."""
        opened = [(frozenset() if self.pair.number in one.mixed else ports, one) for ports, one in said]
        grants = [(ports, one) for ports, access in opened for one in access.allows]
        asked = [(meets, origin) for ports, one in grants for meets, origin in self._asked(one, ports, False)]
        found = _origins(origin for meets, origin in asked if meets)
        if found:
            return Ruling(answer=Answer.ALLOWED, basis=Basis.ALLOW, text="an Allow admits it", deciding=found)
        unsure = self._address(origin for meets, origin in asked if meets is None)
        if unsure or not any(access.governed for _, access in said):
            return unsure
        tried = {one.origin: Refused(origin=one.origin, why=self._why_not(one)) for _, one in grants}
        text = f"{otherwise}{self._without_identity()}"
        return Ruling(
            answer=Answer.DENIED,
            basis=basis,
            text=text,
            tried=tuple(tried[origin] for origin in sorted(tried)),
        )

    def _asked(self, grant: Grant, ports: frozenset[int], deny: bool) -> Iterator[tuple[bool | None, Origin]]:
        """For each rule of the grant whether it means the request, None where that hangs on the address; a
        destination without the pods' port means none.
        """
        meant = self._means(grant.callers, deny) if ports else False
        if meant is not False:
            asked = grant.operations or (Operation(),)
            yield from (
                (meant, one.origin or grant.origin)
                for one in asked
                if self._holds(one, ports, deny) and (deny or self._is_opened(one))
            )

    def _holds(self, operation: Operation, ports: frozenset[int], deny: bool) -> bool:
        if self.unseen:
            return connects(operation, ports, self.question, deny=deny)
        return holds(operation, ports, self.question)

    def _is_opened(self, operation: Operation) -> bool:
        """Whether an Allow of these requests opens the pods' port: not where other pods have the number for
        another port, as meshes name pods and numbers, but no pairs."""
        return not operation.ports or self.pair.number in operation.targets

    def _means(self, callers: Iterable[Caller], deny: bool) -> bool | None:
        if self.ahead:
            callers = [known for one in callers if (known := _without_address(one, deny=deny))]
        answers = [is_meant(caller, self.client, deny=deny) for caller in callers]
        return True if True in answers else None if None in answers else False

    def _why_not(self, grant: Grant) -> str:
        if self._means(grant.callers, False):
            return "none of its rules means this request"
        unsaid = sorted({caller.inexpressible for caller in grant.callers if caller.inexpressible})
        return f"the caller is none of its sources{f' ({unsaid[0]})' if unsaid else ''}"

    def _default(self) -> Ruling:
        decided = self.mesh.access_default if self.mesh else None
        if decided is None or decided.value != "Deny":
            whose = f"accessDefault is {decided.value}" if decided else "no VirtualMesh says otherwise"
            text = f"no policy selects it, and {whose}"
            return Ruling(
                answer=Answer.ALLOWED,
                basis=Basis.DEFAULT,
                text=text,
                deciding=(decided.origin,) if decided else (),
            )
        if self.pair.gateway:
            return Ruling(
                answer=Answer.ALLOWED, basis=Basis.GATEWAY, text="a default of Deny never covers a gateway"
            )
        if self.pair.gateway is None:
            text = (
                "it calls itself a gateway, and nothing says that it is one: closed, unless it was open"
                " before"
            )
            return Ruling(answer=Answer.UNKNOWN, basis=Basis.HELD, text=text)
        text = "no policy selects it, and accessDefault is Deny"
        return self._exempted() or Ruling(
            answer=Answer.DENIED, basis=Basis.DEFAULT, text=text, deciding=(decided.origin,)
        )

    def _exempted(self) -> Ruling | None:
        """What is exempt here; what other pods have for another port, or not at all, is opened on none."""
        exempt = [
            access.exempt
            for ports, access in self.said
            if access.exempt and self.pair.number not in access.mixed and self._covers(access.exempt, ports)
        ]
        asked = [(self._means(one.callers, False) if one.callers else True, one.origin) for one in exempt]
        found = _origins(origin for meets, origin in asked if meets)
        if found:
            return Ruling(
                answer=Answer.ALLOWED,
                basis=Basis.EXEMPT,
                text="it is exempt from the default of Deny",
                deciding=found,
            )
        return self._address(origin for meets, origin in asked if meets is None)

    def _covers(self, exempt: Exemption, ports: frozenset[int]) -> bool:
        if exempt.ports:
            return bool(ports & set(exempt.ports))
        return not exempt.targets or self.pair.number in exempt.targets

    def _address(self, origins: Iterable[Origin]) -> Ruling | None:
        found = _origins(origins)
        text = "it hangs on the caller's address, which is not known"
        return (
            Ruling(answer=Answer.UNKNOWN, basis=Basis.ADDRESS, text=text, deciding=found) if found else None
        )


def _origins(origins: Iterable[Origin]) -> tuple[Origin, ...]:
    return tuple(sorted(set(origins)))
