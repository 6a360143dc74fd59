package main

import (
	"bytes"
	"crypto/tls"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/walnutkv/walnut/internal/admin"
	"github.com/walnutkv/walnut/internal/mutual"
	"github.com/walnutkv/walnut/internal/mutual/mutualtest"
)

// answers are those of a walnutd that says the same each time.
func answers() http.Handler {
	mux := http.NewServeMux()
	answer := func(pattern string, object func(r *http.Request) any) {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			object := object(r)
			if _, failed := object.(admin.Failure); failed {
				w.WriteHeader(http.StatusConflict)
			}
			_ = json.NewEncoder(w).Encode(object) // The test sees it.
		})
	}
	member := func(kind, name string) admin.Member {
		return admin.Member{Kind: kind, Name: name, Address: name + ":7000", Voter: true, Leads: name == "b"}
	}
	answer("GET "+admin.PathStatus, func(*http.Request) any {
		return admin.Status{Kind: admin.KindCluster, Cluster: "demo", Node: "a", Leader: "b", Term: 4, Nodes: []admin.Node{
			{Member: member(admin.KindNode, "a"), Role: "follower", Leader: "b", Term: 4, Committed: 20, Applied: 18, Lag: 3, First: 1, Last: 20},
			{Member: member(admin.KindNode, "b"), Role: "leader", Leader: "b", Term: 4, Committed: 21, Applied: 21, First: 1, Last: 21, Trouble: "no space"},
			{Member: member(admin.KindNode, "c"), Error: "connection \x1b[31mrefused"},
		}}
	})
	answer("GET "+admin.PathMembers, func(*http.Request) any {
		return admin.Members{Kind: admin.KindMembers, Members: []admin.Member{member(admin.KindMember, "a"), member(admin.KindMember, "b")}}
	})
	change := func(r *http.Request) any {
		var want admin.Change
		if err := json.NewDecoder(r.Body).Decode(&want); err != nil || want.Node == "nobody" {
			return admin.Failure{Kind: admin.KindError, Error: "\"nobody\"\x1b is no voter"}
		}
		if want.Node == "" {
			want.Node = "c"
		}
		return admin.Result{Kind: admin.KindResult, Node: want.Node}
	}
	answer("POST "+admin.PathJoin, func(r *http.Request) any {
		var want admin.Join
		if err := json.NewDecoder(r.Body).Decode(&want); err != nil || want.Address == "b:7000" {
			return admin.Failure{Kind: admin.KindError, Error: "there is no node"}
		}
		return admin.Result{Kind: admin.KindResult, Node: want.Node}
	})
	answer("POST "+admin.PathTransfer, change)
	answer("POST "+admin.PathRemove, change)
	answer("POST "+admin.PathRecover, func(r *http.Request) any {
		var want admin.Recover
		if err := json.NewDecoder(r.Body).Decode(&want); err != nil {
			return admin.Failure{Kind: admin.KindError, Error: err.Error()}
		}
		done := admin.Recovery{Kind: admin.KindRecovery, Node: "c", Last: 21, Applied: want.Apply}
		for _, m := range want.Members {
			done.Members = append(done.Members, member(admin.KindMember, m.Name))
		}
		return done
	})
	mux.Handle("GET "+admin.PathBackup, &store{kept: "pairs"})
	mux.Handle("POST "+admin.PathRestore, &store{})
	return mux
}

// newWalnutd starts one that says the same each time, and returns where.
func newWalnutd(t *testing.T) (address string) {
	server := httptest.NewServer(answers())
	t.Cleanup(server.Close)
	return server.Listener.Addr().String()
}

func TestClusterCommandsPrintWhatTheNodeSays(t *testing.T) {
	address := newWalnutd(t)
	for _, row := range []struct {
		command string
		code    int
		out     string
		stderr  string
	}{
		{
			command: "status",
			out: `cluster "demo", as node "a" sees it: term 4, leader b
node  address  role       voter  term  committed  applied  lag  trouble
a     a:7000   follower   yes    4     20         18       3    
b     b:7000   leader     yes    4     21         21       0    no space
c     c:7000   no answer  yes                                   connection \x1b[31mrefused
`,
		},
		{command: "members", out: "node  address  voter  leads\na     a:7000   yes    no\nb     b:7000   yes    yes\n"},
		{command: "join a a:7000", out: "a\n"},
		{command: "join a b:7000", code: exitFailed, stderr: "kvctl: ADDRESS: there is no node\n"},
		{command: "join a", code: exitUsage, stderr: "usage: kvctl cluster join NODE"},
		{command: "transfer", out: "c\n"},
		{command: "transfer a", out: "a\n"},
		{command: "transfer nobody", code: exitFailed, stderr: `kvctl: ADDRESS: "nobody" is no voter` + "\n"},
		{command: "transfer a b", code: exitUsage, stderr: `unexpected argument "b"`},
		{command: "remove a", out: "a\n"},
		{command: "remove", code: exitUsage, stderr: "missing NODE"},
		{
			command: "recover --members c,d=d:1", out: `members  c (c:7000), d (d:7000)
dropped  none
kept     all that node "c" has, up to entry 21
nothing was changed; to do it: kvctl cluster recover --members c,d=d:1 --apply --admin ADDRESS
`,
		},
		{command: "recover --members c --apply", out: "members  c (c:7000)\ndropped  none\nkept     all that node \"c\" has, up to entry 21\n"},
		{command: "recover", code: exitUsage, stderr: "which nodes are left?"},
		{command: "status --timeout 0s", code: exitUsage, stderr: "want more than 0"},
		{command: "status --cert a.pem", code: exitUsage, stderr: "want --cert, --key and --ca together"},
		{command: "status --cert a --key b --ca c", code: exitFailed, stderr: "kvctl: cluster: certificates: open a: no such file or directory\n"},
	} {
		t.Run(row.command, func(t *testing.T) {
			var out, stderr bytes.Buffer
			args := append([]string{"cluster", "--admin", address}, strings.Fields(row.command)...)
			require.Equal(t, row.code, run(args, nil, &out, &stderr, func(string) string { return "" }), stderr.String())
			require.Equal(t, strings.ReplaceAll(row.out, "ADDRESS", address), out.String())
			require.Contains(t, stderr.String(), strings.ReplaceAll(row.stderr, "ADDRESS", address))
		})
	}
}

// TestTheCommandThatRecoversAsksTheSameNode shows that what recover prints has the flags that it was given, and no others.
func TestTheCommandThatRecoversAsksTheSameNode(t *testing.T) {
	for _, row := range []struct {
		flags clusterFlags
		want  string
	}{
		{clusterFlags{}, ""},
		{clusterFlags{admin: "there:7070"}, " --admin there:7070"},
		{
			clusterFlags{admin: "there:7070", cert: "my certs/a.pem", key: "it's.key", ca: "ca.pem"},
			` --admin there:7070 --cert 'my certs/a.pem' --key 'it'\''s.key' --ca ca.pem`,
		},
	} {
		require.Equal(t, "kvctl cluster recover --apply"+row.want, row.flags.command("recover --apply"))
	}
}

func TestANodeThatDoesNotAnswerIsAFailure(t *testing.T) {
	server := httptest.NewServer(answers())
	address := server.Listener.Addr().String()
	server.Close()
	env := func(name string) string { return map[string]string{"KVCTL_ADMIN": address}[name] }
	var out, stderr bytes.Buffer
	require.Equal(t, exitFailed, run([]string{"cluster", "status"}, nil, &out, &stderr, env))
	require.Contains(t, stderr.String(), "kvctl: "+address+": no walnutd answers: ")
	require.Empty(t, out.String())
}

// silentNode starts a walnutd that gets requests and answers none until the test ends. A word arrives for each.
func silentNode(t *testing.T) (address string, asked <-chan string) {
	words := make(chan string, 1)
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // Only then the server notices that the caller hangs up.
		words <- r.URL.Path
		<-r.Context().Done()
	}))
	t.Cleanup(server.Close)
	return server.Listener.Addr().String(), words
}

// TestAChangeThatGetsNoAnswerMayBeDone shows that what an operator may try again is no plain failure.
func TestAChangeThatGetsNoAnswerMayBeDone(t *testing.T) {
	address, asked := silentNode(t)
	for _, command := range []string{"transfer b", "remove b", "join b b:7000", "recover --members b --apply"} {
		t.Run(command, func(t *testing.T) {
			var out, stderr bytes.Buffer
			args := append([]string{"cluster", "--admin", address, "--timeout", "300ms"}, strings.Fields(command)...)
			require.Equal(t, exitFailed, run(args, nil, &out, &stderr, func(string) string { return "" }))
			<-asked
			require.Equal(t, "kvctl: "+address+": no answer within 300ms, so it may be done; look: kvctl cluster status --admin "+address+"\n", stderr.String())
		})
	}
}

func TestAnAdminListenerIsAskedWithACertificate(t *testing.T) {
	ca := mutualtest.New(t)
	load := func(name string) mutual.Keys {
		cert, key := ca.Issue(name)
		keys, err := mutual.Load(mutual.Files{Cert: cert, Key: key, Authority: ca.File})
		require.NoError(t, err)
		return keys
	}
	server := httptest.NewUnstartedServer(answers())
	server.TLS = load("a").Server(tls.RequireAndVerifyClientCert)
	server.StartTLS()
	defer server.Close()
	cert, key := ca.Issue("operator")
	args := []string{"cluster", "members", "--admin", server.Listener.Addr().String(), "-o", "json"}
	with := append(slices.Clone(args), "--cert", cert, "--key", key, "--ca", ca.File)
	var out, stderr bytes.Buffer
	require.Zero(t, run(with, nil, &out, &stderr, func(string) string { return "" }), stderr.String())
	require.Contains(t, out.String(), `{"kind":"member","name":"a"`)
	for _, command := range []string{"members", "remove a", "backup -", "restore -"} {
		stderr.Reset()
		without := append([]string{"cluster", "--admin", server.Listener.Addr().String()}, strings.Fields(command)...)
		require.Equal(t, exitFailed, run(without, strings.NewReader("pairs"), &out, &stderr, func(string) string { return "" }))
		require.Contains(t, stderr.String(), server.Listener.Addr().String()+": the node listens with TLS; say --cert, --key and --ca\n")
	}
}
