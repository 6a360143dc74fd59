package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"syscall"
	"time"
)

// listeners opens what was asked for, and warns of what is open to everybody.
func (d *daemon) listeners() (all []net.Listener, err error) {
	defer func() {
		if err != nil {
			for _, open := range all {
				_ = open.Close() // The error says more.
			}
		}
	}()
	if d.flags.listen != "" {
		listener, err := net.Listen("tcp", d.flags.listen)
		if err != nil {
			return nil, err
		}
		all = append(all, d.secured(listener))
		if d.users == nil && d.flags.tls.Authority == "" && !isLocal(listener.Addr().String()) {
			fmt.Fprintf(d.app.stderr, "warning: everybody who reaches %s may change the store: use --users, --password-file or --tls-ca\n",
				listener.Addr())
		}
	}
	if d.flags.unix != "" {
		listener, err := listenUnix(d.flags.unix)
		if err != nil {
			return all, err
		}
		all = append(all, listener)
	}
	return all, nil
}

// secured makes TCP connections those of TLS where there are certificates. Clients are slower to be replaced than nodes, so that they may
// have TLS 1.2.
func (d *daemon) secured(listener net.Listener) net.Listener {
	if d.certs == nil {
		return listener
	}
	clients := tls.NoClientCert
	if d.flags.tls.Authority != "" {
		clients = tls.RequireAndVerifyClientCert
	}
	return tls.NewListener(listener, d.certs.Server(clients, tls.VersionTLS12))
}

// answerTimeout is how long a program may take to accept a connection before its socket counts as left over.
const answerTimeout = time.Second

// socketMode lets only the owner connect, as nobody else may read the store's files. What a umask would leave may be more.
const socketMode = 0o600

// bindUnix listens on a Unix socket. Linux takes the mode from the socket, so that nobody can connect before it is set; elsewhere it is
// set a moment later.
func bindUnix(path string) (net.Listener, error) {
	config := net.ListenConfig{Control: func(_, _ string, socket syscall.RawConn) error { return socket.Control(limitSocket) }}
	listener, err := config.Listen(context.Background(), "unix", path)
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(path, socketMode); err != nil {
		return nil, errors.Join(err, listener.Close())
	}
	return listener, nil
}

// listenUnix is bindUnix, but replaces a socket that a process has left, which didn't end well.
func listenUnix(path string) (net.Listener, error) {
	listener, err := bindUnix(path)
	if err == nil || !errors.Is(err, syscall.EADDRINUSE) {
		return listener, err
	}
	info, statErr := os.Lstat(path)
	if statErr != nil {
		return nil, errors.Join(err, statErr)
	}
	if info.Mode().Type() != os.ModeSocket {
		return nil, fmt.Errorf("%s is there, and is no socket", path)
	}
	conn, dialErr := net.DialTimeout("unix", path, answerTimeout)
	switch {
	case dialErr == nil:
		_ = conn.Close() // It was opened to see whether it can be.
		return nil, fmt.Errorf("another process listens on %s", path)
	case !errors.Is(dialErr, syscall.ECONNREFUSED):
		return nil, fmt.Errorf("%w; whether another process listens is not known: %w", err, dialErr)
	}
	if err := os.Remove(path); err != nil {
		return nil, err
	}
	return bindUnix(path)
}
