//go:build !fewpeers

package main

// morePeers take part unless the build tag fewpeers leaves them out: they are most of what there is to compile.
var morePeers = []Peer{badgerPeer, sqlitePeer, raftwalLogPeer, etcdLogPeer}
