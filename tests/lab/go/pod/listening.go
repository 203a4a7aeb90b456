package main

import (
	"bufio"
	"encoding/json"
	"log"
	"net"
	"net/http"
)

// serve answers HTTP, of both versions on one port, and says who it is to whoever sends what is none.
func (a *application) serve(listener net.Listener) error {
	taken := &sorted{listener, make(chan net.Conn)}
	go func() {
		for {
			connection, err := listener.Accept()
			if err != nil {
				log.Fatal(err)
			}
			go taken.sort(connection, a)
		}
	}()
	protocols := &http.Protocols{}
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true)
	return (&http.Server{Handler: a, Protocols: protocols}).Serve(taken)
}

// sorted is a listener of the connections that speak HTTP.
type sorted struct {
	net.Listener
	http chan net.Conn
}

func (s *sorted) Accept() (net.Conn, error) { return <-s.http, nil }

func (s *sorted) sort(connection net.Conn, app *application) {
	read := bufio.NewReader(connection)
	first, err := read.Peek(1)
	if err != nil || first[0] != notHTTP[0] {
		s.http <- peeked{connection, read}
		return
	}
	defer connection.Close()
	_, _ = read.Discard(len(notHTTP))
	_ = json.NewEncoder(connection).Encode(seen{Pod: app.pod, ServiceAccount: app.serviceAccount, Headers: map[string]string{}})
}

// peeked is a connection of which the beginning was looked at.
type peeked struct {
	net.Conn
	read *bufio.Reader
}

func (p peeked) Read(to []byte) (int, error) { return p.read.Read(to) }
