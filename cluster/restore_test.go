package cluster

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/walnutkv/walnut/kv"
)

// held returns the pairs of a node, with their deadlines.
func (c *trio) held(name string) map[string]string {
	db, pairs := c.nodes[name].DB(), map[string]string{}
	for key, value := range db.Scan(kv.Range{}) {
		deadline, err := db.Deadline(key)
		require.NoError(c.t, err)
		pairs[string(key)] = fmt.Sprint(string(value), deadline.UnixNano())
	}
	return pairs
}

// TestARestoreMakesTheClusterThatOfTheBackup goes there and back between random states.
func TestARestoreMakesTheClusterThatOfTheBackup(t *testing.T) {
	c := newTrio(t, "alone") // It doesn't lose the leadership, however busy the machine is.
	random := rand.New(rand.NewPCG(1, 2))
	change := func() {
		var b kv.Batch
		for range 200 {
			key := fmt.Appendf(nil, "%03d", random.IntN(300))
			switch random.IntN(4) {
			case 0:
				b.Delete(key)
			case 1:
				b.PutDeadline(key, fmt.Append(nil, random.IntN(3)), time.Now().Add(time.Hour+time.Duration(random.IntN(1000))))
			default:
				b.Put(key, fmt.Append(nil, random.IntN(3)))
			}
		}
		waitUntil(t, func() bool {
			_, err := c.nodes[c.leader()].DB().Apply(&b)
			return err == nil
		})
	}
	var backups []*bytes.Buffer
	var states []map[string]string
	for range 4 {
		change()
		backup := &bytes.Buffer{}
		leader := c.leader()
		_, err := c.nodes[leader].DB().Backup(t.Context(), backup)
		require.NoError(t, err)
		backups, states = append(backups, backup), append(states, c.held(leader))
	}
	for i := range backups {
		leader := c.leader()
		before := c.held(leader)
		done, err := c.nodes[leader].Restore(soon(t), bytes.NewReader(backups[i].Bytes()))
		require.NoError(t, err)
		require.Equal(t, states[i], c.held(leader))
		differ := 0
		for key := range before {
			if _, stays := states[i][key]; !stays {
				differ++
			}
		}
		require.EqualValues(t, differ, done.Deletes, "only what differs is written")
		puts := maps.Clone(states[i])
		maps.DeleteFunc(puts, func(key, pair string) bool { return before[key] == pair })
		require.EqualValues(t, len(puts), done.Puts)
		again, err := c.nodes[leader].Restore(soon(t), bytes.NewReader(backups[i].Bytes()))
		require.NoError(t, err)
		require.Zero(t, again)
	}
	require.NoDirExists(t, c.nodes[c.leader()].unpacked)
}

func TestARestoreIsOfManyCommits(t *testing.T) {
	c := newTrio(t, "alone")
	node := c.nodes["alone"]
	for i := range 5 {
		_, err := node.DB().Put(fmt.Append(nil, i), bytes.Repeat([]byte{byte(i)}, restoreBatch*2/5))
		require.NoError(t, err)
	}
	var backup bytes.Buffer
	_, err := node.DB().Backup(t.Context(), &backup)
	require.NoError(t, err)
	want := c.held("alone")
	_, err = node.DB().DeleteRange(nil, nil)
	require.NoError(t, err)
	before := node.Status().Last
	done, err := node.Restore(soon(t), &backup)
	require.NoError(t, err)
	require.Equal(t, Restored{Puts: 5}, done)
	require.EqualValues(t, 3, node.Status().Last-before)
	require.Equal(t, want, c.held("alone"))
}

// TestARestoreMakesNoCommitThatIsTooLarge is of stores with small commits, and of pairs whose keys and values are the least of a commit, or nearly
// all of it.
func TestARestoreMakesNoCommitThatIsTooLarge(t *testing.T) {
	for _, most := range []int{300, 4096, 200_000} {
		c := newTrioWith(t, func(o *Options) { o.Store.MaxCommitSize = most }, "alone")
		node := c.nodes["alone"]
		deadline := time.Now().Add(time.Hour)
		for i := range 100 {
			var b kv.Batch
			b.PutDeadline(fmt.Appendf(nil, "%d", i), nil, deadline)
			if i%10 == 0 {
				b.Put(fmt.Appendf(nil, "%d large", i), make([]byte, most-100))
			}
			_, err := node.DB().Apply(&b)
			require.NoError(t, err)
		}
		var backup bytes.Buffer
		_, err := node.DB().Backup(t.Context(), &backup)
		require.NoError(t, err)
		want := c.held("alone")
		_, err = node.DB().DeleteRange(nil, nil)
		require.NoError(t, err)
		for i := range 100 {
			c.put(fmt.Sprint(i, " is to go"), "")
		}
		done, err := node.Restore(soon(t), &backup)
		require.NoError(t, err, "commits of %d bytes", most)
		require.Equal(t, Restored{Puts: 110, Deletes: 100}, done)
		require.Equal(t, want, c.held("alone"))
	}
}

func TestAPairThatHasExpiredSinceTheBackupIsNotRestored(t *testing.T) {
	c := newTrio(t, "alone")
	db := c.nodes["alone"].DB()
	_, err := db.PutTTL([]byte("key"), []byte("short-lived"), 200*time.Millisecond)
	require.NoError(t, err)
	var backup bytes.Buffer
	_, err = db.Backup(t.Context(), &backup)
	require.NoError(t, err)
	_, err = db.Put([]byte("key"), []byte("later"))
	require.NoError(t, err)
	time.Sleep(250 * time.Millisecond)
	done, err := c.nodes["alone"].Restore(soon(t), &backup)
	require.NoError(t, err)
	require.Equal(t, Restored{Deletes: 1}, done)
	has, err := db.Has([]byte("key"))
	require.NoError(t, err)
	require.False(t, has)
}

func TestWhatIsNoBackupRestoresNothing(t *testing.T) {
	c := newTrio(t, "alone")
	c.put("key", "value")
	node := c.nodes["alone"]
	var backup bytes.Buffer
	_, err := node.DB().Backup(t.Context(), &backup)
	require.NoError(t, err)
	c.put("key", "newer")
	for _, bad := range [][]byte{nil, []byte("nonsense"), backup.Bytes()[:backup.Len()-1]} {
		_, err = node.Restore(soon(t), bytes.NewReader(bad))
		require.ErrorIs(t, err, kv.ErrCorrupt)
	}
	c.requireShows("alone", "key", "newer")
	node.restoring.Lock()
	_, err = node.Restore(soon(t), &backup)
	require.ErrorIs(t, err, ErrMember)
	node.restoring.Unlock()

	c.stop("alone")
	require.NoError(t, os.MkdirAll(node.unpacked, 0o700)) // As a node leaves it that was killed.
	c.open("alone")
	require.NoDirExists(t, node.unpacked)
}

// upload is a backup that comes slowly: it waits after its first piece.
type upload struct {
	io.Reader
	begun, wait chan struct{}
	once        sync.Once
}

func (u *upload) Read(piece []byte) (int, error) {
	n, err := u.Reader.Read(piece[:min(len(piece), 1000)])
	u.once.Do(func() {
		close(u.begun)
		<-u.wait
	})
	return n, err
}

// TestARestoreThatOutlivesItsNodeLeavesTheNextAlone closes the node while a restore waits for its backup, and opens the directory again.
func TestARestoreThatOutlivesItsNodeLeavesTheNextAlone(t *testing.T) {
	c := newTrio(t, "alone")
	node := c.nodes["alone"]
	for i := range 8 {
		value := make([]byte, 1<<20)
		_, _ = rand.NewChaCha8([32]byte{byte(i)}).Read(value) // It never fails.
		c.put(fmt.Sprint(i), string(value))
	}
	var backup bytes.Buffer
	_, err := node.DB().Backup(t.Context(), &backup)
	require.NoError(t, err)
	slow := &upload{Reader: &backup, begun: make(chan struct{}), wait: make(chan struct{})}
	done := make(chan error, 1)
	go func() {
		_, err := node.Restore(soon(t), slow)
		done <- err
	}()
	<-slow.begun
	c.stop("alone")
	next := c.open("alone")
	require.NotEqual(t, node.unpacked, next.unpacked)
	mark := filepath.Join(next.unpacked, "mark")
	require.NoError(t, os.MkdirAll(next.unpacked, 0o700))
	require.NoError(t, os.WriteFile(mark, nil, 0o600))
	close(slow.wait)
	require.ErrorIs(t, <-done, ErrClosed)
	require.NotZero(t, backup.Len(), "it doesn't wait for the rest")
	require.FileExists(t, mark, "what the next restore has unpacked")
	require.NoDirExists(t, node.unpacked)
}

func TestOnlyTheLeaderRestores(t *testing.T) {
	c := newTrio(t)
	c.put("key", "1")
	var backup bytes.Buffer
	_, err := c.nodes[c.leader()].DB().Backup(t.Context(), &backup)
	require.NoError(t, err)
	c.put("key", "2")
	waitUntil(t, func() bool { // The leadership may be lost on a busy machine.
		_, err := c.nodes[c.follower()].Restore(soon(t), bytes.NewReader(backup.Bytes()))
		return errors.Is(err, kv.ErrNotLeader)
	})
	c.put("key", "3")
	waitUntil(t, func() bool {
		_, err := c.nodes[c.leader()].Restore(soon(t), bytes.NewReader(backup.Bytes()))
		return err == nil
	})
	for _, name := range c.names {
		c.requireShows(name, "key", "1")
	}
	c.requireAlike()
}
