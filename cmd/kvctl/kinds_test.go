package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"
	"github.com/stretchr/testify/require"

	"github.com/walnutkv/walnut/kv"
)

// kindsOf lists the commands, in an order in which they run, with the kinds of the objects that each writes, in order.
var kindsOf = []struct {
	command string // DIR is replaced by a new directory; the store is in DIR/store.
	kinds   []string
	stdin   string
}{
	{command: "put a 1 --ttl 1h", kinds: []string{kindResult}},
	{command: "import - --ack", kinds: []string{kindAcked, kindResult}, stdin: `{"kind":"pair","key":"b","value":"2"}`},
	{command: "get a", kinds: []string{kindPair}},
	{command: "scan", kinds: []string{kindPair, kindPair}},
	{command: "scan --keys-only", kinds: []string{kindKey, kindKey}},
	{command: "scan --count", kinds: []string{kindResult}},
	{command: "export", kinds: []string{kindPair, kindPair}},
	{command: "del b", kinds: []string{kindResult}},
	{command: "watch --until-now", kinds: []string{kindChange, kindChange, kindChange}},
	{command: "wal ls", kinds: []string{kindSegment}},
	{command: "wal dump", kinds: []string{kindCommit, kindCommit, kindCommit}},
	{command: "wal verify", kinds: []string{kindCheck}},
	{command: "checkpoint", kinds: []string{kindResult}},
	{command: "put a 2", kinds: []string{kindResult}},
	{command: "checkpoint", kinds: []string{kindResult}},
	{command: "snapshot ls", kinds: []string{kindSnapshot, kindSnapshot}},
	{command: "snapshot inspect 3", kinds: []string{kindSnapshot, kindBlock}},
	{command: "snapshot verify", kinds: []string{kindVerified, kindVerified, kindCheck}},
	{command: "snapshot prune --keep 1", kinds: []string{kindRemoved}},
	{command: "stats", kinds: []string{kindStats}},
	{command: "check", kinds: []string{kindViolation, kindCheck}}, // Of a foreign file.
	{command: "backup DIR/copy", kinds: []string{kindResult}},
	{command: "restore DIR/copy --dir DIR/restored", kinds: []string{kindResult}},
	{command: "txn -", kinds: []string{kindResult}, stdin: `{"op":"put","key":"c","value":"3"}`},
	{command: "wal repair", kinds: []string{kindRepair}},
	{command: "bench --duration 1ms", kinds: append([]string{kindBench}, slices.Repeat([]string{kindMeasured}, 7)...)},
	{command: "version", kinds: []string{kindVersion}},
	{command: "cluster status", kinds: []string{kindCluster, kindNode, kindNode, kindNode}},
	{command: "cluster members", kinds: []string{kindMember, kindMember}},
	{command: "cluster join a a:7000", kinds: []string{kindResult}},
	{command: "cluster transfer", kinds: []string{kindResult}},
	{command: "cluster remove a", kinds: []string{kindResult}},
	{command: "cluster recover --members c", kinds: []string{kindRecovery}},
	{command: "cluster backup DIR/cluster", kinds: []string{kindResult}},
	{command: "cluster restore DIR/cluster", kinds: []string{kindResult}},
}

func TestEachObjectSaysItsKind(t *testing.T) {
	dir, address := t.TempDir(), newWalnutd(t)
	listed := map[string]bool{ // These write none.
		"kvctl": true, "kvctl completion": true, "kvctl help": true, "kvctl wal": true, "kvctl snapshot": true, "kvctl cluster": true,
		"kvctl serve": true,
		// What a shell's commands write; and TestCrashTest starts processes.
		"kvctl shell": true, "kvctl crash-test": true, "kvctl crash-worker": true,
	}
	env := func(name string) string { return map[string]string{"KVCTL_ADMIN": address}[name] }
	for _, row := range kindsOf {
		if row.command == "check" {
			require.NoError(t, os.WriteFile(filepath.Join(dir, "store", "letters.txt"), nil, 0o600))
		}
		args := strings.Fields(strings.ReplaceAll("-o json --dir DIR/store "+row.command, "DIR", dir))
		var out, stderr bytes.Buffer
		code := run(args, strings.NewReader(row.stdin), &out, &stderr, env)
		require.Zero(t, code, "%s: %s", row.command, stderr.String())
		var kinds []string
		for line := range strings.Lines(out.String()) {
			var object struct {
				Kind string `json:"kind"`
			}
			require.NoError(t, json.Unmarshal([]byte(line), &object), line)
			require.True(t, strings.HasPrefix(line, `{"kind":"`), "%s: the kind comes first: %s", row.command, line)
			kinds = append(kinds, object.Kind)
		}
		require.Equal(t, row.kinds, kinds, row.command)
		cmd, _, err := newRoot(newTestApp()).Find(strings.Fields(row.command))
		require.NoError(t, err)
		listed[cmd.CommandPath()] = true
	}
	everyCommand(func(cmd *cobra.Command) {
		require.True(t, listed[cmd.CommandPath()], "%s has no row in kindsOf", cmd.CommandPath())
	})
}

// TestWhatExportWritesImportReadsWithDeadlines compares two stores, one of which was imported from the other, byte for byte.
func TestWhatExportWritesImportReadsWithDeadlines(t *testing.T) {
	dir := t.TempDir()
	db, err := kv.Open(filepath.Join(dir, "one"), kv.Options{})
	require.NoError(t, err)
	var b kv.Batch
	// As long from now as the last one, so that none passes meanwhile; each digit of a nanosecond counts.
	soon := time.Now().Add(time.Hour).Truncate(time.Second)
	for i, deadline := range []time.Time{
		{}, soon, soon.Add(1), soon.Add(100), soon.Add(120_000_000), soon.Add(999_999_999), time.Unix(0, 1<<63-1), time.Unix(0, 1<<63-2),
	} {
		for _, key := range []string{"plain", "\x00\xff", "tab\t\n\x1b[31m\u2028", "ü"} {
			b.PutDeadline(append([]byte(key), byte('0'+i)), []byte(key), deadline)
		}
	}
	_, err = db.Apply(&b)
	require.NoError(t, err)
	require.NoError(t, db.Close())
	kvctl := func(stdin string, args ...string) string {
		var out, stderr bytes.Buffer
		require.Zero(t, run(args, strings.NewReader(stdin), &out, &stderr, func(string) string { return "" }), stderr.String())
		return out.String()
	}
	for _, enc := range []string{"utf8", "hex", "base64"} {
		two := filepath.Join(dir, enc)
		exported := kvctl("", "--dir", filepath.Join(dir, "one"), "export", "--encoding", enc)
		require.Equal(t, 28, strings.Count(exported, `"deadline":"2`), "all but those without")
		kvctl(exported, "--dir", two, "import", "-", "--encoding", enc)
		require.Equal(t, exported, kvctl("", "--dir", two, "export", "--encoding", enc))
	}
}

// TestNothingIsColoured shows that no command writes an escape sequence where no terminal is.
func TestNothingIsColoured(t *testing.T) {
	dir := t.TempDir()
	for _, row := range kindsOf {
		var out, stderr bytes.Buffer
		args := strings.Fields(strings.ReplaceAll("--dir DIR/store "+row.command, "DIR", dir))
		run(args, strings.NewReader(row.stdin), &out, &stderr, func(string) string { return "" })
		require.NotContains(t, out.String()+stderr.String(), "\x1b", row.command)
	}
}
