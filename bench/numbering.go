package main

import "sync"

// numbering gives records their numbers, from 1 and without a gap, for logs that leave this to their caller: a consensus
// log gets them from its protocol. Such logs take one append at a time.
type numbering struct {
	mu   sync.Mutex
	last uint64
}

// add appends so many records, the first of which gets the number that it passes on.
func (n *numbering) add(count int, appendFrom func(first uint64) error) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if err := appendFrom(n.last + 1); err != nil {
		return err
	}
	n.last += uint64(count)
	return nil
}
