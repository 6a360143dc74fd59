package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// What is measured other than by repeating an operation.

// start measures the time from opening the store in the run's directory to the first get, and the memory that this takes.
func start(r *run) { r.report(mainFigure, r.start().Seconds()) }

// start looks for a thousand pairs afterwards, so that a peer that lost some isn't praised for being quick.
func (r *run) start() (elapsed time.Duration) {
	w := r.workers(1)[0]
	found, sample := uint64(0), min(r.data.pairs, 1000)
	look := func(i uint64) {
		r.data.key(w.key, i)
		if r.store.Get(w.key, w.look) {
			found++
		}
	}
	r.weigh(func() {
		started := time.Now()
		r.open(r.settings())
		look(0)
		elapsed = time.Since(started)
	})
	for i := uint64(1); i < sample; i++ {
		look(i * r.data.pairs / sample)
	}
	if found < sample {
		r.note("%d of %d pairs that were looked for are lost", sample-found, sample)
	}
	return elapsed
}

// weighHeap measures what a pair takes in memory. Pairs are put one at a time: a batch can share memory, or hold more than it
// needs.
func weighHeap(r *run) {
	r.fill()
	r.report(mainFigure, float64(liveHeap()-r.bareHeap)/float64(r.data.pairs))
}

// weighLoad and weighCheckpoint measure the most memory that these take. The latter is for stores that are open for durable
// writes: a log that is mapped for relaxed ones would count.
func weighLoad(r *run)       { r.report(mainFigure, r.weigh(r.fill)) }
func weighCheckpoint(r *run) { r.report(mainFigure, r.weigh(r.checkpoint)) }

// expire measures what a pair takes in memory without and with a deadline, how long after a deadline all its pairs are gone,
// and durable puts over other pairs before that and meanwhile.
func expire(r *run) {
	started := time.Now()
	r.report("heap B/pair", r.weighPairs(time.Time{}))
	r.report("heap with deadline B/pair", r.weighPairs(started.Add(time.Hour)))
	// The load in batches takes less than those one by one did. Badger's deadlines are whole seconds.
	deadline := time.Now().Add(time.Since(started) + r.Warmup + r.Time + 2*time.Second).Truncate(time.Second)
	bare := r.renew(r.settings())
	store, loader := r.store.(Expirer), r.workers(1)[0]
	store.Batch(loader.freshBatch(livePairs))
	r.inBatches(loader, func(pairs []Pair) { store.BatchUntil(pairs, deadline) })
	workers := r.workers(r.workload.Goroutines)
	driveFor(r.Warmup, workers, overwriteLive)
	alone := driveFor(r.Time, workers, overwriteLive)
	if time.Now().After(deadline) {
		fatal("the deadline passed before the puts alone were measured")
	}
	time.Sleep(time.Until(deadline))
	var gone time.Duration
	ctx, stop := context.WithCancel(context.Background())
	go func() {
		gone = untilExpired(store, deadline)
		stop()
	}()
	r.take(drive(ctx, workers, overwriteLive, 0))
	r.report(mainFigure, gone.Seconds())
	r.report("alone p99 µs", alone.latency.quantile(0.99))
	r.report("heap left B/pair", (1e6*r.result.Figures["heap MB"]-float64(bare))/float64(r.data.pairs))
}

// weighPairs is weighHeap for a new store whose pairs have a deadline, or none where that is zero. A checkpoint that happens to be
// under way would count, since puts copy what it reads.
func (r *run) weighPairs(deadline time.Time) float64 {
	bare := r.renew(Settings{Mode: Relaxed, Writers: 1, OnDemand: true})
	store, w := r.store.(Expirer), r.workers(1)[0]
	for range r.data.pairs {
		store.BatchUntil(w.freshBatch(1), deadline)
	}
	return float64(liveHeap()-bare) / float64(r.data.pairs)
}

// expiredEvery is how often what is left is counted, at most.
const expiredEvery = time.Second / 2

// untilExpired returns how long after the deadline the store has only the live pairs. Counting can walk all that are left, and keep the
// store from changing them in place for some time, so it is done seldom: the puts' latencies are to be those beside the deletes.
func untilExpired(store Expirer, deadline time.Time) time.Duration {
	for {
		began := time.Now()
		if store.Count() <= livePairs {
			return time.Since(deadline)
		}
		time.Sleep(max(expiredEvery, 20*time.Since(began)))
	}
}

// tailTimes is how many times Spec.Time tails are measured, so that a whole checkpoint is within.
const tailTimes = 3

// overwriteBeside measures puts over loaded pairs, each of which is timed, with a checkpoint in between.
func overwriteBeside(r *run) {
	r.checkpoint() // That of the load.
	workers := r.workers(r.workload.Goroutines)
	for _, w := range workers {
		w.sampling = 1
	}
	driveFor(r.Warmup, workers, overwrite)
	var took time.Duration
	var beside sync.WaitGroup
	beside.Go(func() {
		time.Sleep(tailTimes * r.Time / 10)
		took = r.checkpointOnce()
	})
	total := driveFor(tailTimes*r.Time, workers, overwrite)
	beside.Wait()
	r.take(total)
	r.report("checkpoint s", took.Seconds())
	if took > tailTimes*r.Time*9/10 {
		r.note("the checkpoint took longer than was measured")
	}
}

// besideWriter measures something that a store does while it does nothing else, and then once more beside a goroutine that overwrites
// pairs. The store has done it before and pairs were overwritten after that, so that it finds the same both times.
func besideWriter(do func(r *run) time.Duration) func(r *run) {
	return func(r *run) {
		do(r)
		writer := r.workers(1)
		writer[0].sampling = 1
		before := driveFor(r.Time, writer, overwrite)
		alone := do(r)
		overwrite(writer[0]) // A checkpoint has nothing to do where nothing has changed.
		var puts *tally
		var writing sync.WaitGroup
		ctx, stop := context.WithCancel(context.Background())
		writing.Go(func() { puts = drive(ctx, writer, overwrite, 0) })
		beside := do(r)
		stop()
		writing.Wait()
		r.report(mainFigure, alone.Seconds())
		r.report("beside / alone", beside.Seconds()/alone.Seconds())
		r.report("its puts/s", puts.rate())
		r.report("its slowdown", before.rate()/puts.rate())
		r.report("its p99.9 µs", puts.latency.quantile(0.999))
		r.report("its worst put ms", puts.latency.quantile(1)/1000)
	}
}

// backUpOnce writes a backup to a file, syncs it and removes it.
func (r *run) backUpOnce() time.Duration {
	file, err := os.Create(filepath.Join(r.Dir, "backup"))
	check(err)
	started := time.Now()
	r.store.(Backuper).Backup(file)
	check(file.Sync())
	elapsed := time.Since(started)
	check(errors.Join(file.Close(), os.Remove(file.Name())))
	return elapsed
}

func (r *run) checkpointOnce() time.Duration {
	started := time.Now()
	r.checkpoint()
	return time.Since(started)
}

// logBytesPerPair makes the size of logs follow from that of stores: a million pairs go with half a gigabyte of records.
const logBytesPerPair = 512

// records returns how many of the workload's records have this many bytes a pair together.
func (r *run) records(bytesPerPair int) int64 {
	return max(1, int64(r.data.pairs)*int64(bytesPerPair)/int64(r.workload.record))
}

// readRecords measures opening a log and reading all of it. The same process wrote and closed it.
func readRecords(r *run) {
	r.open(r.settings())
	want, read, seen := r.records(logBytesPerPair/4)*int64(r.workload.record), int64(0), byte(0)
	r.writeLog(want)
	r.close()
	liveHeap()
	started := time.Now()
	r.open(r.settings())
	r.log.ReadAll(func(record []byte) {
		read += int64(len(record))
		for i := 0; i < len(record); i += 64 {
			seen += record[i]
		}
	})
	r.report(mainFigure, float64(read)/1e6/time.Since(started).Seconds())
	if read != want {
		fatal("%d of %d bytes read, sum %d", read, want, seen)
	}
}

// writeLog appends records in batches of a megabyte.
func (r *run) writeLog(size int64) {
	batch := make([][]byte, max(1, min(size, 1<<20)/int64(r.workload.record)))
	for i := range batch {
		batch[i] = make([]byte, r.workload.record)
		fill(batch[i], r.Seed+uint64(i))
	}
	for left := size / int64(r.workload.record); left > 0; left -= int64(len(batch)) {
		batch = batch[:min(left, int64(len(batch)))]
		r.log.AppendBatch(batch)
	}
}

// pickRecords measures reads of records by their numbers, from a log that was closed and opened again.
func pickRecords(r *run) {
	r.open(r.settings())
	size := r.records(logBytesPerPair/4) * int64(r.workload.record)
	r.writeLog(size)
	r.close()
	r.open(r.settings())
	workers := r.workers(r.workload.Goroutines)
	for _, w := range workers {
		w.records = uint64(size / int64(r.workload.record))
	}
	driveFor(r.Warmup/laterWarmup, workers, readRecord)
	r.take(driveFor(r.Time, workers, readRecord))
}

// held is how many views are held, and heldApart how many overwrites lie between two, as a share of all pairs.
const held, heldApart = 100, 0.01

// holdViews measures what views take that are held while pairs are put over.
func holdViews(r *run) {
	store, w := r.store.(Holder), r.workers(1)[0]
	apart := max(1, int64(heldApart*float64(r.data.pairs)))
	before := liveHeap() - r.bareHeap
	alone := drive(context.Background(), []*worker{w}, overwrite, held*apart)
	var releases []func()
	var beside tally
	for range held {
		releases = append(releases, store.Hold())
		t := drive(context.Background(), []*worker{w}, overwrite, apart)
		beside.operations += t.operations
		beside.elapsed += t.elapsed
	}
	r.report(mainFigure, float64(liveHeap()-r.bareHeap)/float64(before))
	r.report("share of puts alone", beside.rate()/alone.rate())
	for _, release := range releases {
		release()
	}
	r.report("after / before", float64(liveHeap()-r.bareHeap)/float64(before))
}

// watchers is how many goroutines watch a store.
const watchers = 1000

// putWatched measures puts alone, and then beside watchers that receive each.
func putWatched(r *run) {
	workers := r.workers(r.workload.Goroutines)
	alone := driveFor(r.Time, workers, overwrite)
	ctx, stop := context.WithCancel(context.Background())
	var watching, ready sync.WaitGroup
	ready.Add(watchers)
	for range watchers {
		watching.Go(func() { r.store.(Watchable).Watch(ctx, ready.Done) })
	}
	ready.Wait()
	r.take(driveFor(r.Time, workers, overwrite))
	stop()
	watching.Wait()
	r.report("share of alone", r.result.Figures[mainFigure]/alone.rate())
}

// cutRecords measures how long it takes to remove the newest ten records.
func cutRecords(r *run) {
	r.writeLog(56 << 20)
	started := time.Now()
	r.log.(BackCutter).CutBack(10)
	r.report(mainFigure, microseconds(time.Since(started))/1000)
}

// life measures the stages in the life of one store, so that a large one is filled only once.
func life(r *run) {
	r.take(drive(context.Background(), r.workers(1), putFresh, int64(r.data.pairs)))
	heap, size := 1e6*r.result.Figures["heap MB"]-float64(r.bareHeap), float64(r.data.bytes())
	r.report("heap B/pair", heap/float64(r.data.pairs))
	r.report("heap / data", heap/size)
	readers := r.workers(2)
	driveFor(r.Warmup, readers, getUniform)
	r.report("gets/s", driveFor(r.Time, readers, getUniform).rate())
	if r.peer.Limit {
		return
	}
	r.report("checkpoint s", r.checkpointOnce().Seconds())
	r.close()
	elapsed := r.start().Seconds()
	r.report("start s", elapsed)
	r.report("start s/GB", elapsed/size*1e9)
}
