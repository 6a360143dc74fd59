// Package cluster makes the stores of a few copies of a program one replicated store, with github.com/hashicorp/raft. What is acknowledged
// is durable on most of its nodes, and outlives the loss of a minority.
//
//	Put, Apply, Update ──▶ leader ──▶ entry ──▶ log, fsync (most nodes) ──▶ agreed upon ──▶ visible ──▶ acknowledged
//
// Each node has the whole store in memory and on its disk: more nodes make it more available, not larger. One node leads, and takes all
// writes; the others refuse them with kv.ErrNotLeader. All nodes read: what they hold at once, or, after Linearizable, what was
// acknowledged before. The log of the consensus is the log of the store, so that an entry costs one fsync on each node.
//
//	c, err := cluster.Open(ctx, dir, cluster.Options{
//		Cluster: "sessions", Node: "a", Listen: ":7000", Advertise: "a.internal:7000",
//		TLS:             cluster.TLS{CertFile: "a.pem", KeyFile: "a-key.pem", CAFile: "ca.pem"},
//		BootstrapExpect: 3, Join: []string{"a.internal:7000", "b.internal:7000", "c.internal:7000"},
//	})
//	if err != nil {
//		return err
//	}
//	defer c.Close()
//	if _, err := c.DB().Put([]byte("fruit/apple"), []byte("red")); errors.Is(err, kv.ErrNotLeader) {
//		fmt.Println("ask", c.Leader().Address)
//	}
//
// A commit ends in one of three ways: it is done; it was refused (kv.ErrNotLeader, kv.ErrConflict), so that nothing was changed; or it is
// undecided (kv.ErrUndecided), and may still happen. docs/replication.md says what is promised, and why each timeout is what it is.
//
// Everything a Cluster does may be called by many goroutines at a time.
package cluster
