// Command walnutd is one node of a replicated store as a process: a member of a cluster, with an HTTP listener for operators, probes and
// metrics. docs/replication.md says how to run some of them. Programs read and write through the package cluster, of which this is the
// smallest use.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/walnutkv/walnut/cluster"
	"github.com/walnutkv/walnut/internal/admin"
	"github.com/walnutkv/walnut/kv"
)

// The exit codes, which are those of kvctl.
const (
	exitDone   = 0
	exitFailed = 1
	exitUsage  = 2
	exitDamage = 4
)

func main() {
	// A second signal ends the process at once, as it would by default.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// run runs a node until ctx is done, and returns the exit code.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	f, err := parseFlags(args, stdout)
	if err == nil && f.help {
		return exitDone
	}
	if err == nil {
		err = newDaemon(f, stderr).run(ctx)
	}
	if err != nil {
		fmt.Fprintln(stderr, "walnutd:", admin.OneLine(err))
	}
	return exitCode(err)
}

func exitCode(err error) int {
	var usage usageError
	switch {
	case err == nil:
		return exitDone
	case errors.As(err, &usage), errors.Is(err, cluster.ErrOption):
		return exitUsage
	case errors.Is(err, kv.ErrCorrupt), errors.Is(err, cluster.ErrCorrupt):
		return exitDamage
	}
	return exitFailed
}
