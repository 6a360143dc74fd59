package main

import (
	"encoding/binary"
	"hash/fnv"
	"os"
)

// Of a bbolt meta page: where the checksum lies, and what it covers.
const (
	metaStart    = 16
	metaChecksum = 72
	metaEnd      = 80
)

// unsoundMetas returns how many of a bbolt file's two meta pages have a wrong checksum. bbolt writes them in turns and goes on from the
// newest sound one, without a word. So one that is unsound may have been the newest.
func unsoundMetas(path string, pageSize int) (unsound int, err error) {
	file, err := os.Open(path)
	if err != nil {
		return 0, err
	}
	defer file.Close()
	for number := range int64(2) {
		var page [metaEnd]byte
		if _, err := file.ReadAt(page[:], number*int64(pageSize)); err != nil {
			return 0, err
		}
		sum := fnv.New64a()
		_, _ = sum.Write(page[metaStart:metaChecksum])
		if sum.Sum64() != binary.NativeEndian.Uint64(page[metaChecksum:]) {
			unsound++
		}
	}
	return unsound, nil
}
