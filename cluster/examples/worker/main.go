// Command worker does some work once, wherever it runs: it is run as three copies of itself, and the one that leads works. On one machine:
//
//	nodes='a=127.0.0.1:7001=127.0.0.1:8001,b=127.0.0.1:7002=127.0.0.1:8002,c=127.0.0.1:7003=127.0.0.1:8003'
//	for node in a b c; do go run ./examples/worker -node $node -nodes $nodes -dir data/$node & done
//	curl http://127.0.0.1:8001/steps
//
// To believe that one leads isn't enough: a copy that was cut off may believe so for a moment, beside the one that does. So a step counts
// with its commit, which only the real leader gets through, and which says on which step it was made.
package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"github.com/walnutkv/walnut/cluster/examples/copies"
	"github.com/walnutkv/walnut/kv"
)

const (
	pause     = 50 * time.Millisecond
	stepsRead = 1000
)

func main() { copies.Main("worker", routes) }

var countKey = []byte("count")

func stepKey(number uint64) []byte { return binary.BigEndian.AppendUint64([]byte("step/"), number) }

// count returns how many steps were made.
func count(get func(key []byte) ([]byte, error)) (uint64, error) {
	value, err := get(countKey)
	if errors.Is(err, kv.ErrNotFound) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	return binary.BigEndian.Uint64(value), nil
}

// step does the next piece of work. Its result is committed together with the count, or not at all. Work that reaches outside of the store
// has to bear being done again: the step that was begun by a leader which died is done by the next one.
func step(db *kv.DB, node string) error {
	return db.Update(func(tx *kv.Tx) error {
		number, err := count(tx.Get)
		if err != nil {
			return err
		}
		number++
		result := fmt.Appendf(nil, "%d squared is %d, says %s", number, number*number, node)
		return errors.Join(tx.Put(stepKey(number), result), tx.Put(countKey, binary.BigEndian.AppendUint64(nil, number)))
	})
}

// work makes steps while this copy leads, until ctx is done. Whether a step that is undecided was made, the count says next time.
func work(ctx context.Context, c *copies.Copy) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
		if !c.Cluster.Leads() {
			continue
		}
		if err := step(c.Cluster.DB(), c.Node); err != nil {
			slog.Info("a step wasn't made, or may not have been", "node", c.Node, "error", err)
		}
	}
}

func routes(ctx context.Context, c *copies.Copy) http.Handler {
	go work(ctx, c)
	routes := http.NewServeMux()
	routes.HandleFunc("GET /readyz", c.Ready)
	routes.HandleFunc("GET /steps", func(w http.ResponseWriter, r *http.Request) {
		if !c.Refresh(w, r) {
			return
		}
		for _, result := range c.Cluster.DB().Scan(kv.Range{Prefix: []byte("step/"), Limit: stepsRead}) {
			fmt.Fprintf(w, "%s\n", result)
		}
	})
	return routes
}
