"""What live objects say, read so that nothing malformed stands in the way: folders, and schemas that leave a
spec out, hold anything.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gitmesh.model.objects import Body, decode, listed, mapping, text
from gitmesh.model.plan import Live
from gitmesh.yaml_documents import DocumentError, read_documents
from gitmesh_istio.kinds import DRY_RUN, TRUE


def spec_of(body: Body | None) -> Mapping[str, Any]:
    """The spec; empty where there is none."""
    return mapping(body.get("spec")) if body is not None else {}


def namespace_of(body: Body) -> str:
    """metadata.namespace."""
    return text(mapping(body.get("metadata")).get("namespace"))


def selector_of(spec: Mapping[str, Any]) -> Mapping[str, str]:
    """The labels of the pods that an object is about; empty = all."""
    return mapping(mapping(spec.get("selector")).get("matchLabels"))


def mode_of(mtls: object) -> str:
    """The mode in a field `mtls`, or in one port of `portLevelMtls`; "" where it says none."""
    return text(mapping(mtls).get("mode"))


def is_enforced_allow(live: Live) -> bool:
    """Whether an AuthorizationPolicy is an ALLOW that sidecars enforce: not one on trial, nor one for a
    waypoint.
    """
    # targetRefs take a policy away from pods altogether (authorization_policy.proto, `targetRefs`).
    return _allows(live) and not targets_of(spec_of(decode(live.body)))


def is_enforced_at_waypoint(live: Live) -> bool:
    """Whether an AuthorizationPolicy is an ALLOW that waypoints or gateways enforce."""
    return _allows(live) and bool(targets_of(spec_of(decode(live.body))))


def _allows(live: Live) -> bool:
    # Left out, `action` is ALLOW (authorization_policy.proto).
    return spec_of(decode(live.body)).get("action", "ALLOW") == "ALLOW" and not is_on_trial(live.annotations)


def is_on_trial(annotations: Mapping[str, object]) -> bool:
    """Whether an AuthorizationPolicy with these annotations is only tried out (pilot/pkg/security/authz,
    isDryRun)."""
    return text(annotations.get(DRY_RUN)) in TRUE


def targets_of(spec: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The `targetRefs` of a policy; where there are any, it is not about pods."""
    return [*listed(spec.get("targetRefs")), *([spec["targetRef"]] if mapping(spec.get("targetRef")) else [])]


def rules_of(body: Body | None) -> list[Mapping[str, Any]]:
    """The rules of an AuthorizationPolicy."""
    return listed(spec_of(body).get("rules"))


def settings_of(content: object) -> Mapping[str, Any] | None:
    """What the YAML in a ConfigMap sets, nothing where it is absent or empty; None where it cannot be read.

    Its aliases are counted before they are followed: 800 bytes can stand for gigabytes.
    """
    if not isinstance(content, str):
        return {} if content is None else None
    try:
        values = [document.value for document in read_documents(content)]
    except DocumentError:
        return None
    if not any(values):
        return {}
    return values[0] if len(values) == 1 and isinstance(values[0], dict) else None
