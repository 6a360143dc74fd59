package server

import (
	"bytes"
	"math/rand/v2"

	"github.com/walnutkv/walnut/kv"
)

// Limits of how RANDOMKEY looks for a key.
const (
	randomBytes = 64 // How many bytes of the key it chooses.
	randomTries = 32 // How many values it tries for one of them.
)

// randomKey is RANDOMKEY. It takes time in proportion to the length of a key, not to the number of keys.
func randomKey(c *call) {
	if key := pickKey(c.tx); key != nil {
		c.bulk(key)
	} else {
		c.null()
	}
}

// pickKey returns a key at random, nil where there is none. It narrows a range down: where the first and the last key
// in it differ, it chooses the next byte among those that a key has there. So a key that few others resemble is more
// likely than others.
func pickKey(tx *kv.Tx) []byte {
	first, _, err := tx.First(kv.Range{})
	if err != nil {
		return nil
	}
	last, _, err := tx.Last(kv.Range{})
	for range randomBytes {
		if err != nil {
			break
		}
		place := commonLength(first, last)
		if first = pickByte(tx, first, last, place); len(first) == place {
			break // It was chosen where others go on.
		}
		last, _, err = tx.Last(kv.Range{Prefix: first[:place+1]})
	}
	return first
}

// pickByte chooses the byte at a place, before which all keys from first to last are the same, and returns the first
// key that has it: one that ends there for no byte. A value that no key has is tried again, so that a gap between
// values makes none more likely, but not for good.
func pickByte(tx *kv.Tx, first, last []byte, place int) []byte {
	low, high := symbol(first, place), symbol(last, place)
	found := first
	for range randomTries {
		chosen := low + rand.IntN(high-low+1)
		if chosen == low {
			return first
		}
		start := append(bytes.Clone(first[:place]), byte(chosen-1))
		next, _, err := tx.First(kv.Range{Start: start})
		if err != nil {
			break
		}
		if found = next; symbol(next, place) == chosen {
			break
		}
	}
	return found
}

// symbol is a number for the byte at a place of a key, 0 where the key has ended.
func symbol(key []byte, place int) int {
	if place == len(key) {
		return 0
	}
	return int(key[place]) + 1
}

// commonLength returns how many bytes two keys have in common at their start.
func commonLength(a, b []byte) int {
	n := 0
	for n < min(len(a), len(b)) && a[n] == b[n] {
		n++
	}
	return n
}
