"""What objects of one cluster are to those of another: an import relies on its export there
(docs/design.md#order). Made by pipeline once a cycle; no I/O.

It is looked at only when a plan asks, and few do: what most objects offer is known in their own cluster
alone.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Literal, TypeAlias

from msgspec import Struct
from msgspec.structs import replace

from gitmesh.model.empty import NOBODY
from gitmesh.model.links import UNLINKED, Links, Ref
from gitmesh.model.objects import decode
from gitmesh.planning.electing import of_kinds
from gitmesh.planning.ownership import strangers_part

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from gitmesh.model.ledger import Stored
    from gitmesh.model.manifests import Build
    from gitmesh.model.objects import ObjectKey
    from gitmesh.model.plan import Live, Observed
    from gitmesh.ports import Translator


LinkQuestion: TypeAlias = Literal["offers", "uses"]


class OtherCluster(Struct, frozen=True, kw_only=True):
    """A cluster of the cycle as others see it. `built` None: nothing could be decided for it; `observed`
    None: it did not answer. `stored` is its ledger. `lately` are its objects that we wrote a moment ago, each
    as it was before (None: not there)."""

    built: Build | None = None
    observed: Observed | None = None
    stored: Stored | None = None
    lately: tuple[tuple[ObjectKey, Live | None], ...] = ()


class Elsewhere(Struct, frozen=True, kw_only=True, dict=True):
    """All clusters of a cycle, by name."""

    clusters: Mapping[str, OtherCluster] = {}
    translators: Mapping[str, Translator] = {}

    def offers(self, ref: Ref) -> bool:
        """Whether every proxy finds what a cluster offers to others: it is live there, not on its way out,
        and was not written just now. What a cluster that does not answer offers is not known, so it is not
        relied on anew."""
        return ref in self._offered.get(ref.cluster, frozenset())

    def uses(self, ref: Ref) -> bool:
        """Whether another cluster relies on it, is about to, or did until a moment ago, or may: one that does
        not answer."""
        others = [name for name in self.clusters if name != ref.cluster]
        # A silent cluster may still route here, so what it could rely on is not taken away.
        return any(self.clusters[name].observed is None for name in others) or any(
            ref in self._used[name] for name in others
        )

    def answer(self, question: LinkQuestion, ref: Ref) -> bool:
        """To one of the questions above."""
        return self.offers(ref) if question == "offers" else self.uses(ref)

    @cached_property
    def _offered(self) -> Mapping[str, frozenset[Ref]]:
        return {name: frozenset(self._lasting(name, one)) for name, one in self.clusters.items()}

    @cached_property
    def _used(self) -> Mapping[str, frozenset[Ref]]:
        return {
            name: frozenset(ref for links in self._all(one) for ref in links.uses if ref.cluster)
            for name, one in self.clusters.items()
        }

    def _lasting(self, name: str, one: OtherCluster) -> Iterator[Ref]:
        # What was written a moment ago has not reached every proxy, so a caller in another cluster may miss
        # it.
        fresh = {key for key, _ in one.lately}
        for key, live in one.observed.live.items() if one.observed else ():
            if not live.deleting and key not in fresh:
                provided = self._links(key, live.body, one).provides
                yield from (ref for ref in provided if ref.cluster == name)

    def _all(self, one: OtherCluster) -> Iterator[Links]:
        """Of what of ours is live in a cluster, was, and is wanted. What strangers use binds nobody."""
        for key, live in one.observed.live.items() if one.observed else ():
            theirs = _strangers_part(live, one)
            if theirs is not live:
                links = self._links(key, live.body, one)
                others = self._links(key, theirs.body, one).uses if theirs else NOBODY
                yield replace(links, uses=links.uses - others)
        # Proxies there may still work by what an object said before our last write.
        for key, earlier in one.lately:
            yield self._links(key, earlier.body, one) if earlier else UNLINKED
        for key, manifest in one.built.manifests.items() if one.built else ():
            yield self._links(key, manifest.body, one)

    def _links(self, key: ObjectKey, body: bytes, one: OtherCluster) -> Links:
        writer = self._writers.get(key[:2])
        return writer.links(decode(body), one.built.meshes if one.built else ()) if writer else UNLINKED

    @cached_property
    def _writers(self) -> Mapping[tuple[str, str], Translator]:
        return of_kinds(self.translators)


def _strangers_part(live: Live, one: OtherCluster) -> Live | None:
    if one.stored is None or one.observed is None:
        return None
    # Without its ledger the marks decide whose it is.
    rebuilt = one.stored.corrupt or not one.stored.version
    return strangers_part(live, one.observed.cluster, one.stored.ledger, rebuilt=rebuilt)


class Asking:
    """Elsewhere as one plan asks it: a plan that was made before is the same as long as the answers are."""

    def __init__(self, elsewhere: Elsewhere) -> None:
        self._elsewhere = elsewhere
        self.answers: dict[tuple[LinkQuestion, Ref], bool] = {}

    def offers(self, ref: Ref) -> bool:
        """As `Elsewhere` says."""
        return self._asked("offers", ref)

    def uses(self, ref: Ref) -> bool:
        """As `Elsewhere` says."""
        return self._asked("uses", ref)

    def _asked(self, question: LinkQuestion, ref: Ref) -> bool:
        # Of this cluster itself the plan knows more than the cycle does: it knows what it is about to
        # write.
        if not ref.cluster:
            return False
        answer = self.answers[question, ref] = self._elsewhere.answer(question, ref)
        return answer


ALONE = Elsewhere()
"""No other cluster says anything."""
