// Package admin is what walnutd's admin listener and its callers have in common: the requests, the objects in the answers, and a client.
// Each object says its kind.
package admin

// DefaultAddress is where walnutd listens, and where kvctl asks, unless another address is given.
const DefaultAddress = "127.0.0.1:7070"

// The paths.
const (
	PathHealth   = "/healthz"
	PathReady    = "/readyz"
	PathMetrics  = "/metrics"
	PathStatus   = "/v1/status"
	PathMembers  = "/v1/members"
	PathJoin     = "/v1/join"
	PathTransfer = "/v1/transfer"
	PathRemove   = "/v1/remove"
	PathRecover  = "/v1/recover"
	PathBackup   = "/v1/backup"
	PathRestore  = "/v1/restore"
)

// OffsetTrailer comes after the bytes of a backup. Without it they are not whole.
const OffsetTrailer = "Walnut-Offset"

// The kinds of objects.
const (
	KindCluster  = "cluster"
	KindNode     = "node"
	KindMember   = "member"
	KindMembers  = "members"
	KindResult   = "result"
	KindRecovery = "recovery"
	KindError    = "error"
)

// Status is a cluster as one of its nodes sees it.
type Status struct {
	Kind    string `json:"kind"`
	Cluster string `json:"cluster"`
	Node    string `json:"node"`             // The node that was asked.
	Leader  string `json:"leader,omitempty"` // Left out where none is known.
	Term    uint64 `json:"term"`
	Nodes   []Node `json:"nodes,omitempty"`
}

// Node is a member and what it said when it was asked. Offsets are those of entries.
type Node struct {
	Member
	Role      string `json:"role,omitempty"`   // leader, follower, candidate or stopped; left out where there is no answer.
	Leader    string `json:"leader,omitempty"` // That it knows.
	Term      uint64 `json:"term"`
	Committed uint64 `json:"committed"`          // Up to where it knows entries to be agreed upon.
	Applied   uint64 `json:"applied"`            // Up to where its store shows them.
	Checksum  string `json:"checksum,omitempty"` // Of its pairs as of Applied, 16 hex digits.
	Lag       uint64 `json:"lag"`                // How many it hasn't applied of those that any node knows to be agreed upon.
	First     uint64 `json:"first"`              // Of its log.
	Last      uint64 `json:"last"`
	Snapshot  uint64 `json:"snapshot"`          // Where its newest snapshot ends.
	Knows     uint64 `json:"knows"`             // The newest kind of entries that its program knows.
	Trouble   string `json:"trouble,omitempty"` // Why it can't be relied on.
	Error     string `json:"error,omitempty"`   // Why it gave no answer.
}

// Member is a node of the cluster.
type Member struct {
	Kind    string `json:"kind"`
	Name    string `json:"name"`
	Address string `json:"address"`
	Voter   bool   `json:"voter"`
	Leads   bool   `json:"leads"`
}

// Members is the list of them.
type Members struct {
	Kind    string   `json:"kind"`
	Members []Member `json:"members"`
}

// Change asks for a change that is about one node.
type Change struct {
	Node string `json:"node"`
}

// Join asks for a new node to be let in.
type Join struct {
	Node    string `json:"node"`
	Address string `json:"address"` // Where it is reached.
}

// Result says that what was asked for is done.
type Result struct {
	Kind    string  `json:"kind"`
	Node    string  `json:"node,omitempty"`    // What it was about, or the node that leads now.
	Puts    *uint64 `json:"puts,omitempty"`    // Of a restore: pairs that were put.
	Deletes *uint64 `json:"deletes,omitempty"` // And deleted.
}

// Recover asks for other members where most voters are lost. Without Apply nothing is changed.
type Recover struct {
	Members []Member `json:"members"` // Without an address a member keeps its own.
	Apply   bool     `json:"apply"`
}

// Recovery is what Recover does, or has done.
type Recovery struct {
	Kind    string   `json:"kind"`
	Node    string   `json:"node"` // On which it is done.
	Members []Member `json:"members"`
	Dropped []Member `json:"dropped"`
	Last    uint64   `json:"last"` // The last entry that is kept.
	Applied bool     `json:"applied"`
}

// Failure says why something isn't done.
type Failure struct {
	Kind  string `json:"kind"`
	Error string `json:"error"`
}
