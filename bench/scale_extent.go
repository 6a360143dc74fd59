package main

import (
	"cmp"
	"errors"
	"flag"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// extent is how much data there is and what it looks like. Each is measured by itself.
type extent struct {
	pairs      uint64
	keys       string
	valueBytes int
}

// What can be asked for.
const (
	mostPairs      = 1 << 32
	mostValueBytes = 16 << 20
	// Where there is a list of value sizes, data sets have this many bytes at most, so that each is measured in minutes.
	mostListedBytes = 1 << 30
)

// extentFlags makes the flags for data sets. Each takes a list.
func (c *choices) extentFlags(flags *flag.FlagSet) {
	c.keys, c.valueBytes = []string{randomKeys}, []int{valueSize}
	flags.Func("pairs", fmt.Sprintf("pairs in a loaded store; commas between several, each of which is measured\n(default %d, G %d)",
		usualPairs, garbagePairs), list(&c.pairs, numberUpTo[uint64](mostPairs)))
	flags.Func("keys", fmt.Sprintf("shapes of keys, of %s, likewise (default %s)", strings.Join(keyShapes, ", "), randomKeys),
		list(&c.keys, oneOf(keyShapes)))
	flags.Func("value-bytes", fmt.Sprintf("size of each value, likewise; several lower the pairs so that there is 1 GiB of data at most\n(default %d)",
		valueSize), list(&c.valueBytes, numberUpTo[int](mostValueBytes)))
}

// list returns what reads a flag with commas.
func list[T any](into *[]T, parse func(string) (T, error)) func(string) error {
	return func(text string) error {
		*into = nil
		for _, part := range split(text) {
			one, err := parse(part)
			if err != nil {
				return err
			}
			*into = append(*into, one)
		}
		if len(*into) == 0 {
			return errors.New("there is nothing in it")
		}
		return nil
	}
}

// numberUpTo returns what reads a number from 1 on.
func numberUpTo[T int | uint64](most uint64) func(string) (T, error) {
	return func(text string) (T, error) {
		number, err := strconv.ParseUint(text, 10, 64)
		if err != nil || number < 1 || number > most {
			return 0, fmt.Errorf("%q is no number from 1 to %d", text, most)
		}
		return T(number), nil
	}
}

// oneOf returns what reads one of some names.
func oneOf(names []string) func(string) (string, error) {
	return func(text string) (string, error) {
		if !slices.Contains(names, text) {
			return "", fmt.Errorf("%q is none of %s", text, strings.Join(names, ", "))
		}
		return text, nil
	}
}

// extents returns the data sets to measure a workload with: every combination, each once. A log has records of its own.
func (c choices) extents(workload Workload) (all []extent) {
	pairs, keys, sizes := c.pairs, c.keys, c.valueBytes
	if len(pairs) == 0 {
		pairs = []uint64{cmp.Or(workload.pairs, usualPairs)}
	}
	if workload.Log {
		keys, sizes = []string{randomKeys}, []int{valueSize}
	}
	for _, pairs := range pairs {
		for _, valueBytes := range sizes {
			for _, keys := range keys {
				one := extent{pairs, keys, valueBytes}
				if len(sizes) > 1 {
					one = one.lowered()
				}
				if !slices.Contains(all, one) {
					all = append(all, one)
				}
			}
		}
	}
	return all
}

// lowered has as many pairs as go into mostListedBytes.
func (e extent) lowered() extent {
	shape := keyShape(slices.Index(keyShapes, e.keys))
	one := dataset{pairs: 1, shape: shape, valueBytes: e.valueBytes}.bytes()
	e.pairs = min(e.pairs, mostListedBytes/one)
	return e
}
