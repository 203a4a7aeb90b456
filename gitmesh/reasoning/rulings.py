"""The ruling of one request at one pair of pods and port: Deny beats Allow, what no Allow admits is denied
where an Allow governs, else the default; beside what others wrote, and by who sees the request on its way.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from msgspec.structs import replace

from gitmesh.model.grants import Access, Caller, Exemption, Grant, Operation
from gitmesh.model.policies import Origin
from gitmesh.reasoning import foreign
from gitmesh.reasoning.answers import Answer, Basis, Refused, Ruling
from gitmesh.reasoning.callers import is_meant, without_address
from gitmesh.reasoning.foreign import ForeignWord
from gitmesh.reasoning.handshake import Handshake
from gitmesh.reasoning.operations import connects, holds
from gitmesh.reasoning.questions import Known, Pair, Question
from gitmesh.reasoning.ways import by_proxy_ahead, seen_as

_CLOSED = "no policy selects it, but an Allow for other ports of these pods closes it as well"
_UNKNOWN_PORT = frozenset({0})
_Said = tuple[frozenset[int], Access]
"""The Service ports by which a destination reaches the pair, and its access decision."""


class AtPair:
    """One request at one pair; `unseen`: nobody on its way sees more than the connection; `ahead`: who sees
    it is ahead of the pods, and to it callers have no address."""

    def __init__(
        self, question: Question, known: Known, pair: Pair, *, unseen: bool = False, ahead: bool = False
    ) -> None:
        self.unseen, self.ahead = unseen, ahead
        self.question, self.known, self.pair = question, known, pair
        self.mesh = known.meshes.get(pair.workload.mesh)
        self.handshake = Handshake(question, known, pair)
        self.client = self.handshake.client
        self.proxy = seen_as(question, known, pair)
        self.by_proxy = by_proxy_ahead(question, known) if self.proxy else False
        units = ((ports, known.access.get(service.key)) for service, ports in pair.reached)
        self.said: list[_Said] = [(ports, unit.access) for ports, unit in units if unit]
        self.closing: list[_Said] = [(ports, known.access[one.key].access) for one, ports in pair.closing]
        self.denying: list[_Said] = [(ports, known.access[one.key].access) for one, ports in pair.denying]
        self.spread = [grant for one in pair.spreading for grant in known.access[one.key].access.spread]
        self.held = known.holds_mesh(pair.workload.mesh) or any(
            known.holds(service.key, "access") for service, _ in pair.reached
        )

    def ruling(self) -> Ruling:
        """Deny beats Allow; what no Allow admits is denied where an Allow governs; else the default."""
        if not self.pair.workload.mesh and not self.pair.workload.pods:
            text = "no pods are there yet, and whether they get a proxy is not known"
            return Ruling(answer=Answer.UNKNOWN, basis=Basis.NO_PODS, text=text)
        if not self.pair.workload.mesh:
            return Ruling(
                answer=Answer.ALLOWED,
                basis=Basis.NO_PROXY,
                text="its pods carry no proxy, so nothing guards them",
            )
        if not self.pair.workload.guards(self.pair.number):
            workload = self.pair.workload
            text = (
                f"mesh {workload.mesh} guards no port of its pods"
                if workload.guards_none
                else "their proxies do not see this port, so nothing guards it"
            )
            return Ruling(answer=Answer.ALLOWED, basis=Basis.NO_PROXY, text=text)
        # A connection that is refused comes to no policy; a Deny counts though what else decides is held.
        return (
            self.handshake.refused()
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
        """What others say at the pods, who see the proxy ahead of them in place of whoever comes by it."""
        said = foreign.words(action, self.pair, self.question, self.client)
        if self.proxy is None or self.by_proxy is False:
            return said
        otherwise = foreign.words(action, self.pair, self.question, self.proxy)
        if self.by_proxy:
            return otherwise
        pairs = zip(said, otherwise, strict=True)
        return tuple(one if one.meets is two.meets else replace(one, meets=None) for one, two in pairs)

    def _denied_by_others(self) -> Ruling | None:
        words = self._words("Deny")
        for meets, answer, says in ((True, Answer.DENIED, "refuses"), (None, Answer.UNKNOWN, "may refuse")):
            if by := next((word.by for word in words if word.meets is meets), None):
                return Ruling(answer=answer, basis=Basis.FOREIGN, text=f"{by}, which is not ours, {says} it")
        return None

    def _beside_others(self, own: Ruling) -> Ruling:
        """Our own ruling, and what others' Allows make of it."""
        # Allows of everybody add up, and anybody's closes what none admits: what others close stays open only
        # where an object of ours opens it.
        opened = own.answer is Answer.ALLOWED and own.basis is not Basis.DEFAULT
        # What a proxy ahead of the pods has refused comes to none of them.
        refused = bool(self.by_proxy) and own.basis is Basis.NO_ALLOW
        if opened or refused or not (words := self._words("Allow")):
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

    def _denied(self) -> Ruling | None:
        denies = [(ports, one) for ports, access in self.denying for one in access.denies]
        # Any number will do here, as these Denies name no ports any more; with no port at all they would
        # match no request.
        denies += [(_UNKNOWN_PORT, one) for one in self.spread]
        asked = [(meets, origin) for ports, one in denies for meets, origin in self._asked(one, ports, True)]
        found = _origins(origin for meets, origin in asked if meets)
        if found:
            return Ruling(
                answer=Answer.DENIED,
                basis=Basis.DENY,
                text=f"a Deny means this request{self.handshake.hidden()}",
                deciding=found,
            )
        return self._address(origin for meets, origin in asked if meets is None)

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
        # Ahead of the pods their numbers do not count: each Service is decided by its own ports.
        mixed = self.pair.number if not self.ahead else None
        opened = [(frozenset() if mixed in one.mixed else ports, one) for ports, one in said]
        grants = [(ports, one) for ports, access in opened for one in access.allows]
        asked = [(meets, origin) for ports, one in grants for meets, origin in self._asked(one, ports, False)]
        found = _origins(origin for meets, origin in asked if meets)
        if found:
            return Ruling(answer=Answer.ALLOWED, basis=Basis.ALLOW, text="an Allow admits it", deciding=found)
        unsure = self._address(origin for meets, origin in asked if meets is None)
        if unsure or not any(access.governed for _, access in said):
            return unsure
        tried = {one.origin: Refused(origin=one.origin, why=self._why_not(one)) for _, one in grants}
        text = f"{otherwise}{self.handshake.hidden()}"
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
        """Whether an Allow of these requests opens the pods' port."""
        # Not where other pods have the number for another port: meshes name pods and numbers, but no pairs.
        return self.ahead or not operation.ports or self.pair.number in operation.targets

    def _means(self, callers: Iterable[Caller], deny: bool) -> bool | None:
        if self.ahead:
            callers = [left for caller in callers if (left := without_address(caller, deny=deny))]
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
