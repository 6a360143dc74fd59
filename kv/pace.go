package kv

import (
	"runtime"
	"time"
)

const (
	// sweepLeast and sweepMost are how many pairs a step of a sweep deletes. While the deletes are applied, which takes about half a
	// millisecond at most, a step in the relaxed modes holds the writers' lock.
	sweepLeast, sweepMost = 16, 256
	// sweepGroup is the most while other commits are acknowledged together with the step, and wait until its deletes are applied.
	sweepGroup = 128
	// sweepCost is about how long a delete takes in a store of a million pairs. It takes as long again for each index.
	sweepCost = 2 * time.Microsecond
	// sweepShare is the part of the time that a sweep may hold others up: one in this number.
	sweepShare = 4
	// sweepNap is the shortest rest. The system's timers know no shorter one.
	sweepNap = time.Millisecond
)

// pace says how large the steps of a sweep are, and when it rests. The sweep goes on as one more writer does, at the rhythm of the
// others: beside durable writers a step waits for their sync, beside relaxed ones for its turn. The longer that took, the
// more the next step deletes, so that its deletes take a quarter of the time. Where steps follow one another faster, it rests.
type pace struct {
	db     *DB
	keys   int           // Of the next step.
	joins  bool          // Other commits come, so the next step can wait for their sync.
	before uint64        // The offset of the last step.
	since  time.Time     // The end of the last step.
	begun  time.Time     // The end of the last rest.
	worked time.Duration // About how long deletes took since then.
}

func (db *DB) newPace() *pace {
	now := time.Now()
	return &pace{db: db, keys: sweepLeast, joins: true, since: now, begun: now}
}

// stepped takes note of a step that made a commit, and rests where it is time to.
func (p *pace) stepped(offset uint64) {
	p.joins = p.before == 0 || offset != p.before+1 || p.db.committing.Load() > 0
	p.before = offset
	if p.db.relaxed() {
		runtime.Gosched() // Its turn is over. A goroutine that is about to commit may have no processor, so also where it seems alone.
	}
	if !p.joins {
		p.keys, p.since, p.begun, p.worked = sweepMost, time.Now(), time.Now(), 0
		return
	}
	cost := sweepCost * time.Duration(1+len(p.db.opts.Indexes))
	p.worked += time.Duration(p.keys) * cost
	now := time.Now()
	switch rest := p.worked*sweepShare - now.Sub(p.begun); {
	case rest >= sweepNap:
		time.Sleep(rest)
		now = time.Now()
		p.begun, p.worked = now, 0
	case rest < 0: // The others took their time.
		p.begun, p.worked = now, 0
	}
	p.keys = min(max(int(now.Sub(p.since)/cost/sweepShare), sweepLeast), p.most())
	p.since = now
}

// most returns how many pairs a step may delete beside other commits.
func (p *pace) most() int {
	if p.db.relaxed() {
		return sweepMost
	}
	return sweepGroup
}
