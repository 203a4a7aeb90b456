package main

import (
	"net/netip"
	"sync"
)

// standing are the connections that were admitted and are still open: each is judged again when istiod tells something new.
type standing struct {
	mu   sync.Mutex
	open map[*admission]struct{}
}

type admission struct {
	from  caller
	to    netip.AddrPort
	close func()
}

// add keeps a connection until the function that it returns is called.
func (s *standing) add(one *admission) func() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.open == nil {
		s.open = map[*admission]struct{}{}
	}
	s.open[one] = struct{}{}
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.open, one)
	}
}

// review closes every connection that would not be admitted any more.
func (s *standing) review(admitted func(caller, netip.AddrPort) bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for one := range s.open {
		if !admitted(one.from, one.to) {
			one.close()
		}
	}
}
