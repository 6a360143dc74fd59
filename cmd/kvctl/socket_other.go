//go:build !unix

package main

// limitSocket does nothing: sockets have no mode here.
func limitSocket(uintptr) {}
