package main

import (
	"context"
	"log"
	"math/rand/v2"
	"net/netip"
	"slices"
	"sync"
	"time"

	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/types/known/structpb"
	"istio.io/istio/pkg/workloadapi"
	"istio.io/istio/pkg/workloadapi/security"
)

const (
	addresses      = "type.googleapis.com/istio.workload.Address"
	authorizations = "type.googleapis.com/istio.security.Authorization"
	again          = 100 * time.Millisecond
)

// told is what istiod says of the whole mesh: workloads and Services by their names, and who may call whom.
type told struct {
	mu       sync.RWMutex
	places   map[string]*workloadapi.Address
	policies map[string]*security.Authorization
}

// take applies one answer; anew where it is the first one of a stream, which tells everything there is.
func (t *told) take(answer *discovery.DeltaDiscoveryResponse, anew bool) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if answer.TypeUrl == addresses {
		return change(&t.places, answer, anew, func() *workloadapi.Address { return &workloadapi.Address{} })
	}
	return change(&t.policies, answer, anew, func() *security.Authorization { return &security.Authorization{} })
}

// workloadAt is the pod that has an address.
func (t *told) workloadAt(address netip.Addr) *workloadapi.Workload {
	t.mu.RLock()
	defer t.mu.RUnlock()
	for _, one := range t.places {
		if found := one.GetWorkload(); found != nil && slices.ContainsFunc(found.Addresses, is(address)) {
			return found
		}
	}
	return nil
}

// serviceAt is the Service that has an address.
func (t *told) serviceAt(address netip.Addr) *workloadapi.Service {
	t.mu.RLock()
	defer t.mu.RUnlock()
	for _, one := range t.places {
		has := func(at *workloadapi.NetworkAddress) bool { return is(address)(at.Address) }
		if found := one.GetService(); found != nil && slices.ContainsFunc(found.Addresses, has) {
			return found
		}
	}
	return nil
}

// serviceNamed is the Service of a namespace and a host name.
func (t *told) serviceNamed(namespace, hostname string) *workloadapi.Service {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.places[namespace+"/"+hostname].GetService()
}

// endpoint picks one of the healthy pods behind a Service's port, and the port of the pod.
func (t *told) endpoint(service *workloadapi.Service, port uint32) (netip.AddrPort, bool) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	name := service.Namespace + "/" + service.Hostname
	found := []netip.AddrPort{}
	for _, one := range t.places {
		behind := one.GetWorkload()
		if behind == nil || behind.Status != workloadapi.WorkloadStatus_HEALTHY {
			continue
		}
		for _, each := range behind.Services[name].GetPorts() {
			if address, ok := first(behind.Addresses); ok && each.ServicePort == port {
				found = append(found, netip.AddrPortFrom(address, uint16(each.TargetPort)))
			}
		}
	}
	if len(found) == 0 {
		return netip.AddrPort{}, false
	}
	return found[rand.IntN(len(found))], true
}

func is(address netip.Addr) func([]byte) bool {
	return func(bytes []byte) bool {
		found, ok := netip.AddrFromSlice(bytes)
		return ok && found.Unmap() == address.Unmap()
	}
}

func first(all [][]byte) (netip.Addr, bool) {
	if len(all) == 0 {
		return netip.Addr{}, false
	}
	return netip.AddrFromSlice(all[0])
}

// follow keeps what was told up to date for as long as the process lives; changed is called after every change, and before istiod
// hears that it was taken; ready once all of it is there.
func follow(istiod *grpc.ClientConn, bearer string, mine pod, what *told, changed, ready func()) {
	var begin sync.Once
	for {
		log.Print("xDS: ", listen(istiod, bearer, mine, what, func() {
			changed()
			begin.Do(ready)
		}))
		time.Sleep(again)
	}
}

// listen takes one stream to its end.
func listen(istiod *grpc.ClientConn, bearer string, mine pod, what *told, whole func()) error {
	ctx := metadata.AppendToOutgoingContext(context.Background(), "authorization", bearer)
	stream, err := discovery.NewAggregatedDiscoveryServiceClient(istiod).DeltaAggregatedResources(ctx, grpc.WaitForReady(true))
	if err != nil {
		return err
	}
	for _, each := range []string{addresses, authorizations} {
		ask := &discovery.DeltaDiscoveryRequest{Node: mine.asNode(), TypeUrl: each, ResourceNamesSubscribe: []string{"*"}}
		if err := stream.Send(ask); err != nil {
			return err
		}
	}
	seen := map[string]bool{}
	for {
		answer, err := stream.Recv()
		if err != nil {
			return err
		}
		if err := what.take(answer, !seen[answer.TypeUrl]); err != nil {
			return err
		}
		seen[answer.TypeUrl] = true
		if len(seen) == 2 {
			whole()
		}
		if err := stream.Send(&discovery.DeltaDiscoveryRequest{TypeUrl: answer.TypeUrl, ResponseNonce: answer.Nonce}); err != nil {
			return err
		}
	}
}

func (mine pod) asNode() *core.Node {
	values := map[string]any{
		"NAMESPACE": mine.namespace, "SERVICE_ACCOUNT": mine.account, "CLUSTER_ID": mine.cluster, "NODE_NAME": mine.node,
	}
	domain := mine.namespace + ".svc.cluster.local"
	return &core.Node{
		Id:       "ztunnel~" + mine.address.String() + "~" + mine.name + "." + mine.namespace + "~" + domain,
		Metadata: must(structpb.NewStruct(values)),
	}
}
