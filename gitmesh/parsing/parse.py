"""The files of a revision -> policies and findings. Pure; the order of files, documents and keys never
matters.
"""

from __future__ import annotations

import hashlib
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Mapping, MutableMapping, Sequence
from typing import Any, TypeAlias

import orjson
from msgspec import Struct
from msgspec.structs import replace
from pydantic import ValidationError

from gitmesh.diagnostics import Diagnostic, Location, finding, in_order, suggest
from gitmesh.model.envelope import ENVELOPES
from gitmesh.model.kinds import API_VERSION, FUTURE_KINDS
from gitmesh.model.policies import Policy, Positions
from gitmesh.model.snapshot import File, Snapshot
from gitmesh.parsing.faults import findings_of
from gitmesh.parsing.nodes import Document
from gitmesh.parsing.reading import read
from gitmesh.parsing.scalars import QUOTE
from gitmesh.parsing.weighing import MAX_FILE_WEIGHT, MAX_REVISION_WEIGHT, Load, load
from gitmesh.parsing.wording import echo

MAX_FILES = 20_000
MAX_REVISION_BYTES = 64 * 1024 * 1024
SUFFIXES = (".yaml", ".yml")
"""Files with other names are not policies."""
GROUP = API_VERSION.partition("/")[0]
_GLOO_GROUP = "mesh.gloo.solo.io"
_ENOUGH_STALE = 1000
_AWAY = "move it out of the policy path"


class FileResult(Struct, frozen=True):
    """What one file holds, and what its expressions cost to compile."""

    policies: tuple[Policy, ...]
    diagnostics: tuple[Diagnostic, ...]
    load: Load = Load()


CacheKey: TypeAlias = tuple[str, str, str, frozenset[str]]
Cache: TypeAlias = MutableMapping[CacheKey, FileResult]
"""(source, path, blob, ignore) -> result: a file that did not change is not parsed again."""


def parse(
    snapshot: Snapshot, *, ignore: frozenset[str] = frozenset(), cache: Cache | None = None
) -> tuple[tuple[Policy, ...], tuple[Diagnostic, ...]]:
    """All policies of a revision, sorted by name, and all findings, sorted by place.

    `ignore` lists group/Kind of other tools' documents that may lie among the policies; core kinds as /Kind.
    Never raises for any content.
    """
    problems = [*snapshot.diagnostics, *_clashes(snapshot), *_too_large(snapshot)]
    files = () if _too_large(snapshot) else [f for f in snapshot.files if f.path.lower().endswith(SUFFIXES)]
    results = _files(files, snapshot.source, ignore, {} if cache is None else cache)
    policies = tuple(sorted((p for r in results for p in r.policies), key=_policy_order))
    problems.extend(d for r in results for d in r.diagnostics)
    return policies, in_order(problems)


def duplicates(policies: Iterable[Policy]) -> tuple[Diagnostic, ...]:
    """A finding at every policy after the first of its name, naming both places; over all sources
    (docs/concepts.md#what-an-error-holds).
    """
    named: dict[str, list[Policy]] = defaultdict(list)
    for policy in policies:
        named[policy.id].append(policy)
    groups = (sorted(group, key=_policy_order) for group in named.values() if len(group) > 1)
    return in_order([_duplicate(first, other) for first, *others in groups for other in others])


def _duplicate(first: Policy, other: Policy) -> Diagnostic:
    place = f"{first.location}" + (
        f" of source {first.location.source}" if first.location.source != other.location.source else ""
    )
    return finding(
        "GM206",
        f"{other.id} is defined a second time; the first is at {place}",
        at=other.location,
        policy=other.id,
    )


def _policy_order(policy: Policy) -> tuple[str, str, str, Location]:
    return policy.kind, policy.namespace, policy.name, policy.location


def _files(files: Iterable[File], source: str, ignore: frozenset[str], cache: Cache) -> list[FileResult]:
    """The result of each file, or of none after the one with which the revision's expressions cost too
    much.
    """
    used: dict[CacheKey, FileResult] = {}
    costs, refused = Load(), []
    for file in files:
        key = (source, file.path, file.blob, ignore)
        result = cache.get(key) or _file(file, source, ignore, MAX_REVISION_WEIGHT - costs.total)
        costs = costs.plus(result.load)
        # What stands behind the file that goes over the bound is not looked at: it would cost as much.
        if costs.total > MAX_REVISION_WEIGHT:
            refused = [FileResult((), (costs.refusal("revision", MAX_REVISION_WEIGHT),))]
            break
        used[key] = result
    cache.update(used)
    _evict(cache, used, source)
    return [*used.values(), *refused]


def _evict(cache: Cache, used: Mapping[CacheKey, FileResult], source: str) -> None:
    """Forget old files of this source once they outnumber the living; the last good revision's usually
    stay.
    """
    stale = [key for key in cache if key[0] == source and key not in used]
    if len(stale) > max(len(used), _ENOUGH_STALE):
        for key in stale:
            del cache[key]


def _file(file: File, source: str, ignore: frozenset[str], affordable: int) -> FileResult:
    """What the file holds; nothing but its load where that is more than the file, or the revision, may
    cost.
    """
    parsed = read(file.content, file.path, source)
    costs = load(file.content, parsed.documents)
    if costs.total > MAX_FILE_WEIGHT:
        return FileResult((), (*parsed.findings, parsed.excerpt(costs.refusal("file", MAX_FILE_WEIGHT))))
    if costs.total > affordable:
        return FileResult((), (), costs)
    policies: list[Policy] = []
    problems = list(parsed.findings)
    for document in parsed.documents:
        policy, found = _document(document, ignore)
        policies.extend([policy] if policy else [])
        problems.extend(parsed.excerpt(d) for d in found)
    return FileResult(tuple(policies), tuple(problems), costs)


def _document(document: Document, ignore: frozenset[str]) -> tuple[Policy | None, tuple[Diagnostic, ...]]:
    data, positions = document.data, document.positions
    if not isinstance(data, dict):
        return None, (*document.findings, _not_a_document(data, positions))
    # Of our own group never: an ignored policy would be gone from the desired state without a word.
    if _group_kind(data) in ignore and _group(data) != GROUP:
        return None, ()
    problem = _wrong_kind(data, positions)
    if problem:
        return None, _without_echoes(document.findings if _group(data) == GROUP else (), (problem,))
    return _policy(document, data)


def _policy(document: Document, data: Mapping[str, Any]) -> tuple[Policy | None, tuple[Diagnostic, ...]]:
    model, positions = ENVELOPES[data["kind"]], document.positions
    wrong_version = _wrong_version(data, positions)
    try:
        envelope: Any = model.model_validate(data)
    except ValidationError as error:
        found = findings_of(error, model, positions, policy=_policy_id(data))
        return None, _without_echoes((*document.findings, *wrong_version), found)
    if document.findings:
        return None, document.findings
    metadata = envelope.metadata
    digest = _digest(data["kind"], metadata.namespace, metadata.name, data["spec"])
    policy = Policy(
        kind=data["kind"],
        namespace=metadata.namespace,
        name=metadata.name,
        spec=envelope.spec,
        positions=positions,
        digest=digest,
    )
    return policy, ()


def _digest(kind: str, namespace: str, name: str, spec: object) -> str:
    canonical = orjson.dumps([kind, namespace, name, spec], option=orjson.OPT_SORT_KEYS)
    return hashlib.sha256(canonical).hexdigest()[:16]


def _without_echoes(causes: Iterable[Diagnostic], others: Sequence[Diagnostic]) -> tuple[Diagnostic, ...]:
    """A value that could not be read also fails the schema: one finding per place is enough."""
    echoes = {echo.at: echo for echo in others}
    found = tuple(_hinted(cause, echoes.pop(cause.at, None)) for cause in causes)
    places = {cause.at for cause in found}
    return (*found, *(d for d in others if d.at not in places))


def _hinted(cause: Diagnostic, echo: Diagnostic | None) -> Diagnostic:
    """To quote a value helps where text is meant; elsewhere what the schema wants is the hint."""
    if echo is None or not cause.hint.startswith(QUOTE) or "must be text" in echo.message:
        return cause
    return replace(cause, hint=echo.message.removesuffix(", not this value"))


def _policy_id(data: Mapping[str, object]) -> str:
    """Kind/namespace/name as far as the document has one."""
    metadata = data.get("metadata")
    name = metadata.get("name") if isinstance(metadata, dict) else None
    namespace = metadata.get("namespace", "default") if isinstance(metadata, dict) else None
    usable = all(isinstance(part, str) and len(part) <= 253 for part in (name, namespace))
    return f"{data['kind']}/{namespace}/{name}" if usable else ""


def _group(data: Mapping[str, object]) -> str:
    """The API group; empty for core kinds, ours where apiVersion is absent."""
    version = data.get("apiVersion", API_VERSION)
    return version.rpartition("/")[0] if isinstance(version, str) else GROUP


def _group_kind(data: Mapping[str, object]) -> str:
    return f"{_group(data)}/{data.get('kind')}"


def _not_a_document(data: object, positions: Positions) -> Diagnostic:
    message = f"a policy is a mapping with apiVersion, kind, metadata and spec, not {echo(data)}"
    return finding("GM203", message, at=positions.at(()))


def _wrong_kind(data: Mapping[str, object], positions: Positions) -> Diagnostic | None:
    """Why the document is no policy of this version, if it is not."""
    kind, group = data.get("kind"), _group(data)
    at = positions.at(("kind",))
    if "kind" not in data:
        return finding("GM204", "kind is required here", at=at, field="kind")
    if not isinstance(kind, str):
        return finding("GM203", f"kind must be text, not {echo(kind)}", at=at, field="kind")
    if group.endswith(_GLOO_GROUP):
        at = positions.at(("apiVersion",))
        return finding(
            "GM205", "Gloo Mesh documents are not supported by this version", at=at, field="apiVersion"
        )
    if kind in ENVELOPES and (group in ("", GROUP) or suggest(group, [GROUP])):
        return None
    if group == GROUP and kind in FUTURE_KINDS:
        return finding("GM205", f"{kind} is not supported by this version", at=at, field="kind")
    return _unknown_kind(kind, group, data, at)


def _unknown_kind(kind: str, group: str, data: Mapping[str, object], at: Location) -> Diagnostic:
    message, hint = f"{echo(kind)} is not a kind of policy", suggest(kind, [*ENVELOPES, *FUTURE_KINDS])
    if kind == "Config" and group == GROUP:
        message, hint = "the configuration of GitMesh cannot lie among the policies", _AWAY
    elif kind.endswith("List") and (kind == "List" or "items" in data):
        message, hint = "lists of documents are not supported", "separate the documents by lines of `---`"
    elif group != GROUP:
        listed = _group_kind(data)
        message = f"{echo(listed.removeprefix('/'))} is not a kind of policy"
        # Whoever can read the repository has read it.
        away = "take it out of Git and renew what it holds" if listed == "/Secret" else _AWAY
        hint = f"{away}, or list {listed[:80]} under `ignore` in gitmesh.yaml"
    return finding("GM201", message, at=at, field="kind", hint=hint)


def _wrong_version(data: Mapping[str, object], positions: Positions) -> tuple[Diagnostic, ...]:
    version = data.get("apiVersion", API_VERSION)
    if version == API_VERSION or not isinstance(version, str):
        return ()
    at = positions.at(("apiVersion",))
    return (
        finding(
            "GM201",
            f"{echo(version)} is not a version of the policy API",
            at=at,
            field="apiVersion",
            hint=f"write {API_VERSION}",
        ),
    )


def _clashes(snapshot: Snapshot) -> list[Diagnostic]:
    """Paths that are one file where names ignore case or Unicode form."""
    same: dict[str, list[str]] = defaultdict(list)
    for file in snapshot.files:
        same[unicodedata.normalize("NFC", file.path).casefold()].append(file.path)
    groups = (sorted(paths) for paths in same.values() if len(paths) > 1)
    return [
        finding(
            "GM109",
            f"differs from {first} only by case or Unicode form",
            at=Location(source=snapshot.source, path=path),
        )
        for first, *others in groups
        for path in others
    ]


def _too_large(snapshot: Snapshot) -> list[Diagnostic]:
    found = []
    if len(snapshot.files) > MAX_FILES:
        found.append(f"more than {MAX_FILES:,} files in one revision")
    if sum(len(file.content) for file in snapshot.files) > MAX_REVISION_BYTES:
        found.append(f"more than {MAX_REVISION_BYTES // 2**20} MiB in one revision")
    return [finding("GM103", message) for message in found]
