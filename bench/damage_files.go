package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
)

// span is a stretch of bytes of a file in a directory.
type span struct {
	file     string
	from, to int64
}

// filesOf returns the paths of the files below a directory that match, in order.
func filesOf(dir string, pattern *regexp.Regexp) (files []string, err error) {
	if pattern == nil {
		return nil, nil
	}
	err = fs.WalkDir(os.DirFS(dir), ".", func(name string, entry fs.DirEntry, err error) error {
		if err == nil && entry.Type().IsRegular() && pattern.MatchString(name) {
			files = append(files, name)
		}
		return err
	})
	return files, err
}

// lastWrite returns the bytes that differ between two copies of a directory, in the newest log that differs: from the first to
// the last of them. Limit is engine.lastWrite.
func lastWrite(before, after string, logs *regexp.Regexp, limit int64) (span, error) {
	files, err := filesOf(after, logs)
	if err != nil {
		return span{}, err
	}
	for _, file := range slices.Backward(files) {
		old, err := os.ReadFile(filepath.Join(before, file))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return span{}, err
		}
		written, err := os.ReadFile(filepath.Join(after, file))
		if err != nil {
			return span{}, err
		}
		if limit > 0 {
			old, written = old[:min(limit, int64(len(old)))], written[:min(limit, int64(len(written)))]
		}
		if s := difference(old, written); s.to > 0 {
			s.file = file
			return s, nil
		}
	}
	return span{}, errors.New("the last write has changed no log")
}

// difference returns the span from the first byte that differs to the last one. Zeros after the old end are space, not data.
func difference(old, written []byte) (s span) {
	for at, b := range written {
		if at < len(old) && old[at] != b || at >= len(old) && b != 0 {
			if s.to == 0 {
				s.from = int64(at)
			}
			s.to = int64(at) + 1
		}
	}
	return s
}

// unwrite takes a write back from a position on. A file that the write ends is shortened, but where it was longer before; in another
// one the bytes are what they were, zeros where there were none.
func unwrite(dir, before string, written span, from int64) error {
	old, err := os.ReadFile(filepath.Join(before, written.file))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	target := filepath.Join(dir, written.file)
	info, err := os.Stat(target)
	if err != nil {
		return err
	}
	if info.Size() == written.to && int64(len(old)) < written.to {
		return os.Truncate(target, from)
	}
	return change(target, func(content []byte) {
		clear(content[from:written.to])
		copy(content[from:written.to], old[min(from, int64(len(old))):])
	})
}

// change rewrites a file.
func change(file string, do func(content []byte)) error {
	content, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	do(content)
	return os.WriteFile(file, content, 0o600)
}

// dataEnd returns the newest log and the position where its data ends: the end of the last write, or in a file of pages the end of the
// last one that isn't empty. What follows may be zeros, or old bytes where a file is used once more.
func (s *scene) dataEnd(dir string) (file string, end int64, err error) {
	content, err := os.ReadFile(filepath.Join(dir, s.killed.last.file))
	end = s.killed.last.to
	if s.lastWrite > 0 {
		end = int64(len(bytes.TrimRight(content, "\x00")))
	}
	end = (end + s.align - 1) / s.align * s.align
	return s.killed.last.file, min(end, int64(len(content))), err
}

// frameBytes is how much of what comes before a value is damaged too: the key, and what the engine writes before it.
const frameBytes = 32

// living returns where the values are that are in one place only, which an engine can't do without, and in each table the values
// that are in no later one.
func living(dir string, e engine, spec damageSpec) (logs, tables []span, err error) {
	wanted := map[string]uint64{}
	for i := uint64(1); i <= spec.Pairs; i++ {
		wanted[string(spec.pair(i).Value[:8])] = i
	}
	places := map[uint64][]span{}
	for _, pattern := range []*regexp.Regexp{e.logs, e.tables} {
		files, err := filesOf(dir, pattern)
		if err != nil {
			return nil, nil, err
		}
		for _, file := range files {
			content, err := os.ReadFile(filepath.Join(dir, file))
			if err != nil {
				return nil, nil, err
			}
			for at := 0; at+damageValue <= len(content); at++ {
				i := wanted[string(content[at:at+8])]
				if i != 0 && bytes.Equal(content[at:at+damageValue], spec.pair(i).Value) {
					places[i] = append(places[i], span{file, int64(max(0, at-frameBytes)), int64(at + damageValue)})
				}
			}
		}
	}
	margin := min(10, spec.Pairs/10) // What is damaged is in the middle.
	for i := margin; i <= spec.Pairs-margin; i++ {
		if held := places[i]; len(held) == 0 {
			continue
		} else if last := held[len(held)-1]; e.tables != nil && e.tables.MatchString(last.file) {
			tables = append(tables, last)
		} else if len(held) == 1 {
			logs = append(logs, last)
		}
	}
	return logs, tables, nil
}

// locksAndMessages are files that hold no data: their bytes mean nothing to the next opening.
var locksAndMessages = regexp.MustCompile(`(?i)(^|/)(LOCK|LOG)$`)

// otherFiles returns what the files hold that are neither logs nor tables, without the zeros at their ends.
func otherFiles(dir string, e engine) (spans []span, err error) {
	files, err := filesOf(dir, regexp.MustCompile(``))
	if err != nil {
		return nil, err
	}
	for _, file := range files {
		if e.logs.MatchString(file) || e.tables != nil && e.tables.MatchString(file) || locksAndMessages.MatchString(file) {
			continue
		}
		content, err := os.ReadFile(filepath.Join(dir, file))
		if err != nil {
			return nil, err
		}
		if used := len(bytes.TrimRight(content, "\x00")); used > 0 {
			spans = append(spans, span{file, 0, int64(used)})
		}
	}
	return spans, nil
}

// somewhere returns a position in one of the spans, and its file.
func somewhere(rng *rand.Rand, spans []span) (file string, at int64) {
	chosen := spans[rng.IntN(len(spans))]
	return chosen.file, chosen.from + rng.Int64N(chosen.to-chosen.from)
}

// holders returns the files that hold something of the spans, in order.
func holders(spans []span) (files []string) {
	for _, s := range spans {
		files = append(files, s.file)
	}
	slices.Sort(files)
	return slices.Compact(files)
}

// exchange gives two files each other's names.
func exchange(dir, one, other string) error {
	one, other = filepath.Join(dir, one), filepath.Join(dir, other)
	return errors.Join(os.Rename(one, one+".moving"), os.Rename(other, one), os.Rename(one+".moving", other))
}

// base names a file in what is printed.
func base(format, file string, args ...any) string {
	return fmt.Sprintf(format, append([]any{path.Base(file)}, args...)...)
}
