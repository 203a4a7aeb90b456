"""Our objects beside those that others wrote (api.md, AccessPolicy): ours never admit more than was admitted
before them, plus what the policies grant. The translators know what objects of their mesh do to each other;
here it is asked and told.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from gitmesh.diagnostics import Diagnostic, Severity, finding
from gitmesh.planning.adapted import Adapted
from gitmesh.planning.ownership import blame, is_ours
from gitmesh.planning.retaining import with_spec

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gitmesh.model.facts import ClusterFacts
    from gitmesh.model.ledger import Ledger
    from gitmesh.model.manifests import Build, Manifest
    from gitmesh.model.objects import ObjectKey
    from gitmesh.model.plan import Live, Observed
    from gitmesh.ports import Aside, Translator


def beside(
    built: Build,
    observed: Observed,
    facts: ClusterFacts,
    ledger: Ledger,
    translators: Mapping[str, Translator],
) -> Adapted:
    """Leave out of our objects what would open a door that somebody else's object keeps shut; the same build
    where nothing does.
    """
    others = [live for key, live in sorted(observed.live.items()) if _stays(key, live, built, ledger)]
    asides = {
        key: aside
        for one in translators.values()
        for key, aside in one.beside(built.manifests, others, built.meshes, facts).items()
    }
    # The very same build, as its identity is how later steps see that nothing moved.
    if not asides:
        return Adapted(built=built)
    manifests = {
        key: made
        for key, manifest in built.manifests.items()
        if (made := _made(manifest, asides.get(key))) is not None
    }
    said = tuple(_told(built, key, aside) for key, aside in sorted(asides.items(), key=lambda pair: pair[0]))
    return Adapted(built=replace(built, manifests=manifests), diagnostics=said)


def _stays(key: ObjectKey, live: Live, built: Build, ledger: Ledger) -> bool:
    """Whether an object goes on to be as it is, whatever we write: a stranger's, or one of ours that is
    held.
    """
    # We are about to write it, so what it says now is no fact to go by.
    if key in built.manifests and key not in built.held:
        return False
    # With an empty ledger the marks are all that tells what is ours: it may have been lost, and the cluster
    # kept.
    return key in built.held or not is_ours(live, built.cluster, ledger, rebuilt=not ledger.entries)


def _made(manifest: Manifest, aside: Aside | None) -> Manifest | None:
    if aside is None:
        return manifest
    return None if aside.spec is None else with_spec(manifest, aside.spec)


def _told(built: Build, key: ObjectKey, aside: Aside) -> Diagnostic:
    manifest = built.manifests[key]
    behind = blame(manifest.policies, manifest.fields.values())
    text = f"in {built.cluster}, {aside.by} decides about the same pods: {aside.text}"
    return finding("GM410", text, cluster=built.cluster, severity=Severity.INFO, **behind)
