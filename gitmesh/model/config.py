"""`gitmesh.yaml`: where policies come from and which clusters they go to (docs/configuration.md)."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from gitmesh.model.base import DnsLabel, Model, Seq, SomeOf
from gitmesh.model.config_clusters import ClusterConfig
from gitmesh.model.config_forge import ForgeConfig
from gitmesh.model.config_sources import Branch, SourceConfig


class PruneConfig(Model):
    """The guard on deletions."""

    max_percent: Annotated[int, Field(ge=0, le=100)] = Field(
        30,
        description=(
            "Greatest share of a cluster's objects that one revision may delete unasked; up to 10 objects"
            " always may be."
        ),
    )
    protect: Seq[str] = Field(
        (), description="Object ids (cluster/group/Kind/namespace/name, with * and ?) that are never deleted."
    )
    approved: Seq[Annotated[str, Field(pattern=r"^[0-9a-f]{7,64}$")]] = Field(
        (), description="Commits whose deletions are approved."
    )


class Author(Model):
    """Author of status commits."""

    # Neither <, > nor a line end: the author stands in the header of a commit object, and could forge the
    # rest of it.
    name: Annotated[str, Field(pattern=r"^[^<>\x00-\x1f]{1,100}$")] = Field("gitmesh", description="Name.")
    email: Annotated[str, Field(pattern=r"^[^<>\s\x00-\x1f]{1,200}$")] = Field(
        "gitmesh@localhost", description="Address."
    )


class WriteBackConfig(Model):
    """Where status is written."""

    status_branch: Branch = Field(
        "gitmesh-status",
        description=(
            "Branch of the first source that is a repository, made by GitMesh; one that it did not make is"
            " left alone."
        ),
    )
    author: Author = Field(default_factory=Author, description="Author of the commits.")
    enabled: bool = Field(True, description="Whether status is written at all.")


class Config(Model):
    """The configuration of one instance."""

    api_version: Literal["gitmesh.io/v1alpha1"] = Field(description="Version of this format.")
    kind: Literal["Config"] = Field(description="Always Config.")
    instance: DnsLabel = Field(
        "default", description="Name of this instance; two instances never touch each other's objects."
    )
    sources: SomeOf[SourceConfig] = Field(description="Repositories or folders that hold policies.")
    clusters: SomeOf[ClusterConfig] = Field(description="Clusters to keep.")
    prune: PruneConfig = Field(default_factory=PruneConfig, description="The guard on deletions.")
    write_back: WriteBackConfig = Field(
        default_factory=WriteBackConfig, description="Where status is written."
    )
    forge: ForgeConfig | None = Field(
        None, description="The forge of the first source's repository, for reviews and statuses of commits."
    )
    listen: Annotated[str, Field(pattern=r"^[0-9A-Za-z.\[\]:-]*:[0-9]{1,5}$")] = Field(
        ":8080", description="Address of health and metrics."
    )
    ignore: Seq[Annotated[str, Field(pattern=r"^[a-z0-9.-]*/[A-Z][A-Za-z0-9]*$")]] = Field(
        (), description="group/Kind of other documents that may lie in the policy paths; core kinds as /Kind."
    )
    # Only a translator knows its own settings, so that it checks them itself.
    translators: dict[DnsLabel, dict[str, Any]] = Field(
        default_factory=dict, description="Settings of translators, by name."
    )

    @model_validator(mode="after")
    def _own_branch(self) -> Self:
        # Each status commit would be a new revision of the policies, which makes the next status commit.
        if self.write_back.enabled and self.write_back.status_branch in {
            s.branch for s in self.sources if s.url is not None
        }:
            raise ValueError("writeBack.statusBranch must not be the branch of a source")
        return self
