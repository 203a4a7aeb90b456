"""What a source that cannot be read says of an object stays (design law 3).

While a source has nothing in force, or not all of it, what it says is unknown, which is not the same as
nothing: its part of each live object of ours is kept, in whole objects and inside of those that it shares.
What the sources in force withdraw or deny goes its way: one team's failure must not keep the Allow that
another team revoked.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from gitmesh.diagnostics import Diagnostic, Location, Severity, finding
from gitmesh.model.manifests import Manifest
from gitmesh.model.objects import canonical, decode, digest, mapping
from gitmesh.model.ownership import WHOLE
from gitmesh.planning.adapted import Adapted, named
from gitmesh.planning.electing import Writers
from gitmesh.planning.fields_of_others import with_kept
from gitmesh.planning.ownership import POLICIES, fields_in, is_marked, policies_of
from gitmesh.planning.parts import ITEM, is_changed, item_at, items_of, kept_parts, lost_of, spec_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from gitmesh.model.ledger import Entry, Ledger
    from gitmesh.model.manifests import Build
    from gitmesh.model.objects import ObjectKey
    from gitmesh.model.plan import Live, Observed
    from gitmesh.model.policies import Policy
    from gitmesh.planning.revisions import Revisions
    from gitmesh.ports import Translator


def retain(
    built: Build,
    observed: Observed,
    ledger: Ledger,
    revisions: Revisions,
    translators: Mapping[str, Translator],
) -> Adapted:
    """Keep what absent sources may have said; the same build where they said nothing of what is live."""
    lost = {
        key: names
        for key, live in sorted(observed.live.items())
        if key not in built.held
        # Marks are enough here: this only keeps, and the rest of the plan proves by uid whose it is.
        and (is_marked(live, built.cluster, ledger.instance) or fields_in(live, ledger))
        and (names := lost_of(live, ledger.entries.get(key), revisions))
    }
    if not lost:
        return Adapted(built=built)
    manifests, held = dict(built.manifests), set(built.held)
    by_key = Writers(translators, built.meshes, ledger.entries, built.manifests)
    for key, names in lost.items():
        live, entry = observed.live[key], ledger.entries.get(key)
        manifest = manifests.get(key)
        if entry and manifest and not (entry.ownership.is_object or manifest.ownership.is_object):
            manifests[key] = with_kept(manifest, live, entry)
            continue
        kept = _kept(
            by_key[key], live, entry, manifest, names, kept_parts(live, by_key[key], entry, revisions)
        )
        if kept is None:
            held.add(key)
        else:
            manifests[key] = kept
    made = replace(built, manifests=dict(sorted(manifests.items())), held=frozenset(held))
    changed = [
        key for key in lost if is_changed(observed.live[key], by_key[key], ledger.entries.get(key), revisions)
    ]
    return Adapted(built=made, diagnostics=tuple(_told(built.cluster, lost, changed, revisions)))


def _kept(
    translator: Translator,
    live: Live,
    entry: Entry | None,
    manifest: Manifest | None,
    lost: frozenset[str],
    parts: frozenset[str] | None,
) -> Manifest | None:
    """The object with what is to be kept in it; None where it stays as it is."""
    # Nobody in force wants it, and its rules cannot be told apart: the whole object is the absent source's.
    if (manifest is None and parts is None) or (entry is not None and not entry.ownership.is_object):
        return None
    body = decode(live.body)
    wanted = decode(manifest.body) if manifest else None
    spec = translator.retain(body, wanted, parts)
    if spec is None:
        return None
    policies = tuple(sorted({*(manifest.policies if manifest else ()), *lost}))
    return with_spec(manifest or as_manifest(live, translator, entry), spec, policies)


def with_spec(
    manifest: Manifest, spec: Mapping[str, Any], policies: tuple[str, ...] | None = None
) -> Manifest:
    """The manifest with another spec, and other policies behind it. Items of lists that moved lose their
    provenance.
    """
    return with_content(manifest, {**content_of(manifest), "spec": spec}, policies)


def content_of(manifest: Manifest) -> dict[str, Any]:
    """What of an object is neither identity nor metadata."""
    head = ("apiVersion", "kind", "metadata")
    return {name: value for name, value in decode(manifest.body).items() if name not in head}


def with_content(
    manifest: Manifest, content: Mapping[str, Any], policies: tuple[str, ...] | None = None
) -> Manifest:
    """The manifest with other content; as `with_spec`."""
    body = decode(manifest.body)
    spec = mapping(content.get("spec"))
    given = manifest.policies if policies is None else policies
    annotations = {**body["metadata"].get("annotations", {}), POLICIES: ",".join(given)}
    whole = {**body, "metadata": {**body["metadata"], "annotations": annotations}, **content}
    written = canonical(manifest.ownership.part(whole))
    # By content, as rules that are put in or taken out move all that stand behind them.
    places = {item_at(spec_of(body), path): path for path in manifest.fields if ITEM.match(path)}
    moved = {path: origin for path, origin in manifest.fields.items() if not ITEM.match(path)}
    owners: dict[str, tuple[str, ...]] = {}
    for path, item in items_of(spec):
        if before := places.get(canonical(item)):
            moved[path] = manifest.fields[before]
            owners |= {path: manifest.owners[before]} if before in manifest.owners else {}
    return replace(
        manifest,
        body=written,
        digest=digest(written),
        policies=given,
        fields=dict(sorted(moved.items())),
        owners=owners,
    )


def without_items(manifest: Manifest, policies: frozenset[str]) -> Manifest:
    """The manifest without the items of lists that come from these policies."""
    spec = decode(manifest.body)["spec"]
    gone = {
        path for path, origin in manifest.fields.items() if ITEM.match(path) and origin.policy in policies
    }
    if not gone:
        return manifest
    kept = {name: [] if isinstance(value, list) else value for name, value in spec.items()}
    for path, item in items_of(spec):
        if path not in gone and (place := ITEM.match(path)):
            kept[place[1]].append(item)
    return with_spec(manifest, {name: value for name, value in kept.items() if value != []})


def with_owners(
    manifest: Manifest, owners: Mapping[str, tuple[str, ...]], policies: Mapping[str, Policy]
) -> Manifest:
    """The manifest with these policies behind items of lists, too, by the items' digests."""
    fields, told = dict(manifest.fields), dict(manifest.owners)
    for path, item in items_of(decode(manifest.body)["spec"]):
        mine = [policies[name] for name in owners.get(digest(canonical(item)), ()) if name in policies]
        if mine:
            known = told.get(path, (fields[path].policy,) if path in fields else ())
            told[path] = tuple(sorted({*known, *(policy.id for policy in mine)}))
            fields.setdefault(path, mine[0].origin())
    return replace(manifest, fields=dict(sorted(fields.items())), owners=told)


def as_manifest(live: Live, translator: Translator, entry: Entry | None) -> Manifest:
    """A live object of ours as what is wanted: what is ours of it, as its entry knows."""
    ownership = entry.ownership if entry else WHOLE
    body = ownership.part(decode(live.body))
    content = live.body if ownership == WHOLE else canonical(body)
    return Manifest(
        key=live.key,
        version=body["apiVersion"].rpartition("/")[2],
        decides=translator.decides(body),
        body=content,
        digest=digest(content),
        policies=policies_of(live),
        forbidden=translator.opt_out_keys,
        ownership=ownership,
    )


def _told(
    cluster: str,
    lost: Mapping[ObjectKey, frozenset[str]],
    changed: Sequence[ObjectKey],
    revisions: Revisions,
) -> Iterator[Diagnostic]:
    for source in sorted(revisions.absent):
        at = Location(source=source, path="", line=0, column=0)
        text = (
            f"not all that source {source} says is in force, so what no source in force says any more is kept"
            f" in cluster {cluster}: {named(lost)}"
        )
        yield finding("GM609", text, at=at, cluster=cluster)
        if changed:
            text = (
                f"in cluster {cluster} somebody changed what a source says that is not in force; it is put"
                f" right when source {source} is read: {named(changed)}"
            )
            yield finding("GM609", text, at=at, cluster=cluster, severity=Severity.ERROR)
