package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
)

// hbone is what the far end of a tunnel speaks (HTTP/2 below mutual TLS).
const hbone = "h2"

// connect opens what a request is sent on: a plain connection; one that shows a certificate; or a tunnel through somebody who
// carries it on, by whom the identity is seen.
func connect(ctx context.Context, address string, by identity) (net.Conn, error) {
	var plain net.Dialer
	if by.Principal == "" {
		return plain.DialContext(ctx, "tcp4", address)
	}
	own, err := certificate(by.CA, by.Principal)
	if err != nil {
		return nil, err
	}
	protocol, at := by.Protocol, address
	if by.Tunnel != "" {
		protocol, at = hbone, by.Tunnel
	}
	// Who answers is known by the address: the names in these certificates are identities and no hosts.
	secure := &tls.Config{Certificates: []tls.Certificate{own}, NextProtos: []string{protocol}, InsecureSkipVerify: true}
	made, err := (&tls.Dialer{Config: secure}).DialContext(ctx, "tcp4", at)
	if err != nil || by.Tunnel == "" {
		return made, err
	}
	return through(ctx, made, address)
}

// tunnel is the inside of a CONNECT. What it is above has the deadlines.
type tunnel struct {
	net.Conn
	in  io.ReadCloser
	out *io.PipeWriter
}

func (t tunnel) Read(to []byte) (int, error)    { return t.in.Read(to) }
func (t tunnel) Write(from []byte) (int, error) { return t.out.Write(from) }
func (t tunnel) Close() error {
	return errors.Join(t.out.Close(), t.in.Close(), t.Conn.Close())
}

// errRefused is the answer of the far end to a CONNECT that it does not carry on.
type errRefused int

func (e errRefused) Error() string { return fmt.Sprintf("tunnel %d", int(e)) }

func through(ctx context.Context, secure net.Conn, address string) (net.Conn, error) {
	only := &http.Transport{
		ForceAttemptHTTP2: true,
		DialTLSContext:    func(context.Context, string, string) (net.Conn, error) { return secure, nil },
	}
	reading, writing := io.Pipe()
	made := &http.Request{
		Method: http.MethodConnect, Host: address, Body: reading, Header: http.Header{},
		URL: &url.URL{Scheme: "https", Host: address},
	}
	response, err := only.RoundTrip(made.WithContext(ctx))
	if err == nil && response.StatusCode != http.StatusOK {
		err = errRefused(response.StatusCode)
	}
	if err != nil {
		return nil, errors.Join(err, secure.Close())
	}
	return tunnel{secure, response.Body, writing}, nil
}
