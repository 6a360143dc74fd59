package kv

import (
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/walnutkv/walnut/internal/vfs"
)

func TestTheClockNeverGoesBack(t *testing.T) {
	wall, elapsed := int64(1000), int64(0)
	c := newClock(nil)
	c.read = func() (int64, int64) { return wall, elapsed }
	c.ahead.Store(math.MinInt64)
	require.EqualValues(t, 1000, c.now())
	wall, elapsed = 1100, 100
	require.EqualValues(t, 1100, c.now())
	wall, elapsed = 600, 150
	require.EqualValues(t, 1150, c.now(), "the system's clock was set back, and time goes on")
	wall, elapsed = 1300, 200
	require.EqualValues(t, 1300, c.now(), "it was set forward")
	c.goesOnFrom(5000)
	require.EqualValues(t, 5000, c.now())
	wall, elapsed = 1400, 300
	require.EqualValues(t, 5100, c.now())
}

func TestTheClockIsTheSystems(t *testing.T) {
	require.WithinDuration(t, time.Now(), time.Unix(0, newClock(nil).now()), time.Minute)
}

func TestAPairThatHasExpiredStaysSoWhenTheClockIsSetBack(t *testing.T) {
	now := int64(1000)
	opts := manual(vfs.NewMem())
	opts.clock = func() int64 { return now }
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
