package kv

import (
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/walnutkv/walnut/internal/vfs"
)

func TestATimeToLiveThatIsNotPositiveIsRefused(t *testing.T) {
	db, _ := openByHand(t, Options{})
	key := []byte("k")
	for sentence, put := range map[string]func(ttl time.Duration) error{
		"in its own commit": func(ttl time.Duration) error {
			_, err := db.PutTTL(key, nil, ttl)
			return err
		},
		"in a batch": func(ttl time.Duration) error {
			var b Batch
			b.PutTTL(key, nil, ttl)
			_, err := db.Apply(&b)
			return err
		},
		"in a transaction": func(ttl time.Duration) error {
			return db.Update(func(tx *Tx) error { return tx.PutTTL(key, nil, ttl) })
		},
	} {
		t.Run(sentence, func(t *testing.T) {
			for _, ttl := range []time.Duration{0, -1, math.MinInt64} {
				require.ErrorIs(t, put(ttl), ErrInvalidTTL)
			}
			require.Zero(t, db.Stats().Keys)
			require.NoError(t, put(1))
			require.NoError(t, put(math.MaxInt64))
			_, err := db.Delete(key)
			require.NoError(t, err)
		})
	}
}

func TestADeadlineIsWhatWasPut(t *testing.T) {
	db, now := openByHand(t, Options{})
	at := func(after time.Duration) time.Time { return time.Unix(0, now.Load()).Add(after).UTC() }
	put(t, db, "none", "v")
	putTTL(t, db, "hour", time.Hour)
	putTTL(t, db, "end", math.MaxInt64)
	var b Batch
	b.PutDeadline([]byte("past"), nil, at(-1))
	b.PutDeadline([]byte("now"), nil, at(0))
	_, err := db.Apply(&b)
	require.NoError(t, err)
	hour := at(time.Hour)
	view, err := db.ReadView()
	require.NoError(t, err)
	defer func() { require.NoError(t, view.Close()) }()
	now.Add(int64(time.Minute))
	inUpdate(t, db, func(tx *Tx) {
		require.NoError(t, tx.PutTTL([]byte("pending"), nil, time.Second))
		for _, c := range []struct {
			sentence, key string
			of            func(key []byte) (time.Time, error)
			want          time.Time
			err           error
		}{
			{"a pair without a deadline", "none", db.Deadline, time.Time{}, nil},
			{"one that lives an hour", "hour", db.Deadline, hour, nil},
			{"in a transaction", "hour", tx.Deadline, hour, nil},
			{"in a view", "hour", view.Deadline, hour, nil},
			{"one that lives for ever, nearly", "end", db.Deadline, time.Unix(0, math.MaxInt64).UTC(), nil},
			{"what the transaction put", "pending", tx.Deadline, at(time.Second), nil},
			{"what a transaction put isn't visible", "pending", db.Deadline, time.Time{}, ErrNotFound},
			{"one whose deadline was past when it was put", "past", db.Deadline, time.Time{}, ErrNotFound},
			{"at its deadline, in the view of that instant", "now", view.Deadline, time.Time{}, ErrNotFound},
			{"an absent key", "absent", tx.Deadline, time.Time{}, ErrNotFound},
			{"an empty key", "", db.Deadline, time.Time{}, ErrEmptyKey},
			{"an empty key in a view", "", view.Deadline, time.Time{}, ErrEmptyKey},
			{"a key that is too long", string(make([]byte, MaxKeySize+1)), db.Deadline, time.Time{}, ErrKeyTooLarge},
		} {
			got, err := c.of([]byte(c.key))
			require.ErrorIs(t, err, c.err, c.sentence)
			require.Equal(t, c.want, got, c.sentence)
		}
		for range pendingMax { // Until a clone takes what the transaction wrote.
			require.NoError(t, tx.PutTTL([]byte("many"), nil, time.Second))
		}
		got, err := tx.Deadline([]byte("pending"))
		require.NoError(t, err)
		require.Equal(t, at(time.Second), got)
		require.NoError(t, tx.Delete([]byte("hour")))
		_, err = tx.Deadline([]byte("hour"))
		require.ErrorIs(t, err, ErrNotFound)
	})
}

func TestDeadlinesOfWhatIsOver(t *testing.T) {
	db, err := Open(storeDir, memOptions(vfs.NewMem()))
	require.NoError(t, err)
	putTTL(t, db, "k", time.Hour)
	view, err := db.ReadView()
	require.NoError(t, err)
	var kept *Tx
	inUpdate(t, db, func(tx *Tx) { kept = tx })
	require.NoError(t, view.Close())
	require.NoError(t, db.Close())
	_, err = db.Deadline([]byte("k"))
	require.ErrorIs(t, err, ErrClosed)
	_, err = view.Deadline([]byte("k"))
	require.ErrorIs(t, err, ErrTxDone)
	_, err = kept.Deadline([]byte("k"))
	require.ErrorIs(t, err, ErrTxDone)
	require.ErrorIs(t, kept.PutTTL([]byte("k"), nil, time.Hour), ErrTxDone)
}
