// Command kvctl reads, writes and looks after Walnut stores.
//
// Everything it does is built on package kv alone, so whatever kvctl can do a Go program can do too. Data goes to
// standard output, everything else to standard error; exit.go lists the exit codes.
package main

import (
	"os"
	"os/signal"
	"syscall"
)

func main() {
	// A reader that has gone away (kvctl scan | head) is then an error of the write, which exit.go turns into a
	// quiet end, instead of a signal that kills a command half-way.
	signal.Ignore(syscall.SIGPIPE)
	os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr, os.Getenv))
}
