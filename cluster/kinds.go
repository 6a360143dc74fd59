package cluster

import (
	"context"
	"fmt"
)

// newestKind is the newest kind of entries that this program knows. A program that doesn't know the kind of an entry can't apply it, and its
// node stops. So each node says with its status what it knows, and a newer kind is proposed only once all members know it: while a cluster
// is upgraded one node after the other, the new programs go on as the old ones. There has been one kind so far.
const newestKind = 1

// allKnow returns nil where all members say now that they know a kind of entries. A member that gives no answer may be an older program.
func (c *Cluster) allKnow(ctx context.Context, kind uint64) error {
	for _, r := range c.Survey(ctx) {
		switch {
		case r.Err != nil:
			return fmt.Errorf("cluster: whether %q knows entries of kind %d: %w", r.Name, kind, r.Err)
		case r.Status.Knows < kind:
			return fmt.Errorf("%w: %q knows entries up to kind %d, not %d: upgrade it", ErrMember, r.Name, r.Status.Knows, kind)
		}
	}
	return nil
}
