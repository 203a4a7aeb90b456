"""Findings of planning: others' objects, deletions that are held, and what waits for what."""

from __future__ import annotations

from gitmesh.codes.code import Code

PLANNING: tuple[Code, ...] = (
    Code(
        code="GM401",
        name="ForeignObject",
        severity="warning",
        summary="An object of the same name, or for the same host, belongs to somebody else.",
        cause=(
            "GitMesh changes only its own objects. One that only the clients of its namespace follow holds"
            " nothing: it is told whom it concerns. An error where it decides who may call: then the policy"
            " is not enforced. Objects with our marks are told together: they bear another name of the"
            " cluster or instance, or were restored from a backup."
        ),
        fix=(
            "Annotate the object with gitmesh.io/adopt: <instance>, name it in an Adoption, or remove it. One"
            " of another name, for the same host, can only be changed or removed."
        ),
    ),
    Code(
        code="GM402",
        name="PruneHeld",
        severity="error",
        summary="Deletions are held until somebody approves them.",
        cause="The revision would delete more than the guard allows.",
        fix=(
            "Review the plan, then `gitmesh approve ID` for a cluster, `gitmesh sync --approve-prune SHA` for"
            " all, or list the commit under prune.approved."
        ),
    ),
    Code(
        code="GM403",
        name="ForeignWidening",
        severity="error",
        summary="A hand-written access object admits more on a managed destination.",
        cause=(
            "Access objects add up in the mesh, and a mode of mTLS for a part of it wins over the mode for"
            " all."
        ),
        fix="Remove it, or express it as an AccessPolicy.",
    ),
    Code(
        code="GM404",
        name="Fight",
        severity="warning",
        summary="Another manager keeps changing this object back.",
        cause="More than 5 corrections in a minute. An error where the object decides who may call.",
        fix=(
            "Stop the other manager. An object that only routes may be left to it, by the annotation"
            " gitmesh.io/reconcile: disabled."
        ),
    ),
    Code(
        code="GM405",
        name="OtherManager",
        severity="warning",
        summary="Another manager applies fields of our object.",
        cause="Its field manager uses server-side apply, so GitMesh does not force.",
        fix="Remove the field from the other manager.",
    ),
    Code(
        code="GM406",
        name="Staged",
        severity="info",
        summary="The change takes more than one tick.",
        cause="A safe order needs a step in between.",
        fix="Nothing: the next tick continues.",
    ),
    Code(
        code="GM407",
        name="ReconcileDisabled",
        severity="info",
        summary="The live object asks to be left alone.",
        cause=(
            "It carries gitmesh.io/reconcile: disabled or gitmesh.io/prune: disabled, or prune.protect lists"
            " it. A mark in a cluster is honoured for routing only: what decides who may call is kept, or"
            " goes, all the same. An error where prune.protect leaves access other than the policies say."
        ),
        fix="Remove the annotation, or take the object out of prune.protect.",
    ),
    Code(
        code="GM408",
        name="LedgerRebuilt",
        severity="warning",
        summary="The ledger was unreadable and has been rebuilt from the cluster.",
        cause="It was edited or truncated. Pruning is held for this tick.",
        fix="Nothing.",
    ),
    Code(
        code="GM409",
        name="SuspiciousEmpty",
        severity="error",
        summary=(
            "What was there until now is gone from the cluster all at once: every object of ours, or every"
            " object of a kind."
        ),
        cause=(
            "A proxy, a cold cache, a repointed kubeconfig or a mass deletion. An empty answer is not"
            " believed at once: what hangs on it is left as it is."
        ),
        fix=(
            "Check which cluster the configuration points to, and what its API server answers. What is really"
            " gone is believed at a later reading, or when you approve it."
        ),
    ),
    Code(
        code="GM410",
        name="OthersClose",
        severity="info",
        summary="An object of somebody else closes the same pods; ours open nothing that it keeps shut.",
        cause=(
            "ALLOW objects add up. What an AccessPolicy would leave open on other ports stays as the other"
            " object has it."
        ),
        fix="Nothing, if that is meant; else change or remove the other object.",
    ),
    Code(
        code="GM411",
        name="Waits",
        severity="warning",
        summary="A route waits for what it would use, such as a subset.",
        cause=(
            "What would provide it is held, in conflict, left alone or being deleted. Without it every"
            " request of the route would fail; what is live stays as it is."
        ),
        fix="Mend what keeps the other object away; the route follows by itself.",
    ),
    Code(
        code="GM412",
        name="StillUsed",
        severity="warning",
        summary="An object of somebody else uses what goes with this change.",
        cause="Ours provides what the policies want, and nobody else can keep it there.",
        fix="Change the other object, or let a policy use it, too.",
    ),
    Code(
        code="GM413",
        name="StaysWithdrawn",
        severity="error",
        summary="What policies said of an object that is held stays, though they say it no more.",
        cause=(
            "Errors of one policy hold it. A Deny goes when they are fixed, as more would be admitted"
            " at once: a warning. A grant goes, unless the ledger, which an older version wrote, does not"
            " know whose rules are whose."
        ),
        fix="Mend the errors of the policy, or take it out; then the object becomes what the others say.",
    ),
    Code(
        code="GM414",
        name="Remains",
        severity="warning",
        summary="An object of ours stays though no policy in force says it any more.",
        cause=(
            "Errors hold the destination that it is for, or may be for where an older version wrote the"
            " ledger, so what is live there stays: without it more might be admitted, or requests go nowhere."
            " An error where it may admit callers that a default of Deny refuses."
        ),
        fix="Mend the errors that hold the destination; then it goes by itself.",
        hint="Mend the findings that hold it, then it goes by itself; or delete it: nobody makes it again.",
    ),
    Code(
        code="GM415",
        name="Nameless",
        severity="warning",
        summary="An object of somebody else takes away the identities by which policies decide who may call.",
        cause=(
            "Where mTLS is switched off nobody shows an identity: an Allow by ServiceAccount, namespace or"
            " cluster admits nobody there, and a Deny by one denies everybody."
        ),
        fix="Remove the other object, or let the policies decide by ipBlocks.",
    ),
    Code(
        code="GM416",
        name="FieldTaken",
        severity="warning",
        summary="A field that policies need in somebody else's object is set by somebody else.",
        cause=(
            "Of an object that is not ours GitMesh sets single fields, such as an annotation, and changes"
            " none that another has set or applies. An error where the field decides who may call: then the"
            " policy is not enforced."
        ),
        fix="Remove the field from the object or from what sets it, or take the policy that needs it out.",
    ),
    Code(
        code="GM417",
        name="SeveralWriters",
        severity="warning",
        summary="Translators of several meshes want one object with different contents.",
        cause=(
            "One of them writes it: the one that did before, for as long as it wants it, and else the first"
            " by name. What decides who may call is then not certain for the other mesh, which is an error."
        ),
        fix="Say in the policies what both meshes can do, or let them select the Services of one.",
    ),
    Code(
        code="GM418",
        name="ObjectMissing",
        severity="warning",
        summary="The object in which policies need a field is not there.",
        cause=(
            "It is somebody else's, so GitMesh does not make it. An error where the field decides who may"
            " call: then the policy is not enforced."
        ),
        fix="Make the object; the field is set at the next cycle.",
    ),
)
