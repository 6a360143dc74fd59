package main

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/walnutkv/walnut/kv"
	"github.com/walnutkv/walnut/wal"
)

var walnutEngine = engine{
	name: "Walnut", peer: walnutPeer, open: openWalnutDamaged,
	settings: "The zero `kv.Options` (`SyncAlways`, two snapshots kept); for small files `SegmentSize` of 32 KiB, and a checkpoint after a third and " +
		"after two thirds of the pairs. Documented in `kv.Options`.",
	notes: "A damaged snapshot costs nothing while the other one is sound, since the log before the older one is what a checkpoint truncates. " +
		"`kvctl check` and `kv.Check` read every byte, those of the older snapshot too, which an opening doesn't need; `kvctl wal repair` says what a repair would keep and lose, and does it with `--apply`.",
	logs: regexp.MustCompile(`^wal/\d+\.store$`), tables: regexp.MustCompile(`^snapshot/.*\.snap$`), align: 8,
	tool: askKvctl,
}

var walnutLogEngine = engine{
	name: "Walnut's wal", peer: walnutPeer, open: openWalnutLogDamaged,
	settings: "The zero `wal.Options` (`SyncAlways`); `SegmentSize` of 32 KiB. Documented in `wal.Options`.",
	notes: "Opening reads the newest segment's records; those of the others are checked when they are read, as docs/design.md says. " +
		"`wal.Check` reads everything.",
	logs: regexp.MustCompile(`^\d+\.store$`), align: 8,
}

func openWalnutDamaged(dir string, say func(string)) (kept, error) {
	db, err := kv.Open(dir, kv.Options{SegmentSize: smallFile, CheckpointFactor: -1, Logger: warnings(say)})
	if err != nil {
		return kept{}, err
	}
	store := walnutStore{db}
	k := keptStore(store)
	k.checkpoint = store.Checkpoint
	k.verify = func() error {
		found, err := kv.Check(context.Background(), dir, kv.Options{})
		return joined(found, err)
	}
	return k, nil
}

func openWalnutLogDamaged(dir string, say func(string)) (kept, error) {
	log, err := wal.Open(dir, wal.Options{SegmentSize: smallFile, Logger: warnings(say)})
	if err != nil {
		return kept{}, err
	}
	l := &walnutLog{log: log}
	k := keptLog(l, &l.last, func(index uint64) []byte {
		payload, err := log.Read(index)
		if errors.Is(err, wal.ErrOutOfRange) {
			return nil
		}
		check(err)
		return payload
	})
	k.verify = func() error {
		found, err := wal.Check(dir, wal.Options{})
		return joined(found, err)
	}
	return k, nil
}

// joined makes an error of all that a check has found, damage and notices.
func joined(found []wal.Violation, err error) error {
	for _, v := range found {
		err = errors.Join(err, errors.New(v.String()))
	}
	return err
}

// askKvctl lets kvctl write to the store, and returns what it says if it refuses.
func askKvctl(program, dir string) string {
	output, err := exec.Command(program, "--dir", dir, "put", "key", "value").CombinedOutput()
	if err == nil {
		return ""
	}
	said := strings.ReplaceAll(string(output), filepath.Dir(dir)+string(filepath.Separator), "")
	return fmt.Sprintf("%s (%v)", strings.TrimSpace(said), err)
}
