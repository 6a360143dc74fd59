package kv

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"
)

// soakDisk watches how much the store takes on disk.
type soakDisk struct {
	dir   string
	mu    sync.Mutex
	live  int64 // 0 until the store is loaded.
	worst soakUse
	looks int
}

// soakUse is what a store takes at one moment, in bytes.
type soakUse struct {
	live      int64
	log       int64 // Stores and indexes of the log.
	snapshots int64
	files     int   // Snapshots.
	temporary int64 // Of a snapshot that is being written.
	other     int64 // Files that have no name any more included.
}

func (u soakUse) total() int64 { return u.log + u.snapshots + u.temporary + u.other }

// factor is how many times the live data it is, but for two segments.
func (u soakUse) factor() float64 { return float64(u.total()-2*soakSegment) / float64(max(u.live, 1)) }

func (u soakUse) String() string {
	mb := func(n int64) float64 { return float64(n) / (1 << 20) }
	return fmt.Sprintf("%.1f MB for %.1f MB live, which is %.2f times as much and two segments: log %.1f, %d snapshots %.1f, "+
		"half a snapshot %.1f, other %.1f", mb(u.total()), mb(u.live), u.factor(), mb(u.log), u.files, mb(u.snapshots), mb(u.temporary), mb(u.other))
}

func (d *soakDisk) loaded(report soakReport) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.live = report.Live
}

// watch looks every 20 ms until the function that it returns is called.
func (d *soakDisk) watch(pid int) (stop func()) {
	ended := make(chan struct{})
	var watching sync.WaitGroup
	watching.Go(func() {
		for {
			select {
			case <-ended:
				return
			case <-time.After(20 * time.Millisecond):
				d.look(pid)
			}
		}
	})
	return func() {
		close(ended)
		watching.Wait()
	}
}

func (d *soakDisk) look(pid int) {
	use := soakUse{other: d.nameless(pid)}
	_ = filepath.WalkDir(d.dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return nil // It has gone, or there is nothing yet.
		}
		if info, err := entry.Info(); err == nil {
			use.add(path, info.Size())
		}
		return nil
	})
	d.mu.Lock()
	defer d.mu.Unlock()
	use.live = d.live
	if use.live > 0 {
		d.looks++
		if use.factor() > d.worst.factor() {
			d.worst = use
		}
	}
}

func (u *soakUse) add(path string, size int64) {
	switch in := filepath.Base(filepath.Dir(path)); {
	case in == walName:
		u.log += size
	case in == snapshotName && strings.HasSuffix(path, ".tmp"):
		u.temporary += size
	case in == snapshotName:
		u.snapshots += size
		u.files++
	default:
		u.other += size
	}
}

// nameless is what files take that are removed and that the process still has open, where the system tells.
func (d *soakDisk) nameless(pid int) (bytes int64) {
	open := filepath.Join("/proc", strconv.Itoa(pid), "fd")
	entries, _ := os.ReadDir(open)
	for _, entry := range entries {
		path := filepath.Join(open, entry.Name())
		if target, _ := os.Readlink(path); !strings.HasPrefix(target, d.dir) || !strings.HasSuffix(target, " (deleted)") {
			continue
		}
		if info, err := os.Stat(path); err == nil {
			bytes += info.Size()
		}
	}
	return bytes
}
