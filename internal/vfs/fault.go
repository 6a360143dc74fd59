package vfs

import (
	"fmt"
	"io"
	"sync/atomic"
)

// Op is a kind of call to a Mem.
type Op uint8

// The calls that a hook sees. MkdirAll is one OpMkdir for each directory that it creates and one OpSyncDir for each that it
// syncs. Open and OpenRead are both OpOpen. A hook doesn't see Close, Size, Held or any use of a mapping.
const (
	OpCreate Op = iota + 1
	OpOpen
	OpRemove
	OpRename
	OpLink
	OpList
	OpMkdir
	OpSyncDir
	OpLock
	OpRead
	OpWrite
	OpTruncate
	OpAllocate
	OpSync
	OpMap
	OpFreeSpace
)

var opNames = [...]string{
	OpCreate: "create", OpOpen: "open", OpRemove: "remove", OpRename: "rename", OpLink: "link", OpList: "list", OpMkdir: "mkdir",
	OpSyncDir: "syncdir", OpLock: "lock", OpRead: "read", OpWrite: "write", OpTruncate: "truncate",
	OpAllocate: "allocate", OpSync: "sync", OpMap: "map",
	OpFreeSpace: "freespace",
}

// String returns the call's name in lower case.
func (op Op) String() string {
	if int(op) < len(opNames) && opNames[op] != "" {
		return opNames[op]
	}
	return fmt.Sprintf("Op(%d)", uint8(op))
}

// Changes reports whether calls of this kind change or sync something. Any other call leaves the set of states that a power
// cut can produce as it is.
func (op Op) Changes() bool {
	switch op {
	case OpOpen, OpList, OpRead, OpMap, OpFreeSpace:
		return false
	}
	return true
}

// Call is a call to a Mem that is about to happen.
type Call struct {
	Op   Op
	Name string // As the caller gave it. For a file the name by which it was opened, for a rename or link the old one.
	Off  int64  // Of OpRead and OpWrite.
	Len  int64  // Of OpRead and OpWrite. For OpTruncate, OpAllocate and OpMap the requested size.
	N    int    // The number of the call, from 1 on, since NewMem, Crash, Exit or Clone returned the Mem.
}

// ShortWrite, returned by a hook for an OpWrite, lets the first Bytes bytes be written before the call fails with Err, or
// with io.ErrShortWrite if Err is nil. For any other call it is an ordinary error.
type ShortWrite struct {
	Bytes int
	Err   error
}

// Error names the number of bytes written, and why there are no more.
func (e *ShortWrite) Error() string {
	return fmt.Sprintf("wrote only %d bytes: %v", e.Bytes, e.Unwrap())
}

// Unwrap returns the error with which the write fails.
func (e *ShortWrite) Unwrap() error {
	if e.Err == nil {
		return io.ErrShortWrite
	}
	return e.Err
}

// FailNth returns a hook that fails only the n-th call of a kind, counted from 1. It may be called concurrently.
func FailNth(op Op, n int, err error) func(Call) error {
	var seen atomic.Int64
	return func(c Call) error {
		if c.Op == op && seen.Add(1) == int64(n) {
			return err
		}
		return nil
	}
}
