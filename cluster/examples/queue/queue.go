package main

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/walnutkv/walnut/kv"
)

// Jobs are under these keys:
//
//	job/ID       what the job is, and the number of its place
//	place/NUMBER the name of the job in that place, until it is done
//	claim/ID     the worker that has it; the pair ends with the lease
//	last         the number of the last place
var lastKey = []byte("last")

func jobKey(id string) []byte       { return []byte("job/" + id) }
func claimKey(id string) []byte     { return []byte("claim/" + id) }
func placeKey(number uint64) []byte { return binary.BigEndian.AppendUint64([]byte("place/"), number) }

// job is one.
type job struct {
	ID    string `json:"id"`
	Work  string `json:"work"`
	Place uint64 `json:"place"`
	Done  string `json:"done,omitempty"` // The worker that has done it.
}

var (
	errNoJob  = errors.New("no job is free")
	errNotOwn = errors.New("the job isn't this worker's, or its lease has passed")
)

// read returns a job.
func read(get func(key []byte) ([]byte, error), id string) (j job, err error) {
	text, err := get(jobKey(id))
	if err != nil {
		return j, err
	}
	return j, json.Unmarshal(text, &j)
}

func write(tx *kv.Tx, j job) error {
	text, err := json.Marshal(j)
	if err != nil {
		return err
	}
	return tx.Put(jobKey(j.ID), text)
}

// add adds a job at the end. The caller has named it: to add it again, since the outcome was undecided, changes nothing.
func add(db *kv.DB, id, work string) error {
	return db.Update(func(tx *kv.Tx) error {
		if _, err := read(tx.Get, id); !errors.Is(err, kv.ErrNotFound) {
			return err
		}
		number := uint64(1)
		if last, err := tx.Get(lastKey); err == nil {
			number += binary.BigEndian.Uint64(last)
		} else if !errors.Is(err, kv.ErrNotFound) {
			return err
		}
		return errors.Join(
			write(tx, job{ID: id, Work: work, Place: number}),
			tx.Put(placeKey(number), []byte(id)),
			tx.Put(lastKey, binary.BigEndian.AppendUint64(nil, number)),
		)
	})
}

// claim gives a worker the first job that no other one has, until its lease has passed. A worker that asks again, since the outcome was
// undecided, gets the same job.
func claim(db *kv.DB, worker string, lease time.Duration) (j job, err error) {
	return j, db.Update(func(tx *kv.Tx) error {
		free := ""
		for _, id := range tx.Scan(kv.Range{Prefix: []byte("place/")}) {
			owner, err := tx.Get(claimKey(string(id)))
			if err == nil && string(owner) == worker || errors.Is(err, kv.ErrNotFound) && free == "" {
				free = string(id)
			}
			if err == nil && string(owner) == worker {
				break
			}
		}
		if free == "" {
			return errNoJob
		}
		if j, err = read(tx.Get, free); err != nil {
			return err
		}
		return tx.PutTTL(claimKey(free), []byte(worker), lease)
	})
}

// finish ends a job that a worker has. To do it again changes nothing.
func finish(db *kv.DB, worker, id string) error {
	return db.Update(func(tx *kv.Tx) error {
		j, err := read(tx.Get, id)
		if err != nil {
			return err
		}
		owner, err := tx.Get(claimKey(id))
		switch {
		case err != nil && !errors.Is(err, kv.ErrNotFound):
			return err
		case j.Done == worker:
			return nil
		case string(owner) != worker:
			return fmt.Errorf("%w: %s", errNotOwn, id)
		}
		j.Done = worker
		return errors.Join(write(tx, j), tx.Delete(placeKey(j.Place)), tx.Delete(claimKey(id)))
	})
}
