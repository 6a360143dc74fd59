package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/walnutkv/walnut/internal/admin"
	"github.com/walnutkv/walnut/internal/mutual"
	"github.com/walnutkv/walnut/internal/mutual/mutualtest"
)

func TestWrongCommandLinesAreRefused(t *testing.T) {
	for _, row := range []struct{ name, line, want string }{
		{"no directory", "--cluster c --id a --listen 127.0.0.1:0", "--dir is missing"},
		{"no cluster", "--dir d --id a --listen 127.0.0.1:0", "--cluster is missing"},
		{"no name", "--dir d --cluster c --listen 127.0.0.1:0", "--id is missing"},
		{"no address", "--dir d --cluster c --id a", "--listen is missing"},
		{"an address without a port", "--dir d --cluster c --id a --listen 127.0.0.1:0 --join b", "missing port"},
		{"a word that is no flag", "--dir d --cluster c --id a --listen 127.0.0.1:0 start", `"start" is no flag`},
		{"a flag that there isn't", "--directory d", "not defined: -directory"},
		{"a format that there isn't", "--dir d --cluster c --id a --listen 127.0.0.1:0 --log-format xml", "want text or json"},
		{"a level that there isn't", "--log-level loud", "loud"},
		{"a negative time", "--dir d --cluster c --id a --listen 127.0.0.1:0 --lease -1s", "--lease -1s is negative"},
		{"an address for clients alone", "--dir d --cluster c --id a --listen 127.0.0.1:0 --redis-advertise a:1", "--redis is missing"},
		{"users of an unset variable", "--dir d --cluster c --id a --listen 127.0.0.1:0 --redis :1 --redis-users=", "--redis-users is empty"},
		{"users without clients", "--dir d --cluster c --id a --listen 127.0.0.1:0 --redis-users f", "--redis is missing"},
		{"clients without a port", "--dir d --cluster c --id a --listen 127.0.0.1:0 --redis a", "--redis: address a: missing port"},
		{"an address that clients can't reach", "--dir d --cluster c --id a --listen 127.0.0.1:0 --redis :6379", "--redis-advertise is missing"},
		{
			"an address for clients without a port",
			"--dir d --cluster c --id a --listen 127.0.0.1:0 --redis :6379 --redis-advertise a", "--redis-advertise: address a: missing port",
		},
		{
			"clients from elsewhere without certificates",
			"--dir d --cluster c --id a --listen 127.0.0.1:0 --insecure --redis a:6379", "or --redis-insecure",
		},
		{
			"operators from elsewhere without certificates",
			"--dir d --cluster c --id a --listen 127.0.0.1:0 --insecure --admin :7070", "no loopback address",
		},
	} {
		t.Run(row.name, func(t *testing.T) {
			var stdout, stderr bytes.Buffer
			require.Equal(t, exitUsage, run(t.Context(), strings.Fields(row.line), &stdout, &stderr))
			require.Contains(t, stderr.String(), row.want)
			require.Equal(t, 1, strings.Count(stderr.String(), "\n"), "one line: %s", stderr.String())
			require.Empty(t, stdout.String())
		})
	}
}

func TestHelpHasEveryFlagAndFits(t *testing.T) {
	var stdout, stderr bytes.Buffer
	require.Equal(t, exitDone, run(t.Context(), []string{"--help"}, &stdout, &stderr))
	require.Equal(t, usage, stdout.String())
	require.Empty(t, stderr.String())
	newFlagSet(&flags{}).VisitAll(func(f *flag.Flag) {
		require.Contains(t, usage, "\n  --"+f.Name+" ")
	})
	for line := range strings.Lines(usage) {
		require.LessOrEqual(t, len([]rune(line)), 81, line)
	}
}

func TestWhatCanNotStartSaysWhy(t *testing.T) {
	c := newTrio(t)
	damaged := filepath.Join(c.dir, "a")
	require.NoError(t, os.MkdirAll(damaged, 0o700))
	require.NoError(t, os.WriteFile(filepath.Join(damaged, "CONSENSUS"), []byte("walnut consensus 1\nnonsense\n"), 0o600))
	var stderr bytes.Buffer
	require.Equal(t, exitDamage, run(t.Context(), c.flags["a"], io.Discard, &stderr))
	require.Contains(t, stderr.String(), "cluster: file is damaged")

	stderr.Reset()
	require.Equal(t, exitUsage, run(t.Context(), append(c.flags["b"], "--bootstrap-expect", "2"), io.Discard, &stderr))
	require.Contains(t, stderr.String(), "option BootstrapExpect: 2 nodes, but Join names 3")

	c.start("c")
	waitUntil(t, func() bool {
		status, _ := c.get("c", admin.PathHealth)
		return status == http.StatusOK
	}, new(string))
	stderr.Reset()
	require.Equal(t, exitFailed, run(soon(t), append(c.flags["b"], "--admin", c.admin["c"]), io.Discard, &stderr))
	require.Contains(t, stderr.String(), "--admin: listen tcp "+c.admin["c"])

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.Equal(t, exitDone, run(ctx, c.flags["b"], io.Discard, io.Discard), "it was to end before it was open")
}

// process starts a node as a process.
func (c *trio) process(name string, more ...string) (*exec.Cmd, *logged) {
	cmd, log := exec.Command(os.Args[0], append(c.flags[name], more...)...), &logged{}
	cmd.Env = append(os.Environ(), "WALNUTD_TEST=1")
	cmd.Stderr = log
	require.NoError(c.t, cmd.Start())
	c.t.Cleanup(func() {
		_ = cmd.Process.Kill() // It has ended already, as a rule.
		_ = cmd.Wait()
		if c.t.Failed() {
			c.t.Log(name, log)
		}
	})
	return cmd, log
}

func TestASignalHandsTheLeadershipOver(t *testing.T) {
	c := newTrio(t)
	processes, logs := map[string]*exec.Cmd{}, map[string]*logged{}
	for _, name := range names {
		processes[name], logs[name] = c.process(name, "--log-format", "json", "--heartbeat", "3s", "--lease", "2s")
	}
	for _, name := range names {
		c.waitReady(name)
	}
	s, err := c.client("a").Status(soon(t))
	require.NoError(t, err)
	other := names[(slices.Index(names, s.Leader)+1)%3]
	began := time.Now()
	require.NoError(t, processes[s.Leader].Process.Signal(syscall.SIGTERM))
	require.NoError(t, processes[s.Leader].Wait(), "exit code 0")
	waitUntil(t, func() bool {
		now, err := c.client(other).Status(soon(t))
		return err == nil && now.Leader != "" && now.Leader != s.Leader
	}, new(string))
	require.Less(t, time.Since(began), 3*time.Second, "nobody had to notice that the leader is gone")
	require.Contains(t, logs[s.Leader].String(), `"msg":"node ends"`)
}

// TestASecondSignalEndsAtOnce keeps a request in progress, for which the end waits.
func TestASecondSignalEndsAtOnce(t *testing.T) {
	c := newTrio(t)
	c.alone("a")
	node, log := c.process("a")
	c.waitReady("a")
	conn, err := net.Dial("tcp", c.admin["a"])
	require.NoError(t, err)
	defer func() { _ = conn.Close() }()
	_, err = fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: a\r\nContent-Length: 20\r\n\r\n{", admin.PathRemove)
	require.NoError(t, err)
	time.Sleep(100 * time.Millisecond) // Until the request has come.
	began := time.Now()
	require.NoError(t, node.Process.Signal(syscall.SIGTERM))
	waitUntil(t, func() bool { return strings.Contains(log.String(), "node ends") }, new(string))
	time.Sleep(100 * time.Millisecond)
	require.NoError(t, node.Process.Signal(syscall.SIGTERM))
	var exit *exec.ExitError
	require.ErrorAs(t, node.Wait(), &exit)
	require.Equal(t, syscall.SIGTERM, exit.Sys().(syscall.WaitStatus).Signal())
	require.Less(t, time.Since(began), admin.EndTimeout)
}

func TestAnAdminListenerForOtherMachinesWantsCertificates(t *testing.T) {
	c, ca := newTrio(t), mutualtest.New(t)
	port := c.admin["a"][strings.LastIndex(c.admin["a"], ":"):]
	cert, key := ca.Issue("a")
	args := slices.DeleteFunc(slices.Clone(c.flags["a"]), func(word string) bool { return word == "--insecure" })
	c.flags["a"] = append(args, "--cert", cert, "--key", key, "--ca", ca.File, "--admin", "0.0.0.0"+port)
	c.start("a")
	cert, key = ca.Issue("operator")
	keys, err := mutual.Load(mutual.Files{Cert: cert, Key: key, Authority: ca.File})
	require.NoError(t, err)
	why := ""
	waitUntil(t, func() bool {
		s, err := admin.NewClient(c.admin["a"], keys.Client()).Status(soon(t))
		why = fmt.Sprint(err)
		return err == nil && s.Node == "a"
	}, &why)

	stranger := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, DisableKeepAlives: true}}
	for path, want := range map[string]int{
		admin.PathHealth: http.StatusOK, admin.PathReady: http.StatusServiceUnavailable, admin.PathMetrics: http.StatusOK,
		admin.PathStatus: http.StatusForbidden, admin.PathMembers: http.StatusForbidden, admin.PathBackup: http.StatusForbidden,
	} {
		answer, err := stranger.Get("https://" + c.admin["a"] + path)
		require.NoError(t, err)
		require.NoError(t, answer.Body.Close())
		require.Equal(t, want, answer.StatusCode, path)
	}
	for _, path := range []string{admin.PathJoin, admin.PathTransfer, admin.PathRemove} {
		answer, err := stranger.Post("https://"+c.admin["a"]+path, "application/json", strings.NewReader(`{"node":"a"}`))
		require.NoError(t, err)
		require.NoError(t, answer.Body.Close())
		require.Equal(t, http.StatusForbidden, answer.StatusCode, path)
	}
	cert, key = mutualtest.New(t).Issue("a")
	others, err := mutual.Load(mutual.Files{Cert: cert, Key: key, Authority: ca.File})
	require.NoError(t, err)
	_, err = admin.NewClient(c.admin["a"], others.Client()).Status(soon(t))
	require.Error(t, err, "a certificate of another authority")
	_, err = c.client("a").Status(soon(t))
	require.Error(t, err, "no TLS")
}
