package main

import (
	"regexp"
	"runtime/debug"
	"slices"
)

// Peer is one thing to measure: Walnut, what it is compared with, or a limit, which is what the bare parts can do.
type Peer struct {
	Name   string
	Module string // Its version is reported; empty where there is none.
	// OpenStore opens the store in a directory that exists; nil where the peer is only a log. OpenLog likewise.
	OpenStore func(dir string, settings Settings) Store
	OpenLog   func(dir string, settings Settings) Log
	// Only is the pattern of the workloads that the adapter can do; empty is all. See matches.
	Only string
	// Pages says that the peer works on the pages of its file, so that it makes no difference which process loaded it: it is
	// loaded once, and copied for each measurement.
	Pages bool
	Limit bool
	// Weaker says what the peer promises less than Walnut in a mode.
	Weaker map[Mode]string
}

const walnutName = "walnut"

// morePeers are what the build tag fewpeers leaves out, and limits what the system allows.
var morePeers, limits []Peer

// allPeers returns every peer, Walnut first and the limits last: the order of the report.
func allPeers() []Peer {
	few := []Peer{walnutPeer, buntdbPeer, bboltPeer, pebblePeer, goleveldbPeer, tidwallLogPeer}
	return slices.Concat(few, morePeers, limits, []Peer{mapLimit})
}

// weaker says what the peer promises less in a workload that writes.
func (p Peer) weaker(w Workload) string {
	if !matches(`W1|W2|W3|W6|T1|W9|W10|L\d`, w.ID) {
		return ""
	}
	return p.Weaker[w.Mode]
}

// matches reports whether a pattern, a regular expression, matches the name or the beginning of it up to a slash.
func matches(pattern, name string) bool {
	matched, err := regexp.MatchString(`^(?:`+pattern+`)(?:/|$)`, name)
	return err == nil && matched
}

// version returns the version of the peer's module in this program.
func (p Peer) version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return ""
	}
	for _, module := range info.Deps {
		if module.Path == p.Module && module.Replace == nil {
			return module.Version
		}
	}
	return ""
}
