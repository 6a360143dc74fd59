// Package vfs is the seam between Walnut and a disk: the few file operations that the store uses, as small interfaces.
// OS is the real file system. Mem is a file system in memory. It knows which bytes and names were synced, and can produce
// any state that a power cut could leave. Lean is one without that history, for stores that need no disk.
//
// The rules of the seam are the assumptions that docs/design.md makes about a disk:
//
//  1. A change by WriteAt, Truncate, Allocate or a mapping is durable once Sync of that file has returned nil.
//  2. A name that Create, Link, Rename, Remove or Lock changed is durable once SyncDir of its directory has returned nil.
//  3. Before that, a power cut may keep all, some or nothing of the change. It leaves all other bytes and names alone.
//  4. After a Sync that failed, nothing is known about what it should have synced, even if a later Sync succeeds.
//
// A Mem behaves worse if a test asks for it:
//
//   - Mem.SetTornNeighbours weakens rule 3: a power cut that interrupts a write may damage the rest of the sectors it touches.
//   - Mem.SetBadPage makes bytes unreadable, including durable ones.
//   - Mem.HoldWrite delays a write until after its file was closed and opened again.
//   - Mem.SetCapacity limits the space, and Mem.SetNamesNeedSpace makes names need some too.
package vfs

import "io"

// FS is a file system. Its methods may be called concurrently. Errors name the operation and the path, as *fs.PathError
// and *os.LinkError do. errors.Is finds fs.ErrNotExist, fs.ErrExist, fs.ErrPermission and syscall.ENOSPC in them.
type FS interface {
	// Create makes a new, empty file with mode 0600, open for reading and writing. The name must not exist. Create, Open,
	// OpenRead and Lock refuse a name that is a symbolic link. The directories of a name may be links.
	Create(name string) (File, error)
	// Open opens an existing file for reading and writing. Only regular files can be opened, not directories or pipes.
	Open(name string) (File, error)
	// OpenRead is like Open, but for reading only.
	OpenRead(name string) (File, error)
	// Remove removes a file or an empty directory. Open files and mappings of the file stay usable.
	Remove(name string) error
	// Rename gives a file another name in the same directory, atomically, and replaces the file that had that name. For
	// another directory it fails with syscall.EXDEV, since two syncs would be needed to make that durable.
	Rename(oldName, newName string) error
	// Link gives a file a second name, which must not exist and may be in another directory. Both names stand for the same
	// bytes, and the file lives until both are removed. SyncDir of the new name's directory makes the name durable, and not
	// the bytes. If the file can't have that name, errors.Is finds syscall.EXDEV (another file system), syscall.EPERM (not on
	// this file system, or not for this user) or errors.ErrUnsupported. Renaming one name of a file to another of its names
	// changes nothing.
	Link(oldName, newName string) error
	// List returns the entries of a directory, sorted by name, without those of its subdirectories. In a directory of some hundred names,
	// which is read in parts, one that takes another's place meanwhile may be missing. Where names keep vanishing there is an error.
	List(dir string) ([]Entry, error)
	// MkdirAll makes a directory with mode 0700, and its missing parents. It syncs every directory that it changed. It also
	// syncs the parent of the first directory that it found, whose name may not be durable if its creator died.
	MkdirAll(dir string) error
	// Within reports whether a path is that of a directory or leads into it, through whatever links. Neither has to exist.
	Within(name, dir string) bool
	// SyncDir makes the names in a directory durable.
	SyncDir(dir string) error
	// FreeSpace returns the number of bytes that the file system of a directory has left for ordinary users, and math.MaxInt64
	// if there is no limit. The error is errors.ErrUnsupported if the system can't be asked.
	FreeSpace(dir string) (int64, error)
	// Lock takes an exclusive lock, which lasts until it is closed or the process ends. It uses a file, which it creates with
	// mode 0600 if it is missing, and which stays. The file contains the holder's process id in decimal, or nothing on a full
	// disk. A directory has only one lock, whatever the file's name, and removing the file doesn't release it. If another
	// holder has the lock, the error is a *LockedError.
	Lock(name string) (Lock, error)
}

// Entry is one name in a directory.
type Entry struct {
	Name string // Without the directory.
	Dir  bool
	Size int64 // In bytes. Undefined for a directory.
}

// File is an open file. ReadAt and WriteAt may be called concurrently with everything but Close. There is one exception: a
// WriteAt past the end must not run beside an Allocate, whose zeros could overwrite it.
type File interface {
	io.ReaderAt
	io.WriterAt
	io.Closer
	// Size returns the length in bytes.
	Size() (int64, error)
	// HasName reports whether a name stands for this file now, and not for another file or nothing. A file keeps its name when its
	// directory is renamed, but then the path leads elsewhere.
	HasName(name string) (bool, error)
	// Truncate sets the length in bytes. Added bytes read as zeros and take no space.
	Truncate(size int64) error
	// Allocate extends the file to size bytes and never shortens it. Added bytes read as zeros and have space on the disk: a
	// later write to them doesn't fail for lack of it. On a full disk it fails with syscall.ENOSPC and changes nothing.
	Allocate(size int64) error
	// Reserve is a cheap Allocate, for a file that is rarely synced. The first sync of each part of the space may take longer.
	Reserve(size int64) error
	// Sync makes the bytes durable, and the metadata needed to read them (fdatasync).
	Sync() error
	// Map maps the first size bytes of the file, at least 1 and at most all. The mapping is shared: ReadAt returns what was
	// stored in it, and Sync makes that durable. The mapping outlives Close of the file. A file from OpenRead is mapped as by
	// MapRead.
	Map(size int64) (Mapping, error)
	// MapRead is Map for reading here and there: the system reads nothing ahead, and a store faults, though not in a Mem.
	MapRead(size int64) (Mapping, error)
}
