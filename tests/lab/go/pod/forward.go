package main

import (
	"io"
	"net"
)

// forward copies every connection of a listener to another address, both ways, until both ends are closed.
func forward(listener net.Listener, network, address string) error {
	for {
		near, err := listener.Accept()
		if err != nil {
			return err
		}
		go func() {
			defer near.Close()
			far, err := net.Dial(network, address)
			if err != nil {
				return
			}
			defer far.Close()
			done := make(chan struct{})
			go func() {
				pipe(far, near)
				close(done)
			}()
			pipe(near, far)
			<-done
		}()
	}
}

// pipe copies until the source ends, and passes that end on.
func pipe(to, from net.Conn) {
	_, _ = io.Copy(to, from)
	if half, ok := to.(interface{ CloseWrite() error }); ok {
		_ = half.CloseWrite()
	}
}
