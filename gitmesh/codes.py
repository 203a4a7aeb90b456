"""The one register of finding codes. A code keeps its meaning for ever; retired ones stay listed.

GM1xx parsing, GM2xx model and references, GM3xx translation, GM4xx planning, GM5xx clusters, GM6xx
write-back. Texts, JSON, `gitmesh explain` and docs/findings.md are all printed from this table.
"""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct


class Code(Struct, frozen=True, kw_only=True):
    """What a code means: `cause` and `fix` are a sentence or two, `bad` and `good` optional YAML samples."""

    code: str
    name: str
    severity: str
    summary: str
    cause: str
    fix: str
    hint: str = ""
    bad: str = ""
    good: str = ""


_TABLE: tuple[tuple[str, str, str, str, str, str, str], ...] = (
    # code, name, severity, summary, cause, fix, default hint
    # --- parsing
    (
        "GM101",
        "YamlSyntax",
        "error",
        "The file is not well-formed YAML.",
        "The YAML scanner stopped at this place.",
        "Mend the syntax at the caret; wildcards such as *.example.com need quotes.",
        "",
    ),
    (
        "GM102",
        "YamlForbidden",
        "error",
        "A YAML feature that policies may not use.",
        (
            "Anchors, aliases, merge keys, tags and directives hide what a reviewer must see, and can be made"
            " to exhaust memory."
        ),
        "Write the value out in full.",
        "",
    ),
    (
        "GM103",
        "YamlLimit",
        "error",
        "A file, document or revision is larger or deeper than the limits.",
        (
            "At most 64 levels, 100 documents and 256 KiB in a file, 20,000 files and 64 MiB in a revision;"
            " expressions by what they cost."
        ),
        "Split the file.",
        "",
    ),
    (
        "GM104",
        "DuplicateKey",
        "error",
        "A mapping has the same key twice.",
        "YAML parsers silently keep the last one; reviewers read the first.",
        "Remove one of the two.",
        "",
    ),
    (
        "GM105",
        "AmbiguousScalar",
        "error",
        "A plain scalar that YAML parsers read differently.",
        (
            "Values such as no, on, 010, 12:30, 2024-01-01, .nan or 1_000 are booleans, numbers or dates to"
            " some parsers and strings to others."
        ),
        "Put the value in quotes, or write the number in plain decimal.",
        "quote it",
    ),
    (
        "GM106",
        "BadKey",
        "error",
        "A mapping key that is not a string.",
        "Keys that are numbers, booleans or null collapse with their string twins.",
        "Quote the key.",
        "quote the key",
    ),
    (
        "GM107",
        "BadCharacter",
        "error",
        "A character that hides content from a reviewer, or bytes that are not UTF-8.",
        (
            "Control characters, line separators U+0085, U+2028 and U+2029, direction overrides and"
            " zero-width characters are refused."
        ),
        "Remove the character.",
        "",
    ),
    (
        "GM108",
        "NotAFile",
        "error",
        "The policy path holds something that is not a plain file.",
        "Symbolic links, submodules and names that escape the folder are never followed.",
        "Replace it by a plain file.",
        "",
    ),
    (
        "GM109",
        "NameClash",
        "error",
        "Two paths differ only by case or by Unicode form.",
        "On many file systems they are one file.",
        "Rename one of them.",
        "",
    ),
    (
        "GM110",
        "EmptySource",
        "error",
        "A path of a source is not there, or holds no policy.",
        (
            "A renamed or missing folder, or a typing error in `paths`, must not read as an order to delete"
            " what came from it."
        ),
        (
            "Put the folder back, or take it out of `paths`. Where its policies are to go, approve that"
            " commit (`gitmesh sync --approve-prune SHA`, `prune.approved`) or the finding (`gitmesh approve"
            " ID`)."
        ),
        "",
    ),
    (
        "GM111",
        "NotInGit",
        "info",
        "The folder under review is not what a commit of it would be.",
        (
            "Files that were never added to Git are read; files that a sparse checkout leaves out are not (a"
            " warning)."
        ),
        "Add them with git, or ignore the finding while you edit; check out the whole of the policy folders.",
        "",
    ),
    # --- model and references
    (
        "GM201",
        "UnknownKind",
        "error",
        "The document is not a policy that GitMesh knows.",
        "kind or apiVersion is misspelt, or another tool's document lies in the policy path.",
        (
            "Correct it, move the file out of the policy path, or list its group/Kind under `ignore` in"
            " gitmesh.yaml."
        ),
        "",
    ),
    (
        "GM202",
        "UnknownField",
        "error",
        "A field that the kind does not have.",
        "Usually a typing error.",
        "Use the suggested name.",
        "",
    ),
    (
        "GM203",
        "BadValue",
        "error",
        "A value of the wrong type or out of range.",
        "The schema of the kind says what is allowed.",
        "See `gitmesh explain` with the field's path.",
        "",
    ),
    (
        "GM204",
        "MissingField",
        "error",
        "A required field is absent.",
        "The kind cannot be understood without it.",
        "Add the field.",
        "",
    ),
    (
        "GM205",
        "NotSupportedYet",
        "error",
        "A field or kind of the policy API that this version does not translate yet.",
        "GitMesh refuses what it would have to ignore.",
        "Remove it, or wait for a version that supports it.",
        "",
    ),
    (
        "GM206",
        "DuplicatePolicy",
        "error",
        "Two policies have the same kind, namespace and name.",
        "A policy is named Kind/namespace/name across all sources.",
        "Rename or remove one of them.",
        "",
    ),
    (
        "GM207",
        "UnknownCluster",
        "error",
        "A cluster name that the configuration does not have.",
        "Usually a typing error.",
        "Use a name from `clusters` in gitmesh.yaml.",
        "",
    ),
    (
        "GM208",
        "MissingReference",
        "error",
        "Something named exactly does not exist in the cluster.",
        (
            "A Service, Namespace, ServiceAccount, port or mesh that the policy names was not found. The"
            " agent shows the policy as Pending and tries again each tick. Where the policy acted before,"
            " objects stay as they are: a misspelled name withdraws nothing."
        ),
        "Correct the name, or create the object.",
        "",
    ),
    (
        "GM209",
        "SelectsNothing",
        "warning",
        "A selector that finds nothing.",
        "No object carries these labels, or lies in these namespaces.",
        "Check the labels, or ignore this until the workload exists.",
        "",
    ),
    (
        "GM210",
        "Conflict",
        "error",
        "Two policies give one field different values for the same requests.",
        "Their rules are equal in the order of precedence and can both match a request.",
        "Give one of them a higher `priority`, or make their matches disjoint.",
        "",
    ),
    (
        "GM211",
        "Shadowed",
        "warning",
        "A rule that can never decide anything.",
        "Greater rules set the same fields for every request that it matches.",
        "Remove it, or raise its priority.",
        "",
    ),
    (
        "GM212",
        "TooManyOverlaps",
        "error",
        "More rules for one destination, or more overlaps of them, than can be told apart.",
        (
            "Each rule is compared with each other, and meshes with first-match lists need a route for each"
            " overlap: 64 at most."
        ),
        "Make the matches disjoint, or use fewer and shorter ones.",
        "",
    ),
    (
        "GM213",
        "SharedWorkload",
        "warning",
        "Services share pods and ports, and therefore one access decision.",
        "Access is decided at the workload's port, which another Service reaches too.",
        "Select both Services in the policy, or give them ports of their own.",
        "",
    ),
    (
        "GM214",
        "MeshInTwoVirtualMeshes",
        "error",
        "A mesh belongs to more than one VirtualMesh.",
        "A mesh is in at most one.",
        "Remove it from one of the two.",
        "",
    ),
    (
        "GM215",
        "NotApplicable",
        "info",
        "The policy names a cluster that this agent does not manage, or a mesh that does not need it.",
        "Nothing is to be done here.",
        "Nothing.",
        "",
    ),
    (
        "GM216",
        "UnknownFacts",
        "warning",
        "The facts of a cluster are unknown, so what depends on them is held.",
        (
            "The cluster did not answer and no earlier facts are known, or an older version saved them and"
            " left out labels that a Service selects by."
        ),
        "See the finding on the cluster; save the facts again with this version.",
        "",
    ),
    (
        "GM217",
        "FactsNotChecked",
        "info",
        "References to live objects were not checked.",
        "`validate` ran without facts.",
        "Give --facts FILE (from `gitmesh discover -o yaml`) to check them.",
        "",
    ),
    (
        "GM218",
        "BadReference",
        "error",
        "A destination, port or subset is given in a way that cannot be resolved.",
        "For example a Service with several ports and none chosen.",
        "Name the port.",
        "",
    ),
    # --- translation
    (
        "GM219",
        "LookalikeOrigin",
        "warning",
        "An origin that may send credentials can be imitated.",
        (
            "A beginning or an ending of a name is also one of a stranger's: https://shop.example.evil.com,"
            " https://evilexample.com."
        ),
        "Name the origin exactly; in a regex escape the dots, begin with https:// and end after the host.",
        "",
    ),
    (
        "GM220",
        "RefusedByStrict",
        "error",
        "Connections are made in a way that their destination refuses.",
        (
            "mTLS is Strict there, and `tls` asks for plaintext or for TLS of its own. A warning where some"
            " may still be taken."
        ),
        "Remove tls, or set mode MeshMutual.",
        "",
    ),
    (
        "GM221",
        "LedRound",
        "warning",
        "Requests to a destination are led to another one, where it is decided otherwise who may call.",
        (
            "Split and mirror act at the client, so the proxies of the destination that was called never see"
            " what goes elsewhere: its AccessPolicies do not act on it, and those of the other one do."
        ),
        "Let the AccessPolicies select both destinations alike, or split by the subsets of one Service.",
        "",
    ),
    (
        "GM222",
        "NonHttpUnsaid",
        "error",
        "A Deny of requests meets ports that may carry something else, and does not say what becomes of it.",
        (
            "A broad selector leads the rule to ports that are not HTTP, or that declare no protocol. Who may"
            " call that destination is held."
        ),
        "Say nonHTTP: Deny or Ignore in the rule, name its ports, or declare the protocol of the port.",
        "",
    ),
    (
        "GM224",
        "PutOutOfForce",
        "warning",
        "An object of ours puts settings of somebody else's out of force.",
        (
            "Clients take one object for a destination whole, and ours is nearer to it or more exact than the"
            " other."
        ),
        "Say in a policy what shall go on, or accept that it ends.",
        "",
    ),
    (
        "GM301",
        "Unsupported",
        "error",
        "The mesh cannot express this field; nothing is emitted for what needs it.",
        "See the support matrix in docs/support.md.",
        "Remove the field, or restrict the policy to clusters whose mesh supports it.",
        "",
    ),
    (
        "GM302",
        "UnsupportedVersion",
        "error",
        "The field needs a newer mesh version or CRD than the cluster has.",
        "The served CRD schema lacks the field, or the detected version is too old.",
        "Upgrade the mesh, or remove the field.",
        "",
    ),
    (
        "GM303",
        "Approximated",
        "warning",
        "Translated with a stated difference.",
        "The mesh has a near equivalent only.",
        "Read the difference; accept it or change the policy.",
        "",
    ),
    (
        "GM304",
        "Narrowed",
        "warning",
        "The mesh can only express something stricter than the policy; that was emitted.",
        "The security law: never admit more.",
        "Change the policy to what the mesh can express.",
        "",
    ),
    (
        "GM305",
        "NoEffect",
        "info",
        "A routing field is left out on a Service where it can have no effect.",
        (
            "A broad selector lays it there: HTTP fields on ports that are not HTTP, load balancing on a"
            " headless Service, connection fields on an ExternalName Service, anything on a Service of which"
            " proxies see nothing. On a Service that is named exactly it is an error (GM301)."
        ),
        "Nothing, or select only the Services that are meant.",
        "",
    ),
    (
        "GM308",
        "Unenforced",
        "error",
        "Access cannot be enforced here: pods are outside the mesh, or no proxy of theirs guards the port.",
        (
            "There is no proxy in front of it, it was told to leave the port alone, or the mesh has no say in"
            " who may call (the Gateway API has none)."
        ),
        (
            "Inject the workload and restart the pods that lack the proxy, let it see the port, or remove the"
            " policy."
        ),
        "",
    ),
    (
        "GM309",
        "Dropped",
        "error",
        "The policy ended in no object and no finding.",
        "This is a defect of a translator.",
        "Please report it.",
        "",
    ),
    (
        "GM310",
        "NormalisationDependent",
        "warning",
        "A Deny by path depends on how paths are normalised.",
        "//admin, /%61dmin and /admin may be one page to the application and three to the proxy.",
        "Prefer an Allow of what is wanted.",
        "",
    ),
    (
        "GM311",
        "MergeBug",
        "error",
        "Two units gave one object different contents.",
        "This is a defect of a translator.",
        "Please report it.",
        "",
    ),
    (
        "GM312",
        "Ignored",
        "warning",
        "The mesh ignores the namespace of an object, so what the policy says is not in force there.",
        (
            "Its control plane was told which namespaces it discovers. An error for what holds mesh-wide,"
            " which is then held."
        ),
        (
            "Let the mesh discover the namespace (Istio: discoverySelectors of MeshConfig), or remove the"
            " policy."
        ),
        "",
    ),
    (
        "GM313",
        "TranslatorDefect",
        "error",
        "A translator fell over a unit, whose objects are left as they are.",
        "A defect of the translator, or a value that it does not expect.",
        "Report it with the text of the finding.",
        "",
    ),
    (
        "GM314",
        "Withheld",
        "warning",
        "A policy is not in force as it stands, since what it acts on is held.",
        (
            "Findings on other policies, or a doubt about the cluster, hold how requests go to the"
            " destination, or who may call it. The live objects of that half stay as they are; the other half"
            " goes on."
        ),
        "Mend the findings that hold it.",
        "",
    ),
    (
        "GM315",
        "DoubtfulGateway",
        "warning",
        (
            "A workload calls itself a gateway, and nothing says that it is one, or it cannot be opened by"
            " labels of its own."
        ),
        (
            "A default of Deny does not cover gateways, but a pod's label is no authority. Gateways are those"
            " in the namespaces of control planes, those that a programmed Gateway owns, and those that the"
            " VirtualMesh declares. One that is open already stays so, with an error."
        ),
        (
            "Declare it: `gateways: [{namespaces: [istio-ingress]}]` in the VirtualMesh; or, where none is"
            " meant, declare the others."
        ),
        (
            "Declare it in the VirtualMesh: gateways: [{namespaces: [NAMESPACE]}], with a label or"
            " ServiceAccount beside it."
        ),
    ),
    (
        "GM316",
        "ProbeRefused",
        "warning",
        "Probes of the kubelet are refused, so pods are never ready, or restart for ever.",
        (
            "The kubelet shows no identity and speaks no mTLS. Its probes come to the proxies as they are"
            " where the mesh's injector was told not to rewrite them."
        ),
        (
            "Let the injector rewrite them and restart the pods (Istio: not the annotation"
            " sidecar.istio.io/rewriteAppHTTPProbers: 'false'), probe by exec, or admit them on a port and"
            " path of their own."
        ),
        (
            "Let the mesh rewrite the probes: remove the pods' annotation"
            " sidecar.istio.io/rewriteAppHTTPProbers: 'false', or set it to 'true' where the injector's own"
            " settings leave probes as they are; or probe by exec."
        ),
    ),
    (
        "GM317",
        "NoWaypoint",
        "error",
        "What the policy asks for needs a waypoint, and requests for the destination go through none.",
        (
            "In Istio's ambient mode a node's proxy sees connections, no requests: routes, and access by"
            " path, method, host or header, are for a waypoint. Access is closed to what it alone could tell."
            " Requests for a headless Service go through none: its clients call pods by their addresses."
        ),
        (
            "Bind the Service or its namespace: a Gateway of class istio-waypoint, and the label"
            " istio.io/use-waypoint; give a headless Service an address. Or ask for what connections show."
        ),
        "",
    ),
    (
        "GM318",
        "PastWaypoint",
        "error",
        "Requests come to pods past the waypoint that decides about them.",
        (
            "Proxies of pods, gateways that are not told to, and the waypoints of other Services send to pods"
            " directly. What only the waypoint of the destination could allow is refused there. A warning"
            " where a route leads to pods with a decision of their own, and where callers in no mesh may be"
            " meant, who come directly as well: they get less than the policy says, never more."
        ),
        (
            "Bring the clients into ambient, set istio.io/ingress-use-waypoint on the Service for gateways,"
            " or grant without paths, methods, hosts and headers."
        ),
        "",
    ),
    (
        "GM319",
        "NeedsGrant",
        "error",
        "A route of the Gateway API names a Service of another namespace, and may not.",
        (
            "The mesh takes such a route only by leave of that namespace, a ReferenceGrant, a kind that the"
            " cluster does not serve. Without one the share that goes there is answered 500, so the route is"
            " held."
        ),
        (
            "Install the CRD of ReferenceGrant (Gateway API, standard channel), or route to Services of the"
            " destination's own namespace."
        ),
        "",
    ),
    (
        "GM320",
        "NeedsMeshConfig",
        "error",
        "A setting of the mesh itself stands in the way.",
        (
            "Where MeshConfig switches automatic mTLS off, clients use TLS only as a DestinationRule says."
            " Ours stands before those of others, and cannot take over certificates that they name."
        ),
        "Set `tls` in a TrafficPolicy for the destination, or switch enableAutoMtls on.",
        "",
    ),
    (
        "GM324",
        "GrantOpened",
        "warning",
        "A ReferenceGrant of ours opens a Service to the routes of another namespace.",
        (
            "A policy leads requests there, and the mesh asks for the leave of the Service's namespace."
            " A grant names a namespace, no route: everybody who may write routes in it may lead"
            " requests to the Service, those that come by a gateway included. Who may call its pods is still"
            " decided at them, where the mesh can: a gateway is then the caller."
        ),
        (
            "Look at who may write HTTPRoutes and GRPCRoutes in that namespace; or route to Services of the"
            " destination's own namespace. The grant goes when no route of ours needs it any more."
        ),
        "",
    ),
    (
        "GM325",
        "HttpRouteOnGrpc",
        "warning",
        "A port of gRPC has an HTTPRoute, as a GRPCRoute cannot say what the policy asks for.",
        (
            "GRPCRoutes have services, methods, headers, splits and mirrors; no timeouts, retries, rewrites"
            " or other paths. A port has routes of one kind. Meshes that proxy HTTP follow HTTPRoutes on"
            " ports of gRPC, too; gRPC clients without a proxy may not."
        ),
        (
            "Ask for what a GRPCRoute can say: path.prefix /SERVICE or path.exact /SERVICE/METHOD, headers,"
            " split, mirror. Or accept it, where the clients have proxies."
        ),
        "",
    ),
    # --- planning
    (
        "GM401",
        "ForeignObject",
        "warning",
        "An object of the same name, or for the same host, belongs to somebody else.",
        (
            "GitMesh changes only its own objects. One that only the clients of its namespace follow holds"
            " nothing: it is told whom it concerns. An error where it decides who may call: then the policy"
            " is not enforced. Objects with our marks are told together: they bear another name of the"
            " cluster or instance, or were restored from a backup."
        ),
        "Annotate the object with gitmesh.io/adopt: <instance>, name it in an Adoption, or remove it.",
        "",
    ),
    (
        "GM402",
        "PruneHeld",
        "error",
        "Deletions are held until somebody approves them.",
        "The revision would delete more than the guard allows.",
        "Review the plan, then `gitmesh sync --approve-prune SHA` or list the commit under prune.approved.",
        "",
    ),
    (
        "GM403",
        "ForeignWidening",
        "error",
        "A hand-written access object admits more on a managed destination.",
        "Access objects add up in the mesh, and a mode of mTLS for a part of it wins over the mode for all.",
        "Remove it, or express it as an AccessPolicy.",
        "",
    ),
    (
        "GM404",
        "Fight",
        "warning",
        "Another manager keeps changing this object back.",
        "More than 5 corrections in a minute. An error where the object decides who may call.",
        (
            "Stop the other manager. An object that only routes may be left to it, by the annotation"
            " gitmesh.io/reconcile: disabled."
        ),
        "",
    ),
    (
        "GM405",
        "OtherManager",
        "warning",
        "Another manager applies fields of our object.",
        "Its field manager uses server-side apply, so GitMesh does not force.",
        "Remove the field from the other manager.",
        "",
    ),
    (
        "GM406",
        "Staged",
        "info",
        "The change takes more than one tick.",
        "A safe order needs a step in between.",
        "Nothing: the next tick continues.",
        "",
    ),
    (
        "GM407",
        "ReconcileDisabled",
        "info",
        "The live object asks to be left alone.",
        (
            "It carries gitmesh.io/reconcile: disabled or gitmesh.io/prune: disabled, or prune.protect lists"
            " it. A mark in a cluster is honoured for routing only: what decides who may call is kept, or"
            " goes, all the same. An error where prune.protect leaves access other than the policies say."
        ),
        "Remove the annotation, or take the object out of prune.protect.",
        "",
    ),
    (
        "GM408",
        "LedgerRebuilt",
        "warning",
        "The ledger was unreadable and has been rebuilt from the cluster.",
        "It was edited or truncated. Pruning is held for this tick.",
        "Nothing.",
        "",
    ),
    (
        "GM409",
        "SuspiciousEmpty",
        "error",
        (
            "What was there until now is gone from the cluster all at once: every object of ours, or every"
            " object of a kind."
        ),
        (
            "A proxy, a cold cache, a repointed kubeconfig or a mass deletion. An empty answer is not"
            " believed at once: what hangs on it is left as it is."
        ),
        (
            "Check which cluster the configuration points to, and what its API server answers. What is really"
            " gone is believed at a later reading, or when you approve it."
        ),
        "",
    ),
    (
        "GM410",
        "OthersClose",
        "info",
        "An object of somebody else closes the same pods; ours open nothing that it keeps shut.",
        (
            "ALLOW objects add up. What an AccessPolicy would leave open on other ports stays as the other"
            " object has it."
        ),
        "Nothing, if that is meant; else change or remove the other object.",
        "",
    ),
    (
        "GM411",
        "Waits",
        "warning",
        "A route waits for what it would use, such as a subset.",
        (
            "What would provide it is held, in conflict, left alone or being deleted. Without it every"
            " request of the route would fail; what is live stays as it is."
        ),
        "Mend what keeps the other object away; the route follows by itself.",
        "",
    ),
    (
        "GM412",
        "StillUsed",
        "warning",
        "An object of somebody else uses what goes with this change.",
        "Ours provides what the policies want, and nobody else can keep it there.",
        "Change the other object, or let a policy use it, too.",
        "",
    ),
    (
        "GM413",
        "StaysWithdrawn",
        "error",
        "What policies said of an object that is held stays, though they say it no more.",
        (
            "Errors of one policy hold it. A Deny goes when they are fixed, as more would be admitted"
            " at once: a warning. A grant goes, unless the ledger, which an older version wrote, does not"
            " know whose rules are whose."
        ),
        "Mend the errors of the policy, or take it out; then the object becomes what the others say.",
        "",
    ),
    (
        "GM415",
        "Nameless",
        "warning",
        "An object of somebody else takes away the identities by which policies decide who may call.",
        (
            "Where mTLS is switched off nobody shows an identity: an Allow by ServiceAccount, namespace or"
            " cluster admits nobody there, and a Deny by one denies everybody."
        ),
        "Remove the other object, or let the policies decide by ipBlocks.",
        "",
    ),
    (
        "GM417",
        "SeveralWriters",
        "warning",
        "Translators of several meshes want one object with different contents.",
        (
            "One of them writes it: the one that did before, for as long as it wants it, and else the first"
            " by name. What decides who may call is then not certain for the other mesh, which is an error."
        ),
        "Say in the policies what both meshes can do, or let them select the Services of one.",
        "",
    ),
    # --- clusters
    (
        "GM501",
        "Unreachable",
        "error",
        "The cluster did not answer.",
        "Refused, timed out, or the connection broke.",
        "Check the address, the network and the API server.",
        "",
    ),
    (
        "GM502",
        "Unauthorized",
        "error",
        "There is no way into the cluster with what is configured.",
        (
            "It refused the credentials, or the kubeconfig, a token, a CA or a certificate is missing or"
            " unfit: the finding says which."
        ),
        "Mend what the finding names, or renew the credentials; files are read again in each cycle.",
        "",
    ),
    (
        "GM503",
        "Forbidden",
        "error",
        "A right is missing.",
        "The cluster's authorization (RBAC) denied the request.",
        "Grant the verb on the resource; deploy/ has the least role.",
        "",
    ),
    (
        "GM504",
        "CrdMissing",
        "error",
        "The cluster does not serve a kind that is needed.",
        "The mesh's CRDs are not installed, or a version is no longer served.",
        "Install the CRDs of the mesh.",
        "",
    ),
    (
        "GM505",
        "Rejected",
        "error",
        "The API server or an admission webhook refused the object.",
        (
            "Schema, validation rule, webhook or quota; a webhook that could not be called; a deletion that"
            " waits for finalizers; or somebody else was quicker."
        ),
        "Read the cause, and the server's own words beside it.",
        "",
    ),
    (
        "GM506",
        "ClusterChanged",
        "error",
        "The configuration points to another cluster than before.",
        (
            "The identity of the cluster differs from the ledger's, or a directory belongs to another"
            " instance or cluster."
        ),
        "Point it back, or start with a fresh ledger.",
        "",
    ),
    (
        "GM507",
        "NoMesh",
        "warning",
        "No mesh was found in the cluster, or one that was there until now is not found.",
        (
            "No control plane runs there, it is in a namespace that the configuration does not allow, or it"
            " is away for a moment."
        ),
        (
            "Install the mesh, or name the namespace of its control plane under `controlPlanes` of the"
            " cluster. A mesh that is gone for good is forgotten when no pod carries it and nothing injects"
            " it, or when you approve it."
        ),
        "",
    ),
    (
        "GM508",
        "BadObject",
        "warning",
        "An object in the cluster could not be read.",
        "A file that is not a Kubernetes object, or an answer that could not be understood.",
        "Mend or remove it.",
        "",
    ),
    (
        "GM509",
        "ObserveOnly",
        "info",
        "The cluster is in mode Observe: nothing was written.",
        "`mode: Observe` in the configuration.",
        "Set `mode: Enforce`.",
        "",
    ),
    (
        "GM510",
        "AdmissionWarning",
        "warning",
        "The API server or an admission webhook accepted the object with a warning.",
        "The mesh's own validation has something to say.",
        "Read the warning.",
        "",
    ),
    (
        "GM511",
        "RejectedByMesh",
        "error",
        "The mesh itself reports an error in an object that the API server took.",
        "Its analysis, or one of its data planes, says so in the object's status.",
        "Follow the mesh's own code and link; often a name that the policy uses is missing in the cluster.",
        "",
    ),
    (
        "GM512",
        "WarnedByMesh",
        "warning",
        "The mesh itself has doubts about an object that the API server took.",
        "Its analysis, or one of its data planes, says so in the object's status.",
        "Follow the mesh's own code and link.",
        "",
    ),
    (
        "GM513",
        "Defect",
        "error",
        "The work on a cluster ended in a defect of GitMesh; the other clusters go on.",
        (
            "The cluster answered something that nobody would expect, or GitMesh is wrong. The next tick"
            " tries again."
        ),
        "Report it, with the text of the finding and the version of the API server.",
        "",
    ),
    (
        "GM514",
        "Leaving",
        "warning",
        "An object or namespace that policies need is being deleted, and not gone yet.",
        (
            "Somebody asked for its deletion, which waits for finalizers. Nothing is written there until it"
            " is gone; then it is made again."
        ),
        "Let what set the finalizer finish its work, or remove the finalizer.",
        "Let what set the finalizer finish its work, or remove the finalizer.",
    ),
    (
        "GM521",
        "UnknownSettings",
        "error",
        "Settings of a mesh on which names depend could not be read, or are not given any more.",
        (
            "Its configuration may not be read, is no YAML, or lost a value that was there. Defaults in their"
            " place would rewrite every rule that names a caller."
        ),
        "Make the configuration readable, or put the value back. Where the default is meant now, approve it.",
        "",
    ),
    (
        "GM522",
        "SettingsChanged",
        "warning",
        "A mesh changed its trust domain, its root namespace or its cluster domain.",
        "Its control plane says so. Objects follow: new ones stand before old ones go.",
        "Nothing, if that is meant.",
        "",
    ),
    (
        "GM523",
        "ControlPlaneElsewhere",
        "warning",
        "What looks like a control plane is in a namespace where the configuration allows none.",
        "Whoever may create a Deployment can make one that looks so; it counts for nothing.",
        "If it is the mesh's own, name its namespace under `controlPlanes` of the cluster.",
        "",
    ),
    # --- sources and write-back
    (
        "GM601",
        "SourceUnavailable",
        "error",
        "The repository could not be read.",
        "Network, credentials, or the branch is gone. The last good revision stays in force.",
        "Check url, branch and credentials of the source, or the path of its folder.",
        "",
    ),
    (
        "GM602",
        "NotDescendant",
        "error",
        "The branch was moved to a commit that does not descend from the accepted one.",
        "Force-push or rewind. The accepted revision stays in force.",
        "Push a commit on top of the accepted one, or set allowRewind for the source.",
        "",
    ),
    (
        "GM603",
        "WriteBackDenied",
        "warning",
        "The status branch could not be pushed.",
        (
            "No push rights, the branch is protected, or GitMesh did not make it. The clusters are kept all"
            " the same."
        ),
        "Grant push on the status branch, or choose another name for it.",
        "",
    ),
    (
        "GM604",
        "WriteBackContended",
        "warning",
        "The status branch moved while it was written.",
        "Somebody else pushed to it. The push is tried again on the new tip.",
        "Let only GitMesh write to the status branch.",
        "",
    ),
    (
        "GM605",
        "RevisionRefused",
        "error",
        "The revision is refused; the last good one stays in force.",
        "It has static errors. A plain folder has no older revision: then live objects stay as they are.",
        "Mend the findings and push again.",
        "",
    ),
    (
        "GM606",
        "LastGoodLost",
        "error",
        "The last good revision can no longer be read, is not borne out, or is good no more.",
        (
            "The repository no longer leads to the commit: its history was rewritten. Or a ledger names a"
            " commit that nobody merged. Or today's checks refuse what was accepted then. Live objects stay"
            " as they are."
        ),
        (
            "Push the old commit again; or, after a look at the rewritten history, set allowRewind for the"
            " source once."
        ),
        "",
    ),
    (
        "GM607",
        "BadConfig",
        "error",
        "gitmesh.yaml is not valid.",
        "See the message.",
        "See docs/configuration.md.",
        "",
    ),
    (
        "GM608",
        "UntrustedConfig",
        "error",
        "The configuration was found, not named, and may not use this.",
        (
            "A gitmesh.yaml that came with a branch under review runs no program, uses no credential and no"
            " network until you agree."
        ),
        "Read it; then name it with --config, or record it with `gitmesh trust`.",
        "",
    ),
    (
        "GM609",
        "PartKept",
        "warning",
        "A source is not in force, or not all of it, and what it may have said of live objects is kept.",
        "What cannot be read is not nothing. What other sources withdraw or deny goes its way.",
        (
            "See the finding that keeps the source from being read. Or remove it from the configuration: then"
            " it is gone on purpose."
        ),
        "",
    ),
)

CODES: Mapping[str, Code] = {
    row[0]: Code(
        code=row[0], name=row[1], severity=row[2], summary=row[3], cause=row[4], fix=row[5], hint=row[6]
    )
    for row in _TABLE
}
