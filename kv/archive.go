package kv

import "fmt"

// makeArchive makes the directory of the archive, if the store has one, or says why it can't be used. The store is as it was then. Segments
// among the store's own files would pass for the store's, or be lost, and a checkpoint would notice the rest only later.
func makeArchive(dir string, opts Options) error {
	archive := opts.ArchiveDir
	if archive == "" || opts.ReadOnly {
		return nil
	}
	if opts.fs.Within(archive, dir) {
		return fmt.Errorf("option ArchiveDir: %s is the store's directory %s, or in it; name one outside", archive, dir)
	}
	err := opts.fs.MkdirAll(archive)
	if err == nil {
		err = opts.fs.SyncDir(archive) // A link to nothing is a directory only until it is used.
	}
	if err != nil {
		return fmt.Errorf("option ArchiveDir: %s can't be used by the store %s: %w", archive, dir, err)
	}
	return nil
}
