package vfs

import (
	"errors"
	"io/fs"
	"os"

	"golang.org/x/sys/windows"
)

// shareAll lets other handles read, write, rename and remove a file that is open.
const shareAll = windows.FILE_SHARE_READ | windows.FILE_SHARE_WRITE | windows.FILE_SHARE_DELETE

// openSystem opens a file that may be renamed, replaced and removed while it is open, which os.OpenFile doesn't allow. Of a
// symbolic link it opens the link, which is no regular file.
func openSystem(name string, flag int) (*os.File, error) {
	return openHandle(name, flag, shareAll, windows.FILE_FLAG_OPEN_REPARSE_POINT)
}

func openHandle(name string, flag int, share, attributes uint32) (*os.File, error) {
	access, disposition := uint32(windows.GENERIC_READ), uint32(windows.OPEN_EXISTING)
	if flag&os.O_RDWR != 0 {
		access |= windows.GENERIC_WRITE
	}
	switch {
	case flag&os.O_EXCL != 0:
		disposition = windows.CREATE_NEW
	case flag&os.O_CREATE != 0:
		disposition = windows.OPEN_ALWAYS
	}
	path, err := windows.UTF16PtrFromString(name)
	if err == nil {
		var handle windows.Handle
		handle, err = windows.CreateFile(path, access, share, nil, disposition, windows.FILE_ATTRIBUTE_NORMAL|attributes, 0)
		if err == nil {
			return os.NewFile(uintptr(handle), name), nil
		}
	}
	return nil, &fs.PathError{Op: "open", Path: name, Err: err}
}

// syncDir flushes a directory, which needs a handle that may write.
func syncDir(dir string) error {
	d, err := openHandle(dir, os.O_RDWR, shareAll, windows.FILE_FLAG_BACKUP_SEMANTICS)
	if err != nil {
		return err
	}
	err = d.Sync()
	if errors.Is(err, windows.ERROR_INVALID_FUNCTION) || errors.Is(err, windows.ERROR_NOT_SUPPORTED) {
		err = nil // Some file systems can't sync a directory. Their names are as durable as they can be.
	}
	return errors.Join(err, d.Close())
}
