"""When deletions, or the absence of what they would delete, are not believed (design law 4). Called by diff
and observing; no I/O.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from gitmesh.diagnostics import Diagnostic, finding, hold_id
from gitmesh.model.plan import Action, Change, Observed
from gitmesh.model.virtualmesh import AdoptionSpec
from gitmesh.planning.relieving import is_copy
from gitmesh.planning.revisions import Terms

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from gitmesh.model.ledger import Ledger
    from gitmesh.model.policies import Policy
    from gitmesh.planning.options import Options
    from gitmesh.planning.revisions import Revisions

ALWAYS_ALLOWED = 10
"""Deletions that never need consent by number, whatever their share (design law 4)."""


class Consent(Struct, frozen=True, kw_only=True):
    """What the user agreed to: the guard on deletions (`prune` in the configuration), adoptions by object id.

    `max_percent`: share of a cluster's objects that may be deleted unasked; `protect`: patterns of ids that
    never are; `prune_approved`: the deletions of this revision are approved.
    """

    max_percent: int = 30
    protect: tuple[str, ...] = ()
    prune_approved: bool = False
    adoptions: Mapping[str, str] = {}


def guarded(
    deletions: list[Change], total: int, cluster: str, consent: Consent, approved: frozenset[str]
) -> tuple[list[Change], list[Change], tuple[Diagnostic, ...]]:
    """Hold deletions that are too many, or all of more than one (design law 4), unless they are approved: by
    the revision, or by the id of the hold, which stands for just these objects (`approved`). What takes our
    fields off others' objects counts as a deletion: its effect ends all the same."""
    doomed = [change for change in deletions if _needs_consent(change)]
    # A share alone would ask for consent in every small cluster, where one object is half of them.
    limit = max(ALWAYS_ALLOWED, total * consent.max_percent // 100)
    # All at once is what a wrong path or an empty source looks like, so the allowance by number does not
    # cover it; the last single object may go.
    everything = len(doomed) >= total > 1
    # The id names these very objects by uid: an approval is used up by them and lets nothing else go later.
    hold = hold_id(cluster, "prune", sorted((change.key, change.uid) for change in doomed))
    if consent.prune_approved or hold in approved or not doomed or not (len(doomed) > limit or everything):
        return deletions, [], ()
    share = "all" if everything else f"{len(doomed)} of {total}"
    done = "deleted" if all(change.action is Action.DELETE for change in doomed) else "deleted or released"
    text = (
        f"{share} objects in cluster {cluster} would be {done}; the guard allows {limit} and never all of"
        " them"
    )
    kept = [change for change in deletions if not _needs_consent(change)]
    return kept, doomed, (finding("GM402", text, cluster=cluster, hold=hold),)


def _needs_consent(change: Change) -> bool:
    # A copy goes when what it stayed for is there: no policy asks for it, so nobody could say that it may.
    return change.withdraws and not is_copy(change.key)


def vanished(observed: Observed, ledger: Ledger) -> bool:
    """Whether every object of ours is gone at once: more likely a wrong answer than a wish
    (docs/reliability.md K11).
    """
    known = [
        # A namespace that is being deleted takes its objects along, as somebody wished. An entry without
        # uid is a mere intent: its object may never have been made. Others' objects are theirs to delete.
        key
        for key, entry in ledger.entries.items()
        if entry.uid and entry.ownership.is_object and key.namespace not in observed.leaving
    ]
    return len(known) > 1 and not any(key in observed.live for key in known)


def consent_of(revisions: Revisions, options: Options) -> Consent:
    """What was agreed to in the configuration, on the command line and in the policies in force."""
    terms = Terms(consented=options.approve | frozenset(options.prune.approved))
    agreed = any(map(terms.consents, revisions.accepted.values()))
    prune = options.prune
    return Consent(
        max_percent=prune.max_percent,
        protect=prune.protect,
        prune_approved=agreed,
        adoptions=_adoptions(revisions.policies),
    )


def _adoptions(policies: Iterable[Policy]) -> dict[str, str]:
    """Object id -> the Adoption that names it."""
    return {
        text: policy.id
        for policy in policies
        if isinstance(policy.spec, AdoptionSpec)
        for text in policy.spec.objects
    }
