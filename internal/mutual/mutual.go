// Package mutual has the TLS by which both ends of a connection prove themselves with certificates of one authority, which certifies
// nothing but such ends. Names in certificates don't count.
package mutual

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
)

// Keys are what an end needs.
type Keys struct {
	Own  tls.Certificate
	Pool *x509.CertPool // The authority's certificates. Without an authority it is empty, so that no other end is believed.
}

// Load reads the files.
func Load(files Files) (Keys, error) {
	own, err := tls.LoadX509KeyPair(files.Cert, files.Key)
	if err != nil {
		return Keys{}, err
	}
	pool := x509.NewCertPool()
	if files.Authority == "" {
		return Keys{own, pool}, nil
	}
	text, err := os.ReadFile(files.Authority)
	if err != nil {
		return Keys{}, err
	}
	if !pool.AppendCertsFromPEM(text) {
		return Keys{}, fmt.Errorf("%s holds no certificate", files.Authority)
	}
	return Keys{own, pool}, nil
}

// Server returns the configuration of an end that is called. Sessions aren't resumed: each connection is proved by what counts now.
func (k Keys) Server(callers tls.ClientAuthType) *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{k.Own}, ClientCAs: k.Pool, ClientAuth: callers,
		SessionTicketsDisabled: true,
	}
}

// Client returns the configuration of an end that calls. It checks the other's certificate by the authority alone.
func (k Keys) Client() *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{k.Own}, InsecureSkipVerify: true,
		VerifyConnection: func(state tls.ConnectionState) error {
			if len(state.PeerCertificates) == 0 {
				return errors.New("no certificate")
			}
			between := x509.NewCertPool()
			for _, one := range state.PeerCertificates[1:] {
				between.AddCert(one)
			}
			_, err := state.PeerCertificates[0].Verify(x509.VerifyOptions{
				Roots: k.Pool, Intermediates: between, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
			})
			return err
		},
	}
}
