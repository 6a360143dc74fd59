package main

import (
	"bytes"
	"io"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/walnutkv/walnut/kv"
)

func TestProgressBarShowsPairsAndRate(t *testing.T) {
	var out bytes.Buffer
	in := &input{size: 1000}
	require.NoError(t, in.decompress("", strings.NewReader(strings.Repeat("x", 1000))))
	bar := &importBar{bar: newBar(&out, in.size), w: &out, in: in}
	_, err := io.Copy(io.Discard, in.text)
	require.NoError(t, err)
	bar.update(40)
	bar.finish()
	require.Contains(t, out.String(), "40 pairs, ")
	require.Contains(t, out.String(), "100%")
	require.True(t, strings.HasSuffix(out.String(), "\n"))

	// Without a terminal on standard error there is no bar, and its methods do nothing.
	a := &app{stderr: &out}
	require.Nil(t, a.newImportBar(in))
	require.Nil(t, a.newOpenBar())
	a.newImportBar(in).update(1)
	a.newImportBar(in).finish()
	a.newOpenBar().update(kv.Progress{Offset: 1, Last: 2})
	a.newOpenBar().finish()
	require.Nil(t, a.newTaskBar("backup", 1, nil))
	a.newTaskBar("backup", 1, nil).finish()
}

func TestOpenBarShowsTheSnapshotAndThenTheLogAfterIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		bar := &openBar{w: &out, start: time.Now()}
		bar.update(kv.Progress{Loaded: 10, Pairs: 100})
		require.Empty(t, out.String(), "a short start shows nothing")
		time.Sleep(patience)
		bar.update(kv.Progress{Loaded: 50, Pairs: 100})
		require.Contains(t, out.String(), "load")
		require.Contains(t, out.String(), "50%")
		out.Reset()
		bar.update(kv.Progress{Loaded: 100, Pairs: 100, Offset: 1000, Last: 1400})
		time.Sleep(barInterval)
		bar.update(kv.Progress{Loaded: 100, Pairs: 100, Offset: 1100, Last: 1400})
		require.Contains(t, out.String(), "replay")
		require.Contains(t, out.String(), "25%", "of the commits after the snapshot")
		bar.finish()
		require.True(t, strings.HasSuffix(out.String(), "\r"), "the bar is cleared: %q", out.String())
		bar.finish()
		bar.update(kv.Progress{Offset: 1200, Last: 1400}) // The log is read again.
		bar.finish()
	})
}

func TestOpenBarShowsALoadWhoseSizeIsNotKnown(t *testing.T) {
	var out bytes.Buffer
	bar := &openBar{w: &out, start: time.Now().Add(-patience)}
	bar.update(kv.Progress{})
	require.Empty(t, out.String())
	bar.update(kv.Progress{Loaded: 77})
	require.Contains(t, out.String(), "load")
	require.NotContains(t, out.String(), "%")
	bar.finish()
}

func TestTaskBarShowsProgressNowAndThen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		var done atomic.Int64
		bar := startTaskBar(&out, "restore", 4000, done.Load)
		time.Sleep(patience / 2)
		synctest.Wait()
		require.Empty(t, out.String(), "a short operation shows nothing")
		done.Store(1000)
		time.Sleep(patience)
		synctest.Wait()
		require.Contains(t, out.String(), "restore")
		require.Contains(t, out.String(), "25%")
		done.Store(3000)
		time.Sleep(2 * barInterval)
		synctest.Wait()
		require.Contains(t, out.String(), "75%")
		bar.finish()
		shown := out.Len()
		time.Sleep(time.Minute)
		require.Equal(t, shown, out.Len(), "nothing is drawn after its end")
	})
}

func TestTaskBarOfUnknownSizeTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		bar := startTaskBar(&out, "checkpoint", -1, nil)
		time.Sleep(patience + 10*barInterval)
		synctest.Wait()
		require.Greater(t, strings.Count(out.String(), "checkpoint"), 2)
		require.NotContains(t, out.String(), "%")
		bar.finish()
	})
}
