"""Pods that others guard from now on: what guards them stays until these are there (design law 2). Called by
adapting; no I/O.

A write takes an object from its pods to others at once, and no one object can select both. So where an object
of ours leaves pods that others are to guard, and do not yet, a copy of it is made first, which stays at the
pods of before. It is an object that nobody wants as soon as it is not needed, and goes as others do: when
what is wanted at its pods is there.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from functools import cached_property
from typing import TYPE_CHECKING

from msgspec.structs import replace

from gitmesh.model.admission import Effect
from gitmesh.model.manifests import Relief
from gitmesh.model.objects import ObjectKey, canonical, decode, digest
from gitmesh.planning.adapted import Adapted
from gitmesh.planning.at_pods import AboutPods, Labels, Leave, by_namespace, joining, leaves
from gitmesh.planning.electing import Writers
from gitmesh.planning.kept_away import closes_all
from gitmesh.planning.ownership import ID, is_ours, policies_of
from gitmesh.planning.retaining import as_manifest, content_of, with_content
from gitmesh.planning.rows import is_kept

if TYPE_CHECKING:
    from gitmesh.model.facts import ClusterFacts
    from gitmesh.model.ledger import Ledger
    from gitmesh.model.manifests import Build, Manifest
    from gitmesh.model.plan import Observed
    from gitmesh.ports import Translator

# No Service has a dot in its name, so no object for one has such a name.
_COPY = re.compile(r"left-[0-9a-f]{8}\.")
_LONGEST_NAME = 253


def is_copy(key: ObjectKey) -> bool:
    """Whether an object of ours is one that stayed in another one's place. Nobody could approve that it goes,
    or protect it: no policy asks for it."""
    return _COPY.match(key.name) is not None


def relieve(
    built: Build,
    observed: Observed,
    facts: ClusterFacts,
    ledger: Ledger,
    translators: Mapping[str, Translator],
) -> Adapted:
    """The build with what must stay at pods until others guard them; the same build where nothing must."""
    work, pods = _Relieving(built, observed, ledger, translators), facts.workloads_by_namespace
    found = {
        key: leave
        for place in work.places()
        for key, leave in leaves(work.about(place), pods.get(place, ())).items()
    }
    joined = frozenset(
        key for place in work.taken() for key in joining(work.about(place), pods.get(place, ()))
    )
    if not (found or joined):
        return Adapted(built=built)
    copies = work.copies(found)
    relieved = {
        key: Relief(by=leave.arrivals | leave.grants, copy=copies[key].key if key in copies else None)
        for key, leave in sorted(found.items())
    }
    manifests = {**built.manifests, **{one.key: one for one in copies.values()}}
    all_wanted = dict(sorted(manifests.items()))
    return Adapted(built=replace(built, manifests=all_wanted, relieved=relieved, joining=joined))


class _Relieving:
    """One cluster's objects that decide who may call pods with certain labels."""

    def __init__(
        self, built: Build, observed: Observed, ledger: Ledger, translators: Mapping[str, Translator]
    ) -> None:
        self._built, self._live, self._ledger = built, observed.live, ledger
        self._writers = Writers(translators, built.meshes, ledger.entries, built.manifests)
        # What stays whatever is wanted leaves no pods.
        self._fixed = built.held | built.stays.keys()

    def places(self) -> frozenset[str]:
        """The namespaces in which something leaves pods, perhaps."""
        return frozenset(key.namespace for key in self._changing if self._labels(key) != self._wanted(key))

    def taken(self) -> frozenset[str]:
        """The namespaces in which somebody else's object is in the place of one of ours, perhaps."""
        return frozenset(
            key.namespace
            for key in self._changing
            if self._labels(key) is None and self._wanted(key) is not None
        )

    @cached_property
    def _changing(self) -> frozenset[ObjectKey]:
        """What decides who may call, perhaps, and is not as it is wanted, or not wanted."""
        keys = (self._built.manifests.keys() | self._ledger.entries.keys()) - self._fixed
        return frozenset(filter(self._changes, keys & self._live.keys()))

    def _changes(self, key: ObjectKey) -> bool:
        manifest = self._built.manifests.get(key)
        # Equal bytes first, as that is what most objects are: only what differs is read.
        return manifest is None or (manifest.decides == "access" and manifest.body != self._live[key].body)

    def about(self, place: str) -> AboutPods:
        """The objects of a namespace."""
        live = {key: labels for key in self._here.get(place, ()) if (labels := self._labels(key))}
        later = self._later.get(place, frozenset()) - self._fixed
        wanted = {key: labels for key in later if (labels := self._wanted(key))}
        stays = {key: labels for key, labels in live.items() if key in self._fixed}
        return AboutPods(
            live=live,
            wanted={**wanted, **stays},
            refusals=frozenset(filter(self._refuses, live)),
            ready=frozenset((*filter(self._is_ready, wanted), *stays)),
            closed=self._closed,
            closing=self._closing,
        )

    def copies(self, found: Mapping[ObjectKey, Leave]) -> Mapping[ObjectKey, Manifest]:
        """By object that goes to other pods what stays at those of before."""
        moving = [key for key in sorted(found) if key in self._built.manifests]
        grants = {key: self._copy(key) for key in moving if not self._refuses(key)}
        refusals = {
            key: self._copy(key)
            for key in moving
            if key not in grants and self._is_early(key, found[key], grants)
        }
        return {**grants, **refusals}

    def _is_early(self, key: ObjectKey, leave: Leave, copied: Collection[ObjectKey]) -> bool:
        """Whether a refusal leaves pods before the grants there have changed. Not by way of a state between
        that is for both pods; and grants that go by way of one have left before it.
        """
        if self._has_between(key):
            return False
        return bool(leave.arrivals) or any(
            one in copied or not self._has_between(one) for one in leave.grants
        )

    def _has_between(self, key: ObjectKey) -> bool:
        wanted = self._built.manifests.get(key)
        # What is being deleted is not written any more.
        if wanted is None or self._live[key].deleting:
            return False
        between = self._writers[key].between
        return between(decode(self._live[key].body), decode(wanted.body), frozenset()) is not None

    def _copy(self, key: ObjectKey) -> Manifest:
        """The live object under a name of its content, so that each that leaves has a copy of its own."""
        manifest, live, entry = self._built.manifests[key], self._live[key], self._ledger.entries.get(key)
        content = content_of(as_manifest(live, self._writers[key], entry))
        name = f"left-{digest(canonical(content))[:8]}.{key.name}"[:_LONGEST_NAME]
        mine, body = key._replace(name=name), decode(manifest.body)
        annotations = {**body["metadata"].get("annotations", {}), ID: mine.id(self._built.cluster)}
        head = {**body, "metadata": {**body["metadata"], "name": name, "annotations": annotations}}
        policies = tuple(sorted({*manifest.policies, *policies_of(live, entry)}))
        return with_content(replace(manifest, key=mine, body=canonical(head)), content, policies)

    # --- what is there, and what is to be

    @cached_property
    def _here(self) -> Mapping[str, frozenset[ObjectKey]]:
        return by_namespace(self._live)

    @cached_property
    def _later(self) -> Mapping[str, frozenset[ObjectKey]]:
        return by_namespace(self._built.manifests)

    def _labels(self, key: ObjectKey) -> Labels | None:
        """The labels of the pods that a live object of ours is about."""
        live, writer = self._live[key], self._writers.get(key)
        if writer is None or not is_ours(
            live, self._built.cluster, self._ledger, rebuilt=not self._ledger.entries
        ):
            return None
        body = decode(live.body)
        # One that is only tried out guards nothing.
        return writer.guarded(body) if writer.effect(None, body) is not Effect.NEITHER else None

    def _wanted(self, key: ObjectKey) -> Labels | None:
        manifest = self._built.manifests.get(key)
        if manifest is None or manifest.decides != "access":
            return None
        return self._writers[key].guarded(decode(manifest.body))

    def _refuses(self, key: ObjectKey) -> bool:
        return self._writers[key].effect(None, decode(self._live[key].body)) is Effect.NARROWS

    def _is_ready(self, key: ObjectKey) -> bool:
        live = self._live.get(key)
        if live is None or live.deleting or self._labels(key) is None:
            return False
        return is_kept(self._built.manifests[key], live)

    @cached_property
    def _closing(self) -> frozenset[ObjectKey]:
        """What closes whole meshes and is not there yet."""
        built = self._built
        wanted = ((key, built.manifests[key]) for root in built.roots for key in self._later.get(root, ()))
        return frozenset(
            key
            for key, one in wanted
            if self._writers[key].effect(None, decode(one.body)) is Effect.CLOSES and not self._closes(key)
        )

    def _closes(self, key: ObjectKey) -> bool:
        live = self._live.get(key)
        return live is not None and self._writers[key].effect(None, decode(live.body)) is Effect.CLOSES

    @cached_property
    def _closed(self) -> bool:
        return closes_all(self._built, self._live, self._writers, self._changing)
