// Command kubelet answers the API server's calls for `exec` in pods that are network namespaces of the test lab.
//
//	kubelet -port 10250 -pods FOLDER -programs FOLDER
//
// The file NAMESPACE_POD of the first folder holds the name of the pod's network namespace. A command without a slash is
// looked for in the second one, as in an image's PATH.
package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"flag"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"k8s.io/cri-streaming/pkg/streaming/remotecommand"
	utilexec "k8s.io/utils/exec"
)

type pods struct{ folder, programs string }

// ExecInContainer runs a command in the namespace of a pod; its end is the command's.
func (p pods) ExecInContainer(
	ctx context.Context, name, _, _ string, command []string, in io.Reader, out, errs io.WriteCloser,
	_ bool, _ <-chan remotecommand.TerminalSize, _ time.Duration,
) error {
	namespace, err := os.ReadFile(filepath.Join(p.folder, name))
	if err != nil {
		return fmt.Errorf("no pod %s: %w", name, err)
	}
	program := filepath.Join(p.programs, command[0])
	if _, err := os.Stat(program); err != nil || strings.Contains(command[0], "/") {
		program = command[0]
	}
	arguments := append([]string{"netns", "exec", string(namespace), program}, command[1:]...)
	running := utilexec.New().CommandContext(ctx, "ip", arguments...)
	if in != nil {
		running.SetStdin(in)
	}
	running.SetStdout(out)
	running.SetStderr(errs)
	return running.Run()
}

// ServeHTTP answers /exec/NAMESPACE/POD/CONTAINER.
func (p pods) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	parts := strings.Split(strings.Trim(r.URL.Path, "/"), "/")
	if len(parts) != 4 || parts[0] != "exec" {
		http.NotFound(w, r)
		return
	}
	options, err := remotecommand.NewOptions(r)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	command := r.URL.Query()["command"]
	if len(command) == 0 {
		http.Error(w, "no command", http.StatusBadRequest)
		return
	}
	remotecommand.ServeExec(
		w, r, p, parts[1]+"_"+parts[2], "", parts[3], command, options, time.Hour, 30*time.Second,
		remotecommand.SupportedStreamingProtocols,
	)
}

// certificate signs itself: an API server without --kubelet-certificate-authority does not look.
func certificate() tls.Certificate {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	check(err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(24 * time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	signed, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	check(err)
	return tls.Certificate{Certificate: [][]byte{signed}, PrivateKey: key}
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

func main() {
	port := flag.Int("port", 10250, "port on loopback")
	folder := flag.String("pods", "", "folder with a file for each pod")
	programs := flag.String("programs", "", "folder with the programs of the pods")
	flag.Parse()
	server := &http.Server{
		Addr:      fmt.Sprintf("127.0.0.1:%d", *port),
		Handler:   pods{*folder, *programs},
		TLSConfig: &tls.Config{Certificates: []tls.Certificate{certificate()}, MinVersion: tls.VersionTLS12},
		// Streams take over their connection, which HTTP/2 has no word for.
		TLSNextProto: map[string]func(*http.Server, *tls.Conn, http.Handler){},
	}
	check(server.ListenAndServeTLS("", ""))
}
