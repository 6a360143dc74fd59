package kv

import (
	"fmt"
	"io"
	"path"
	"slices"
	"strings"
	"sync"
	"syscall"

	"github.com/walnutkv/walnut/internal/vfs"
)

// faultKind is what a call that fails says, and what else fails with it where the fault lasts.
type faultKind struct {
	name  string
	err   error
	short bool // Half of a write arrives. Only writes fail so.
	hits  func(op vfs.Op) bool
}

// faultKinds are the kinds. A fault that lasts hits from then on every call that the kind of fault could.
var faultKinds = []faultKind{
	{name: "EIO", err: syscall.EIO, hits: func(vfs.Op) bool { return true }},
	{name: "ENOSPC", err: syscall.ENOSPC, hits: among(
		vfs.OpCreate, vfs.OpRename, vfs.OpLink, vfs.OpMkdir, vfs.OpSyncDir, vfs.OpWrite, vfs.OpAllocate, vfs.OpSync)},
	{name: "EMFILE", err: syscall.EMFILE, hits: among(vfs.OpCreate, vfs.OpOpen, vfs.OpList, vfs.OpSyncDir, vfs.OpLock)},
	{name: "EROFS", err: syscall.EROFS, hits: vfs.Op.Changes},
	{name: "short", err: io.ErrShortWrite, short: true, hits: among(vfs.OpWrite)},
	{name: "shortENOSPC", err: syscall.ENOSPC, short: true, hits: among(vfs.OpWrite)},
}

func among(ops ...vfs.Op) func(vfs.Op) bool {
	return func(op vfs.Op) bool { return slices.Contains(ops, op) }
}

// fault is one call that fails: once, or for good. The zero fault is none.
type fault struct {
	call    string // What faultDisk calls it.
	changes bool   // The call would change something.
	kind    faultKind
	lasts   bool
}

// faultDisk lets the calls of a Mem fail, and gives each a name that is the same in every run: the kind of call, the file, and which of
// those it is. Calls are counted for each file alone, since the log's background makes some of them.
type faultDisk struct {
	*vfs.Mem
	fault fault

	mu         sync.Mutex
	counts     map[string]int
	calls      []faultCall
	met        bool            // The call has come.
	lifted     bool            // Nothing fails any more.
	published  map[string]bool // Temporary names of stores that have their own name by now.
	syncFailed bool            // A sync of the log has failed,
	distrusted bool            // since trust was called.
}

// faultCall is a call that was made.
type faultCall struct {
	name string
	op   vfs.Op
}

func newFaultDisk(f fault) *faultDisk {
	d := &faultDisk{Mem: vfs.NewMem(), fault: f, counts: map[string]int{}, published: map[string]bool{}}
	d.SetHook(d.call)
	return d
}

// call lets a call fail, or not.
func (d *faultDisk) call(c vfs.Call) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	name := fmt.Sprintf("%v %s", c.Op, strings.TrimPrefix(c.Name, "/data/"))
	d.counts[name]++
	call := faultCall{fmt.Sprintf("%s #%d", name, d.counts[name]), c.Op}
	d.calls = append(d.calls, call)
	first := call.name == d.fault.call
	d.met = d.met || first
	if d.lifted || !first && !(d.met && d.fault.lasts && d.fault.kind.hits(c.Op)) {
		d.published[c.Name] = c.Op == vfs.OpRename || d.published[c.Name] && c.Op != vfs.OpCreate
		return nil
	}
	if c.Op == vfs.OpSync && path.Dir(c.Name) == storeDir+"/"+walName && (strings.HasSuffix(c.Name, ".store") || d.published[c.Name]) {
		d.syncFailed, d.distrusted = true, true
	}
	if d.fault.kind.short {
		return &vfs.ShortWrite{Bytes: int(c.Len / 2), Err: d.fault.kind.err}
	}
	return d.fault.kind.err
}

// lift ends what fails for good.
func (d *faultDisk) lift() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.lifted = true
}

// trust forgets about syncs that have failed, as opening the log again does.
func (d *faultDisk) trust() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.distrusted = false
}

// is reads one of the flags.
func (d *faultDisk) is(flag *bool) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return *flag
}
