package main

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"os"
	"strings"
)

// dataSet is the input, read without kvctl, so that the demo can check what a store returns.
type dataSet struct {
	file   string   // The file that it was read from.
	header []byte   // The first line, with its end.
	lines  [][]byte // The rows in order, with their ends.
	keys   []string // The first column of each row.
}

func readDataSet(file string) (*dataSet, error) {
	compressed, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer compressed.Close()
	unzipped, err := gzip.NewReader(compressed)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", file, err)
	}
	text, err := io.ReadAll(unzipped)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", file, err)
	}
	lines := bytes.SplitAfter(bytes.TrimRight(text, "\n"), []byte("\n"))
	lines[len(lines)-1] = append(lines[len(lines)-1], '\n')
	set := &dataSet{file: file, header: lines[0], lines: lines[1:]}
	for _, line := range set.lines {
		key, _, _ := strings.Cut(string(line), "\t")
		set.keys = append(set.keys, key)
	}
	return set, nil
}

// count returns the number of keys for which a condition holds.
func (d *dataSet) count(condition func(key string) bool) int {
	n := 0
	for _, key := range d.keys {
		if condition(key) {
			n++
		}
	}
	return n
}
