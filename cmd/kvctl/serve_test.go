package main

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/stretchr/testify/require"

	"github.com/walnutkv/walnut/internal/mutual"
	"github.com/walnutkv/walnut/internal/mutual/mutualtest"
)

// ask is a command of scripts: it sends words to a server, on a Unix socket or a URL, for up to ten seconds until the answer is what is wanted.
func ask(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: ask ADDRESS WANT WORD…")
	}
	want, err := regexp.Compile(args[1])
	ts.Check(err)
	got := ""
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if strings.HasPrefix(args[0], "http://") {
			got = get(http.DefaultClient, args[0])
		} else if conn, err := net.Dial("unix", ts.MkAbs(args[0])); err != nil {
			got = err.Error()
		} else {
			got = strings.Join(converse(conn, strings.Split(strings.Join(args[2:], " "), ", ")...), " ")
		}
		if want.MatchString(got) {
			return
		}
	}
	ts.Fatalf("got %q, want %s", got, want)
}

// freePort is a command of scripts: it sets a variable to a port that nothing listens on.
func freePort(ts *testscript.TestScript, _ bool, args []string) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	ts.Check(err)
	ts.Check(listener.Close())
	_, port, err := net.SplitHostPort(listener.Addr().String())
	ts.Check(err)
	ts.Setenv(args[0], port)
}

// leave is a command of scripts: it makes a Unix socket that nothing listens on.
func leave(ts *testscript.TestScript, _ bool, args []string) {
	listener, err := net.ListenUnix("unix", &net.UnixAddr{Name: ts.MkAbs(args[0]), Net: "unix"})
	ts.Check(err)
	listener.SetUnlinkOnClose(false)
	ts.Check(listener.Close())
}

// get returns what an HTTP server answers, or the error.
func get(client *http.Client, url string) string {
	response, err := client.Get(url)
	if err != nil {
		return err.Error()
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return err.Error()
	}
	return strconv.Itoa(response.StatusCode) + " " + string(body)
}

// converse sends lines on a connection, which it closes, and returns the first line of each answer; of a value the value.
func converse(conn net.Conn, lines ...string) (answers []string) {
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
	reader := bufio.NewReader(conn)
	for _, line := range lines {
		if _, err := io.WriteString(conn, line+"\r\n"); err != nil {
			return append(answers, err.Error())
		}
		answer, err := reader.ReadString('\n')
		if err != nil {
			return append(answers, err.Error())
		}
		if length, err := strconv.Atoi(strings.TrimSpace(answer[1:])); answer[0] == '$' && err == nil && length >= 0 {
			value := make([]byte, length+2)
			if _, err := io.ReadFull(reader, value); err != nil {
				return append(answers, err.Error())
			}
			answer = string(value)
		}
		answers = append(answers, strings.TrimSpace(answer))
	}
	return answers
}

// served is a kvctl serve that runs.
type served struct {
	*exec.Cmd
	t       *testing.T
	address string

	mu     sync.Mutex
	stderr bytes.Buffer
}

// Write takes what the process says.
func (s *served) Write(text []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stderr.Write(text)
}

func (s *served) said() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stderr.String()
}

// serveDir serves a store on a TCP address until the test ends.
func serveDir(t *testing.T, dir string, flags ...string) *served {
	t.Helper()
	s := &served{t: t}
	s.Cmd = exec.Command("kvctl", append([]string{"--dir", dir, "serve", "--listen", "127.0.0.1:0"}, flags...)...)
	s.Stderr = s
	require.NoError(t, s.Start())
	t.Cleanup(func() {
		_ = s.Process.Kill() // It may have ended.
		_ = s.Wait()
	})
	listens := regexp.MustCompile(`serving on (127\S+)\n`)
	require.Eventually(t, func() bool {
		found := listens.FindStringSubmatch(s.said())
		if found != nil {
			s.address = found[1]
		}
		return found != nil
	}, 30*time.Second, 5*time.Millisecond, "%s", s)
	return s
}

func (s *served) String() string { return s.said() }

// ask sends lines and returns the answers.
func (s *served) ask(lines ...string) []string {
	s.t.Helper()
	conn, err := net.Dial("tcp", s.address)
	require.NoError(s.t, err)
	return converse(conn, lines...)
}

// TestTheExamplesOfServeRun runs them on ports that are free.
func TestTheExamplesOfServeRun(t *testing.T) {
	for line := range strings.Lines(newServe(newTestApp()).Example) {
		line = regexp.MustCompile(`127\.0\.0\.1:\d+`).ReplaceAllString(strings.TrimSpace(line), "127.0.0.1:0")
		if !strings.Contains(line, "--listen") {
			line += " --listen 127.0.0.1:0"
		}
		s := &served{Cmd: exec.Command("sh", "-c", "exec "+line)}
		s.Stderr, s.Dir = s, t.TempDir()
		require.NoError(t, s.Start())
		require.Eventually(t, func() bool { return strings.Contains(s.said(), "serving on ") }, 30*time.Second, 5*time.Millisecond, line)
		require.NoError(t, s.Process.Signal(syscall.SIGTERM))
		require.NoError(t, s.Wait(), "%s: %s", line, s)
	}
}

func TestServeWantsCertificatesOfItsAuthority(t *testing.T) {
	ca, others := mutualtest.New(t), mutualtest.New(t)
	cert, key := ca.Issue("server")
	s := serveDir(t, t.TempDir(), "--tls-cert", cert, "--tls-key", key, "--tls-ca", ca.File)
	ask := func(from *mutualtest.Authority, named string) (serial, answer string) {
		clientCert, clientKey := from.Issue(named)
		keys, err := mutual.Load(mutual.Files{Cert: clientCert, Key: clientKey, Authority: ca.File})
		require.NoError(t, err)
		conn, err := tls.Dial("tcp", s.address, keys.Client())
		if err != nil {
			return "", err.Error()
		}
		return conn.ConnectionState().PeerCertificates[0].SerialNumber.String(), converse(conn, "PING")[0]
	}
	first, answer := ask(ca, "client")
	require.Equal(t, "+PONG", answer)
	_, answer = ask(others, "client")
	require.Contains(t, answer, "remote error: tls")
	require.NotEqual(t, []string{"+PONG"}, s.ask("PING"), "without TLS")

	ca.Issue("server") // In the place of the old one.
	require.Eventually(t, func() bool {
		serial, answer := ask(ca, "client")
		return answer == "+PONG" && serial != first
	}, 10*time.Second, 100*time.Millisecond)
}

func TestServeReadsUsersAgain(t *testing.T) {
	path := filepath.Join(t.TempDir(), "users")
	require.NoError(t, os.WriteFile(path, []byte("user ada on >old ~* +@all\n"), 0o600))
	s := serveDir(t, t.TempDir(), "--users", path)
	require.Equal(t, []string{"-NOAUTH Authentication required.", "+OK", "+PONG"}, s.ask("PING", "AUTH ada old", "PING"))

	require.NoError(t, os.WriteFile(path, []byte("user ada on >new ~* +@all\n"), 0o600))
	require.Eventually(t, func() bool { return s.ask("AUTH ada new")[0] == "+OK" }, 10*time.Second, 50*time.Millisecond)
	require.NoError(t, os.WriteFile(path, []byte("user ada on new\n"), 0o600))
	require.NoError(t, s.Process.Signal(syscall.SIGHUP))
	require.Eventually(t, func() bool { return strings.Contains(s.said(), "the old ones stay") }, 10*time.Second, 10*time.Millisecond)
	require.Equal(t, []string{"+OK"}, s.ask("AUTH ada new"), "what can't be read changes nothing")
}

func TestByteSizesAreReadAndShown(t *testing.T) {
	for text, want := range map[string]string{"2GiB": "2GiB", "1024KiB": "1MiB", "1500": "1500", "3TiB": "3TiB"} {
		var size byteSize
		require.NoError(t, size.Set(text), text)
		require.Equal(t, want, size.String())
	}
	for _, text := range []string{"", "0", "-1", "2GB", "x", "9223372036854775807KiB", "GiB"} {
		require.Error(t, new(byteSize).Set(text), text)
	}
	require.Empty(t, new(byteSize).String())
}

// TestServeBreaksOffWhatItMayNotWaitFor has a client that doesn't read, beside an idle one.
func TestServeBreaksOffWhatItMayNotWaitFor(t *testing.T) {
	for drain, want := range map[string]string{"0": "", "1ms": "kvctl: serve: --drain 1ms is over: connections were broken off\n"} {
		s := serveDir(t, t.TempDir(), "--drain", drain)
		require.Equal(t, []string{":20000001"}, s.ask("SETRANGE k 20000000 x"))
		for _, line := range []string{"PING\r\n", "GET k\r\n"} {
			conn, err := net.Dial("tcp", s.address)
			require.NoError(t, err)
			defer conn.Close()
			_, err = io.WriteString(conn, line)
			require.NoError(t, err)
			_, err = conn.Read(make([]byte, 1))
			require.NoError(t, err)
		}
		require.NoError(t, s.Process.Signal(syscall.SIGTERM))
		err := s.Wait()
		require.Equal(t, want == "", err == nil, "--drain %s: %s", drain, s)
		require.True(t, strings.HasSuffix(s.said(), s.address+"\n"+want), "--drain %s: %s", drain, s)
	}
}
