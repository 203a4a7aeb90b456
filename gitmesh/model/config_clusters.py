"""`clusters` of `gitmesh.yaml`: where policies go to, and how a cluster is reached."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from gitmesh.model.base import (
    DnsLabel,
    LabelKey,
    LabelValue,
    Millis,
    Model,
    OnlyTrue,
    RelativePath,
    Seq,
    exactly_one,
)


class Kubeconfig(Model):
    """A kubeconfig file and the context to use of it."""

    path: RelativePath = Field(description="Path of the file, from the folder of gitmesh.yaml.")
    context: Annotated[str, Field(min_length=1, max_length=256)] | None = Field(
        None, description="Context; default the file's current one."
    )
    # Kubeconfigs are copied from elsewhere, and such a program runs with all rights of the agent.
    allow_exec: bool = Field(
        False, description="Allow credentials that are made by running a program that the file names."
    )


def _settle(millis: int) -> int:
    # At most 15 seconds, since a cycle waits for it between two writes of which one relies on the other.
    if not 1_000 <= millis <= 15_000:
        raise ValueError(
            "settle is from 1s to 15s: no proxy learns of a write at once, and a cycle has to wait for it"
        )
    return millis


class ClusterConfig(Model):
    """One cluster: exactly one of directory, kubeconfig and inCluster."""

    name: DnsLabel = Field(description="Name of the cluster in policies, plans and status.")
    labels: dict[LabelKey, LabelValue] = Field(default_factory=dict, description="Labels for selectors.")
    directory: RelativePath | None = Field(
        None, description="A tree of YAML files that is read and written as if it were live."
    )
    kubeconfig: Kubeconfig | None = Field(
        None,
        description=(
            "A cluster reached by a kubeconfig, which is read again when it changed. Of a cluster in it count"
            " `server`, the CA and `tls-server-name`; of a user a token, a certificate, or `exec` with"
            " `allowExec`. Anything else that is set, such as `proxy-url` or `insecure-skip-tls-verify`, is"
            " refused. Connections are direct: KUBECONFIG, HTTPS_PROXY and NO_PROXY are not read."
        ),
    )
    in_cluster: OnlyTrue | None = Field(
        None,
        description=(
            "The cluster that the agent runs in: its address is that of KUBERNETES_SERVICE_HOST and"
            " KUBERNETES_SERVICE_PORT, its token and CA are those of the pod's ServiceAccount, read again as"
            " they are rotated."
        ),
    )
    mode: Literal["Enforce", "Observe"] = Field("Enforce", description="Observe never writes.")
    # Not validated: the default is in milliseconds already, and the validator asks for text with a unit.
    timeout: Millis = Field(
        30_000,
        description="Deadline of one request; a list of many pages has four times as long.",
        validate_default=False,
    )
    settle: Annotated[Millis, AfterValidator(_settle)] = Field(
        5_000,
        description=(
            "Time in which every proxy learns of a write, 1s to 15s: what relies on the write (a route on its"
            " subset) waits so long."
        ),
        validate_default=False,
    )

    control_planes: dict[DnsLabel, Seq[DnsLabel]] = Field(
        default_factory=dict,
        description=(
            "Namespaces where the control planes of a mesh count, by translator (`istio: [istio-system,"
            " istio-prod]`); a mesh that is not named keeps its usual one. `gatewayapi: [NAMESPACE]` is for a"
            " mesh that reads routes of the Gateway API and has no translator of its own, nor a usual place."
            " What looks like a control plane elsewhere is told and counts for nothing."
        ),
    )

    @property
    def enforce(self) -> bool:
        """Whether it is written to."""
        return self.mode == "Enforce"

    @property
    def settle_seconds(self) -> float:
        """`settle` as clusters count it."""
        return self.settle / 1000

    @model_validator(mode="after")
    def _one(self) -> Self:
        exactly_one(self, "directory", "kubeconfig", "in_cluster")
        return self
