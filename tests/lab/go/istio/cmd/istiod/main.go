// Command istiod is Istio's upstream control plane, built for the test lab.
package main

import (
	"os"

	hcm "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"

	"istio.io/istio/pilot/cmd/pilot-discovery/app"
	"istio.io/istio/pilot/pkg/xds/filters"
)

func main() {
	forUpstreamEnvoy()
	if err := app.NewRootCommand().Execute(); err != nil {
		os.Exit(1)
	}
}

// forUpstreamEnvoy takes from what a waypoint is sent the extensions that only Istio's own build of Envoy has. The callers'
// identities are kept in plain strings, as waypoints before 1.29.2 keep them; the two that tell peers' metadata, for telemetry
// only, make room for a filter that does nothing until a route asks for it by name.
func forUpstreamEnvoy() {
	filters.ConnectAuthorityFilter = filters.ConnectAuthorityFilterPre1_29_2
	filters.WaypointDownstreamMetadataFilter = idle("waypoint_downstream_peer_metadata")
	filters.WaypointUpstreamMetadataFilter = idle("waypoint_upstream_peer_metadata")
}

func idle(name string) *hcm.HttpFilter {
	return &hcm.HttpFilter{Name: name, ConfigType: filters.Cors.ConfigType}
}
