//go:build unix

package main

import (
	"os"
	"os/signal"
	"syscall"
)

// hangups returns where each SIGHUP arrives, until stop is called.
func hangups() (arrive <-chan os.Signal, stop func()) {
	all := make(chan os.Signal, 1)
	signal.Notify(all, syscall.SIGHUP)
	return all, func() { signal.Stop(all) }
}
