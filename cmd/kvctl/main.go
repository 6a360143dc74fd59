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
	// Writing to a pipe that its reader has closed (kvctl scan | head) then fails instead of killing the command half-way,
	// and exit.go turns that error into a quiet end.
	signal.Ignore(syscall.SIGPIPE)
	os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr, os.Getenv))
}
