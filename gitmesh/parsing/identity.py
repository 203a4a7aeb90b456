"""What a document says that it is: its group, kind and version, and why these are none of a policy."""

from __future__ import annotations

from collections.abc import Mapping

from gitmesh.diagnostics import Diagnostic, Location, finding, suggest
from gitmesh.model.envelope import ENVELOPES
from gitmesh.model.kinds import API_VERSION, FUTURE_KINDS
from gitmesh.model.policies import Positions
from gitmesh.parsing.wording import echo

GROUP = API_VERSION.partition("/")[0]
_GLOO_GROUP = "mesh.gloo.solo.io"


def policy_id(data: Mapping[str, object]) -> str:
    """Kind/namespace/name as far as the document has one."""
    metadata = data.get("metadata")
    name = metadata.get("name") if isinstance(metadata, dict) else None
    namespace = metadata.get("namespace", "default") if isinstance(metadata, dict) else None
    # It names the policy in findings, before anything has said that these are names.
    usable = all(isinstance(part, str) and len(part) <= 253 for part in (name, namespace))
    return f"{data['kind']}/{namespace}/{name}" if usable else ""


def group_of(data: Mapping[str, object]) -> str:
    """The API group; empty for core kinds, ours where apiVersion is absent."""
    version = data.get("apiVersion", API_VERSION)
    return version.rpartition("/")[0] if isinstance(version, str) else GROUP


def group_kind(data: Mapping[str, object]) -> str:
    """As `ignore` of gitmesh.yaml names other tools' documents."""
    return f"{group_of(data)}/{data.get('kind')}"


def not_a_document(data: object, positions: Positions) -> Diagnostic:
    """The finding on what is no mapping."""
    message = f"a policy is a mapping with apiVersion, kind, metadata and spec, not {echo(data)}"
    return finding("GM203", message, at=positions.at(()))


def wrong_kind(data: Mapping[str, object], positions: Positions) -> Diagnostic | None:
    """Why the document is no policy of this version, if it is not."""
    kind, group = data.get("kind"), group_of(data)
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
    # A misspelt group is a policy with a mistake in it, not another tool's document.
    if kind in ENVELOPES and (group in ("", GROUP) or suggest(group, [GROUP])):
        return None
    if group == GROUP and kind in FUTURE_KINDS:
        return finding("GM205", f"{kind} is not supported by this version", at=at, field="kind")
    return _unknown_kind(kind, group, data, at)


def _unknown_kind(kind: str, group: str, data: Mapping[str, object], at: Location) -> Diagnostic:
    message, hint = f"{echo(kind)} is not a kind of policy", suggest(kind, [*ENVELOPES, *FUTURE_KINDS])
    if kind == "Config" and group == GROUP:
        message, hint = (
            "the configuration of GitMesh cannot lie among the policies",
            "move it out of the policy path",
        )
    elif kind.endswith("List") and (kind == "List" or "items" in data):
        message, hint = "lists of documents are not supported", "separate the documents by lines of `---`"
    elif group != GROUP:
        message = f"{echo(group_kind(data))} is not a kind of policy"
        hint = (
            f"move it out of the policy path, or list {group_kind(data)[:80]} under `ignore` in gitmesh.yaml"
        )
    return finding("GM201", message, at=at, field="kind", hint=hint)


def wrong_version(data: Mapping[str, object], positions: Positions) -> tuple[Diagnostic, ...]:
    """The finding on a version that is none of the policy API; what is no text the schema tells."""
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
