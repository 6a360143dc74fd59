package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/walnutkv/walnut/kv"
)

const (
	waitLimit = 10 * time.Second
	waitStep  = time.Millisecond
)

// library is documents and their index, in memory.
type library struct {
	t         *testing.T
	documents *kv.DB
	index     *index
}

func newLibrary(t *testing.T, options kv.Options) *library {
	t.Helper()
	open := func(options kv.Options) *kv.DB {
		db, err := kv.OpenMemory(options)
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, db.Close()) })
		return db
	}
	return &library{t, open(options), &index{open(kv.Options{})}}
}

func (l *library) put(document, text string) {
	l.t.Helper()
	_, err := l.documents.Put([]byte(document), []byte(text))
	require.NoError(l.t, err)
}

// catchUp lets the index follow until it shows the last commit.
func (l *library) catchUp() {
	l.t.Helper()
	ctx, cancel := context.WithCancel(l.t.Context())
	ended := make(chan error, 1)
	go func() { ended <- l.index.follow(ctx, l.documents) }()
	require.NoError(l.t, l.index.reach(ctx, l.documents.Offset()))
	cancel()
	require.ErrorIs(l.t, <-ended, context.Canceled)
}

func (l *library) requireFound(word string, want ...string) {
	l.t.Helper()
	found, err := l.index.find(word)
	require.NoError(l.t, err)
	require.Equal(l.t, want, found)
}

func TestTheIndexFollowsEveryKindOfChange(t *testing.T) {
	l := newLibrary(t, kv.Options{})
	l.catchUp()
	l.put("a", "The quick brown fox")
	l.put("b", "the lazy dog, the DOG!")
	l.catchUp()
	l.requireFound("the", "a", "b")
	l.requireFound("Dog", "b")
	l.requireFound("do")

	l.put("a", "a quick cat")
	l.put("c", "the end")
	l.put("d", "the end")
	l.catchUp()
	l.requireFound("fox")
	l.requireFound("quick", "a")
	_, err := l.documents.Delete([]byte("b"))
	require.NoError(t, err)
	_, err = l.documents.DeleteRange([]byte("c"), nil)
	require.NoError(t, err)
	l.catchUp()
	l.requireFound("the")
	l.requireFound("cat", "a")
}

// The index is cut off at every commit, and is what it would be without that.
func TestTheIndexGoesOnWhereItStopped(t *testing.T) {
	l := newLibrary(t, kv.Options{})
	for i := range 20 {
		l.put(fmt.Sprint("d", i%7), fmt.Sprint("word ", i))
		l.catchUp()
	}
	l.requireFound("word", "d0", "d1", "d2", "d3", "d4", "d5", "d6")
	l.requireFound("12")
	l.requireFound("13", "d6")
}

func TestAnIndexThatMissedTooMuchIsBuiltAgain(t *testing.T) {
	l := newLibrary(t, kv.Options{SegmentSize: 4 << 10})
	l.put("gone", "old word")
	l.catchUp()
	l.requireFound("old", "gone")
	_, err := l.documents.Delete([]byte("gone"))
	require.NoError(t, err)
	for i := range 200 {
		l.put(fmt.Sprint("d", i), strings.Repeat("word ", 20))
	}
	_, err = l.documents.Checkpoint(t.Context())
	require.NoError(t, err)
	require.Greater(t, l.documents.Stats().First, uint64(3), "the commits that were missed are truncated")
	l.catchUp()
	l.requireFound("old")
	found, err := l.index.find("word")
	require.NoError(t, err)
	require.Len(t, found, 200)
}

func TestARebuildThatIsInterruptedBeginsAgain(t *testing.T) {
	l := newLibrary(t, kv.Options{})
	for i := range 3 { // Each is larger than a commit of the rebuild may become.
		l.put(fmt.Sprint("d", i), "word "+strings.Repeat(fmt.Sprint(i), maxWord+1)+strings.Repeat(" ", rebuildBatch))
	}
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		for range l.index.db.Watch(t.Context(), kv.WatchOptions{From: 2}) {
			cancel()
			return
		}
	}()
	if err := l.index.rebuild(ctx, l.documents); err != nil {
		require.ErrorIs(t, err, context.Canceled)
		_, built, err := l.index.offset()
		require.NoError(t, err)
		require.False(t, built)
	}
	l.catchUp()
	l.requireFound("word", "d0", "d1", "d2")
}

func TestAnIndexOfALaterStateIsBuiltAgain(t *testing.T) {
	l := newLibrary(t, kv.Options{})
	l.put("a", "before")
	require.NoError(t, l.index.db.Update(func(tx *kv.Tx) error {
		return putOffset(tx, 99) // As after a restore of the documents to an earlier moment.
	}))
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- l.index.follow(ctx, l.documents) }()
	require.Eventually(t, func() bool {
		found, err := l.index.find("before")
		return err == nil && len(found) == 1
	}, waitLimit, waitStep)
	cancel()
	require.ErrorIs(t, <-ended, context.Canceled)
}

func TestTheCommandFollowsAStoreThatIsBeingWritten(t *testing.T) {
	dir, index := filepath.Join(t.TempDir(), "documents"), filepath.Join(t.TempDir(), "index")
	require.ErrorIs(t, run(t.Context(), dir, index, strings.NewReader(""), new(bytes.Buffer)), kv.ErrNotStore)
	db, err := kv.Open(dir, kv.Options{})
	require.NoError(t, err)
	defer db.Close()
	for _, round := range []struct{ document, want string }{{"moby-dick", "ishmael: moby-dick\n"}, {"sequel", "ishmael: moby-dick sequel\n"}} {
		_, err := db.Put([]byte(round.document), []byte("Call me Ishmael."))
		require.NoError(t, err)
		var out bytes.Buffer
		require.NoError(t, run(t.Context(), dir, index, strings.NewReader("ishmael\n"), &out))
		require.Equal(t, round.want, out.String())
	}
	stopped, stop := context.WithCancel(t.Context())
	stop()
	require.ErrorIs(t, run(stopped, dir, index, strings.NewReader("ishmael\n"), new(bytes.Buffer)), context.Canceled)

	ctx, cancel := context.WithCancel(t.Context())
	silent, _ := io.Pipe() // No line ever comes.
	time.AfterFunc(50*time.Millisecond, cancel)
	require.ErrorIs(t, run(ctx, dir, index, silent, new(bytes.Buffer)), context.Canceled)
}
