"""The history of an instance, as a table and as a document."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from gitmesh.model.overview import ClusterStanding, Heal, SourceCommit, StatusCommit
from gitmesh.model.report import State
from gitmesh.render.document import Document, document
from gitmesh.render.escape import printable
from gitmesh.render.overview import cluster_document, iso
from gitmesh.render.paint import Paint, plain
from gitmesh.render.summary import revision
from gitmesh.render.text import table
from gitmesh.render.values import listed, shortened

_HEALS = 10
_MOST_CLUSTERS = 6
_SUBJECT = 72


def history_text(moments: Sequence[StatusCommit], limit: int, *, paint: Paint = plain) -> str:
    """One row for each of the `limit` newest commits, with what was healed below it. One that is older, where
    there is one, is what the oldest row is compared with."""
    shown = moments[:limit]
    # One more than is shown, where there is one: each row tells what moved since the one before it.
    before: list[StatusCommit | None] = [*moments[1:], None]
    rows = [_row(one, older) for one, older in zip(shown, before, strict=False)]
    lines = table(("TIME", "REVISION", "PULL", "CLUSTERS", "AUTHOR", "SUBJECT"), rows)
    if not lines:
        return "no such commit on the status branch\n"
    body = [f"{line}\n{''.join(_healed(one, paint))}" for line, one in zip(lines[1:], shown, strict=True)]
    return "".join([f"{paint('faint', lines[0])}\n", *body])


def history_document(moments: Sequence[StatusCommit], limit: int, policy: str = "") -> Document:
    """The same for programs."""
    return document(
        "History",
        **({"policy": policy} if policy else {}),
        commits=[_document(one) for one in moments[:limit]],
    )


def _row(one: StatusCommit, older: StatusCommit | None) -> tuple[str, ...]:
    sources = one.sources
    pulls = " ".join(f"#{number}" for source in sources for number in source.pulls)
    told = "; ".join(source.subject for source in sources if source.subject) or one.subject
    authors = ", ".join(dict.fromkeys(source.author for source in sources if source.author))
    revisions = ", ".join(map(_revision, sources))
    standing = _policy(one) if one.policy else _clusters(one, older)
    return (
        iso(one.seconds)[:16].replace("T", " ") or "-",
        revisions or "-",
        pulls or "-",
        standing,
        authors or "-",
        shortened(told, _SUBJECT),
    )


def _revision(one: SourceCommit) -> str:
    return f"{revision(one.source or 'source', one.commit)}{' (refused)' if one.refused else ''}"


def _policy(one: StatusCommit) -> str:
    states = {name: state for name, state in one.policy.items() if name} or {
        "": one.policy.get("", State.SYNCED)
    }
    return listed((f"{name} {state.value}".strip() for name, state in states.items()), _MOST_CLUSTERS)


def _clusters(one: StatusCommit, older: StatusCommit | None) -> str:
    """`east 14 objects (+2), west 14 objects Held`."""
    known = {cluster.name: cluster for cluster in older.clusters} if older else {}
    return (
        listed((_cluster(cluster, known.get(cluster.name)) for cluster in one.clusters), _MOST_CLUSTERS)
        or "-"
    )


def _cluster(now: ClusterStanding, before: ClusterStanding | None) -> str:
    state = "" if now.state is State.SYNCED else f" {now.state.value}"
    if now.objects is None:
        return f"{now.name}{state or ' ' + now.state.value}"
    moved = now.objects - before.objects if before and before.objects is not None else 0
    return f"{now.name} {now.objects}{f' ({moved:+d})' if moved else ''}{state}"


def _healed(one: StatusCommit, paint: Paint) -> Iterator[str]:
    for heal in one.heals[:_HEALS]:
        by = f" by {heal.manager}" if heal.manager else ""
        yield printable(f"  healed in {heal.cluster}{by}: {heal.object}: {shortened(heal.fields)}") + "\n"
    if len(one.heals) > _HEALS:
        yield f"  {paint('faint', f'and {len(one.heals) - _HEALS} more healed (-o yaml shows all)')}\n"


def _document(one: StatusCommit) -> Document:
    return {
        "statusCommit": one.commit,
        "time": iso(one.seconds),
        "subject": one.subject,
        "sources": [_source(source) for source in one.sources],
        "clusters": [cluster_document(cluster) for cluster in one.clusters],
        "heals": [_heal(heal) for heal in one.heals],
        **(
            {"policy": {name or "all": state.value for name, state in one.policy.items()}}
            if one.policy
            else {}
        ),
    }


def _source(one: SourceCommit) -> Document:
    told = {"author": one.author, "subject": one.subject, "pulls": list(one.pulls)}
    known = {key: value for key, value in told.items() if value}
    return {"name": one.source, "commit": one.commit, "refused": one.refused, **known}


def _heal(one: Heal) -> Document:
    return {"cluster": one.cluster, "object": one.object, "fields": one.fields, "manager": one.manager}
