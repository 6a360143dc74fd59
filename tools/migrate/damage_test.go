package main

import (
	"errors"
	"flag"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/dgraph-io/badger/v4"
	"github.com/stretchr/testify/require"
	"github.com/tidwall/buntdb"
	"go.etcd.io/bbolt"
)

var damageRounds = flag.Int("damage.rounds", 25, "how many damaged copies of each source to migrate; the seeds begin with 0")

// damageOne changes the bytes of a file at random: a bit, a page of noise or zeros, or the end.
func damageOne(random *rand.Rand, text []byte) []byte {
	at := random.IntN(len(text))
	page := text[at/4096*4096 : min(at/4096*4096+4096, len(text))]
	switch random.IntN(4) {
	case 0:
		text[at] ^= 1 << random.IntN(8)
	case 1:
		for i := range page {
			page[i] = byte(random.Uint32())
		}
	case 2:
		clear(page)
	default:
		return text[:at]
	}
	return text
}

// runApart runs the program in another process, so that its death can be seen, and returns its exit code.
func runApart(t *testing.T, args ...string) (code int, said string) {
	t.Helper()
	self, err := os.Executable()
	require.NoError(t, err)
	command := exec.CommandContext(t.Context(), self, args...)
	command.Env = append(os.Environ(), "WALNUT_MIGRATE_TEST=main")
	out, err := command.CombinedOutput()
	var exit *exec.ExitError
	if !errors.As(err, &exit) {
		require.NoError(t, err)
	}
	return command.ProcessState.ExitCode(), string(out)
}

// The program ends by itself whatever is damaged. Of a Badger directory, which has checksums of everything that pairs depend on,
// it copies all or says that something is wrong.
func TestNoDamageKillsTheProgram(t *testing.T) {
	want := numbered(1500)
	sources := map[string]string{
		"bbolt": makeBbolt(t, func(tx *bbolt.Tx) {
			for key, pair := range want {
				put(t, bucketOf(t, tx, "a", "b"), key, pair.value)
			}
		}),
		"buntdb": makeBuntdb(t, func(tx *buntdb.Tx) {
			for key, pair := range want {
				set(t, tx, key, pair.value, 0)
			}
		}),
		"badger": makeBadger(t, func(set func(*badger.Entry)) {
			for key, pair := range want {
				set(badger.NewEntry([]byte(key), []byte(pair.value)))
			}
		}),
	}
	for kind, source := range sources {
		t.Run(kind, func(t *testing.T) {
			for seed := range uint64(*damageRounds) {
				damaged := copyDamaged(t, rand.New(rand.NewPCG(seed, 0)), source)
				store := filepath.Join(t.TempDir(), "store")
				code, said := runApart(t, "--from", kind, damaged, "--dir", store)
				require.Contains(t, []int{exitDone, exitFailed, exitDamage}, code, "seed %d: %s", seed, said)
				if kind == "badger" && code == exitDone {
					require.Equal(t, want, contentOf(t, store), "seed %d: %s", seed, said)
				}
			}
		})
	}
}

// copyDamaged copies a source and damages one of its files.
func copyDamaged(t *testing.T, random *rand.Rand, source string) string {
	t.Helper()
	into := filepath.Join(t.TempDir(), "damaged")
	info, err := os.Stat(source)
	require.NoError(t, err)
	victim := into
	if info.IsDir() {
		require.NoError(t, os.CopyFS(into, os.DirFS(source)))
		files, err := os.ReadDir(into)
		require.NoError(t, err)
		victim = filepath.Join(into, files[random.IntN(len(files))].Name())
	} else {
		text, err := os.ReadFile(source)
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(into, text, 0o600))
	}
	change(t, victim, func(text []byte) []byte { return damageOne(random, text) })
	return into
}
