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

// TestWhatAWrongClockDoes steps a clock, at the end in a store that is opened again.
func TestWhatAWrongClockDoes(t *testing.T) {
	day := func(year int) time.Time { return time.Date(year, 1, 1, 0, 0, 0, 0, time.UTC) }
	for _, c := range []struct {
		sentence  string
		put       time.Time // The clock when a pair is put that lives for a day.
		deadline  time.Time
		then      time.Time // The clock afterwards.
		commits   bool      // Another commit is made by that clock.
		gone      bool      // By that clock.
		restarted time.Time // The clock when the store is opened again.
		goneThen  bool
	}{
		{"a day passes", day(2020), day(2020).AddDate(0, 0, 1), day(2020).AddDate(0, 0, 1), false, true, day(2021), true},
		{"set forward and back, with a commit between", day(2020), day(2020).AddDate(0, 0, 1), day(2030), true, true, day(2020), true},
		{"set forward and back, and no commit was made by it", day(2020), day(2020).AddDate(0, 0, 1), day(2030), false, true, day(2020), false},
		{"set back, so that time stands still", day(2020), day(2020).AddDate(0, 0, 1), day(2019), true, false, day(2019), false},
		{"before 1970, where time stands still", day(1950), time.Unix(0, 0).AddDate(0, 0, 1), day(1969), true, false, day(1969), false},
		{"before 1970, and set to a later year", day(1950), time.Unix(0, 0).AddDate(0, 0, 1), day(1971), false, true, day(1971), true},
	} {
		t.Run(c.sentence, func(t *testing.T) {
			now := c.put
			opts := manual(vfs.NewMem())
			opts.Clock, opts.sweepByHand = func() time.Time { return now }, true
			db, err := Open(storeDir, opts)
			require.NoError(t, err)
			putTTL(t, db, "k", 24*time.Hour)
			deadline, err := db.Deadline([]byte("k"))
			require.NoError(t, err)
			require.True(t, c.deadline.Equal(deadline), "%v", deadline)
			now = c.then
			if c.commits {
				put(t, db, "other", "v")
			}
			requireGone(t, db, c.gone)
			require.NoError(t, db.Close())
			now = c.restarted
			db, err = Open(storeDir, opts)
			require.NoError(t, err)
			requireGone(t, db, c.goneThen)
			sweepOnce(t, db)
			require.Equal(t, c.goneThen, db.Stats().Swept == 1, "a sweep takes what is gone, and nothing else")
			requireGone(t, db, c.goneThen)
			require.NoError(t, db.Close())
		})
	}
}

// requireGone requires that the pair of k is visible, or isn't.
func requireGone(t *testing.T, db *DB, gone bool) {
	t.Helper()
	_, err := db.Get([]byte("k"))
	require.Equal(t, gone, err != nil, "%v", err)
}
