package main

import (
	"io"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// meantFor is where a connection was going before it was redirected (netfilter's SO_ORIGINAL_DST).
func meantFor(connection net.Conn) (netip.AddrPort, error) {
	raw, err := connection.(syscall.Conn).SyscallConn()
	if err != nil {
		return netip.AddrPort{}, err
	}
	var found *unix.IPv6Mreq
	var failed error
	// The 16 bytes of a sockaddr_in fit into this structure of the same size, which the package can ask for.
	err = raw.Control(func(fd uintptr) {
		found, failed = unix.GetsockoptIPv6Mreq(int(fd), unix.SOL_IP, unix.SO_ORIGINAL_DST)
	})
	if err == nil {
		err = failed
	}
	if err != nil {
		return netip.AddrPort{}, err
	}
	bytes := found.Multiaddr
	address := netip.AddrFrom4([4]byte{bytes[4], bytes[5], bytes[6], bytes[7]})
	return netip.AddrPortFrom(address, uint16(bytes[2])<<8|uint16(bytes[3])), nil
}

func addressOf(connection net.Conn) netip.Addr {
	return must(netip.ParseAddrPort(connection.RemoteAddr().String())).Addr().Unmap()
}

// local is the pod's own application, which is not redirected on the loopback.
func local(to netip.AddrPort) string {
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(int(to.Port())))
}

// refuse closes a connection by RST, so that its other end knows that nobody took it.
func refuse(connection net.Conn) {
	if tcp, ok := connection.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = connection.Close()
}

// splice copies both ways until both ends are closed.
func splice(near, far net.Conn) {
	defer near.Close()
	defer far.Close()
	done := make(chan struct{})
	go func() {
		_, _ = io.Copy(far, near)
		closeWrite(far)
		close(done)
	}()
	_, _ = io.Copy(near, far)
	closeWrite(near)
	<-done
}

func closeWrite(connection net.Conn) {
	if half, ok := connection.(interface{ CloseWrite() error }); ok {
		_ = half.CloseWrite()
	}
}

// flushing sends what is written at once: who waits at the other end of a tunnel waits for these bytes.
type flushing struct {
	w       http.ResponseWriter
	control *http.ResponseController
}

func (f flushing) Write(bytes []byte) (int, error) {
	n, err := f.w.Write(bytes)
	if err == nil {
		err = f.control.Flush()
	}
	return n, err
}
