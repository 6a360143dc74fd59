package cluster

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

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

const (
	certificatesChecked = time.Second // How often the files are looked at, at most.
	expiryChecked       = time.Minute // How often the certificate's end is looked at.
	expiryWarned        = time.Hour   // How often that is logged, at most.
)

// certificates are what the files hold. Where they have changed and can't be used, what they held before stays in use.
type certificates struct {
	files TLS
	log   *slog.Logger

	mu      sync.Mutex
	checked time.Time
	stamps  [3]stamp // Of the files that were read last.
	held    mutual.Keys
}

// stamp says which version of a file it is.
type stamp struct {
	size    int64
	changed time.Time
}

// openCertificates reads the files. Without any there are none: nil.
func openCertificates(files TLS, log *slog.Logger) (*certificates, error) {
	if files == (TLS{}) {
		return nil, nil
	}
	c := &certificates{files: files, log: log}
	if err := c.read(); err != nil {
		return nil, fmt.Errorf("cluster: certificates: %w", err)
	}
	return c, nil
}

// read reads the files, if they are others than those read last.
func (c *certificates) read() error {
	var stamps [3]stamp
	for i, name := range []string{c.files.CertFile, c.files.KeyFile, c.files.CAFile} {
		info, err := os.Stat(name)
		if err != nil {
			return err
		}
		stamps[i] = stamp{info.Size(), info.ModTime()}
	}
	c.checked = time.Now()
	if stamps == c.stamps {
		return nil
	}
	held, err := mutual.Load(c.files.CertFile, c.files.KeyFile, c.files.CAFile)
	if err != nil {
		return err
	}
	c.stamps, c.held = stamps, held
	return nil
}

// current returns what the files hold, or held when they could last be used.
func (c *certificates) current() mutual.Keys {
	c.mu.Lock()
	defer c.mu.Unlock()
	if time.Since(c.checked) >= certificatesChecked {
		if err := c.read(); err != nil {
			c.checked = time.Now()
			c.log.Warn("certificates can't be read again; the old ones stay in use", "error", err)
		}
	}
	return c.held
}

// watch warns of a certificate that is about to expire until ctx is done. Nodes that are connected don't notice, so that the first restart would.
func (c *certificates) watch(ctx context.Context) {
	var warned time.Time
	for {
		if left, late := c.expires(time.Now()); late && (warned.IsZero() || time.Since(warned) >= expiryWarned) {
			warned = time.Now()
			c.log.Warn("the node's certificate expires soon, or has; then no connection can be made",
				"file", c.files.CertFile, "left", left.Round(time.Minute))
		}
		select {
		case <-time.After(expiryChecked):
		case <-ctx.Done():
			return
		}
	}
}

// expires returns how long the certificate is valid still, and whether that is less than a tenth of its life.
func (c *certificates) expires(now time.Time) (left time.Duration, late bool) {
	leaf := c.current().Own.Leaf
	left = leaf.NotAfter.Sub(now)
	return left, left < leaf.NotAfter.Sub(leaf.NotBefore)/10
}

// server returns the configuration of an end that is called.
func (c *certificates) server(callers tls.ClientAuthType) *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS13,
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
			return c.current().Server(callers), nil
		},
	}
}

// client returns the configuration of an end that calls. The handshake of the nodes says which node the other end is.
func (c *certificates) client() *tls.Config { return c.current().Client() }

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
	return c.server(tls.VerifyClientCertIfGiven), nil
}
