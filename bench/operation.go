package main

import "encoding/binary"

// operation is what a worker repeats. It returns how many keys it has handled.
type operation func(w *worker) (keys int)

// fresh returns the number of a pair that was not written yet.
func (w *worker) fresh() uint64 {
	i := w.next
	w.next += w.stride
	return i
}

// uniform returns the number of a loaded pair, each with the same probability; popular does by Zipf's law.
func (w *worker) uniform() uint64 { return w.rng.Uint64N(w.data.pairs) }

func (w *worker) popular() uint64 {
	w.drawn++
	return uint64(w.draws[w.drawn%zipfDraws])
}

func putFresh(w *worker) int { return w.put(w.fresh(), dataset.key) }

// putOrdered puts keys in their order, as far as there is one worker.
func putOrdered(w *worker) int { return w.put(w.fresh(), dataset.orderedKey) }

func (w *worker) put(i uint64, key func(d dataset, dst []byte, i uint64)) int {
	key(w.data, w.key, i)
	w.data.value(w.value, i)
	w.store.Put(w.key, w.value)
	return 1
}

func putBatch(size int) operation {
	return func(w *worker) int {
		w.store.Batch(w.freshBatch(size))
		return size
	}
}

// freshBatch returns new pairs in memory that is valid until the next call.
func (w *worker) freshBatch(size int) []Pair {
	for len(w.batch) < size {
		w.batch = append(w.batch, Pair{make([]byte, w.data.keySize()), make([]byte, w.data.valueBytes)})
	}
	for _, pair := range w.batch[:size] {
		i := w.fresh()
		w.data.key(pair.Key, i)
		w.data.value(pair.Value, i)
	}
	return w.batch[:size]
}

func overwrite(w *worker) int { return w.overwrite(w.uniform()) }

// overwrite puts a new value for a loaded key.
func (w *worker) overwrite(i uint64) int {
	w.data.key(w.key, i)
	fill(w.value, w.rng.Uint64())
	w.store.Put(w.key, w.value)
	return 1
}

// livePairs is how many pairs without a deadline there are beside those that expire: the first ones.
const livePairs = 1000

func overwriteLive(w *worker) int { return w.overwrite(w.rng.Uint64N(livePairs)) }

func getUniform(w *worker) int { return w.get(w.uniform()) }
func getPopular(w *worker) int { return w.get(w.popular()) }

func (w *worker) get(i uint64) int {
	w.data.key(w.key, i)
	if !w.store.Get(w.key, w.look) {
		fatal("pair %d is lost", i)
	}
	return 1
}

func scanFull(w *worker) int { return w.scan(nil, 0) }

func scanShort(w *worker) int {
	w.data.key(w.key, w.uniform())
	return w.scan(w.key, 100)
}

func (w *worker) scan(start []byte, limit int) int {
	w.visited = 0
	w.store.Scan(start, limit, w.visit)
	return w.visited
}

// mixed gets pairs and, for the rest of the share, writes them.
func mixed(gets float64, write func(w *worker, i uint64) int) operation {
	return func(w *worker) int {
		if w.rng.Float64() < gets {
			return w.get(w.popular())
		}
		return write(w, w.popular())
	}
}

// update gets and puts a pair in a transaction.
func (w *worker) update(i uint64) int {
	w.data.key(w.key, i)
	w.store.Update(w.key, w.replace)
	return 1
}

// transact updates one of a thousand keys.
func transact(w *worker) int { return w.update(w.rng.Uint64N(min(1000, w.data.pairs))) }

// spread updates one of all keys.
func spread(w *worker) int { return w.update(w.uniform()) }

// queue puts a pair at the end and removes the first one, in turns, so that as many are left as were loaded.
func queue(w *worker) int {
	if w.drawn++; w.drawn%2 == 0 {
		if !w.store.(Queue).Pop() {
			fatal("the queue is empty")
		}
		return 1
	}
	return w.put(w.data.pairs+w.fresh(), dataset.key)
}

// readRecord reads a record by its number, each with the same probability.
func readRecord(w *worker) int {
	w.log.(PickLog).Read(1+w.rng.Uint64N(w.records), w.look)
	return 1
}

// appendRecord appends records that differ in their first bytes only, so that making them costs nothing.
func appendRecord(w *worker) int {
	binary.LittleEndian.PutUint64(w.value, w.fresh())
	w.log.Append(w.value)
	return 1
}
