"""What two revisions of the policies mean beside each other, for the same facts: values of a review."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import IntEnum, StrEnum

from msgspec import Struct

from gitmesh.diagnostics import Diagnostic
from gitmesh.model.facts import Mesh
from gitmesh.model.objects import ObjectKey
from gitmesh.model.plan import Action, FieldChange
from gitmesh.model.policies import Origin


class RightChange(StrEnum):
    """What becomes of a right to call. `Changed`: admitted by other pods, or for other reasons that callers
    notice; `Unknown`: the calculator cannot tell one of both sides, or both."""

    GAINED = "Gained"
    LOST = "Lost"
    CHANGED = "Changed"
    UNKNOWN = "Unknown"


class Weight(IntEnum):
    """What a reviewer must see first, where not all can be shown: strangers let in, a guard weakened or data
    sent elsewhere; what cannot be told; callers shut out; and the rest."""

    OPENS = 0
    UNTOLD = 1
    CLOSES = 2
    LESSER = 3


NAMELESS = "without identity"
_STRANGERS = ("anybody", NAMELESS)


def is_stranger(caller: str) -> bool:
    """Whether a caller of a change is nobody that somebody named."""
    # With a blank behind it: a namespace may be called `anybody`.
    return any(caller == who or caller.startswith(f"{who} ") for who in _STRANGERS)


class AccessChange(Struct, frozen=True, kw_only=True, order=True):
    """One kind of callers of one destination whose requests are decided otherwise.

    `service` is (namespace, name), `ports` its port numbers, `callers` who is meant, as people write it:
    ServiceAccounts (`namespace/name`, `namespace/name@cluster` of another cluster), workloads where not all
    of a ServiceAccount's are meant, `anybody else` with an identity, `without identity`, `anybody` for all of
    these, with `from 10.0.0.0/8` where the address matters. `requests` are the requests that are decided
    otherwise (`GET /admin/*`, `any method but GET`), empty for all of them. `before` and `after` are answers
    of the calculator; `why` are its reasons after the change, `origins` the lines of the policies that
    decide, before and after.
    """

    service: tuple[str, str]
    ports: tuple[int, ...]
    effect: RightChange
    callers: tuple[str, ...]
    requests: tuple[str, ...]
    before: str
    after: str
    why: str = ""
    origins: tuple[Origin, ...] = ()

    @property
    def opens(self) -> bool:
        """Whether requests may come through somewhere that did not: also where only some pods admit them."""
        # Also where the answer depends on the pod, before or after: some pods may admit now what they did
        # not.
        return self.effect is RightChange.GAINED or (
            self.effect is RightChange.CHANGED and self.before != "Allowed" and self.after != "Denied"
        )

    @property
    def closes(self) -> bool:
        """Whether requests may be refused somewhere that came through."""
        return self.effect is RightChange.LOST or (
            self.effect is RightChange.CHANGED and self.before != "Denied" and self.after != "Allowed"
        )

    @property
    def weight(self) -> Weight:
        """How much it matters."""
        if self.opens and any(map(is_stranger, self.callers)):
            return Weight.OPENS
        return (
            Weight.UNTOLD
            if self.effect is RightChange.UNKNOWN
            else Weight.CLOSES
            if self.closes
            else Weight.LESSER
        )


class RouteChange(Struct, frozen=True, kw_only=True, order=True):
    """One field of the routing of one destination that differs. `requests` are those that it is about ("" =
    all); a value is "" where the mesh's own behaviour stays. `elsewhere`: requests, or clients by a redirect,
    go to where they did not go. `unknown` says why it cannot be told what differs ("" = it can)."""

    service: tuple[str, str]
    requests: str
    field: str
    before: str
    after: str
    elsewhere: bool = False
    origins: tuple[Origin, ...] = ()
    unknown: str = ""

    @property
    def weight(self) -> Weight:
        """How much it matters."""
        return Weight.OPENS if self.elsewhere else Weight.UNTOLD if self.unknown else Weight.LESSER


class ProtectionChange(Struct, frozen=True, kw_only=True, order=True):
    """What guards a mesh or a destination, made weaker or stronger: mTLS, the default, an exemption, a Deny
    that came or went.
    """

    subject: str
    text: str
    weaker: bool
    origins: tuple[Origin, ...] = ()

    @property
    def weight(self) -> Weight:
        """How much it matters."""
        return Weight.OPENS if self.weaker else Weight.LESSER


class RiskLevel(StrEnum):
    """How much a reviewer should look."""

    NONE = "none"
    LOW = "low"
    HIGH = "high"


class Risk(Struct, frozen=True, kw_only=True):
    """The level, with the reasons and the lines that make it so."""

    level: RiskLevel
    reasons: tuple[tuple[str, tuple[Origin, ...]], ...] = ()


class ObjectDelta(Struct, frozen=True, kw_only=True):
    """One desired object that differs: it is created, updated or deleted. `before` and `after` are its
    canonical JSON ("" bytes = none); `fields` are compared by content, so that what only moved within a list
    is no change.
    """

    key: ObjectKey
    action: Action
    before: bytes = b""
    after: bytes = b""
    fields: tuple[FieldChange, ...] = ()
    policies: tuple[str, ...] = ()
    origins: tuple[Origin, ...] = ()


class Reach(Struct, frozen=True, kw_only=True):
    """What a change touches in a cluster."""

    services: tuple[tuple[str, str], ...] = ()
    workloads: tuple[tuple[str, str], ...] = ()


class ClusterComparison(Struct, frozen=True, kw_only=True):
    """One cluster: what changes in it. `unknown` says why that cannot be told ("" = it can): never to be read
    as no change.

    `enforce`: GitMesh writes it; elsewhere it only watches. `held` are destinations of which an error keeps
    the new state back, `waiting` policies that differ and are held: what they come to when the error is
    mended nobody can tell now.
    """

    name: str
    enforce: bool = True
    meshes: tuple[Mesh, ...] = ()
    unknown: str = ""
    objects: tuple[ObjectDelta, ...] = ()
    access: tuple[AccessChange, ...] = ()
    routes: tuple[RouteChange, ...] = ()
    protection: tuple[ProtectionChange, ...] = ()
    reach: Reach = Reach()
    held: tuple[str, ...] = ()
    waiting: tuple[Origin, ...] = ()

    @property
    def changes(self) -> bool:
        """Whether anything is different, or may be."""
        return bool(
            self.unknown or self.objects or self.access or self.routes or self.protection or self.waiting
        )


def calling(one: ClusterComparison, clusters: Iterable[ClusterComparison]) -> frozenset[str]:
    """The clusters whose callers may come to the pods of one: itself, and all but those of whose identities
    none of its meshes takes any."""
    takes = {domain for mesh in one.meshes for domain in mesh.takes}
    if not one.meshes or not all(mesh.takes for mesh in one.meshes):
        return frozenset(other.name for other in clusters)
    return frozenset(
        other.name
        for other in clusters
        if other.name == one.name
        or not other.meshes
        or not takes.isdisjoint(mesh.trust_domain for mesh in other.meshes)
    )


class Comparison(Struct, frozen=True, kw_only=True):
    """A whole review: from commit `base` to commit `head`.

    `base_problem` says why the base could not be read as policies, so that head is reviewed alone.
    `appeared`, `gone` and `standing` are the findings of head that base has not, of base that head has not,
    and of both. `facts` tells where the facts come from and how old they are.
    """

    base: str
    head: str
    clusters: Mapping[str, ClusterComparison] = {}
    appeared: tuple[Diagnostic, ...] = ()
    gone: tuple[Diagnostic, ...] = ()
    standing: tuple[Diagnostic, ...] = ()
    base_problem: str = ""
    facts: str = ""
    risk: Risk = Risk(level=RiskLevel.NONE)

    @property
    def told(self) -> tuple[Diagnostic, ...]:
        """The findings that people are shown."""
        # What is new. A head that is refused was compared in no cluster: then all of its findings are the
        # answer.
        return self.appeared if self.clusters else (*self.appeared, *self.standing)
