package main

import (
	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/protobuf/proto"
)

// change applies the resources of an answer to those that were known.
func change[T proto.Message](known *map[string]T, answer *discovery.DeltaDiscoveryResponse, anew bool, empty func() T) error {
	if anew || *known == nil {
		*known = map[string]T{}
	}
	for _, gone := range answer.RemovedResources {
		delete(*known, gone)
	}
	for _, one := range answer.Resources {
		made := empty()
		if err := one.Resource.UnmarshalTo(made); err != nil {
			return err
		}
		(*known)[one.Name] = made
	}
	return nil
}
