// Command pod is what runs in a pod of the test lab beside its proxy: an HTTP application that says what it saw, a client that
// sends what it is told through a UNIX socket, and the way to the control plane out of the pod's network namespace.
//
//	pod -name P -service-account A -control SOCKET -ports 8080,9090 -forward 127.0.0.1:15012=SOCKET
//	pod -bridge SOCKET=127.0.0.1:15012      on the host: the other end of that way
package main

import (
	"flag"
	"log"
	"net"
	"strings"
)

func main() {
	name := flag.String("name", "", "name of the pod")
	account := flag.String("service-account", "", "its ServiceAccount")
	control := flag.String("control", "", "UNIX socket for commands")
	ports := flag.String("ports", "", "TCP ports of the application, with commas")
	way := flag.String("forward", "", "ADDRESS=SOCKET: pass connections on to a UNIX socket")
	bridge := flag.String("bridge", "", "SOCKET=ADDRESS: pass connections on to a TCP address, and do nothing else")
	flag.Parse()
	if *bridge != "" {
		socket, address, _ := strings.Cut(*bridge, "=")
		log.Fatal(forward(listen("unix", socket), "tcp", address))
	}
	app := &application{pod: *name, serviceAccount: *account, seen: map[string][]seen{}}
	for _, port := range strings.FieldsFunc(*ports, func(r rune) bool { return r == ',' }) {
		listener := listen("tcp4", ":"+port)
		go func() { log.Fatal(app.serve(listener)) }()
	}
	if address, socket, ok := strings.Cut(*way, "="); ok {
		listener := listen("tcp4", address)
		go func() { log.Fatal(forward(listener, "unix", socket)) }()
	}
	// Last, so that who can reach this socket knows that all the others are open.
	log.Fatal(serveControl(listen("unix", *control), app))
}

func listen(network, address string) net.Listener {
	listener, err := net.Listen(network, address)
	if err != nil {
		log.Fatal(err)
	}
	return listener
}
