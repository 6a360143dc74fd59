package cluster

import (
	"crypto/tls"
	"fmt"
	"log/slog"

	"github.com/walnutkv/walnut/internal/mutual"
)

// TLS names the files by which nodes know each other: PEM files, which are read again after they have changed, so that certificates can be
// renewed without a restart. Connections that are open go on. Each node must have a certificate of the authority, for both servers and
// clients. Names in certificates don't count: the authority must certify nothing but nodes.
type TLS struct {
	CertFile string // The node's certificate, those between it and the authority after it.
	KeyFile  string // Its private key.
	CAFile   string // The authority's certificates.
}

// openCertificates reads the files. Without any there are none: nil.
func openCertificates(files TLS, log *slog.Logger) (*mutual.Certificates, error) {
	if files == (TLS{}) {
		return nil, nil
	}
	if files.CAFile == "" {
		return nil, wrong("TLS", "has no CAFile")
	}
	c, err := mutual.Open(mutual.Files{Cert: files.CertFile, Key: files.KeyFile, Authority: files.CAFile}, log)
	if err != nil {
		return nil, fmt.Errorf("cluster: certificates: %w", err)
	}
	return c, nil
}

// ServerConfig returns the configuration of another server of the program, such as one for probes and operators. It proves itself with the
// node's certificate, and reads the files again after they have changed. A caller that shows a certificate must have one of the authority;
// the server has to look into the connection's VerifiedChains whether it did. Errors are ErrOption where no file is named, and those of
// reading the files.
func (t TLS) ServerConfig(log *slog.Logger) (*tls.Config, error) {
	if t == (TLS{}) {
		return nil, wrong("TLS", "is empty")
	}
	c, err := openCertificates(t, log)
	if err != nil {
		return nil, err
	}
	return c.Server(tls.VerifyClientCertIfGiven, tls.VersionTLS13), nil
}
