package main

import (
	"context"
	"fmt"

	"github.com/walnutkv/walnut/kv"
)

// importBatch holds the pairs of one commit of an import.
//
// Invariant: a batch with an error other than io.EOF is not written, even if it holds pairs from before the error.
type importBatch struct {
	mutations           *kv.Batch
	pairs               int
	firstLine, lastLine int
	err                 error // Why no batch follows; io.EOF at the end of the input.
}

// batchReader gathers an import's pairs into batches of size.
type batchReader struct {
	pairs pairReader
	size  int
}

// readAll sends batches until one has an error or the context ends.
func (r *batchReader) readAll(ctx context.Context, batches chan<- importBatch) {
	for {
		batch := r.next()
		select {
		case batches <- batch:
		case <-ctx.Done():
			return
		}
		if batch.err != nil {
			return
		}
	}
}

func (r *batchReader) next() importBatch {
	batch := importBatch{mutations: new(kv.Batch)}
	for bytes := 0; batch.pairs < r.size && bytes < batchBytes; {
		p, err := r.pairs.next()
		if err == nil {
			err = checkLimits(p)
		}
		if err != nil {
			batch.err = err
			return batch
		}
		batch.mutations.PutDeadline(p.key, p.value, p.deadline)
		if batch.pairs == 0 {
			batch.firstLine = p.line
		}
		batch.lastLine = p.line
		batch.pairs++
		bytes += len(p.key) + len(p.value) + pairOverhead
	}
	return batch
}

// checkLimits refuses a pair that the store would refuse with its whole batch, so that the error names the line.
func checkLimits(p pair) error {
	switch {
	case len(p.key) == 0:
		return &lineError{p.line, kv.ErrEmptyKey}
	case len(p.key) > kv.MaxKeySize:
		return &lineError{p.line, fmt.Errorf("%w: %d bytes, at most %d", kv.ErrKeyTooLarge, len(p.key), kv.MaxKeySize)}
	case len(p.value) > kv.MaxValueSize:
		return &lineError{p.line, fmt.Errorf("%w: %d bytes, at most %d", kv.ErrValueTooLarge, len(p.value), kv.MaxValueSize)}
	}
	return nil
}
