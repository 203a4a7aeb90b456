package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"math/big"
	"net/url"
	"path/filepath"
	"sync"
	"time"
)

const signedFor = 24 * time.Hour

// shown are the certificates that were made so far, by CA and principal.
var shown sync.Map

// certificate is one of a principal (TRUST_DOMAIN/ns/NAMESPACE/sa/ACCOUNT), signed by the CA in a folder.
func certificate(ca, principal string) (tls.Certificate, error) {
	type who struct{ ca, principal string }
	if known, ok := shown.Load(who{ca, principal}); ok {
		return known.(tls.Certificate), nil
	}
	made, err := sign(ca, principal)
	if err == nil {
		shown.Store(who{ca, principal}, made)
	}
	return made, err
}

func sign(ca, principal string) (tls.Certificate, error) {
	issuer, err := tls.LoadX509KeyPair(filepath.Join(ca, "ca-cert.pem"), filepath.Join(ca, "ca-key.pem"))
	if err != nil {
		return tls.Certificate{}, err
	}
	name, err := url.Parse("spiffe://" + principal)
	if err != nil {
		return tls.Certificate{}, err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	wanted := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()),
		URIs:         []*url.URL{name},
		NotBefore:    time.Now().Add(-signedFor),
		NotAfter:     time.Now().Add(signedFor),
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	signed, err := x509.CreateCertificate(rand.Reader, wanted, issuer.Leaf, key.Public(), issuer.PrivateKey)
	return tls.Certificate{Certificate: [][]byte{signed, issuer.Certificate[0]}, PrivateKey: key}, err
}
