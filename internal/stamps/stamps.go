// Package stamps tells whether files have changed since they were read.
package stamps

import (
	"os"
	"slices"
	"time"
)

// Stamps say which versions of some files there are. Nil are those of no file.
type Stamps []stamp

type stamp struct {
	size    int64
	changed time.Time
}

// Of returns the stamps of files as they are now. They should be taken before the files are read, so that a change in between shows.
func Of(names ...string) (Stamps, error) {
	found := make(Stamps, len(names))
	for i, name := range names {
		info, err := os.Stat(name)
		if err != nil {
			return nil, err
		}
		found[i] = stamp{info.Size(), info.ModTime()}
	}
	return found, nil
}

// Equal reports whether no file has changed.
func (s Stamps) Equal(other Stamps) bool {
	return slices.EqualFunc(s, other, func(a, b stamp) bool { return a.size == b.size && a.changed.Equal(b.changed) })
}
