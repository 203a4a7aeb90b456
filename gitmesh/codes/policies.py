"""Findings on policies by themselves and together: the model, references, selection and overlap."""

from __future__ import annotations

from gitmesh.codes.code import Code

POLICIES: tuple[Code, ...] = (
    Code(
        code="GM201",
        name="UnknownKind",
        severity="error",
        summary="The document is not a policy that GitMesh knows.",
        cause="kind or apiVersion is misspelt, or another tool's document lies in the policy path.",
        fix=(
            "Correct it, move the file out of the policy path, or list its group/Kind under `ignore` in"
            " gitmesh.yaml."
        ),
    ),
    Code(
        code="GM202",
        name="UnknownField",
        severity="error",
        summary="A field that the kind does not have.",
        cause="Usually a typing error.",
        fix="Use the suggested name.",
    ),
    Code(
        code="GM203",
        name="BadValue",
        severity="error",
        summary="A value of the wrong type or out of range.",
        cause="The schema of the kind says what is allowed.",
        fix="See `gitmesh explain` with the field's path.",
    ),
    Code(
        code="GM204",
        name="MissingField",
        severity="error",
        summary="A required field is absent.",
        cause="The kind cannot be understood without it.",
        fix="Add the field.",
    ),
    Code(
        code="GM205",
        name="NotSupportedYet",
        severity="error",
        summary="A field or kind of the policy API that this version does not translate yet.",
        cause="GitMesh refuses what it would have to ignore.",
        fix="Remove it, or wait for a version that supports it.",
    ),
    Code(
        code="GM206",
        name="DuplicatePolicy",
        severity="error",
        summary="Two policies have the same kind, namespace and name.",
        cause="A policy is named Kind/namespace/name across all sources.",
        fix="Rename or remove one of them.",
    ),
    Code(
        code="GM207",
        name="UnknownCluster",
        severity="error",
        summary="A cluster name that the configuration does not have.",
        cause="Usually a typing error. A warning in an Adoption, which then consents to nothing there.",
        fix="Use a name from `clusters` in gitmesh.yaml.",
    ),
    Code(
        code="GM208",
        name="MissingReference",
        severity="error",
        summary="Something named exactly does not exist in the cluster.",
        cause=(
            "A Service, Namespace, ServiceAccount, port or mesh that the policy names was not found. The"
            " agent shows the policy as Pending and tries again each tick. Where the policy acted before,"
            " objects stay as they are: a misspelled name withdraws nothing."
        ),
        fix="Correct the name, or create the object.",
    ),
    Code(
        code="GM209",
        name="SelectsNothing",
        severity="warning",
        summary="A selector that finds nothing.",
        cause="No object carries these labels, or lies in these namespaces.",
        fix="Check the labels, or ignore this until the workload exists.",
    ),
    Code(
        code="GM210",
        name="Conflict",
        severity="error",
        summary="Two policies give one field different values for the same requests.",
        cause="Their rules are equal in the order of precedence and can both match a request.",
        fix="Give one of them a higher `priority`, or make their matches disjoint.",
    ),
    Code(
        code="GM211",
        name="Shadowed",
        severity="warning",
        summary="A rule that can never decide anything.",
        cause="Greater rules set the same fields for every request that it matches.",
        fix="Remove it, or raise its priority.",
    ),
    Code(
        code="GM212",
        name="TooManyOverlaps",
        severity="error",
        summary="More rules for one destination, or more overlaps of them, than can be told apart.",
        cause=(
            "Each rule is compared with each other, and meshes with first-match lists need a route for each"
            " overlap: 64 at most."
        ),
        fix="Make the matches disjoint, or use fewer and shorter ones.",
    ),
    Code(
        code="GM213",
        name="SharedWorkload",
        severity="warning",
        summary="Services share pods and ports, and therefore one access decision.",
        cause="Access is decided at the workload's port, which another Service reaches too.",
        fix="Select both Services in the policy, or give them ports of their own.",
    ),
    Code(
        code="GM214",
        name="MeshInTwoVirtualMeshes",
        severity="error",
        summary="A mesh belongs to more than one VirtualMesh.",
        cause="A mesh is in at most one.",
        fix="Remove it from one of the two.",
    ),
    Code(
        code="GM215",
        name="NotApplicable",
        severity="info",
        summary=(
            "The policy names a cluster that this agent does not manage, or a mesh that does not need it."
        ),
        cause="Nothing is to be done here.",
        fix="Nothing.",
    ),
    Code(
        code="GM216",
        name="UnknownFacts",
        severity="warning",
        summary="The facts of a cluster are unknown, so what depends on them is held.",
        cause=(
            "The cluster did not answer and no earlier facts are known, or an older version saved them and"
            " left out labels that a Service selects by."
        ),
        fix="See the finding on the cluster; save the facts again with this version.",
    ),
    Code(
        code="GM217",
        name="FactsNotChecked",
        severity="info",
        summary="References to live objects were not checked.",
        cause="`validate` ran without facts.",
        fix="Give --facts FILE (from `gitmesh discover -o yaml`) to check them.",
    ),
    Code(
        code="GM218",
        name="BadReference",
        severity="error",
        summary="A destination, port or subset is given in a way that cannot be resolved.",
        cause="For example a Service with several ports and none chosen.",
        fix="Name the port.",
    ),
    Code(
        code="GM219",
        name="LookalikeOrigin",
        severity="warning",
        summary="An origin that may send credentials can be imitated.",
        cause=(
            "A beginning or an ending of a name is also one of a stranger's: https://shop.example.evil.com,"
            " https://evilexample.com."
        ),
        fix=(
            "Name the origin exactly; in a regex escape the dots, begin with https:// and end after the host."
        ),
    ),
    Code(
        code="GM220",
        name="RefusedByStrict",
        severity="error",
        summary="Connections are made in a way that their destination refuses.",
        cause=(
            "mTLS is Strict there, and `tls` asks for plaintext or for TLS of its own. A warning where some"
            " may still be taken."
        ),
        fix="Remove tls, or set mode MeshMutual.",
    ),
    Code(
        code="GM221",
        name="LedRound",
        severity="warning",
        summary=(
            "Requests to a destination are led to another one, where it is decided otherwise who may call."
        ),
        cause=(
            "Split and mirror act at the client, so the proxies of the destination that was called never see"
            " what goes elsewhere: its AccessPolicies do not act on it, and those of the other one do."
        ),
        fix="Let the AccessPolicies select both destinations alike, or split by the subsets of one Service.",
    ),
    Code(
        code="GM222",
        name="NonHttpUnsaid",
        severity="error",
        summary=(
            "A Deny of requests meets ports that may carry something else, and does not say what becomes of"
            " it."
        ),
        cause=(
            "A broad selector leads the rule to ports that are not HTTP, or that declare no protocol. Who may"
            " call that destination is held."
        ),
        fix="Say nonHTTP: Deny or Ignore in the rule, name its ports, or declare the protocol of the port.",
    ),
    Code(
        code="GM224",
        name="PutOutOfForce",
        severity="warning",
        summary="An object of ours puts settings of somebody else's out of force.",
        cause=(
            "Clients take one object for a destination whole, and ours is nearer to it or more exact than the"
            " other."
        ),
        fix="Say in a policy what shall go on, or accept that it ends.",
    ),
)
