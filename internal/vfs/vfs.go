// Package vfs is the seam between Walnut and a disk: the few file operations that the store uses, as two small
// interfaces. OS is the real file system. Mem is one in memory that knows which bytes and which names were synced, and
// can hand out any state that a power cut could have left behind.
//
// The rules of the seam are the assumptions that docs/design.md makes about a disk:
//
//  1. What WriteAt, Truncate, Allocate or a mapping changed is durable once Sync of that file has returned nil.
//  2. A name that Create, Link, Rename, Remove or Lock changed is durable once SyncDir of its directory has returned nil.
//  3. Until then a power cut keeps any part of the change, or nothing of it, and leaves all other bytes and names alone.
//  4. After a Sync that failed, nothing is known, and a later Sync that succeeds proves nothing about it.
//
// A Mem does worse where a test asks for it:
//
//   - Mem.SetTornNeighbours weakens 3: a power cut that interrupts a write may damage the rest of the sectors it touches.
//   - Mem.SetBadPage makes bytes unreadable, durable ones too.
//   - Mem.HoldWrite lets a write land after its file was closed and opened again.
//   - Mem.SetCapacity limits the space, and Mem.SetNamesNeedSpace makes names need some too.
package vfs

import "io"

// FS is a file system. Its methods may be called concurrently. Errors name the operation and the path, as *fs.PathError
// and *os.LinkError do, and errors.Is(err, fs.ErrNotExist), fs.ErrExist, fs.ErrPermission and syscall.ENOSPC can be asked.
type FS interface {
	// Create makes a new, empty file with mode 0600, open for reading and writing. The name must not exist. Like Open,
	// OpenRead and Lock it refuses a name that is a symbolic link; links among the directories before it are followed.
	Create(name string) (File, error)
	// Open opens an existing file for reading and writing. What is no regular file (a directory, a pipe) is an error.
	Open(name string) (File, error)
	// OpenRead opens an existing file for reading only, and is else like Open.
	OpenRead(name string) (File, error)
	// Remove removes a file or an empty directory. Who has the file open or mapped can go on using it.
	Remove(name string) error
	// Rename gives a file a new name in the same directory in one step, replacing the file that had that name. Another
	// directory is syscall.EXDEV, since it would take two syncs to make that durable.
	Rename(oldName, newName string) error
	// Link gives a file a second name, which must not exist and may be in another directory: both stand for the same
	// bytes, and the file lives until both are removed. The name is durable once SyncDir of its own directory has returned
	// nil; bytes are as durable as they were. Where a file can't have a name, errors.Is finds syscall.EXDEV (another file
	// system), syscall.EPERM (this one has no second names, or not for this user) or errors.ErrUnsupported. Renaming one
	// name of a file to another changes nothing.
	Link(oldName, newName string) error
	// List returns the entries of a directory, sorted by name, and not those of the directories in it.
	List(dir string) ([]Entry, error)
	// MkdirAll makes a directory with mode 0700, and its missing parents, and syncs every directory it changed, and the
	// one in which it found the first directory that was there: a process that died may have left that name unsynced.
	MkdirAll(dir string) error
	// SyncDir makes the names in a directory durable.
	SyncDir(dir string) error
	// FreeSpace returns how many bytes the file system of a directory has left for whoever isn't its superuser. Where the
	// system doesn't say, the error is errors.ErrUnsupported; what has no limit is math.MaxInt64.
	FreeSpace(dir string) (int64, error)
	// Lock takes an exclusive lock that lasts until it is closed or the process ends, by way of a file that is created with
	// mode 0600 if it isn't there and stays afterwards. The file holds the holder's process id in decimal, or nothing on a
	// full disk. A directory has one lock, whatever the file's name, and removing the file releases nothing. Where another
	// holder has the lock, the error is a *LockedError.
	Lock(name string) (Lock, error)
}

// Entry is one name in a directory.
type Entry struct {
	Name string // Without the directory.
	Dir  bool
	Size int64 // In bytes; of a directory, without meaning.
}

// File is an open file. ReadAt and WriteAt may be called concurrently with everything but Close, except that a WriteAt
// past the end must not run beside an Allocate, whose zeros could come last.
type File interface {
	io.ReaderAt
	io.WriterAt
	io.Closer
	// Size returns the length in bytes.
	Size() (int64, error)
	// Truncate sets the length in bytes; what it adds reads as zeros and takes no space.
	Truncate(size int64) error
	// Allocate extends the file to size bytes (it never shortens it) with space that is really there: a later write
	// inside doesn't fail for want of room. What it adds reads as zeros. A full disk is syscall.ENOSPC, and the
	// length is then the old one.
	Allocate(size int64) error
	// Reserve is Allocate for a file that is synced seldom: the space is there, but the disk may have to do more at the
	// first sync of each part of it. It costs next to nothing itself.
	Reserve(size int64) error
	// Sync makes the content, and the metadata needed to read it back, durable (fdatasync).
	Sync() error
	// Map maps the first size bytes, which must lie inside the file and be more than none. The mapping is shared:
	// what is stored in it is what ReadAt returns, and what Sync makes durable. It outlives Close of the file. A file
	// from OpenRead is mapped for reading: a store in it faults.
	Map(size int64) (Mapping, error)
}
