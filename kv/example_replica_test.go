package kv_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"time"

	"github.com/walnutkv/walnut/kv"
)

// majority is a consensus of one node, which always agrees. A real one sends the entry to other nodes, and applies it once most have it.
type majority struct{ replica *kv.Replica }

func (m *majority) Propose(record []byte) error {
	_, last := m.replica.Log().Bounds()
	entry := kv.Entry{Offset: last + 1, Term: 1, AppendedAt: time.Now(), Data: record}
	if err := m.replica.Log().Append(last, []kv.Entry{entry}); err != nil {
		return errors.Join(kv.ErrUndecided, err)
	}
	return m.replica.Apply(entry.Offset, record)
}

func (m *majority) Checkpoint(ctx context.Context) error {
	_, err := m.replica.DB().Checkpoint(ctx)
	return err
}

func ExampleOpenReplica() {
	dir, err := os.MkdirTemp("", "replica")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	var m majority
	member := kv.Member{Cluster: [16]byte{0xca, 0xfe}, Node: "node-1"}
	if m.replica, err = kv.OpenReplica(dir, kv.Options{}, member, &m); err != nil {
		log.Fatal(err)
	}
	db := m.replica.DB()
	defer db.Close()

	offset, err := db.Put([]byte("fruit/apple"), []byte("red"))
	switch {
	case errors.Is(err, kv.ErrUndecided):
		fmt.Println("it may have happened, or may yet")
	case errors.Is(err, kv.ErrNotLeader), errors.Is(err, kv.ErrConflict):
		fmt.Println("nothing was changed")
	case err == nil:
		color, err := db.Get([]byte("fruit/apple"))
		fmt.Printf("entry %d of %d: an apple is %s, error %v\n", offset, m.replica.Applied(), color, err)
	}
	// Output:
	// entry 1 of 1: an apple is red, error <nil>
}
