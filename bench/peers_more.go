//go:build !fewpeers

package main

// These peers are most of what there is to compile.
func init() { morePeers = []Peer{badgerPeer, sqlitePeer, raftwalLogPeer, etcdLogPeer} }
