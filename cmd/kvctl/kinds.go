package main

import "github.com/walnutkv/walnut/internal/admin"

// The kinds of objects in JSON output. Each object says its own as "kind", so that a program that reads several commands, or
// one that writes objects of more than one kind, knows what it has. kinds_test.go lists which command writes which.
const (
	kindPair      = "pair"      // A pair: get, scan, export.
	kindKey       = "key"       // A key without its value: scan --keys-only.
	kindChange    = "change"    // A mutation as watch has it.
	kindCommit    = "commit"    // A commit with its mutations: wal dump.
	kindSegment   = "segment"   // A segment of the log: wal ls.
	kindSnapshot  = "snapshot"  // A snapshot or backup: snapshot ls, inspect.
	kindBlock     = "block"     // A block of one: snapshot inspect.
	kindVerified  = "verified"  // What became of reading a snapshot: snapshot verify.
	kindViolation = "violation" // A finding of check.
	kindCheck     = "check"     // The summary of what was looked through: check, wal verify, snapshot verify.
	kindRepair    = "repair"    // What a plan of repair comes to: wal repair.
	kindStep      = "step"      // A step of it.
	kindLostKey   = "lost_key"  // A key whose newest value it loses.
	kindStretch   = "damage"    // A damaged stretch of the log: wal dump --past-damage.
	kindBench     = "bench"     // What the measurements that follow have in common: bench.
	kindMeasured  = "measurement"
	kindCrashTest = "crash_test"
	kindBroken    = "broken" // A promise that a crash test found broken.
	kindStats     = "stats"
	kindVersion   = "version"
	kindAcked     = "acked"           // A batch of an import that is acknowledged.
	kindRemoved   = "removed"         // A file that is gone: snapshot prune.
	kindCluster   = admin.KindCluster // Who leads: cluster status.
	kindNode      = admin.KindNode    // How far a node is.
	kindMember    = admin.KindMember  // A node of the cluster: cluster members.
	kindRecovery  = admin.KindRecovery
	kindResult    = "result" // The outcome of a command that changed or counted something.
)
