"""Findings on clusters: reading them, writing to them, and the control planes there."""

from __future__ import annotations

from gitmesh.codes.code import Code

CLUSTERS: tuple[Code, ...] = (
    Code(
        code="GM501",
        name="Unreachable",
        severity="error",
        summary="The cluster did not answer.",
        cause="Refused, timed out, or the connection broke.",
        fix="Check the address, the network and the API server.",
    ),
    Code(
        code="GM502",
        name="Unauthorized",
        severity="error",
        summary="There is no way into the cluster with what is configured.",
        cause=(
            "It refused the credentials, or the kubeconfig, a token, a CA or a certificate is missing or"
            " unfit: the finding says which."
        ),
        fix="Mend what the finding names, or renew the credentials; files are read again in each cycle.",
    ),
    Code(
        code="GM503",
        name="Forbidden",
        severity="error",
        summary="A right is missing.",
        cause="The cluster's authorization (RBAC) denied the request.",
        fix="Grant the verb on the resource; deploy/ has the least role.",
    ),
    Code(
        code="GM504",
        name="CrdMissing",
        severity="error",
        summary="The cluster does not serve a kind that is needed.",
        cause="The mesh's CRDs are not installed, or a version is no longer served.",
        fix="Install the CRDs of the mesh.",
    ),
    Code(
        code="GM505",
        name="Rejected",
        severity="error",
        summary="The API server or an admission webhook refused the object.",
        cause=(
            "Schema, validation rule, webhook or quota; a webhook that could not be called; a deletion that"
            " waits for finalizers; or somebody else was quicker."
        ),
        fix="Read the cause, and the server's own words beside it.",
    ),
    Code(
        code="GM506",
        name="ClusterChanged",
        severity="error",
        summary="The configuration points to another cluster than before.",
        cause=(
            "The identity of the cluster differs from the ledger's, or a directory belongs to another"
            " instance or cluster."
        ),
        fix="Point it back, or start with a fresh ledger.",
    ),
    Code(
        code="GM507",
        name="NoMesh",
        severity="warning",
        summary="No mesh was found in the cluster, or one that was there until now is not found.",
        cause=(
            "No control plane runs there, it is in a namespace that the configuration does not allow, or it"
            " is away for a moment."
        ),
        fix=(
            "Install the mesh, or name the namespace of its control plane under `controlPlanes` of the"
            " cluster. A mesh that is gone for good is forgotten when no pod carries it and nothing injects"
            " it, or when you approve it."
        ),
    ),
    Code(
        code="GM508",
        name="BadObject",
        severity="warning",
        summary="An object in the cluster could not be read.",
        cause="A file that is not a Kubernetes object, or an answer that could not be understood.",
        fix="Mend or remove it.",
    ),
    Code(
        code="GM509",
        name="ObserveOnly",
        severity="info",
        summary="The cluster is in mode Observe: nothing was written.",
        cause="`mode: Observe` in the configuration.",
        fix="Set `mode: Enforce`.",
    ),
    Code(
        code="GM510",
        name="AdmissionWarning",
        severity="warning",
        summary="The API server or an admission webhook accepted the object with a warning.",
        cause="The mesh's own validation has something to say.",
        fix="Read the warning.",
    ),
    Code(
        code="GM511",
        name="RejectedByMesh",
        severity="error",
        summary="The mesh itself reports an error in an object that the API server took.",
        cause="Its analysis, or one of its data planes, says so in the object's status.",
        fix=(
            "Follow the mesh's own code and link; often a name that the policy uses is missing in the"
            " cluster."
        ),
    ),
    Code(
        code="GM512",
        name="WarnedByMesh",
        severity="warning",
        summary="The mesh itself has doubts about an object that the API server took.",
        cause="Its analysis, or one of its data planes, says so in the object's status.",
        fix="Follow the mesh's own code and link.",
    ),
    Code(
        code="GM513",
        name="Defect",
        severity="error",
        summary="The work on a cluster ended in a defect of GitMesh; the other clusters go on.",
        cause=(
            "The cluster answered something that nobody would expect, or GitMesh is wrong. The next tick"
            " tries again."
        ),
        fix="Report it, with the text of the finding and the version of the API server.",
    ),
    Code(
        code="GM514",
        name="Leaving",
        severity="warning",
        summary="An object or namespace that policies need is being deleted, and not gone yet.",
        cause=(
            "Somebody asked for its deletion, which waits for finalizers. Nothing is written there until it"
            " is gone; then it is made again."
        ),
        fix="Let what set the finalizer finish its work, or remove the finalizer.",
        hint="Let what set the finalizer finish its work, or remove the finalizer.",
    ),
    Code(
        code="GM521",
        name="UnknownSettings",
        severity="error",
        summary="Settings of a mesh on which names depend could not be read, or are not given any more.",
        cause=(
            "Its configuration may not be read, is no YAML, or lost a value that was there. Defaults in their"
            " place would rewrite every rule that names a caller."
        ),
        fix=(
            "Make the configuration readable, or put the value back. Where the default is meant now,"
            " approve it."
        ),
    ),
    Code(
        code="GM522",
        name="SettingsChanged",
        severity="warning",
        summary="A mesh changed its trust domain, its root namespace or its cluster domain.",
        cause="Its control plane says so. Objects follow: new ones stand before old ones go.",
        fix="Nothing, if that is meant.",
    ),
    Code(
        code="GM523",
        name="ControlPlaneElsewhere",
        severity="warning",
        summary="What looks like a control plane is in a namespace where the configuration allows none.",
        cause="Whoever may create a Deployment can make one that looks so; it counts for nothing.",
        fix="If it is the mesh's own, name its namespace under `controlPlanes` of the cluster.",
    ),
)
