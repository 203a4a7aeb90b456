"""Our objects beside those that others wrote (docs/concepts.md#who-may-call): ours never admit more than was
admitted before them, plus what the policies grant. The translators know what objects of their mesh do to each
other; here it is asked and told.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from gitmesh.diagnostics import Diagnostic, Severity, finding
from gitmesh.planning.adapted import Adapted
from gitmesh.planning.ownership import blame, strangers_part
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
    lives = (_staying(key, live, built, ledger) for key, live in sorted(observed.live.items()))
    others = [live for live in lives if live is not None]
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


def _staying(key: ObjectKey, live: Live, built: Build, ledger: Ledger) -> Live | None:
    """What of an object goes on to be as it is, whatever we write: all of a stranger's and of one that is
    held, and of one with fields of ours the rest."""
    if key in built.held:
        return live
    wanted = built.manifests.get(key)
    # We are about to write it, so what it says now is no fact to go by.
    if wanted is not None and wanted.ownership.is_object:
        return None
    # With an empty ledger the marks are all that tells what is ours: it may have been lost, and the cluster
    # kept.
    return strangers_part(live, built.cluster, ledger, rebuilt=not ledger.entries)


def _made(manifest: Manifest, aside: Aside | None) -> Manifest | None:
    if aside is None:
        return manifest
    if aside.spec is None or not manifest.ownership.is_object:  # of fields there is all or nothing
        return None
    return with_spec(manifest, aside.spec)


def _told(built: Build, key: ObjectKey, aside: Aside) -> Diagnostic:
    manifest = built.manifests[key]
    behind = blame(manifest.policies, manifest.fields.values())
    text = f"in {built.cluster}, {aside.by} decides about the same pods: {aside.text}"
    mesh = built.mesh_of(manifest)
    return finding("GM410", text, cluster=built.cluster, mesh=mesh, severity=Severity.INFO, **behind)
