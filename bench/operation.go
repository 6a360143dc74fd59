package main

// The operations that workers repeat on a store. Each is made once a measurement.

func putFresh(store Store) operation { return put(store, dataset.key) }

// putOrdered puts keys in their order. That is so with one worker only.
func putOrdered(store Store) operation { return put(store, dataset.orderedKey) }

// putShuffled puts the data set in random order, whatever its keys are.
func putShuffled(store Store) operation {
	return func(w *worker) (int, error) {
		i := w.data.shuffled(w.fresh())
		w.data.key(w.key, i)
		w.data.value(w.value, i)
		return 1, store.Put(w.key, w.value)
	}
}

func put(store Store, key func(data dataset, dst []byte, i uint64)) operation {
	return func(w *worker) (int, error) {
		i := w.fresh()
		key(w.data, w.key, i)
		w.data.value(w.value, i)
		return 1, store.Put(w.key, w.value)
	}
}

func putBatch(size int) func(store Store) operation {
	return func(store Store) operation {
		return func(w *worker) (int, error) {
			return size, store.Batch(w.freshBatch(size))
		}
	}
}

// freshBatch returns new pairs in memory that is valid until the next call.
func (w *worker) freshBatch(size int) []Pair {
	for len(w.batch) < size {
		w.batch = append(w.batch, Pair{make([]byte, w.data.keySize()), make([]byte, w.data.valueSize())})
	}
	for _, pair := range w.batch[:size] {
		i := w.fresh()
		w.data.key(pair.Key, i)
		w.data.value(pair.Value, i)
	}
	return w.batch[:size]
}

func getUniform(store Store) operation {
	return func(w *worker) (int, error) { return w.get(store, w.any()) }
}

func getZipfian(store Store) operation {
	return func(w *worker) (int, error) { return w.get(store, w.popular()) }
}

func (w *worker) get(store Store, i uint64) (int, error) {
	w.data.key(w.key, i)
	return 1, store.Get(w.key, w.look)
}

func scanFull(store Store) operation {
	return func(w *worker) (int, error) { return w.scan(store, nil, 0) }
}

func scanShort(store Store) operation {
	return func(w *worker) (int, error) {
		w.data.key(w.key, w.any())
		return w.scan(store, w.key, 100)
	}
}

func (w *worker) scan(store Store, start []byte, limit int) (int, error) {
	w.visited = 0
	err := store.Scan(start, limit, w.visit)
	return w.visited, err
}

// mixed gets, and for the rest of the share puts, pairs that are there.
func mixed(gets float64) func(store Store) operation {
	return func(store Store) operation {
		return func(w *worker) (int, error) {
			i := w.popular()
			if w.rng.Float64() < gets {
				return w.get(store, i)
			}
			w.data.key(w.key, i)
			fill(w.value, w.rng.Uint64())
			return 1, store.Put(w.key, w.value)
		}
	}
}

func readModifyWrite(store Store) operation {
	return func(w *worker) (int, error) {
		i := w.popular()
		if w.rng.Float64() < 0.5 {
			return w.get(store, i)
		}
		w.data.key(w.key, i)
		return 1, store.Update(w.key, w.replace)
	}
}
