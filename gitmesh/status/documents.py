"""The documents of the status branch: what files and rows say of a policy, an object, a finding, a hold.

Values are read from anywhere in the world and written by `yaml_text` only; names become paths only where they
are Kubernetes names.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import orjson

from gitmesh.diagnostics import Diagnostic, Location, foremost, in_order
from gitmesh.model.kinds import API_VERSION, KINDS
from gitmesh.model.objects import ObjectKey
from gitmesh.model.ownership import WHOLE, Ownership, dotted
from gitmesh.model.plan import Action, Change, FieldChange
from gitmesh.model.report import ClusterResult, Report, SourceResult, State, Verdict
from gitmesh.status.states import PolicyStatus

_NAME = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?\Z")
_SHOWN_VALUE = 200
MOST_FINDINGS = 1000
"""Findings that are listed: errors first, and `more` counts the others."""
MOST_HOLDS = 200
_HOLD_TEXT = 500


def holds_document(report: Report) -> dict[str, Any]:
    """Id -> what is held for a doubt, where, and since when as far as a ledger remembers that."""
    said: dict[str, list[Diagnostic]] = {}
    for one in report.diagnostics:
        if one.hold:
            said.setdefault(one.hold, []).append(one)
    written = [
        result.ledger.holds
        for result in report.clusters.values()
        if result.ledger and not result.observe_only
    ]
    since = {
        hold: sorted(holds[hold].since for holds in written if hold in holds and holds[hold].since)
        for hold in said
    }
    return {
        hold: {
            "text": _cut(found[0].message, _HOLD_TEXT),
            "clusters": sorted({one.cluster for one in found if one.cluster}),
            **({"since": since[hold][0]} if since[hold] else {}),
        }
        for hold, found in sorted(said.items())[:MOST_HOLDS]
    }


def held_objects(result: ClusterResult) -> int:
    """The live objects that are held, as the plan counts them."""
    return result.plan.counts()[Action.HELD] if result.plan else 0


def policy_path(policy: str) -> str:
    """The file of a policy; "" for names that are no names (such a policy is in findings.yaml only)."""
    kind, _, rest = policy.partition("/")
    namespace, _, name = rest.partition("/")
    # Names of Kubernetes hold no slash, so that such a path never leads out of its folder.
    plain = kind in KINDS and _NAME.match(namespace) and _NAME.match(name)
    return f"policies/{kind}/{namespace}/{name}.yaml" if plain else ""


def policy_document(
    policy: str, at: Location | None, codes: Sequence[str], state: State, clusters: Mapping[str, PolicyStatus]
) -> dict[str, Any]:
    """One policy: where it stands, and how it stands in each cluster."""
    document: dict[str, object] = {
        "apiVersion": API_VERSION,
        "kind": "PolicyStatus",
        "policy": policy,
        "state": state.value,
        "clusters": {name: _standing(standing) for name, standing in clusters.items()},
    }
    if at is not None:
        document["source"] = _place(at)
    if codes:
        document["findings"] = list(codes)
    return document


def _standing(standing: PolicyStatus) -> dict[str, object]:
    document: dict[str, object] = {
        "state": standing.state.value,
        "objects": [str(key) for key in standing.objects],
    }
    if standing.verdict:
        document["verdict"] = standing.verdict.value
    if standing.commit:
        document["appliedCommit"] = standing.commit
    if standing.codes:
        document["findings"] = list(standing.codes)
    return document


def _place(at: Location) -> dict[str, object]:
    return {"source": at.source, "file": at.path, "line": at.line}


def object_row(
    key: ObjectKey,
    policies: tuple[str, ...],
    commit: str,
    places: tuple[Location | None, ...],
    verdict: Verdict | None,
    ownership: Ownership = WHOLE,
) -> dict[str, Any]:
    """One object of a cluster: the policies behind it, the commit that wrote it last, and what of it is ours
    where that is not all.
    """
    row: dict[str, object] = {
        "kind": key.kind,
        "name": key.name,
        "policies": list(policies),
        "source": [f"{at.path}:{at.line}" for at in places if at],
    }
    if ownership.only:
        row["onlyFields"] = list(map(dotted, ownership.only))
    if ownership.excepted:
        row["exceptFields"] = list(map(dotted, ownership.excepted))
    if verdict not in (None, Verdict.ACCEPTED):
        row["verdict"] = verdict
    return (
        row | ({"namespace": key.namespace} if key.namespace else {}) | ({"commit": commit} if commit else {})
    )


def drift_rows(change: Change) -> Iterator[dict[str, Any]]:
    """One row for each field that differs; one without field for an object that is missing or too much."""
    if not change.fields:
        yield {"object": str(change.key), "action": change.action.value}
    for changed in change.fields:
        yield {"object": str(change.key), "action": change.action.value, **_field(changed)}


def _field(changed: FieldChange) -> dict[str, object]:
    row = {
        "field": changed.path,
        "want": _value(changed.want),
        "live": _value(changed.live),
        "manager": changed.manager,
    }
    return {key: value for key, value in row.items() if value}


def _value(value: Any) -> str:
    if value is None:
        return ""
    text = orjson.dumps(value, option=orjson.OPT_SORT_KEYS, default=str).decode()
    return _cut(text, _SHOWN_VALUE)


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else text[:most] + "…"


def source_document(source: SourceResult, rewound: bool) -> dict[str, Any]:
    """One source: the tip that was seen, and what became of it."""
    state = State.SYNCED
    if source.unavailable:
        state = State.UNREACHABLE
    elif source.refused:
        state = State.HELD if rewound else State.INVALID
    return {"seen": {"commit": source.seen, "state": state.value}, "lastGood": source.accepted}


def findings_document(diagnostics: Iterable[Diagnostic]) -> dict[str, Any]:
    """The findings, errors first, and how many are not listed."""
    every = in_order(list(diagnostics))
    document = {
        "apiVersion": API_VERSION,
        "kind": "Findings",
        "findings": [_finding(d) for d in foremost(every, MOST_FINDINGS)],
    }
    return document if len(every) <= MOST_FINDINGS else {**document, "more": len(every) - MOST_FINDINGS}


def _finding(diagnostic: Diagnostic) -> dict[str, object]:
    """One finding, as far as the branch may tell it."""
    at = diagnostic.at
    # Without the excerpt: no line of a user's file leaves the machine (S12). Without the detail: it may
    # differ from try to try, and a fault that lasts is to be one commit.
    row: dict[str, object] = {
        "code": diagnostic.code,
        "name": diagnostic.name,
        "severity": diagnostic.severity.value,
        "policy": diagnostic.policy,
        "field": diagnostic.field,
        "cluster": diagnostic.cluster,
        "mesh": diagnostic.mesh,
        "text": diagnostic.message,
        "hint": diagnostic.hint,
        "hold": diagnostic.hold,
    }
    if at is not None:
        row |= {"source": at.source, "file": at.path, "line": at.line, "column": at.column}
    return {key: value for key, value in row.items() if value != ""}
