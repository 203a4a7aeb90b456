// Command ztunnel takes the place of Istio's ztunnel, which is in no package index, in a pod of the test lab: it carries the
// pod's connections over HBONE, and admits those that come by what istiod tells ztunnels. It knows L4 and nothing else: who
// calls, from where, and which port.
//
// The pod's TCP is redirected to it as to a sidecar: what leaves comes to 15001, what arrives without a tunnel to 15006.
package main

import (
	"crypto/tls"
	"crypto/x509"
	"flag"
	"log"
	"net/netip"
	"os"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
)

// pod is the one that this process carries connections of, as istiod knows it.
type pod struct {
	name, namespace, account, trustDomain, cluster, node string
	address                                              netip.Addr
}

func main() {
	mine := pod{}
	flag.StringVar(&mine.name, "name", "", "name of the pod")
	flag.StringVar(&mine.namespace, "namespace", "", "its namespace")
	flag.StringVar(&mine.account, "service-account", "", "its ServiceAccount")
	flag.StringVar(&mine.trustDomain, "trust-domain", "cluster.local", "of the mesh")
	flag.StringVar(&mine.cluster, "cluster", "", "as istiod names it")
	flag.StringVar(&mine.node, "node", "", "where the pod runs")
	address := flag.String("address", "", "of the pod")
	istiod := flag.String("istiod", "localhost:15012", "where xDS and the CA answer")
	root := flag.String("root", "", "file with istiod's certificate")
	token := flag.String("token", "", "file with the ServiceAccount's token for istiod")
	flag.Parse()
	mine.address = must(netip.ParseAddr(*address))
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(must(os.ReadFile(*root)))
	host, _, _ := strings.Cut(*istiod, ":")
	secure := credentials.NewTLS(&tls.Config{RootCAs: roots, ServerName: host, MinVersion: tls.VersionTLS12})
	connection := must(grpc.NewClient(*istiod, grpc.WithTransportCredentials(secure)))
	bearer := "Bearer " + strings.TrimSpace(string(must(os.ReadFile(*token))))

	carrier := newCarrier(mine, must(certificate(connection, bearer, mine)), roots)
	review := func() { carrier.open.review(carrier.admitted) }
	follow(connection, bearer, mine, carrier.told, review, func() {
		log.Print("ready")
		go carrier.accept(":15001", carrier.outbound)
		go carrier.accept(":15006", carrier.inbound)
		go carrier.accept(":15008", carrier.tunnels)
	})
}

func must[T any](value T, err error) T {
	if err != nil {
		log.Fatal(err)
	}
	return value
}
