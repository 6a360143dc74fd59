package main

import (
	"bytes"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/walnutkv/walnut/kv"
)

// ruin is a copy of a store of 200 commits, each of which puts its number under k and under its own key.
type ruin struct {
	*testing.T
	dir    string
	stores []string // The files of the log.
}

const ruinCommits = 200

// newRuin makes the store, with a snapshot as of commit 120 if asked for. The copy is made before the store is closed, if asked for.
func newRuin(t *testing.T, snapshot, killed bool) *ruin {
	r := &ruin{T: t, dir: filepath.Join(t.TempDir(), "store")}
	made := filepath.Join(t.TempDir(), "made")
	db, err := kv.Open(made, kv.Options{SegmentSize: 4 << 10, CheckpointFactor: -1, SnapshotsKept: 9, Sync: kv.SyncNever})
	require.NoError(t, err)
	for i := 1; i <= ruinCommits; i++ {
		var batch kv.Batch
		batch.Put([]byte("k"), fmt.Append(nil, i))
		batch.Put(fmt.Append(nil, "k", i), bytes.Repeat(fmt.Append(nil, i, " "), 8))
		_, err := db.Apply(&batch)
		require.NoError(t, err)
		if snapshot && i == 120 {
			_, err := db.Checkpoint(t.Context())
			require.NoError(t, err)
		}
	}
	for killed { // An index that is being written gets its name, and is gone under the temporary one, before it is copied.
		err := os.CopyFS(r.dir, os.DirFS(made))
		if err == nil {
			break
		}
		require.ErrorIs(t, err, fs.ErrNotExist)
		require.NoError(t, os.RemoveAll(r.dir))
	}
	require.NoError(t, db.Close())
	if !killed {
		require.NoError(t, os.CopyFS(r.dir, os.DirFS(made)))
	}
	r.stores, err = filepath.Glob(filepath.Join(r.dir, "wal", "*.store"))
	require.NoError(t, err)
	require.Greater(t, len(r.stores), 3)
	return r
}

func (r *ruin) change(path string, change func(data []byte) []byte) {
	data, err := os.ReadFile(path)
	require.NoError(r, err)
	require.NoError(r, os.WriteFile(path, change(data), 0o600))
}

// changeCommit changes bytes of the value of a commit in the log.
func (r *ruin) changeCommit(commit int, change func(value []byte)) {
	value := bytes.Repeat(fmt.Append(nil, commit, " "), 8)
	for _, path := range r.stores {
		r.change(path, func(data []byte) []byte {
			if at := bytes.Index(data, value); at >= 0 {
				change(data[at:])
			}
			return data
		})
	}
}

func (r *ruin) last() string { return r.stores[len(r.stores)-1] }

func (r *ruin) snapshot() string {
	return filepath.Join(r.dir, "snapshot", fmt.Sprintf("%020d.snap", 120))
}

func (r *ruin) remove(paths ...string) {
	for _, path := range paths {
		require.NoError(r, os.Remove(path))
	}
}

// kvctl runs a command line as a shell does, and returns what it wrote and its exit code.
func (r *ruin) kvctl(line string) (stdout, stderr string, code int) {
	var out, diagnostics bytes.Buffer
	cmd := exec.Command("sh", "-c", line)
	cmd.Dir, cmd.Stdout, cmd.Stderr = filepath.Dir(r.dir), &out, &diagnostics
	_ = cmd.Run() // The exit code says how it ended.
	return out.String(), diagnostics.String(), cmd.ProcessState.ExitCode()
}

// nextCommand is the command that an error ends with.
var nextCommand = regexp.MustCompile(`: (kvctl [^;]*)\n$`)

// TestTheCommandsThatCheckNamesLeadToAStoreThatOpens damages a store in each way, and then does what it is told to do.
func TestTheCommandsThatCheckNamesLeadToAStoreThatOpens(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for _, c := range []struct {
		name     string
		snapshot bool
		killed   bool
		damage   func(r *ruin)
		want     int    // The last commit that is left; -1 where it is the one before a segment.
		says     string // What the plan says is lost; empty where check finds no damage.
	}{
		{name: "a copy after kill -9", killed: true, damage: func(r *ruin) {}, want: ruinCommits},
		{name: "64 random bytes appended", want: ruinCommits, damage: func(r *ruin) {
			r.change(r.last(), func(data []byte) []byte {
				for range 64 {
					data = append(data, byte(random.Uint32()))
				}
				return data
			})
		}},
		{name: "4 KiB of zeros appended", want: ruinCommits, damage: func(r *ruin) {
			r.change(r.last(), func(data []byte) []byte { return append(data, make([]byte, 4096)...) })
		}},
		{name: "the tail cut by 7 bytes", want: ruinCommits, damage: func(r *ruin) {
			r.change(r.last(), func(data []byte) []byte { return data[:len(data)-7] })
		}},
		{name: "the last commit cut by 7 bytes", want: 199, says: "commits 200 to 200", damage: func(r *ruin) {
			r.change(r.last(), func(data []byte) []byte { return data[:len(data)-96-7] })
		}},
		{name: "one bit flipped", want: ruinCommits, says: "nothing", damage: func(r *ruin) { r.changeCommit(70, func(b []byte) { b[3] ^= 64 }) }},
		{name: "16 bytes zeroed", want: 69, says: "commits 70 to 200; 130 of them can be read", damage: func(r *ruin) {
			r.changeCommit(70, func(b []byte) { clear(b[:16]) })
		}},
		{name: "16 bytes zeroed in what a snapshot has", snapshot: true, want: ruinCommits, says: "history: what commits", damage: func(r *ruin) {
			r.changeCommit(70, func(b []byte) { clear(b[:16]) })
		}},
		{name: "a file of the log deleted", want: -1, says: "can be read until the repair", damage: func(r *ruin) { r.remove(r.stores[2]) }},
		{name: "a file deleted that a snapshot makes up for", snapshot: true, want: ruinCommits, says: "history: what commits", damage: func(r *ruin) {
			r.remove(r.stores[1])
		}},
		{name: "two files swapped", want: ruinCommits, says: "nothing", damage: func(r *ruin) {
			require.NoError(r, os.Rename(r.stores[1], r.dir+"x"))
			require.NoError(r, os.Rename(r.stores[2], r.stores[1]))
			require.NoError(r, os.Rename(r.dir+"x", r.stores[2]))
		}},
		{name: "a snapshot flipped", snapshot: true, want: ruinCommits, says: "nothing", damage: func(r *ruin) {
			r.change(r.snapshot(), func(data []byte) []byte { data[len(data)/2] ^= 1; return data })
		}},
		{name: "the log emptied", snapshot: true, want: 120, says: "any commits after 120: nothing of them is left", damage: func(r *ruin) {
			require.NoError(r, os.RemoveAll(filepath.Join(r.dir, "wal")))
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRuin(t, c.snapshot, c.killed)
			c.damage(r)
			r.requireRepaired(c.says, c.want)
		})
	}
}

// requireRepaired follows what check says until it finds no damage, and then requires the state after a commit.
func (r *ruin) requireRepaired(says string, want int) {
	line, said := "kvctl --dir store check", ""
	var ran []string
	for {
		stdout, stderr, code := r.kvctl(line)
		require.NotContains(r, ran, line, "the commands send a person to each other")
		if ran = append(ran, line); strings.Contains(line, "wal repair") {
			said += stdout
		}
		if code == exitDone {
			break
		}
		require.Equal(r, exitDamage, code, "%s\n%s", line, stderr)
		next := nextCommand.FindStringSubmatch(stderr)
		require.NotNil(r, next, "%s\n%s", line, stderr)
		line = next[1]
	}
	require.Equal(r, says != "", slices.ContainsFunc(ran, func(line string) bool { return strings.HasSuffix(line, "--apply") }), ran)
	require.Contains(r, said, says)
	if want < 0 {
		_, err := fmt.Sscanf(said[strings.Index(said, "as of commit"):], "as of commit %d", &want)
		require.NoError(r, err)
		require.Greater(r, want, 30)
	}
	_, stderr, code := r.kvctl("kvctl --dir store check")
	require.Zero(r, code, stderr)
	stdout, stderr, code := r.kvctl("kvctl --dir store get k && kvctl --dir store scan --count && kvctl --dir store put k after")
	require.Zero(r, code, stderr)
	require.Equal(r, fmt.Sprintf("%d%d\n%d\n", want, want+1, want+1), stdout)
}
