package main

import (
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/walnutkv/walnut/kv"
)

func get(t *testing.T, url string) (int, string) {
	t.Helper()
	response, err := http.Get(url)
	require.NoError(t, err)
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	return response.StatusCode, string(text)
}

// served returns what the server says of a store in memory.
func served(t *testing.T) string {
	t.Helper()
	db, err := kv.OpenMemory(kv.Options{})
	require.NoError(t, err)
	defer db.Close()
	_, err = db.Put([]byte("k"), []byte("v"))
	require.NoError(t, err)
	server := httptest.NewServer(handler(db))
	defer server.Close()
	code, text := get(t, server.URL+"/metrics")
	require.Equal(t, http.StatusOK, code)
	code, health := get(t, server.URL+"/healthz")
	require.Equal(t, http.StatusOK, code)
	require.Equal(t, "ok\n", health)
	return text
}

var namePattern = regexp.MustCompile(`walnut_[a-z_]+`)

// sampleNames are the names of a page in Prometheus' text format, those of a histogram's parts included.
func sampleNames(page string) map[string]bool {
	names := map[string]bool{}
	for _, match := range regexp.MustCompile(`(?m)^(walnut_[a-z_]+)`).FindAllStringSubmatch(page, -1) {
		names[match[1]] = true
	}
	return names
}

func TestTheBoardAndTheAlertsUseOnlyNumbersThatAreServed(t *testing.T) {
	names := sampleNames(served(t))
	require.True(t, names["walnut_commit_seconds_bucket"])
	names["walnut_free_bytes"] = true // Only a store on disk has it, as the next test shows.
	for _, file := range []string{"board.json", "alerts.yml"} {
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		used := namePattern.FindAllString(string(text), -1)
		require.NotEmpty(t, used)
		for _, name := range used {
			require.True(t, names[name], "%s uses %s", file, name)
		}
	}
}

func TestThePageForOperatorsSaysWhatToDoAboutEachAlert(t *testing.T) {
	rules, err := os.ReadFile("alerts.yml")
	require.NoError(t, err)
	page, err := os.ReadFile("../../docs/operations.md")
	require.NoError(t, err)
	alerts := regexp.MustCompile(`alert: (\w+)`).FindAllSubmatch(rules, -1)
	require.NotEmpty(t, alerts)
	for _, alert := range alerts {
		require.Contains(t, string(page), string(alert[1]))
	}
}

func TestAStoreOnDiskSaysHowMuchSpaceIsLeft(t *testing.T) {
	on, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- run(ctx, filepath.Join(t.TempDir(), "store"), kv.Options{}, on) }()
	_, text := get(t, "http://"+on.Addr().String()+"/metrics")
	require.Contains(t, text, "\nwalnut_free_bytes ")
	stop()
	require.NoError(t, <-ended)
}

func TestTheBoardIsOneThatGrafanaReads(t *testing.T) {
	text, err := os.ReadFile("board.json")
	require.NoError(t, err)
	var board struct {
		Title  string
		Panels []struct {
			ID      int
			Title   string
			Targets []struct{ Expr string }
		}
	}
	require.NoError(t, json.Unmarshal(text, &board))
	require.Equal(t, "Walnut", board.Title)
	require.NotEmpty(t, board.Panels)
	seen := map[int]bool{}
	for _, panel := range board.Panels {
		require.False(t, seen[panel.ID], "two panels have the number %d", panel.ID)
		seen[panel.ID] = true
		require.NotEmpty(t, panel.Targets, panel.Title)
	}
}

func TestPrometheusTakesTheAlertRules(t *testing.T) {
	promtool, err := exec.LookPath("promtool")
	if err != nil {
		t.Skip("promtool is not installed (Debian: prometheus): the rules' syntax is not checked")
	}
	out, err := exec.Command(promtool, "check", "rules", "alerts.yml").CombinedOutput()
	require.NoError(t, err, "%s", out)
}

// A follower fails where the store that it follows is removed.
func TestAStoreThatHasFailedIsUnhealthy(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "store")
	writer, err := kv.Open(dir, kv.Options{})
	require.NoError(t, err)
	require.NoError(t, writer.Close())
	db, err := kv.Open(dir, kv.Options{ReadOnly: true, Follow: true})
	require.NoError(t, err)
	defer db.Close()
	server := httptest.NewServer(handler(db))
	defer server.Close()
	code, _ := get(t, server.URL+"/healthz")
	require.Equal(t, http.StatusOK, code)
	require.NoError(t, os.RemoveAll(dir))
	require.Eventually(t, func() bool {
		code, _ := get(t, server.URL+"/healthz")
		return code == http.StatusServiceUnavailable
	}, 10*time.Second, 10*time.Millisecond)
	_, text := get(t, server.URL+"/metrics")
	require.Contains(t, text, "\nwalnut_failed 1\n")
}
