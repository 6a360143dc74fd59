package main

import (
	"runtime/debug"
	"slices"
)

// Peer is one thing to measure: Walnut, what it is compared with, or a limit, which is what the bare parts do.
type Peer struct {
	Name   string
	Module string // Whose version is reported; empty where there is none.
	// OpenStore opens the store in a directory that exists; nil where the peer is a log alone. OpenLog likewise.
	OpenStore func(dir string, settings Settings) (Store, error)
	OpenLog   func(dir string, settings Settings) (Log, error)
	// Only are the workloads that the peer can do, as selected has them; nil is all.
	Only []string
	// Pages says that what the peer works on is its file, so that it makes no difference who has loaded that: a loaded store is
	// loaded once and copied for each measurement.
	Pages bool
	// Limit says that the peer is a limit.
	Limit bool
	// Weaker says what the peer promises less than Walnut does in a mode.
	Weaker map[Mode]string

	chosen []string // The workloads that it was asked for with, besides Only; nil is all.
}

const walnutName = "walnut"

// peers are all there are, Walnut first and the limits last.
var peers = slices.Concat(
	[]Peer{walnutPeer, buntdbPeer, bboltPeer, pebblePeer, goleveldbPeer, tidwallLogPeer},
	morePeers,
	[]Peer{fileLimit, treeLimit},
)

// takes says whether the peer takes part in a workload.
func (p Peer) takes(workload Workload) bool {
	if workload.Log && p.OpenLog == nil || !workload.Log && p.OpenStore == nil {
		return false
	}
	if p.Limit && workload.restarted {
		return false // It keeps nothing.
	}
	return (len(p.Only) == 0 || selected(p.Only, workload.ID())) &&
		(len(p.chosen) == 0 || selected(p.chosen, workload.ID())) &&
		(len(workload.Only) == 0 || p.Limit || slices.Contains(workload.Only, p.Name))
}

// taken returns those of the workloads that the peer takes part in.
func (p Peer) taken(workloads []Workload) (taken []Workload) {
	for _, workload := range workloads {
		if p.takes(workload) {
			taken = append(taken, workload)
		}
	}
	return taken
}

// promising are the workloads whose figures depend on what is promised of a write.
var promising = []string{"W1", "W2", "W3", "W6", "W9", "W10", "W11", "L1", "L2", "L3"}

// weaker says what the peer promises less in a workload.
func (p Peer) weaker(workload Workload) string {
	if !selected(promising, workload.ID()) {
		return ""
	}
	return p.Weaker[workload.Mode]
}

// version is that of the module which this program was built with.
func (p Peer) version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok || p.Module == "" {
		return ""
	}
	for _, module := range info.Deps {
		if module.Path == p.Module && module.Replace != nil {
			return revision(info)
		}
		if module.Path == p.Module {
			return module.Version
		}
	}
	return ""
}

// revision is the commit of the repository that this module and Walnut are both in.
func revision(info *debug.BuildInfo) string {
	for _, setting := range info.Settings {
		if setting.Key == "vcs.revision" {
			return setting.Value[:min(12, len(setting.Value))]
		}
	}
	return "devel"
}
