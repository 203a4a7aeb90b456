package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"

	"golang.org/x/net/http2"
	"istio.io/istio/pkg/workloadapi"
)

const (
	hbonePort = 15008
	attempts  = 3
)

// carrier carries the connections of one pod.
type carrier struct {
	mine    pod
	secure  *tls.Config
	told    *told
	tunnel  *http2.Transport
	serving *http2.Server
	open    standing
}

func newCarrier(mine pod, own tls.Certificate, roots *x509.CertPool) *carrier {
	made := &carrier{mine: mine, secure: secured(own, roots), told: &told{}, serving: &http2.Server{}}
	made.tunnel = &http2.Transport{DialTLSContext: made.dial}
	return made
}

// accept takes connections of a port, each on its own.
func (c *carrier) accept(address string, take func(net.Conn)) {
	listener := must(net.Listen("tcp4", address))
	for {
		connection := must(listener.Accept())
		go take(connection)
	}
}

// inbound is a connection that came without a tunnel: nobody has said who calls.
func (c *carrier) inbound(near net.Conn) {
	to, err := meantFor(near)
	from := caller{address: addressOf(near)}
	if err != nil || !c.admitted(from, to) {
		note(err)
		refuse(near)
		return
	}
	far, err := net.Dial("tcp4", local(to))
	if err != nil {
		refuse(near)
		return
	}
	defer c.hold(&admission{from, to, func() { refuse(near) }})()
	splice(near, far)
}

// tunnels is a connection that others tunnel through; each of the tunnels is judged by itself.
func (c *carrier) tunnels(raw net.Conn) {
	secure := tls.Server(raw, c.secure)
	defer secure.Close()
	if err := secure.HandshakeContext(context.Background()); err != nil {
		note(err)
		return
	}
	state := secure.ConnectionState()
	who, err := peer(&state, addressOf(raw))
	if err == nil && !strings.HasPrefix(who.principal, c.mine.trustDomain+"/") {
		// As Istio's does, whoever has signed it (src/tls/workload.rs, TrustDomainVerifier).
		err = fmt.Errorf("%s is of another trust domain", who.principal)
	}
	if err != nil {
		note(err)
		return
	}
	c.serving.ServeConn(secure, &http2.ServeConnOpts{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		to, err := netip.ParseAddrPort(r.Host)
		switch {
		case err != nil || r.Method != http.MethodConnect || to.Addr() != c.mine.address:
			w.WriteHeader(http.StatusBadRequest)
		case !c.admitted(who, to):
			w.WriteHeader(http.StatusUnauthorized)
		default:
			c.join(w, r, who, to)
		}
	})})
}

// admitted asks what istiod has told of this pod; of one that it does not know nothing is admitted.
func (c *carrier) admitted(from caller, to netip.AddrPort) bool {
	own := c.told.workloadAt(c.mine.address)
	return own != nil && c.told.admits(from, own, to)
}

// hold keeps a connection among those that are judged again; what was told since it was admitted, too.
func (c *carrier) hold(one *admission) func() {
	end := c.open.add(one)
	if !c.admitted(one.from, one.to) {
		one.close()
	}
	return end
}

// join passes a tunnel on to the pod's application.
func (c *carrier) join(w http.ResponseWriter, r *http.Request, from caller, to netip.AddrPort) {
	far, err := net.Dial("tcp4", local(to))
	if err != nil {
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	defer far.Close()
	defer c.hold(&admission{from, to, func() { _ = far.Close() }})()
	w.WriteHeader(http.StatusOK)
	flushed := flushing{w, http.NewResponseController(w)}
	_ = flushed.control.Flush()
	go func() {
		_, _ = io.Copy(far, r.Body)
		closeWrite(far)
	}()
	_, _ = io.Copy(flushed, far)
}

// outbound is a connection of the pod's application: to a Service by its waypoint where it has one, else to a pod of it.
func (c *carrier) outbound(near net.Conn) {
	to, err := meantFor(near)
	if err != nil {
		refuse(near)
		return
	}
	target, via := to, netip.AddrPort{}
	if service := c.told.serviceAt(to.Addr()); service != nil {
		if service.Waypoint != nil {
			via = c.gateway(service.Waypoint)
		} else if found, ok := c.told.endpoint(service, uint32(to.Port())); ok {
			target = found
		} else {
			refuse(near)
			return
		}
	}
	if via.IsValid() {
		c.through(near, via, target)
		return
	}
	pod := c.told.workloadAt(target.Addr())
	if pod != nil && pod.TunnelProtocol == workloadapi.TunnelProtocol_HBONE {
		c.through(near, netip.AddrPortFrom(target.Addr(), hbonePort), target)
		return
	}
	far, err := net.Dial("tcp4", target.String())
	if err != nil {
		refuse(near)
		return
	}
	splice(near, far)
}

// gateway is where a waypoint takes tunnels; a port of 0 where none of its pods is there.
func (c *carrier) gateway(waypoint *workloadapi.GatewayAddress) netip.AddrPort {
	port := waypoint.HboneMtlsPort
	if named := waypoint.GetHostname(); named != nil {
		if service := c.told.serviceNamed(named.Namespace, named.Hostname); service != nil {
			if found, ok := c.told.endpoint(service, port); ok {
				return found
			}
		}
		return netip.AddrPortFrom(netip.IPv4Unspecified(), 0)
	}
	address, _ := netip.AddrFromSlice(waypoint.GetAddress().GetAddress())
	if service := c.told.serviceAt(address); service != nil {
		if found, ok := c.told.endpoint(service, port); ok {
			return found
		}
	}
	return netip.AddrPortFrom(address, uint16(port))
}

// through opens a tunnel and joins the connection with it. One that was closed under its opening is tried again: nothing of the
// connection has been read until then.
func (c *carrier) through(near net.Conn, via, target netip.AddrPort) {
	for attempt := 1; ; attempt++ {
		reading, writing := io.Pipe()
		request := &http.Request{
			Method: http.MethodConnect, Host: target.String(), Body: reading, Header: http.Header{},
			URL: &url.URL{Scheme: "https", Host: via.String()},
		}
		response, err := c.tunnel.RoundTrip(request)
		if err != nil && attempt < attempts {
			continue
		}
		if err != nil || response.StatusCode != http.StatusOK {
			note(err)
			refuse(near)
			return
		}
		go func() {
			_, _ = io.Copy(writing, near)
			_ = writing.Close()
		}()
		_, err = io.Copy(near, response.Body)
		_ = response.Body.Close()
		if err != nil {
			refuse(near)
		} else {
			_ = near.Close()
		}
		return
	}
}

// dial connects to the other end of tunnels, which must be the pod that istiod knows at that address.
func (c *carrier) dial(ctx context.Context, network, address string, _ *tls.Config) (net.Conn, error) {
	raw, err := (&net.Dialer{}).DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	secure := tls.Client(raw, c.secure)
	if err := secure.HandshakeContext(ctx); err != nil {
		_ = raw.Close()
		return nil, err
	}
	at := must(netip.ParseAddrPort(address)).Addr()
	state, pod := secure.ConnectionState(), c.told.workloadAt(at)
	found, err := peer(&state, at)
	if err == nil && (pod == nil || found.namespace != pod.Namespace || found.account != pod.ServiceAccount) {
		err = fmt.Errorf("%s at %s is not who istiod says is there", found.principal, at)
	}
	if err != nil {
		_ = secure.Close()
		return nil, err
	}
	return secure, nil
}

func note(err error) {
	if err != nil {
		log.Print(err)
	}
}
