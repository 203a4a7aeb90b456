"""Findings on the mesh as it stands there: its gateways, probes, waypoints, grants and configuration."""

from __future__ import annotations

from gitmesh.codes.code import Code

MESHES: tuple[Code, ...] = (
    Code(
        code="GM315",
        name="DoubtfulGateway",
        severity="warning",
        summary=(
            "A workload calls itself a gateway, and nothing says that it is one, or it cannot be opened by"
            " labels of its own."
        ),
        cause=(
            "A default of Deny does not cover gateways, but a pod's label is no authority. Gateways are those"
            " in the namespaces of control planes, those that a programmed Gateway owns, and those that the"
            " VirtualMesh declares. One that is open already stays so, with an error."
        ),
        fix=(
            "Declare it: `gateways: [{namespaces: [istio-ingress]}]` in the VirtualMesh; or, where none is"
            " meant, declare the others."
        ),
        hint=(
            "Declare it in the VirtualMesh: gateways: [{namespaces: [NAMESPACE]}], with a label or"
            " ServiceAccount beside it."
        ),
    ),
    Code(
        code="GM316",
        name="ProbeRefused",
        severity="warning",
        summary="Probes of the kubelet are refused, so pods are never ready, or restart for ever.",
        cause=(
            "The kubelet shows no identity and speaks no mTLS. Its probes come to the proxies as they are"
            " where the mesh's injector was told not to rewrite them."
        ),
        fix=(
            "Let the injector rewrite them and restart the pods (Istio: not the annotation"
            " sidecar.istio.io/rewriteAppHTTPProbers: 'false'), probe by exec, or admit them on a port and"
            " path of their own."
        ),
        hint=(
            "Let the mesh rewrite the probes: remove the pods' annotation"
            " sidecar.istio.io/rewriteAppHTTPProbers: 'false', or set it to 'true' where the injector's own"
            " settings leave probes as they are; or probe by exec."
        ),
    ),
    Code(
        code="GM317",
        name="NoWaypoint",
        severity="error",
        summary=(
            "What the policy asks for needs a waypoint, and requests for the destination go through none."
        ),
        cause=(
            "In Istio's ambient mode a node's proxy sees connections, no requests: routes, and access by"
            " path, method, host or header, are for a waypoint. Access is closed to what it alone could tell."
            " Requests for a headless Service go through none: its clients call pods by their addresses."
        ),
        fix=(
            "Bind the Service or its namespace: a Gateway of class istio-waypoint, and the label"
            " istio.io/use-waypoint (`istioctl waypoint apply --enroll-namespace -n NAMESPACE` makes both);"
            " give a headless Service an address. Or ask for what connections show."
        ),
    ),
    Code(
        code="GM318",
        name="PastWaypoint",
        severity="error",
        summary="Requests come to pods past the waypoint that decides about them.",
        cause=(
            "Proxies of pods, gateways that are not told to, and the waypoints of other Services send to pods"
            " directly. What only the waypoint of the destination could allow is refused there. A warning"
            " where a route leads to pods with a decision of their own, and where callers in no mesh may be"
            " meant, who come directly as well: they get less than the policy says, never more. A waypoint"
            " that also takes what is for the addresses of pods (istio.io/waypoint-for: all or workload) asks"
            " no policy for a Service there, and pods see its identity on both ways, so they let it in on"
            " neither."
        ),
        fix=(
            "Bring the clients into ambient, set istio.io/ingress-use-waypoint on the Service for gateways,"
            " or grant without paths, methods, hosts and headers. Set istio.io/waypoint-for: service on the"
            " waypoint, or istio.io/use-waypoint: none on the pods."
        ),
    ),
    Code(
        code="GM319",
        name="NeedsGrant",
        severity="error",
        summary="A route of the Gateway API names a Service of another namespace, and may not.",
        cause=(
            "The mesh takes such a route only by leave of that namespace, a ReferenceGrant, a kind that the"
            " cluster does not serve. Without one the share that goes there is answered 500, so the route is"
            " held."
        ),
        fix=(
            "Install the CRD of ReferenceGrant (Gateway API, standard channel), or route to Services of the"
            " destination's own namespace."
        ),
    ),
    Code(
        code="GM320",
        name="NeedsMeshConfig",
        severity="error",
        summary="A setting of the mesh itself stands in the way.",
        cause=(
            "Where MeshConfig switches automatic mTLS off, clients use TLS only as a DestinationRule says."
            " Ours stands before those of others, and cannot take over certificates that they name."
        ),
        fix="Set `tls` in a TrafficPolicy for the destination, or switch enableAutoMtls on.",
    ),
    Code(
        code="GM324",
        name="GrantOpened",
        severity="warning",
        summary="A ReferenceGrant of ours opens a Service to the routes of another namespace.",
        cause=(
            "A policy leads requests there, and the mesh asks for the leave of the Service's namespace."
            " A grant names a namespace, no route: everybody who may write routes in it may lead"
            " requests to the Service, those that come by a gateway included. Who may call its pods is still"
            " decided at them, where the mesh can: a gateway is then the caller."
        ),
        fix=(
            "Look at who may write HTTPRoutes and GRPCRoutes in that namespace; or route to Services of the"
            " destination's own namespace. The grant goes when no route of ours needs it any more."
        ),
    ),
    Code(
        code="GM325",
        name="HttpRouteOnGrpc",
        severity="warning",
        summary="A port of gRPC has an HTTPRoute, as a GRPCRoute cannot say what the policy asks for.",
        cause=(
            "GRPCRoutes have services, methods, headers, splits and mirrors; no timeouts, retries, rewrites"
            " or other paths. A port has routes of one kind. Meshes that proxy HTTP follow HTTPRoutes on"
            " ports of gRPC, too; gRPC clients without a proxy may not."
        ),
        fix=(
            "Ask for what a GRPCRoute can say: path.prefix /SERVICE or path.exact /SERVICE/METHOD, headers,"
            " split, mirror. Or accept it, where the clients have proxies."
        ),
    ),
    Code(
        code="GM326",
        name="NotFollowed",
        severity="warning",
        summary="Clients in one mesh do not follow what is decided for a destination in another.",
        cause=(
            "Nothing tells which pods a mesh of the Gateway API serves, so it is presumed of those that no"
            " other mesh knows, and destinations of other meshes are not its own: what policies say of them"
            " is written for the clients of these."
        ),
        fix="Bring the clients into the destination's mesh, or name the clients that are meant in `sources`.",
    ),
    Code(
        code="GM327",
        name="RefusedInTls",
        severity="warning",
        summary="Connections are refused in TLS, before any policy is asked who may call.",
        cause=(
            "With mTLS Strict, pods refuse clients that connect without the mesh's mTLS: an object that is"
            " not ours sets another mode of TLS for them (in Istio, a DestinationRule), or the mesh does not"
            " choose mTLS by itself (enableAutoMtls is off). And whatever the mode, proxies take identities"
            " of their own trust domain and its aliases alone, so that an Allow of others admits nobody."
        ),
        fix=(
            "Change the object. Where it is for more hosts than this, or the mesh's settings do it: set `tls`"
            " of mode MeshMutual in a TrafficPolicy for the destination. Set the VirtualMesh to Permissive"
            " until then. For callers of another trust domain: give both"
            " meshes a common root of trust, and name theirs in trustDomainAliases of MeshConfig."
        ),
    ),
)
