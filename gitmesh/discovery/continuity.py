"""Whether a reading of a cluster is believed, given what was known before it (design law 3).

A server answers with nothing, a control plane is away while it is installed anew, a setting may not be read:
none of these is an order. What is missing is bridged by what is remembered, so that other clusters go on
unchanged, and what depends on it is held; the hold ends by itself when the reading is whole again, or when
somebody approves its id.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

from msgspec.structs import replace

from gitmesh.diagnostics import hold_id
from gitmesh.model.facts import Caveat, Mesh, Remembered
from gitmesh.model.objects import is_trust_domain
from gitmesh.model.workloads import Workload

COUNTED = ("Namespace", "Pod", "Service", "ServiceAccount")
"""Kinds whose sudden emptiness is not believed at once."""
_NEEDED = frozenset({*COUNTED, "Deployment"})
"""Kinds without which nothing in a cluster can be decided."""
AWAY = "GM507"
"""Of a mesh that was there and is not found."""
_SHOWN = 64
_FIELDS = ("trust_domain", "root_namespace")
_SPOKEN = {"trust_domain": "trust domain", "root_namespace": "root namespace"}


def settled(
    cluster: str,
    found: Sequence[Mesh],
    elsewhere: Sequence[Mesh],
    remembered: Remembered,
    homes: Mapping[str, Sequence[str]],
) -> tuple[tuple[Mesh, ...], list[Caveat]]:
    """The meshes of a cluster, with remembered values where nothing was read, and those that are away.

    `elsewhere` are control planes in namespaces that the configuration does not allow: whoever may write
    there may make one. `homes` are those that it allows, by translator.
    """
    known = {(mesh.translator, mesh.name): mesh for mesh in remembered.meshes}
    meshes: list[Mesh] = []
    said: list[Caveat] = []
    for mesh in found:
        settled_mesh, more = _settled(
            cluster, mesh, known.pop((mesh.translator, mesh.name), None), remembered
        )
        meshes.append(settled_mesh)
        said += more
    for key in sorted(known):
        beside = [mesh for mesh in elsewhere if (mesh.translator, mesh.name) == key]
        caveat = _judged(_away(cluster, known[key], beside, homes), remembered)
        said.append(caveat)
        # Its objects and identities stay as long as nobody said that it is gone.
        meshes += [] if caveat.approved else [known[key]]
    said += [_elsewhere(cluster, mesh, homes) for mesh in elsewhere]
    return tuple(sorted(meshes, key=lambda mesh: (mesh.name, mesh.translator))), said


def _settled(
    cluster: str, mesh: Mesh, known: Mesh | None, remembered: Remembered
) -> tuple[Mesh, list[Caveat]]:
    clean = replace(mesh, assumed=(), unread="")
    if unread := mesh.unread or _unusable(mesh):
        bridged = _bridged(clean, known, (*_FIELDS, *(known.settings if known else ())))
        caveat = _judged(_unread(cluster, replace(mesh, unread=unread), known), remembered)
        # Nothing is known of it from before: its trust domain would be the mesh's default, which may be
        # another cluster's, so nobody is named by it.
        if known is None and not caveat.approved:
            return replace(clean, trust_domain=""), [caveat]
        return bridged, [caveat]
    if known is None:
        return clean, []
    if lost := [name for name in mesh.assumed if _is_lost(name, mesh, known)]:
        caveat = _judged(_lost(cluster, mesh, known, lost), remembered)
        return (clean if caveat.approved else _bridged(clean, known, lost)), [caveat]
    return clean, list(_changes(cluster, clean, known))


def _unusable(mesh: Mesh) -> str:
    """Why what a mesh says of itself names nobody; "" where it does. Some meshes have no trust domain."""
    if not mesh.trust_domain or is_trust_domain(mesh.trust_domain):
        return ""
    return f"its trust domain is said to be {mesh.trust_domain[:_SHOWN]!r}, which none can be called"


def _judged(caveat: Caveat, remembered: Remembered) -> Caveat:
    """With the word of whoever approved it."""
    return replace(caveat, approved=caveat.hold in remembered.approved)


def _value(mesh: Mesh, name: str) -> str:
    value: str = getattr(mesh, name) if name in _FIELDS else mesh.settings.get(name, "")
    return value


def _is_lost(name: str, mesh: Mesh, known: Mesh) -> bool:
    """Whether a default stands where something else is remembered."""
    # The default root namespace moves with the control plane.
    if name == "root_namespace" and known.root_namespace == known.namespace:
        return False
    return _value(known, name) not in ("", _value(mesh, name))


def _bridged(mesh: Mesh, known: Mesh | None, names: Iterable[str]) -> Mesh:
    """The mesh with remembered values in these places."""
    values = {name: value for name in names if known and (value := _value(known, name))}
    settings = {name: value for name, value in values.items() if name not in _FIELDS}
    return replace(
        mesh,
        trust_domain=values.get("trust_domain", mesh.trust_domain),
        # Ledgers remember no aliases; of whom proxies take beside their own, nothing is then claimed.
        takes=() if "trust_domain" in values else mesh.takes,
        root_namespace=values.get("root_namespace", mesh.root_namespace),
        settings={**mesh.settings, **settings},
    )


def _unread(cluster: str, mesh: Mesh, known: Mesh | None) -> Caveat:
    instead = (
        "what the ledgers remember of it counts meanwhile" if known else "nothing is known of it from before"
    )
    return Caveat(
        code="GM521",
        text=(
            f"the settings of mesh {mesh.name} of cluster {cluster} are not known: {mesh.unread}; {instead},"
            " and what depends on them is left as it is"
        ),
        mesh=mesh.name,
        # With the reason in the id: approving one failure approves no other.
        hold=hold_id(cluster, "unread", mesh.translator, mesh.name, mesh.unread),
        hint="Make its configuration readable again",
    )


def _lost(cluster: str, mesh: Mesh, known: Mesh, names: Sequence[str]) -> Caveat:
    shown = ", ".join(
        f"its {_spoken(name)} was {_value(known, name)} and nothing says so any more" for name in names
    )
    was = [(name, _value(known, name), _value(mesh, name)) for name in names]
    return Caveat(
        code="GM521",
        text=(
            f"the settings of mesh {mesh.name} of cluster {cluster} are not whole: {shown}; what depends on"
            " them is left as it is"
        ),
        mesh=mesh.name,
        # With both values in the id: an approval is for this change, not for any later one.
        hold=hold_id(cluster, "lost", mesh.translator, mesh.name, was),
        hint="Put the setting back, or, where its default is meant now,",
    )


def _spoken(name: str) -> str:
    return _SPOKEN.get(name, name)


def _changes(cluster: str, mesh: Mesh, known: Mesh) -> Iterator[Caveat]:
    """What the control plane says otherwise than before: it is followed, and told."""
    for name in (*_FIELDS, *sorted(known.settings)):
        before, after = _value(known, name), _value(mesh, name)
        # What was not known before has not changed.
        if before and after != before:
            text = (
                f"the {_spoken(name)} of mesh {mesh.name} of cluster {cluster} was {before} and is"
                f" {after or '(not set)'} now"
            )
            yield Caveat(code="GM522", text=text, mesh=mesh.name)


def _away(cluster: str, mesh: Mesh, elsewhere: Sequence[Mesh], homes: Mapping[str, Sequence[str]]) -> Caveat:
    text = (
        f"mesh {mesh.name} was in cluster {cluster} until now and is not found; its objects are left as"
        " they are"
    )
    hint = "It goes on when the control plane is back. Where it is gone for good,"
    if elsewhere:
        places = ", ".join(sorted({one.namespace for one in elsewhere}))
        text += f"; there is one of that name in namespace {places}, where the configuration allows none"
        hint = f"{_line(elsewhere[0], homes)}, or, where the mesh is gone for good,"
    return Caveat(
        code=AWAY,
        text=text,
        mesh=mesh.name,
        hold=hold_id(cluster, "away", mesh.translator, mesh.name),
        hint=hint,
    )


def _elsewhere(cluster: str, mesh: Mesh, homes: Mapping[str, Sequence[str]]) -> Caveat:
    text = (
        f"what looks like the control plane of mesh {mesh.name} is in namespace {mesh.namespace} of cluster"
        f" {cluster}, where the configuration allows none; it counts for nothing"
    )
    return Caveat(code="GM523", text=text, hint=f"{_line(mesh, homes)}.")


def _line(mesh: Mesh, homes: Mapping[str, Sequence[str]]) -> str:
    """The line of gitmesh.yaml that allows a control plane beside those that are allowed already."""
    namespaces = ", ".join(dict.fromkeys((*homes.get(mesh.translator, ()), mesh.namespace)))
    return (
        f"If it is the mesh's own, name its namespace at the cluster: controlPlanes: {{{mesh.translator}:"
        f" [{namespaces}]}}"
    )


def gone_for_good(
    caveats: Iterable[Caveat], workloads: Iterable[Workload], hooked: Collection[str]
) -> frozenset[str]:
    """The meshes that are away and that nothing in the cluster speaks of any more: no pod carries a proxy of
    theirs, and nothing injects one (`hooked`).
    """
    carried = {workload.mesh for workload in workloads if workload.pods}
    away = {caveat.mesh for caveat in caveats if caveat.holds and caveat.code == AWAY}
    # So that an upgrade of a mesh by revisions ends by itself, and nobody need approve that the old one is
    # gone.
    return frozenset(away - carried - set(hooked))


def unread_kinds(cluster: str, kinds: Collection[str]) -> Iterator[Caveat]:
    """Lists that were refused: what is not in them is unknown, not absent."""
    for kind in sorted(_NEEDED.intersection(kinds)):
        text = (
            f"the facts of cluster {cluster} are unknown: its list of {kind} objects was not read; everything"
            " there is left as it is"
        )
        hint = "Let the list be read again"
        yield Caveat(code="GM216", text=text, hold=hold_id(cluster, "unread", kind), hint=hint)


def emptied(
    cluster: str,
    counts: Mapping[str, int],
    unread: Collection[str],
    pods_in: Collection[str],
    remembered: Remembered,
) -> tuple[tuple[str, ...], list[Caveat]]:
    """The kinds that have objects (or whose emptiness is not believed), and what is said of those that had
    some until now.

    Of `unread` lists `unread_kinds` tells. `pods_in` are the namespaces with pods whose Services objects of
    ours are for. An empty list is believed when a later reading agrees and no such pod contradicts it, or
    when somebody approved it.
    """
    seen: list[str] = []
    said: list[Caveat] = []
    for kind in COUNTED:
        caveat = _judged(_emptied(cluster, kind, pods_in if kind == "Service" else ()), remembered)
        # An API server may answer with an empty list right after a restart; a second reading agrees only if
        # it was no such answer.
        again = caveat.hold in remembered.held and not (kind == "Service" and pods_in)
        doubtful = not counts.get(kind) and kind in remembered.kinds and not again
        said += [caveat] if doubtful and kind not in unread else []
        seen += [kind] if counts.get(kind) or (doubtful and not caveat.approved) else []
    return tuple(seen), said


def _emptied(cluster: str, kind: str, pods_in: Collection[str]) -> Caveat:
    still = f", and there are still pods in namespace {min(pods_in)}" if pods_in else ""
    text = (
        f"cluster {cluster} has not one {kind} any more, though it had some until now{still}; everything of"
        " ours there is left as it is"
    )
    hint = (
        "It goes on when they are back, or when a later reading agrees and nothing contradicts it. Where they"
        " are really gone,"
    )
    return Caveat(code="GM409", text=text, hold=hold_id(cluster, "emptied", kind), hint=hint)
