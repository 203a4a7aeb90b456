"""What one plan is made from: what is wanted, what is there, and what is known of before."""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from gitmesh.model.objects import decode
from gitmesh.planning.electing import Writers
from gitmesh.planning.ownership import is_ours, ours_in, strangers_part

if TYPE_CHECKING:
    from gitmesh.model.admission import Subject
    from gitmesh.model.ledger import Ledger, Stored
    from gitmesh.model.manifests import Build
    from gitmesh.model.objects import ObjectKey
    from gitmesh.model.ownership import Ownership
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
    def writers(self) -> Writers:
        """The translators of its objects."""
        return Writers(self.translators, self.built.meshes, self.ledger.entries, self.built.manifests)

    def decides(self, live: Live) -> Subject:
        """What a live object of a kind that translators write decides."""
        return self.writers[live.key].decides(decode(live.body))

    def ours(self, live: Live) -> bool:
        """Whether the object itself is ours."""
        return is_ours(live, self.cluster, self.ledger, rebuilt=self.rebuilt)

    def ours_in(self, live: Live) -> Ownership | None:
        """What of the object is ours; None where nothing is."""
        return ours_in(live, self.cluster, self.ledger, rebuilt=self.rebuilt)

    def strangers_part(self, live: Live) -> Live | None:
        """What of the object is somebody else's; None where nothing is."""
        return strangers_part(live, self.cluster, self.ledger, rebuilt=self.rebuilt)
