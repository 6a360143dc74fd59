package kv

import (
	"context"
	"sync"
)

// indexLoad is entries on their way into a tree after a start has gathered them. So a start doesn't wait until they are sorted; what
// first needs the tree does.
type indexLoad struct {
	done chan struct{} // Closed once entries is whole.

	mu      sync.Mutex
	entries *entryTree
	shared  bool // Several states will take it.
}

// beginLoad has a goroutine load entries that nothing else changes.
func beginLoad(g *gathered) *indexLoad {
	l := &indexLoad{done: make(chan struct{}), entries: newEntryTree()}
	go func() {
		g.load(l.entries)
		close(l.done)
	}()
	return l
}

// share says that one more state will take the tree, unless it is whole: then the first state should take it now.
func (l *indexLoad) share() bool {
	if l == nil || l.isDone() {
		return false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.shared = true
	return true
}

func (l *indexLoad) isDone() bool {
	select {
	case <-l.done:
		return true
	default:
		return false
	}
}

// wait waits until the tree is whole.
func (l *indexLoad) wait() {
	if l != nil {
		<-l.done
	}
}

// waitFor is wait for as long as ctx lasts.
func (l *indexLoad) waitFor(ctx context.Context) error {
	if l == nil {
		return nil
	}
	select {
	case <-l.done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// take returns the tree once it is whole, for one state to change.
func (l *indexLoad) take() *entryTree {
	l.wait()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.shared {
		return l.entries.Clone()
	}
	return l.entries
}
