"""VirtualMesh: meshes managed as one; Adoption: consent to take objects over (docs/kinds/virtualmesh.md and
docs/kinds/adoption.md)."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from gitmesh.model.base import DnsLabel, Labels, Model, OnlyTrue, PortRef, SomeOf, exactly_one
from gitmesh.model.selectors import IdentitySelector, WorkloadSelector


class MeshSelector(Model):
    """Meshes by the labels or names of their clusters; AND inside."""

    labels: Labels | None = Field(None, description="Labels of the cluster in gitmesh.yaml, all of them.")
    clusters: SomeOf[DnsLabel] | None = Field(None, description="Names of clusters.")
    all: OnlyTrue | None = Field(None, description="Every mesh of every managed cluster.")

    @model_validator(mode="after")
    def _not_empty(self) -> Self:
        if not (self.labels or self.clusters or self.all) or (self.all and (self.labels or self.clusters)):
            raise ValueError("give labels or clusters, or {all: true}")
        return self


class MeshRef(Model):
    """One mesh by cluster and name, or several by a selector."""

    cluster: DnsLabel | None = Field(None, description="Cluster of the mesh.")
    name: DnsLabel | None = Field(
        None,
        description="Name of the mesh: `istio`, or `istio-<revision>`; default every mesh of the cluster.",
    )
    selector: MeshSelector | None = Field(None, description="Selects meshes by their clusters.")

    @model_validator(mode="after")
    def _one(self) -> Self:
        exactly_one(self, "cluster", "selector")
        if self.selector is not None and self.name is not None:
            raise ValueError("name goes with cluster only")
        return self


class Mtls(Model):
    """Mutual TLS between workloads."""

    mode: Literal["Strict", "Permissive", "Disabled"] = Field(
        description="Strict refuses plaintext, Permissive takes both, Disabled uses none."
    )


class AccessExempt(Model):
    """What a default of Deny does not cover; destinations that an Allow selects are not touched by it."""

    ports: SomeOf[PortRef] | None = Field(None, description="Service ports, number or name.")
    sources: SomeOf[IdentitySelector] | None = Field(None, description="Callers.")

    @model_validator(mode="after")
    def _not_empty(self) -> Self:
        if self.ports is None and self.sources is None:
            raise ValueError("give ports or sources")
        return self


class VirtualMeshSpec(Model):
    """Meshes managed as one."""

    meshes: SomeOf[MeshRef] = Field(description="The meshes; each mesh is in at most one VirtualMesh.")
    # Never Deny by itself: a VirtualMesh that is made for mTLS alone must not close every pod.
    access_default: Literal["Deny", "Allow", "MeshDefault"] = Field(
        "MeshDefault", description="Decision for destinations that no Allow selects."
    )
    access_exempt: AccessExempt | None = Field(None, description="Exceptions from a default of Deny.")
    mtls: Mtls | None = Field(None, description="Mutual TLS; omitted: left as it is.")
    gateways: SomeOf[WorkloadSelector] | None = Field(
        None,
        description=(
            "The gateways, which a default of Deny does not cover; omitted: those in the namespaces of"
            " control planes, and those that a programmed Gateway of the Gateway API owns. Name their"
            " namespaces: a label is whatever a pod says of itself."
        ),
    )

    @model_validator(mode="after")
    def _gateways_are_some(self) -> Self:
        if any(item.all for item in self.gateways or ()):
            raise ValueError("gateways: {all: true} would exempt every workload; name their namespaces")
        return self

    @model_validator(mode="after")
    def _exempt_needs_deny(self) -> Self:
        if self.access_exempt is not None and self.access_default != "Deny":
            raise ValueError("accessExempt goes with accessDefault: Deny")
        return self


ObjectIdText = Annotated[
    str,
    Field(
        pattern=(
            r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?/[a-z0-9.-]*/[A-Z][A-Za-z0-9]*/[a-z0-9-]*"
            r"/[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"
        ),
        max_length=600,
    ),
]


class AdoptionSpec(Model):
    """Consent to take over objects that somebody else made."""

    objects: SomeOf[ObjectIdText] = Field(description="Object ids: cluster/group/Kind/namespace/name.")
    reason: str | None = Field(None, max_length=1024, description="Why; shown in the plan.")
