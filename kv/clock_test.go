package kv

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/walnutkv/walnut/internal/vfs"
)

func TestTheClockNeverGoesBack(t *testing.T) {
	wall, elapsed := int64(time.Hour), int64(0)
	c := newClock(func() time.Time { return time.Unix(0, wall) })
	c.elapsed = func() int64 { return elapsed }
	pass := func(by, wallBy time.Duration) time.Duration {
		elapsed += int64(by)
		wall += int64(wallBy)
		return time.Duration(c.now())
	}
	require.Equal(t, time.Hour, pass(0, 0))
	require.Equal(t, time.Hour+time.Second, pass(time.Second, time.Second))
	require.Equal(t, time.Hour+2*time.Second, pass(time.Second, -time.Minute), "the system's clock was set back, and time goes on")
	require.Equal(t, 2*time.Hour-59*time.Second, pass(time.Second, time.Hour), "it was set forward")
	c.goesOnFrom(int64(5 * time.Hour))
	require.Equal(t, 5*time.Hour, time.Duration(c.now()))
	require.Equal(t, 5*time.Hour+time.Second, pass(time.Second, time.Second))
}

func TestTheClockIsTheSystems(t *testing.T) {
	require.WithinDuration(t, time.Now(), time.Unix(0, newClock(nil).now()), time.Minute)
}

func TestAPairThatHasExpiredStaysSoWhenTheClockIsSetBack(t *testing.T) {
	now := int64(1000)
	opts := manual(vfs.NewMem())
	opts.Clock, opts.sweepByHand = func() time.Time { return time.Unix(0, now) }, true
	gone := func(db *DB, when string) {
		_, err := db.Get([]byte("lock"))
		require.ErrorIs(t, err, ErrNotFound, when)
		requireHolds(t, db, "after=v")
	}
	db, err := Open(storeDir, opts)
	require.NoError(t, err)
	_, err = db.PutTTL([]byte("lock"), []byte("holder"), 100)
	require.NoError(t, err)
	now = 1200
	put(t, db, "after", "v")
	gone(db, "it has expired")
	now = 1050
	gone(db, "the clock was set back")
	require.NoError(t, db.Close())

	db, err = Open(storeDir, opts)
	require.NoError(t, err)
	gone(db, "it was set back when the store was opened")
	checkpoint(t, db)
	require.NoError(t, db.Close())
	db = openStore(t, storeDir, opts)
	gone(db, "the last commit is in a snapshot")
}
