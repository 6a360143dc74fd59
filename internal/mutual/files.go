package mutual

import (
	"context"
	"crypto/tls"
	"log/slog"
	"sync"
	"time"

	"github.com/walnutkv/walnut/internal/stamps"
)

// Files names PEM files.
type Files struct {
	Cert      string // The end's certificate, those between it and the authority after it.
	Key       string // Its private key.
	Authority string // The authority's certificates; empty for a server whose callers need none.
}

func (f Files) names() []string {
	if f.Authority == "" {
		return []string{f.Cert, f.Key}
	}
	return []string{f.Cert, f.Key, f.Authority}
}

const (
	filesChecked  = time.Second // How often the files are looked at, at most.
	expiryChecked = time.Minute // How often the certificate's end is looked at.
	expiryWarned  = time.Hour   // How often that is logged, at most.
)

// Certificates are what files hold, which are read again after they have changed. Where they have changed and can't be used, what they held
// before stays in use. It may be used concurrently.
type Certificates struct {
	files Files
	log   *slog.Logger

	mu      sync.Mutex
	checked time.Time
	read    stamps.Stamps // Of the files that were read last.
	held    Keys
}

// Open reads the files.
func Open(files Files, log *slog.Logger) (*Certificates, error) {
	c := &Certificates{files: files, log: log}
	return c, c.readChanged()
}

// readChanged reads the files, if they are others than those read last.
func (c *Certificates) readChanged() error {
	c.checked = time.Now()
	found, err := stamps.Of(c.files.names()...)
	if err != nil || found.Equal(c.read) {
		return err
	}
	held, err := Load(c.files)
	if err != nil {
		return err
	}
	c.read, c.held = found, held
	return nil
}

// Current returns what the files hold, or held when they could last be used.
func (c *Certificates) Current() Keys {
	c.mu.Lock()
	defer c.mu.Unlock()
	if time.Since(c.checked) >= filesChecked {
		if err := c.readChanged(); err != nil {
			c.log.Warn("certificates can't be read again; the old ones stay in use", "error", err)
		}
	}
	return c.held
}

// Watch warns of a certificate that is about to expire until ctx is done. Connections that are open don't notice, so that the first restart
// would.
func (c *Certificates) Watch(ctx context.Context) {
	var warned time.Time
	for {
		if left, late := c.expires(time.Now()); late && (warned.IsZero() || time.Since(warned) >= expiryWarned) {
			warned = time.Now()
			c.log.Warn("the certificate expires soon, or has; then no connection can be made",
				"file", c.files.Cert, "left", left.Round(time.Minute))
		}
		select {
		case <-time.After(expiryChecked):
		case <-ctx.Done():
			return
		}
	}
}

// expires returns how long the certificate is valid still, and whether that is less than a tenth of its life.
func (c *Certificates) expires(now time.Time) (left time.Duration, late bool) {
	leaf := c.Current().Own.Leaf
	left = leaf.NotAfter.Sub(now)
	return left, left < leaf.NotAfter.Sub(leaf.NotBefore)/10
}

// Server returns the configuration of an end that is called, which takes no older version of TLS than that given.
func (c *Certificates) Server(callers tls.ClientAuthType, oldest uint16) *tls.Config {
	return &tls.Config{
		MinVersion: oldest,
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
			conf := c.Current().Server(callers)
			conf.MinVersion = oldest
			return conf, nil
		},
	}
}

// Client returns the configuration of an end that calls.
func (c *Certificates) Client() *tls.Config { return c.Current().Client() }
