package cluster

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/walnutkv/walnut/internal/mutual"
)

// helloTimeout limits both handshakes of a caller.
const helloTimeout = 5 * time.Second

// port is the one TCP port of a node. Each connection that is accepted proves itself by TLS, says hello, and goes to the one that serves
// its purpose.
//
// Every open connection is in conns.
type port struct {
	listener net.Listener
	certs    *mutual.Certificates // Nil without TLS.
	cluster  [16]byte
	node     string // Its identity.
	address  string // What is advertised.
	log      *slog.Logger
	serving  sync.WaitGroup
	conns    connections
	greeting handshakes
	said     sayings // Of connections that were refused.

	mu    sync.Mutex
	serve map[purpose]func(net.Conn) // Each returns soon, or when its connection is closed. mu guards it.
}

// listen opens a port. Nothing is served before a purpose has a server.
func listen(o Options, id string) (*port, error) {
	certs, err := openCertificates(o.TLS, o.Logger)
	if err != nil {
		return nil, err
	}
	listener, err := net.Listen("tcp", o.Listen)
	if err != nil {
		return nil, fmt.Errorf("cluster: %w", err)
	}
	address := o.Advertise
	if address == "" {
		address = listener.Addr().String()
		if tcp, is := listener.Addr().(*net.TCPAddr); is && tcp.IP.IsUnspecified() {
			return nil, errors.Join(wrong("Advertise", "is empty, and %s is no address for other nodes", address), listener.Close())
		}
	}
	p := &port{
		listener: listener, certs: certs, cluster: clusterID(o.Cluster), node: id, address: address, log: o.Logger,
		serve: map[purpose]func(net.Conn){},
	}
	p.serving.Go(p.accept)
	return p, nil
}

// serveAs makes a function the server of a purpose; nil refuses connections for it.
func (p *port) serveAs(why purpose, serve func(net.Conn)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.serve[why] = serve
}

// accept accepts connections until the port is closed.
func (p *port) accept() {
	for pause := time.Millisecond; ; {
		conn, err := p.listener.Accept()
		switch {
		case errors.Is(err, net.ErrClosed):
			return
		case err != nil: // Too many open files, say.
			p.log.Warn("a connection can't be accepted", "node", p.node, "error", err)
			time.Sleep(pause)
			pause = min(2*pause, time.Second)
			continue
		}
		pause = time.Millisecond
		p.greeting.begin(conn)
		p.serving.Go(func() {
			held, serve, err := p.welcome(conn)
			p.greeting.end(conn)
			if err != nil {
				p.refused(conn.RemoteAddr(), err)
				return
			}
			serve(held)
		})
	}
}

// refused logs why a connection was refused: not more often than is worth reading, since the caller may try again at once.
func (p *port) refused(from net.Addr, why error) {
	host, _, _ := net.SplitHostPort(from.String())
	if p.said.again(host + " " + strings.ReplaceAll(why.Error(), from.String(), host)) {
		p.log.Warn("connection refused", "node", p.node, "from", from.String(), "error", why)
	}
}

// welcome does the handshakes with a caller.
func (p *port) welcome(conn net.Conn) (net.Conn, func(net.Conn), error) {
	if p.certs != nil {
		conn = tls.Server(conn, p.certs.Server(tls.RequireAndVerifyClientCert, tls.VersionTLS13))
	}
	held, err := p.conns.hold(conn)
	if err != nil {
		return nil, nil, err
	}
	_ = held.SetDeadline(time.Now().Add(helloTimeout))
	var serve func(net.Conn)
	_, err = receive(held, p.cluster, p.node, func(why purpose) bool {
		serve = p.serverOf(why)
		return serve != nil
	})
	if err != nil {
		_ = held.Close() // What it may say differs from time to time, and adds nothing.
		return nil, nil, err
	}
	_ = held.SetDeadline(time.Time{})
	return held, serve, nil
}

// serverOf returns the server of a purpose, nil where there is none.
func (p *port) serverOf(why purpose) func(net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.serve[why]
}

// dial connects to a node. Where no name is given any node of the cluster will do; its name is returned.
func (p *port) dial(ctx context.Context, why purpose, node, address string) (net.Conn, string, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, "", err
	}
	if p.certs != nil {
		conn = tls.Client(conn, p.certs.Client())
	}
	held, err := p.conns.hold(conn)
	if err != nil {
		return nil, "", err
	}
	stop := context.AfterFunc(ctx, func() { _ = held.SetDeadline(time.Now()) })
	defer stop()
	_ = held.SetDeadline(time.Now().Add(helloTimeout))
	found, err := greet(held, hello{why, p.cluster, p.node, node})
	if err == nil && node != "" && found != node {
		err = refusal(verdictNode, node, found)
	}
	if err == nil && !stop() {
		err = ctx.Err()
	}
	if err != nil {
		return nil, "", fmt.Errorf("connect to %s: %w", address, errors.Join(err, held.Close()))
	}
	_ = held.SetDeadline(time.Time{})
	return held, found, nil
}

// Close closes the port and all connections, and waits for what serves them.
func (p *port) Close() error {
	err := p.listener.Close()
	p.conns.close()
	p.serving.Wait()
	return err
}
