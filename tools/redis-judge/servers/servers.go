// Package servers starts the servers that the judges look at: Debian's redis-server, and Walnut's kvctl serve.
package servers

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/walnutkv/walnut/internal/loopback"
	"github.com/walnutkv/walnut/tools/redis-judge/resp"
)

// ErrAbsent reports a program that can't be had on this machine.
var ErrAbsent = errors.New("servers: program can't be had")

// Server is one that runs, in a directory that outlives it.
type Server struct {
	Name    string // What it is, for people.
	Address string
	Dir     string

	argv   []string
	cmd    *exec.Cmd
	ended  chan struct{}
	output limited
}

// limited keeps the last 64 KiB, at least, of what a server prints.
type limited struct {
	mu   sync.Mutex
	text []byte
}

const leastKept = 64 << 10

func (l *limited) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.text = append(l.text, p...); len(l.text) > 2*leastKept {
		l.text = append([]byte(nil), l.text[len(l.text)-leastKept:]...)
	}
	return len(p), nil
}

func (l *limited) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return string(l.text)
}

// Redis starts redis-server in a directory. It has one database, as Walnut does, and keeps nothing on the disk unless
// args say so: they are settings as on its command line.
func Redis(dir string, args ...string) (*Server, error) {
	program, err := exec.LookPath("redis-server")
	if err != nil {
		return nil, fmt.Errorf("%w: redis-server (Debian: redis-server): %w", ErrAbsent, err)
	}
	addresses, err := loopback.Addresses(1)
	if err != nil {
		return nil, err
	}
	_, port, _ := net.SplitHostPort(addresses[0])
	argv := []string{
		program, "--bind", "127.0.0.1", "--port", port, "--dir", dir,
		"--databases", "1", "--save", "", "--daemonize", "no", "--maxclients", "20000",
	}
	s := &Server{Name: "redis-server", Address: addresses[0], Dir: dir, argv: append(argv, args...)}
	return s, s.Start()
}

// Walnut starts a kvctl on a store in a directory. The args follow serve.
func Walnut(kvctl, dir string, args ...string) (*Server, error) {
	addresses, err := loopback.Addresses(1)
	if err != nil {
		return nil, err
	}
	argv := append([]string{kvctl, "--dir", filepath.Join(dir, "store"), "serve", "--listen", addresses[0]}, args...)
	s := &Server{Name: "kvctl serve", Address: addresses[0], Dir: dir, argv: argv}
	return s, s.Start()
}

// Kvctl builds kvctl of this repository in a directory, and returns its path.
func Kvctl(dir string) (string, error) {
	root, err := root()
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "kvctl")
	build := exec.Command("go", "build", "-o", path, "./cmd/kvctl")
	build.Dir = root
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build kvctl: %w\n%s", err, out)
	}
	help, err := exec.Command(path, "serve", "--help").CombinedOutput()
	if err != nil || !strings.Contains(string(help), "--listen") {
		return "", fmt.Errorf("%w: kvctl of this repository has no command serve yet", ErrAbsent)
	}
	return path, nil
}

// root returns the directory of this repository.
func root() (string, error) {
	gomod, err := exec.Command("go", "env", "GOMOD").Output()
	if err != nil {
		return "", fmt.Errorf("find the module of the judges: %w", err)
	}
	return filepath.Join(filepath.Dir(strings.TrimSpace(string(gomod))), "..", ".."), nil
}

// startLimit bounds how long a server may take until it answers.
const startLimit = 60 * time.Second

// Start starts a server that isn't running, again at the same address in the same directory, and waits until it
// answers.
func (s *Server) Start() error {
	s.cmd, s.ended = exec.Command(s.argv[0], s.argv[1:]...), make(chan struct{})
	s.cmd.Stdout, s.cmd.Stderr = &s.output, &s.output
	if err := s.cmd.Start(); err != nil {
		return err
	}
	go func(cmd *exec.Cmd, ended chan struct{}) {
		_ = cmd.Wait()
		close(ended)
	}(s.cmd, s.ended)
	ctx, cancel := context.WithTimeout(context.Background(), startLimit)
	defer cancel()
	if err := s.wait(ctx); err != nil {
		_ = s.Kill()
		return fmt.Errorf("start %s: %w; it printed:\n%s", strings.Join(s.argv, " "), err, s.output.String())
	}
	return nil
}

// wait waits until the server answers PING, which it refuses while it loads its data.
func (s *Server) wait(ctx context.Context) error {
	for {
		err := s.ping()
		if err == nil {
			return nil
		}
		select {
		case <-s.ended:
			return fmt.Errorf("it ended: %s", s.cmd.ProcessState)
		case <-ctx.Done():
			return fmt.Errorf("it doesn't answer after %s: %w", startLimit, err)
		case <-time.After(10 * time.Millisecond):
		}
	}
}

func (s *Server) ping() error {
	conn, err := resp.Dial(s.Address)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	_, err = conn.Must("PING")
	return err
}

// Owned reports whether this process started the server.
func (s *Server) Owned() bool { return s.cmd != nil }

// PID returns the process' number.
func (s *Server) PID() int { return s.cmd.Process.Pid }

// Ended is closed once the process has ended.
func (s *Server) Ended() <-chan struct{} { return s.ended }

// Output returns the end of what the server printed.
func (s *Server) Output() string { return s.output.String() }

// Kill ends the process as kill -9 does.
func (s *Server) Kill() error {
	_ = s.cmd.Process.Kill()
	<-s.ended
	return nil
}

// Stop ends the process as an operator does, and kills it if that takes longer than a minute.
func (s *Server) Stop() error {
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	select {
	case <-s.ended:
		return nil
	case <-time.After(time.Minute):
		_ = s.Kill()
		return fmt.Errorf("%s didn't end within a minute of SIGTERM; it printed:\n%s", s.Name, s.output.String())
	}
}
