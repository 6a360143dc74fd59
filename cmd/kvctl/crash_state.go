package main

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/walnutkv/walnut/kv"
)

// crashTotal is the key of the number of commits.
var crashTotal = []byte("total")

func crashKey(writer int, name string) []byte { return fmt.Appendf(nil, "%d/%s", writer, name) }

// crashStepKey returns the key of the pair that a step puts; in the order of steps.
func crashStepKey(writer int, step uint64) []byte {
	return fmt.Appendf(nil, "%d/step/%020d", writer, step)
}

// numberIn returns the number that is the value of a key, and 0 where the key is absent.
func numberIn(tx *kv.Tx, key []byte) (uint64, error) {
	value, err := tx.Get(key)
	if errors.Is(err, kv.ErrNotFound) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	return strconv.ParseUint(string(value), 10, 64)
}

// readCrashState reads everything in a store.
func readCrashState(db *kv.DB) (state crashState, err error) {
	err = db.View(func(tx *kv.Tx) error {
		state.offset = tx.Offset()
		for key, value := range tx.Scan(kv.Range{}) {
			if !state.take(string(key), value) {
				state.foreign = append(state.foreign, string(key))
			}
		}
		return nil
	})
	return state, err
}

// take adds a pair. It returns false for one that no step puts.
func (s *crashState) take(key string, value []byte) bool {
	number, err := strconv.ParseUint(string(value), 10, 64)
	if key == string(crashTotal) {
		s.total = number
		return err == nil
	}
	name, rest, _ := strings.Cut(key, "/")
	writer, nameErr := strconv.ParseUint(name, 10, 8)
	if nameErr != nil || writer >= crashWriters {
		return false
	}
	w := &s.writers[writer]
	if step, isStep := strings.CutPrefix(rest, "step/"); isStep {
		number, err := strconv.ParseUint(step, 10, 64)
		if w.values == nil {
			w.values = map[uint64][]byte{}
		}
		w.values[number] = value
		return err == nil
	}
	into := map[string]*uint64{"left": &w.left, "right": &w.right, "at": &w.at}[rest]
	if into == nil {
		return false
	}
	*into = number
	return err == nil
}
