package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	ca "istio.io/api/security/v1alpha1"
)

const (
	spiffe        = "spiffe://"
	validSeconds  = 24 * 3600
	signingPeriod = 30 * time.Second
)

// caller is who is at the other end of a connection: without a principal nobody has said who it is.
type caller struct {
	principal, namespace, account string
	address                       netip.Addr
}

// certificate asks istiod's CA for one of the pod's ServiceAccount, whose token is the proof.
func certificate(istiod *grpc.ClientConn, bearer string, mine pod) (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	name := &url.URL{Scheme: "spiffe", Host: mine.trustDomain, Path: "/ns/" + mine.namespace + "/sa/" + mine.account}
	request, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{URIs: []*url.URL{name}}, key)
	if err != nil {
		return tls.Certificate{}, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), signingPeriod)
	defer cancel()
	signed, err := ca.NewIstioCertificateServiceClient(istiod).CreateCertificate(
		metadata.AppendToOutgoingContext(ctx, "authorization", bearer),
		&ca.IstioCertificateRequest{
			Csr:              string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: request})),
			ValidityDuration: validSeconds,
		},
		grpc.WaitForReady(true),
	)
	if err != nil {
		return tls.Certificate{}, err
	}
	made := tls.Certificate{PrivateKey: key}
	for rest := []byte(strings.Join(signed.CertChain, "\n")); ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		made.Certificate = append(made.Certificate, block.Bytes)
	}
	return made, nil
}

// secured is the TLS of both ends: each shows a certificate of istiod's CA, whose names are identities and no hosts.
func secured(own tls.Certificate, roots *x509.CertPool) *tls.Config {
	return &tls.Config{
		Certificates:       []tls.Certificate{own},
		ClientCAs:          roots,
		ClientAuth:         tls.RequireAndVerifyClientCert,
		InsecureSkipVerify: true, // the chain is looked at below, which by itself would also ask for a host's name
		NextProtos:         []string{"h2"},
		MinVersion:         tls.VersionTLS12,
		VerifyConnection: func(state tls.ConnectionState) error {
			between := x509.NewCertPool()
			for _, one := range state.PeerCertificates[1:] {
				between.AddCert(one)
			}
			usages := []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
			_, err := state.PeerCertificates[0].Verify(x509.VerifyOptions{Roots: roots, Intermediates: between, KeyUsages: usages})
			return err
		},
	}
}

// peer is the identity that the other end of a TLS connection has shown.
func peer(state *tls.ConnectionState, address netip.Addr) (caller, error) {
	if len(state.PeerCertificates) == 0 || len(state.PeerCertificates[0].URIs) != 1 {
		return caller{}, errors.New("no identity in the certificate")
	}
	name := state.PeerCertificates[0].URIs[0]
	parts := strings.Split(name.Path, "/")
	if name.Scheme != "spiffe" || len(parts) != 5 || parts[1] != "ns" || parts[3] != "sa" {
		return caller{}, errors.New("not an identity of Istio: " + name.String())
	}
	return caller{
		principal: strings.TrimPrefix(name.String(), spiffe), namespace: parts[2], account: parts[4], address: address,
	}, nil
}
