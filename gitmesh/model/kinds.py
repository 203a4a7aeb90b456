"""The closed set of policy kinds, and what of the policy API this version refuses, as it does not translate
it yet."""

from __future__ import annotations

from collections.abc import Mapping

from gitmesh.model.access import AccessPolicySpec
from gitmesh.model.base import Model
from gitmesh.model.traffic import TrafficPolicySpec
from gitmesh.model.virtualmesh import AdoptionSpec, VirtualMeshSpec

API_VERSION = "gitmesh.io/v1alpha1"

Spec = TrafficPolicySpec | AccessPolicySpec | VirtualMeshSpec | AdoptionSpec

KINDS: Mapping[str, type[Model]] = {
    "TrafficPolicy": TrafficPolicySpec,
    "AccessPolicy": AccessPolicySpec,
    "VirtualMesh": VirtualMeshSpec,
    "Adoption": AdoptionSpec,
}

FUTURE_KINDS = frozenset(
    [
        "VirtualDestination",
        "ExternalService",
        "VirtualGateway",
        "RouteTable",
        "TelemetryPolicy",
        "ExtensionPolicy",
        "ServiceDependency",
        "Role",
        "RoleBinding",
        "PolicyTest",
        "Rollout",
        "Suspension",
    ]
)
"""Kinds of the policy API that a later version translates."""

FUTURE_FIELDS: Mapping[str, frozenset[str]] = {
    "TrafficPolicySpec": frozenset({"idleTimeout", "jwt", "extAuth", "csrf", "rateLimit"}),
    "Match": frozenset({"scheme", "grpc", "tcp", "tls"}),
    "DestinationRef": frozenset({"cluster", "kind"}),
    "FaultAbort": frozenset({"grpcStatus"}),
    "Retries": frozenset({"budget"}),
    "IdentitySelector": frozenset({"requestPrincipals"}),
    "AccessRule": frozenset({"claims"}),
    "VirtualMeshSpec": frozenset({"trust", "restartWorkloads", "federation"}),
    "Mtls": frozenset({"ports", "workloads"}),
}
"""Model -> fields of the policy API that a later version translates."""

FUTURE_VALUES: Mapping[tuple[str, str], frozenset[str]] = {
    ("AccessPolicySpec", "enforcement"): frozenset({"Audit"}),
    ("DestinationSelector", "kind"): frozenset({"ExternalService", "VirtualDestination", "VirtualGateway"}),
}
"""(model, field) -> values of the policy API that a later version translates."""
