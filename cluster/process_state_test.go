package cluster

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/walnutkv/walnut/kv"
)

// know is what the node knows of itself.
func (p *process) know(ctx context.Context) (*known, error) {
	members, err := p.node.Members(ctx)
	if err != nil {
		return nil, err
	}
	k := &known{Leads: p.node.Leads(), Offset: p.node.DB().Offset(), Goroutines: runtime.NumGoroutine(), OpenedIn: p.opened}
	for _, member := range members {
		if member.Voter {
			k.Voters = append(k.Voters, member.Name)
		}
	}
	k.First, k.Last = p.node.replica.Log().Bounds()
	var memory runtime.MemStats
	runtime.GC()
	runtime.GC() // The second one ends what pools keep, such as the text of all pairs.
	runtime.ReadMemStats(&memory)
	k.Heap = memory.HeapInuse
	if open, err := os.ReadDir("/proc/self/fd"); err == nil {
		k.Descriptors = len(open)
	}
	return k, nil
}

// pairs are all that the node has, after a linearizable read.
func (p *process) pairs(ctx context.Context) (*known, map[string]string, error) {
	if err := p.node.Linearizable(ctx); err != nil {
		return nil, nil, err
	}
	k, pairs := &known{}, map[string]string{}
	err := p.node.DB().View(func(tx *kv.Tx) error {
		k.Offset = tx.Offset()
		for key, value := range tx.Scan(kv.Range{}) {
			pairs[string(key)] = string(value)
		}
		return nil
	})
	return k, pairs, err
}

// load is work for a store: clients that put pairs of 16 and 100 bytes for a while, or each a number of times.
type load struct {
	Clients int
	Keys    int           // Among how many keys; 0 is a new one each time.
	For     time.Duration // 0 is no limit.
	Each    int           // How often each client puts; 0 is no limit.
}

// took is what came of it.
type took struct {
	Puts         int
	Failed       int
	PerSecond    float64
	P50, P99     time.Duration
	Longest      time.Duration
	FirstFailure string
}

func (l *load) run(ctx context.Context, db *kv.DB) (*took, error) {
	if l.For > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, l.For)
		defer cancel()
	}
	times, failures := make([][]time.Duration, l.Clients), make([][]error, l.Clients)
	var clients sync.WaitGroup
	began := time.Now()
	for number := range l.Clients {
		clients.Go(func() {
			value := make([]byte, 100)
			for i := 0; ctx.Err() == nil && (l.Each == 0 || i < l.Each); i++ {
				n := i*l.Clients + number
				if l.Keys > 0 {
					n %= l.Keys
				}
				asked := time.Now()
				if _, err := db.Put(fmt.Appendf(nil, "%016d", n), value); err != nil {
					failures[number] = append(failures[number], err)
					time.Sleep(time.Millisecond)
					continue
				}
				times[number] = append(times[number], time.Since(asked))
			}
		})
	}
	clients.Wait()
	return summary(time.Since(began), slices.Concat(times...), slices.Concat(failures...)), nil
}

func summary(elapsed time.Duration, times []time.Duration, failures []error) *took {
	t := &took{Puts: len(times), Failed: len(failures), PerSecond: float64(len(times)) / elapsed.Seconds()}
	if len(failures) > 0 {
		t.FirstFailure = failures[0].Error()
	}
	if len(times) > 0 {
		slices.Sort(times)
		t.P50, t.P99, t.Longest = times[len(times)/2], times[len(times)*99/100], times[len(times)-1]
	}
	return t
}
