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

// hangup returns SIGHUP, which a terminal that has gone sends, or nothing if the process was started to ignore it, as nohup does.
func hangup() []os.Signal {
	if signal.Ignored(syscall.SIGHUP) {
		return nil
	}
	return []os.Signal{syscall.SIGHUP}
}
