"""A whole policy document: apiVersion, kind, metadata and spec."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Any, Literal

from pydantic import Field, create_model

from gitmesh.model.base import DnsLabel, DnsName, Model
from gitmesh.model.kinds import API_VERSION, KINDS

MetaKey = Annotated[str, Field(min_length=1, max_length=317)]
MetaValue = Annotated[str, Field(max_length=65536)]


class Metadata(Model):
    """The name of a policy; labels and annotations are for people and tools, they have no effect."""

    name: DnsName = Field(description="Name of the policy; a policy is known as Kind/namespace/name.")
    namespace: DnsLabel = Field(
        "default",
        description=(
            "Part of the policy's name, and the default namespace of the exact names in it. It grants and"
            " restricts nothing."
        ),
    )
    labels: dict[MetaKey, MetaValue] | None = Field(
        None, description="Labels of the document; without effect."
    )
    annotations: dict[MetaKey, MetaValue] | None = Field(
        None, description="Annotations of the document; without effect."
    )


def _envelope(kind: str, spec: type[Model]) -> type[Model]:
    fields: dict[str, Any] = {
        "api_version": (
            Literal["gitmesh.io/v1alpha1"],
            Field(description=f"Version of the policy API: {API_VERSION}."),
        ),
        "kind": (Literal[kind], Field(description=f"Kind of the policy: {kind}.")),
        "metadata": (Metadata, Field(description="Name of the policy.")),
        "spec": (spec, Field(description=f"What the {kind} says.")),
    }
    # Generated, not written by hand, so that no kind can differ from the others in what every document has.
    return create_model(kind, __base__=Model, __doc__=spec.__doc__, **fields)


ENVELOPES: Mapping[str, type[Model]] = MappingProxyType(
    {kind: _envelope(kind, spec) for kind, spec in KINDS.items()}
)
"""Kind -> the model of its whole document."""
