"""What ledgers remember from one cycle to the next: meshes, kinds that had objects, and what is held since
when. Pure.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gitmesh.model.facts import Mesh, Remembered
from gitmesh.model.ledger import Hold, Ledger

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from gitmesh.diagnostics import Diagnostic
    from gitmesh.model.facts import ClusterFacts
    from gitmesh.ports import Translator


def remembered(cluster: str, own: Ledger | None, others: Iterable[Ledger]) -> Remembered:
    """What is known of a cluster from before. Its own ledger says it; of its meshes alone, in default of
    that, the ledgers of others, so that callers of a cluster that keeps none, or does not answer, keep their
    names.
    """
    if own is None:
        return Remembered(meshes=known_elsewhere(cluster, others))
    return Remembered(
        meshes=own.meshes.get(cluster) or known_elsewhere(cluster, others),
        kinds=own.kinds,
        namespaces=frozenset(key.namespace for key in own.entries),
        held=frozenset(own.holds),
        approved=own.approved,
    )


def known_elsewhere(cluster: str, ledgers: Iterable[Ledger]) -> tuple[Mesh, ...]:
    """The meshes of a cluster as the ledgers remember them that know any; none where they differ: who may
    write one of them does not say who the callers of another cluster are."""
    known = [found for ledger in ledgers if (found := ledger.meshes.get(cluster, ()))]
    # A majority would not do: identities of callers are made of this, and one writer of one ledger is
    # enough to lie.
    return known[0] if known and all(found == known[0] for found in known) else ()


def known_meshes(facts: ClusterFacts, translators: Mapping[str, Translator]) -> tuple[Mesh, ...]:
    """What a ledger remembers of a cluster's meshes: the values on which names depend."""
    return tuple(_known(mesh, translators.get(mesh.translator)) for mesh in facts.meshes)


def _known(mesh: Mesh, translator: Translator | None) -> Mesh:
    naming = translator.naming if translator else frozenset[str]()
    return Mesh(
        translator=mesh.translator,
        name=mesh.name,
        revision=mesh.revision,
        namespace=mesh.namespace,
        root_namespace=mesh.root_namespace,
        trust_domain=mesh.trust_domain,
        # Only what names are made of: other settings change often, and each change would write every
        # ledger.
        settings={name: value for name, value in mesh.settings.items() if name in naming},
    )


def holds_of(
    findings: Iterable[Diagnostic], approved: Mapping[str, str], known: Mapping[str, Hold], now: float
) -> dict[str, Hold]:
    """The holds that these findings stand for, and those that are `approved` (id -> text) and still needed. A
    hold keeps the time of its beginning, and the consent that was given here, for as long as it lasts: one of
    a source waits for the consent of every cluster. One that came to its end is forgotten, and its approval
    with it.
    """
    texts = {**approved, **{finding.hold: finding.message for finding in findings if finding.hold}}
    return {
        name: Hold(
            # The age is the hold's, not the cycle's: people and metrics ask how long something has waited.
            text=text,
            since=known[name].since if name in known else int(now),
            approved=name in approved or (name in known and known[name].approved),
        )
        for name, text in sorted(texts.items())
    }
