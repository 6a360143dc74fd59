package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/walnutkv/walnut/internal/histogram"
	"github.com/walnutkv/walnut/kv"
)

// measurement is how often an operation was done, and how long each took.
type measurement struct {
	name    string
	count   uint64 // The operations.
	elapsed time.Duration
	latency histogram.Snapshot // In nanoseconds, of all operations or of a sample.
}

func (m measurement) rate() float64 { return float64(m.count) / max(m.elapsed.Seconds(), 1e-9) }

// measurementJSON is a measurement as JSON output has it. Latencies are in seconds.
type measurementJSON struct {
	Kind      string      `json:"kind"`
	Name      string      `json:"name"`
	Count     uint64      `json:"count"`
	Seconds   float64     `json:"seconds"`
	PerSecond float64     `json:"per_second"`
	Latency   latencyJSON `json:"latency_seconds"`
	Suspect   bool        `json:"suspect,omitempty"` // A sync so fast that there probably was none.
}

type latencyJSON struct {
	Count uint64  `json:"count"`
	Mean  float64 `json:"mean"`
	P50   float64 `json:"p50"`
	P90   float64 `json:"p90"`
	P99   float64 `json:"p99"`
	P999  float64 `json:"p999"`
	Max   float64 `json:"max"`
}

func (m measurement) json() measurementJSON {
	seconds := func(share float64) float64 { return time.Duration(m.latency.Quantile(share)).Seconds() }
	return measurementJSON{
		Kind: kindMeasured, Name: m.name, Count: m.count, Seconds: m.elapsed.Seconds(), PerSecond: m.rate(),
		Latency: latencyJSON{
			m.latency.Count, m.latency.Mean() / 1e9, seconds(0.5), seconds(0.9), seconds(0.99), seconds(0.999),
			time.Duration(m.latency.Max).Seconds(),
		},
		Suspect: m.suspect(),
	}
}

// syncName is the name of the measurement of syncs.
const syncName = "fsync"

// fastestSync is below what any disk takes that keeps data without power.
const fastestSync = 10 * time.Microsecond

// suspect reports whether syncs are so fast that there probably are none.
func (m measurement) suspect() bool {
	return m.name == syncName && m.latency.Quantile(0.5) < int64(fastestSync)
}

// runWorkers does an operation again and again with a number of workers, until the time is up, ctx ends, or one fails. It times
// one in every operations. do gets the worker's own random numbers.
func runWorkers(ctx context.Context, name string, each time.Duration, workers, every int,
	do func(random *rand.Rand) error,
) (measurement, error) {
	ctx, cancel := context.WithTimeout(ctx, each)
	defer cancel()
	var latency histogram.Histogram
	var count atomic.Uint64
	var ended atomic.Bool // Cheaper to look at than ctx, which gets would feel.
	context.AfterFunc(ctx, func() { ended.Store(true) })
	var running sync.WaitGroup
	failures := make([]error, workers)
	start := time.Now()
	for worker := range workers {
		running.Go(func() {
			random := rand.New(rand.NewPCG(1, uint64(worker)))
			done := uint64(0)
			// One operation at least, so that a short time still gives a figure.
			for i := 0; i == 0 || !ended.Load(); i++ {
				began := time.Time{}
				if i%every == 0 {
					began = time.Now()
				}
				if failures[worker] = do(random); failures[worker] != nil {
					cancel()
					break
				}
				if i%every == 0 {
					latency.Record(int64(time.Since(began)))
				}
				done++
			}
			count.Add(done)
		})
	}
	running.Wait()
	return measurement{name, count.Load(), time.Since(start), latency.Snapshot()}, errors.Join(failures...)
}

// run measures an operation and prints the result. An interrupted measurement has none.
func (b *bench) run(name string, workers, every int, do func(random *rand.Rand) error) error {
	m, err := runWorkers(b.ctx, name, b.each, workers, every, do)
	if b.ctx.Err() != nil {
		return errInterrupted
	}
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	if m.suspect() {
		fmt.Fprintf(b.app.stderr, "warning: fsync takes %s in %s, and no disk is that fast: this one probably doesn't sync, and a power cut "+
			"would take what was acknowledged\n", shortLatency(m.latency.Quantile(0.5)), b.app.dirName())
	}
	return b.print(m)
}

// fsync measures the disk alone. The file has its space before, as the log's files do.
func (b *bench) fsync() (err error) {
	const size, write = 1 << 20, 512
	file, err := os.OpenFile(filepath.Join(b.dir, "fsync"), os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close(), os.Remove(file.Name())) }()
	if _, err := file.Write(make([]byte, size)); err != nil {
		return err
	}
	if err := file.Sync(); err != nil {
		return err
	}
	at, data := int64(0), make([]byte, write)
	return b.run(syncName, 1, 1, func(random *rand.Rand) error {
		data[0] = byte(random.Uint32())
		_, err := file.WriteAt(data, at)
		at = (at + write) % size
		if err != nil {
			return err
		}
		return file.Sync()
	})
}

// withStore calls use with a new store, and removes it.
func (b *bench) withStore(mode kv.SyncMode, use func(dir string, db *kv.DB) error) error {
	dir := filepath.Join(b.dir, "store")
	db, err := kv.OpenContext(b.ctx, dir, b.options(mode))
	if err != nil {
		return err
	}
	err = use(dir, db)
	// The store is removed, so a failed close of one that has failed says nothing more.
	if closeErr := db.Close(); err == nil {
		err = closeErr
	}
	if removeErr := os.RemoveAll(dir); err == nil {
		err = removeErr
	}
	return err
}

func (b *bench) options(mode kv.SyncMode) kv.Options {
	return kv.Options{Sync: mode, Logger: b.app.logger(b.app.stderr)}
}

// benchKeySet returns the keys in order, made before anything is timed.
func benchKeySet() [][]byte {
	keys := make([][]byte, benchKeys)
	for number := range keys {
		keys[number] = fmt.Appendf(nil, "bench/%08d", number)
	}
	return keys
}

func (b *bench) puts(name string, mode kv.SyncMode, workers int) error {
	value := make([]byte, benchValueSize)
	keys := benchKeySet()
	return b.withStore(mode, func(_ string, db *kv.DB) error {
		return b.run(name, workers, 1, func(random *rand.Rand) error {
			_, err := db.Put(keys[random.IntN(benchKeys)], value)
			return err
		})
	})
}

// reads measures gets, scans and opening, all with one store.
func (b *bench) reads() error {
	keys := benchKeySet()
	return b.withStore(kv.SyncNever, func(dir string, db *kv.DB) error {
		if err := b.fill(db, keys); err != nil {
			return fmt.Errorf("fill a store: %w", err)
		}
		readers := runtime.GOMAXPROCS(0)
		err := b.run(fmt.Sprintf("get, %d %s", readers, plural(readers, "reader")), readers, 16, func(random *rand.Rand) error {
			_, err := db.Get(keys[random.IntN(benchKeys)])
			return err
		})
		if err != nil {
			return err
		}
		err = b.run(fmt.Sprintf("scan of %d pairs, %d %s", benchScan, readers, plural(readers, "reader")), readers, 1,
			func(random *rand.Rand) error {
				for range db.Scan(kv.Range{Start: keys[random.IntN(benchKeys-benchScan)], Limit: benchScan}) {
				}
				return nil
			})
		if err != nil {
			return err
		}
		if err := db.Close(); err != nil {
			return err
		}
		return b.opens(dir)
	})
}

// fill puts every key, in random order.
func (b *bench) fill(db *kv.DB, keys [][]byte) error {
	value, random := make([]byte, benchValueSize), rand.New(rand.NewPCG(1, 1))
	for _, number := range random.Perm(benchKeys) {
		if b.ctx.Err() != nil {
			return errInterrupted
		}
		if _, err := db.Put(keys[number], value); err != nil {
			return err
		}
	}
	return nil
}

// opens measures how long the store takes to open. Closing it isn't timed.
func (b *bench) opens(dir string) error {
	var latency histogram.Histogram
	m := measurement{name: fmt.Sprintf("open, %d pairs", benchKeys)}
	for m.count == 0 || m.elapsed < b.each {
		start := time.Now()
		db, err := kv.OpenContext(b.ctx, dir, b.options(kv.SyncNever))
		if err != nil {
			return err
		}
		took := time.Since(start)
		if err := db.Close(); err != nil {
			return err
		}
		latency.Record(int64(took))
		m.elapsed += took
		m.count++
	}
	m.latency = latency.Snapshot()
	return b.print(m)
}

// shortLatency returns nanoseconds with three digits.
func shortLatency(nanoseconds int64) string {
	took := time.Duration(nanoseconds)
	for digit := time.Duration(1); ; digit *= 10 {
		if took < 1000*digit {
			return took.Round(digit).String()
		}
	}
}

// shortRate returns a rate with three digits at least.
func shortRate(rate float64) string {
	if rate < 100 {
		return fmt.Sprintf("%.3g", rate)
	}
	return fmt.Sprintf("%.0f", rate)
}
