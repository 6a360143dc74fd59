package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/walnutkv/walnut/kv"
)

// liveImport is a kvctl import of a standard input that stays open.
type liveImport struct {
	t      *testing.T
	cmd    *exec.Cmd
	stdin  io.WriteCloser
	stdout io.ReadCloser
	acks   *bufio.Reader
	stderr bytes.Buffer
	sent   int
}

// startImport starts an import in batches of size.
func startImport(t *testing.T, dir string, size int, more ...string) *liveImport {
	t.Helper()
	args := append([]string{"--dir", dir, "import", "-", "--ack", "--batch", strconv.Itoa(size)}, more...)
	i := &liveImport{t: t, cmd: exec.Command("kvctl", args...)}
	i.cmd.Stderr = &i.stderr
	var err error
	i.stdin, err = i.cmd.StdinPipe()
	require.NoError(t, err)
	i.stdout, err = i.cmd.StdoutPipe()
	require.NoError(t, err)
	i.acks = bufio.NewReader(i.stdout)
	require.NoError(t, i.cmd.Start())
	return i
}

// send writes count more pairs, with keys that sort in the order in which they are sent.
func (i *liveImport) send(count int) {
	i.t.Helper()
	for range count {
		_, err := fmt.Fprintf(i.stdin, `{"key":"%09d","value":"v"}`+"\n", i.sent)
		require.NoError(i.t, err)
		i.sent++
	}
}

// acked reads the next acknowledgement and returns its number of pairs.
func (i *liveImport) acked() (pairs int) {
	i.t.Helper()
	line, err := i.acks.ReadString('\n')
	require.NoError(i.t, err)
	var offset int
	_, err = fmt.Sscanf(line, "acked %d %d\n", &pairs, &offset)
	require.NoError(i.t, err, line)
	return pairs
}

// requireFirst checks that the store holds the first pairs that were sent, and nothing else.
func requireFirst(t *testing.T, dir string, pairs int) {
	t.Helper()
	db, err := kv.Open(dir, kv.Options{})
	require.NoError(t, err)
	defer func() { require.NoError(t, db.Close()) }()
	held := 0
	for key := range db.Scan(kv.Range{}) {
		require.Equal(t, fmt.Sprintf("%09d", held), string(key))
		held++
	}
	require.Equal(t, pairs, held)
}

func TestInterruptedImportSaysWhatIsDurable(t *testing.T) {
	for _, sync := range []string{"always", "interval", "never"} {
		for _, sent := range []os.Signal{os.Interrupt, syscall.SIGTERM} {
			t.Run(sync+", "+sent.String(), func(t *testing.T) { interruptImport(t, sync, sent) })
		}
	}
}

func interruptImport(t *testing.T, sync string, sent os.Signal) {
	dir := filepath.Join(t.TempDir(), "store")
	i := startImport(t, dir, 10, "--sync", sync)
	i.send(25)
	require.Equal(t, 10, i.acked())
	require.Equal(t, 20, i.acked())
	// Five pairs of a batch are read, and the rest never follows.
	require.NoError(t, i.cmd.Process.Signal(sent))
	require.Error(t, i.cmd.Wait())
	require.Equal(t, exitFailed, i.cmd.ProcessState.ExitCode())
	require.Equal(t, dir+" held no store; made a new one in it\n"+
		"kvctl: import: interrupted; the first 20 pairs are in and durable, up to offset 2\n", i.stderr.String())
	requireFirst(t, dir, 20)
}

func TestKilledImportHoldsWholeBatchesAndAllAcknowledged(t *testing.T) {
	for round := range 3 {
		dir := filepath.Join(t.TempDir(), "store")
		i := startImport(t, dir, 10)
		acked := 0
		for range 5 + 20*round {
			i.send(10)
			acked = i.acked()
		}
		i.send(10) // This batch may be written or not.
		require.NoError(t, i.cmd.Process.Kill())
		require.Error(t, i.cmd.Wait())

		db, err := kv.Open(dir, kv.Options{ReadOnly: true})
		require.NoError(t, err)
		keys := db.Stats().Keys
		require.NoError(t, db.Close())
		require.Zero(t, keys%10, "%d keys: a batch is in wholly or not at all", keys)
		require.GreaterOrEqual(t, keys, acked)
		requireFirst(t, dir, keys)
	}
}

func TestImportWhoseAcknowledgementsAreNotReadFails(t *testing.T) {
	i := startImport(t, filepath.Join(t.TempDir(), "store"), 1)
	i.send(1)
	require.Equal(t, 1, i.acked())
	require.NoError(t, i.stdout.Close())
	i.send(1)
	require.Error(t, i.cmd.Wait())
	require.Contains(t, i.stderr.String(), "standard output")
	require.Equal(t, exitFailed, i.cmd.ProcessState.ExitCode())
}

// repeating yields the same pair count times, line by line.
type repeating struct {
	pair
	count int
}

func (r *repeating) next() (pair, error) {
	if r.count == 0 {
		return pair{}, io.EOF
	}
	r.count--
	r.line++
	return r.pair, nil
}

func TestBatchClosesAtItsSizeInPairsOrBytes(t *testing.T) {
	small := &batchReader{pairs: &repeating{pair{key: []byte("k")}, 25}, size: 10}
	for _, want := range []importBatch{
		{pairs: 10, firstLine: 1, lastLine: 10},
		{pairs: 10, firstLine: 11, lastLine: 20},
		{pairs: 5, firstLine: 21, lastLine: 25, err: io.EOF},
	} {
		got := small.next()
		require.Equal(t, want.pairs, got.mutations.Len())
		got.mutations = nil
		require.Equal(t, want, got)
	}
	large := &batchReader{pairs: &repeating{pair{key: []byte("k"), value: make([]byte, 5<<20)}, 10}, size: 1000}
	require.Equal(t, 4, large.next().pairs, "closed by the pair that passes 16 MiB")
}

func TestPairOverALimitIsRefusedByLine(t *testing.T) {
	for _, c := range []struct {
		name string
		pair pair
		want error
	}{
		{"an empty key", pair{line: 7}, kv.ErrEmptyKey},
		{"a long key", pair{key: make([]byte, kv.MaxKeySize+1), line: 7}, kv.ErrKeyTooLarge},
		{"a large value", pair{key: []byte("k"), value: make([]byte, kv.MaxValueSize+1), line: 7}, kv.ErrValueTooLarge},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := checkLimits(c.pair)
			require.ErrorIs(t, err, c.want)
			require.True(t, strings.HasPrefix(err.Error(), "line 7: "), err)
		})
	}
	largest := pair{key: make([]byte, kv.MaxKeySize), value: make([]byte, kv.MaxValueSize)}
	require.NoError(t, checkLimits(largest))
}

func TestReadingAheadEndsWithItsReader(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	batches := make(chan importBatch)
	go func() {
		(&batchReader{pairs: &repeating{pair{key: []byte("k")}, 1 << 30}, size: 1}).readAll(ctx, batches)
		close(done)
	}()
	<-batches
	cancel()
	<-done
}
