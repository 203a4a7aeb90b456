"""What one plan is made from: what is wanted, what is there, and what is known of before."""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from gitmesh.planning.ownership import is_ours, writers

if TYPE_CHECKING:
    from gitmesh.model.ledger import Ledger, Stored
    from gitmesh.model.manifests import Build
    from gitmesh.model.objects import ObjectKey
    from gitmesh.model.plan import Live, Observed
    from gitmesh.planning.elsewhere import Asking
    from gitmesh.planning.guard import Consent
    from gitmesh.ports import Translator


class Scenery(Struct, frozen=True, kw_only=True, dict=True):
    """One cluster when a plan is made. `before` are our objects as they were until a moment ago, newest first
    (None: not there): proxies that have not learnt of our last writes work by that. `elsewhere` is what other
    clusters are to this one. `memo` keeps what did not move between plans.
    """

    built: Build
    observed: Observed
    stored: Stored
    translators: Mapping[str, Translator]
    consent: Consent
    before: Mapping[ObjectKey, Sequence[Live | None]]
    memo: MutableMapping[Any, Any]
    elsewhere: Asking

    @property
    def cluster(self) -> str:
        """Its name."""
        return self.built.cluster

    @property
    def ledger(self) -> Ledger:
        """What we applied there."""
        return self.stored.ledger

    @property
    def rebuilt(self) -> bool:
        """Whether the ledger is lost, so that marks alone tell what is ours."""
        return self.stored.corrupt or not self.stored.version

    @cached_property
    def writers(self) -> Mapping[tuple[str, str], Translator]:
        """(group, kind) -> the translator that writes it."""
        return writers(self.translators, self.built.meshes)

    def ours(self, live: Live) -> bool:
        """Whether the object is ours."""
        return is_ours(live, self.cluster, self.ledger, rebuilt=self.rebuilt)
