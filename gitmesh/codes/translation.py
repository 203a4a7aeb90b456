"""Findings of translation: what a mesh cannot say, or says otherwise, and what is withheld for it."""

from __future__ import annotations

from gitmesh.codes.code import Code

TRANSLATION: tuple[Code, ...] = (
    Code(
        code="GM301",
        name="Unsupported",
        severity="error",
        summary="The mesh cannot express this field; nothing is emitted for what needs it.",
        cause="See the support matrix in docs/support.md.",
        fix="Remove the field, or restrict the policy to clusters whose mesh supports it.",
    ),
    Code(
        code="GM302",
        name="UnsupportedVersion",
        severity="error",
        summary="The field needs a newer mesh version or CRD than the cluster has.",
        cause="The served CRD schema lacks the field, or the detected version is too old.",
        fix="Upgrade the mesh, or remove the field.",
    ),
    Code(
        code="GM303",
        name="Approximated",
        severity="warning",
        summary="Translated with a stated difference.",
        cause="The mesh has a near equivalent only.",
        fix="Read the difference; accept it or change the policy.",
    ),
    Code(
        code="GM304",
        name="Narrowed",
        severity="warning",
        summary="The mesh can only express something stricter than the policy; that was emitted.",
        cause="The security law: never admit more.",
        fix="Change the policy to what the mesh can express.",
    ),
    Code(
        code="GM305",
        name="NoEffect",
        severity="info",
        summary="A routing field is left out on a Service where it can have no effect.",
        cause=(
            "A broad selector lays it there: HTTP fields on ports that are not HTTP, load balancing on a"
            " headless Service, connection fields on an ExternalName Service, anything on a Service of which"
            " proxies see nothing. On a Service that is named exactly it is an error (GM301)."
        ),
        fix="Nothing, or select only the Services that are meant.",
    ),
    Code(
        code="GM308",
        name="Unenforced",
        severity="error",
        summary=(
            "Access cannot be enforced here: pods are outside the mesh, or no proxy of theirs guards the"
            " port."
        ),
        cause=(
            "There is no proxy in front of it, it was told to leave the port alone, or the mesh has no say in"
            " who may call (the Gateway API has none)."
        ),
        fix=(
            "Inject the workload and restart the pods that lack the proxy, let it see the port, or remove the"
            " policy."
        ),
    ),
    Code(
        code="GM309",
        name="Dropped",
        severity="error",
        summary="The policy ended in no object and no finding.",
        cause="This is a defect of a translator.",
        fix="Please report it.",
    ),
    Code(
        code="GM310",
        name="NormalisationDependent",
        severity="warning",
        summary="A Deny by path depends on how paths are normalised.",
        cause="//admin, /%61dmin and /admin may be one page to the application and three to the proxy.",
        fix="Prefer an Allow of what is wanted.",
    ),
    Code(
        code="GM311",
        name="MergeBug",
        severity="error",
        summary="Two units gave one object different contents.",
        cause="This is a defect of a translator.",
        fix="Please report it.",
    ),
    Code(
        code="GM312",
        name="Ignored",
        severity="warning",
        summary="The mesh ignores the namespace of an object, so what the policy says is not in force there.",
        cause=(
            "Its control plane was told which namespaces it discovers. An error for what holds mesh-wide,"
            " which is then held."
        ),
        fix=(
            "Let the mesh discover the namespace (Istio: discoverySelectors of MeshConfig), or remove the"
            " policy."
        ),
    ),
    Code(
        code="GM313",
        name="TranslatorDefect",
        severity="error",
        summary="A translator fell over a unit, whose objects are left as they are.",
        cause="A defect of the translator, or a value that it does not expect.",
        fix="Report it with the text of the finding.",
    ),
    Code(
        code="GM314",
        name="Withheld",
        severity="warning",
        summary="A policy is not in force as it stands, since what it acts on is held.",
        cause=(
            "Findings on other policies, or a doubt about the cluster, hold how requests go to the"
            " destination, or who may call it. The live objects of that half stay as they are; the other half"
            " goes on."
        ),
        fix="Mend the findings that hold it.",
    ),
)
