package wal

import "time"

// Outcome says in one word what Open found.
type Outcome uint8

// What Open can find.
const (
	Created Outcome = iota // There was no log; now there is an empty one.
	Clean                  // The log was closed.
	Unclean                // The log was not closed. Nothing had to be cut.
	Torn                   // The log was not closed, or was being opened again. An unfinished tail was cut.
)

// String returns the outcome's name: created, clean, unclean or torn.
func (o Outcome) String() string {
	return nameOf(uint8(o), "Outcome(%d)", "created", "clean", "unclean", "torn")
}

// MarshalText returns the outcome's name, for JSON and logs.
func (o Outcome) MarshalText() ([]byte, error) { return []byte(o.String()), nil }

// Recovery says what Open found and what it did about it.
type Recovery struct {
	Outcome     Outcome
	First, Last uint64 // The offsets held afterwards; Last is First-1 where the log is empty.
	Segments    int

	CutBytes       int64  // How many bytes of an unfinished tail were cut.
	CutPath        string // The store they were cut from.
	CutPosition    int64  // Where they began, in bytes.
	QuarantinePath string // The file they are kept in; empty where the disk was full. A read-only open keeps and cuts nothing.

	ReloggedBytes  int64         // How many bytes at the tail, which nothing proved durable, were written and synced again.
	RebuiltIndexes []string      // The index files that were missing or wrong, and were made again.
	Removed        []string      // Names of files that a creation or truncation had left when it died.
	Elapsed        time.Duration // How long it took.
}
