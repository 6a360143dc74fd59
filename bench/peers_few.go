//go:build fewpeers

package main

var morePeers []Peer
