//go:build !((linux && (amd64 || arm64)) || (darwin && (amd64 || arm64)))

package vfs

import "os"

func mapFile(*os.File, int64, bool) (Mapping, error) { return nil, ErrMapUnsupported }
