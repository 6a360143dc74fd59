package main

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/walnutkv/walnut/internal/admin"
)

// store is a walnutd that keeps one backup.
type store struct {
	mu      sync.Mutex
	kept    string // What it was sent, or a node's backup.
	breaks  bool   // It breaks off before the end.
	refuses bool   // It doesn't lead.
}

func (s *store) state() store {
	s.mu.Lock()
	defer s.mu.Unlock()
	return store{kept: s.kept, breaks: s.breaks, refuses: s.refuses}
}

func (s *store) become(kept string, breaks, refuses bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.kept, s.breaks, s.refuses = kept, breaks, refuses
}

func (s *store) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	refuse := func(why string) {
		w.WriteHeader(http.StatusConflict)
		_ = json.NewEncoder(w).Encode(admin.Failure{Kind: admin.KindError, Error: why}) // The test sees it.
	}
	now := s.state()
	switch {
	case r.URL.Path == admin.PathBackup && r.FormValue("since") == "9":
		refuse("offset 9 is past the end")
	case r.URL.Path == admin.PathBackup:
		w.Header().Set("Trailer", admin.OffsetTrailer)
		_, _ = io.WriteString(w, now.kept+r.FormValue("since"))
		if now.breaks {
			_ = http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		}
		w.Header().Set(admin.OffsetTrailer, "7")
	case now.refuses:
		refuse(`another node leads; ask node "b"`)
	default:
		text, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		s.become(string(text), false, false)
		one, two := uint64(1), uint64(2)
		_ = json.NewEncoder(w).Encode(admin.Result{Kind: admin.KindResult, Node: "a", Puts: &one, Deletes: &two})
	}
}

// on returns a function that runs a cluster command on a walnutd.
func on(t *testing.T, s *store) func(stdin, command string) (code int, out, stderr string) {
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	return func(stdin, command string) (int, string, string) {
		var out, stderr bytes.Buffer
		args := append([]string{"cluster", "--admin", server.Listener.Addr().String()}, strings.Fields(command)...)
		code := run(args, strings.NewReader(stdin), &out, &stderr, func(string) string { return "" })
		return code, out.String(), strings.ReplaceAll(stderr.String(), server.Listener.Addr().String(), "ADDRESS")
	}
}

func TestABackupOfAClusterGetsItsNameOnceItIsWhole(t *testing.T) {
	s := &store{kept: "pairs"}
	kvctl, path := on(t, s), filepath.Join(t.TempDir(), "monday")
	read := func() string {
		text, err := os.ReadFile(path)
		require.NoError(t, err)
		return string(text)
	}
	code, out, stderr := kvctl("", "backup "+path)
	require.Equal(t, []any{exitDone, "7\n", ""}, []any{code, out, stderr})
	require.Equal(t, "pairs", read())

	s.become("newer", false, false)
	code, _, stderr = kvctl("", "backup "+path)
	require.Equal(t, exitFailed, code)
	require.Contains(t, stderr, "--force replaces it")
	s.become("newer", true, false)
	code, out, stderr = kvctl("", "backup --force "+path)
	require.Equal(t, []any{exitFailed, ""}, []any{code, out})
	require.Contains(t, stderr, "ADDRESS: the backup is not whole: ")
	require.Equal(t, "pairs", read())
	s.become("newer", false, false)

	code, out, _ = kvctl("", "backup --force --since 3 -o json "+path)
	require.Equal(t, exitDone, code)
	require.JSONEq(t, fmt.Sprintf(`{"kind":"result","path":%q,"offset":7,"since":3,"bytes":6}`, path), out)
	require.Equal(t, "newer3", read())
	code, out, stderr = kvctl("", "backup -")
	require.Equal(t, []any{exitDone, "newer", "7\n"}, []any{code, out, stderr})
	code, _, stderr = kvctl("", "backup --since 9 -")
	require.Equal(t, exitFailed, code)
	require.Contains(t, stderr, "ADDRESS: offset 9 is past the end")
	require.NoFileExists(t, path+".tmp")
}

func TestABackupIsSentToTheNodeThatLeads(t *testing.T) {
	s := &store{}
	kvctl, dir := on(t, s), t.TempDir()
	path := filepath.Join(dir, "monday.gz")
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	_, err := io.WriteString(z, strings.Repeat("pairs", 1<<16))
	require.NoError(t, err)
	require.NoError(t, z.Close())
	require.NoError(t, os.WriteFile(path, packed.Bytes(), 0o600))
	code, out, stderr := kvctl("", "restore "+path)
	require.Equal(t, []any{exitDone, "puts     1\ndeletes  2\n", ""}, []any{code, out, stderr})
	require.Equal(t, strings.Repeat("pairs", 1<<16), s.state().kept)

	code, out, _ = kvctl("from a pipe", "restore - -o json")
	require.Equal(t, exitDone, code)
	require.JSONEq(t, `{"kind":"result","node":"a","puts":1,"deletes":2}`, out)
	require.Equal(t, "from a pipe", s.state().kept)

	require.NoError(t, os.WriteFile(path, packed.Bytes()[:packed.Len()/2], 0o600))
	code, _, stderr = kvctl("", "restore "+path)
	require.Equal(t, exitFailed, code)
	require.Equal(t, "kvctl: cluster restore: read "+path+": unexpected EOF\n", stderr)
	s.become("pairs", false, true)
	code, _, stderr = kvctl(strings.Repeat("much of it", 1<<20), "restore -")
	require.Equal(t, exitFailed, code)
	require.Equal(t, "kvctl: cluster restore: ADDRESS: another node leads; ask node \"b\"\n", stderr)
	code, _, stderr = kvctl("", "restore "+filepath.Join(dir, "tuesday"))
	require.Equal(t, exitFailed, code)
	require.Contains(t, stderr, "tuesday: no such file or directory")
	require.Equal(t, "pairs", s.state().kept)
}
