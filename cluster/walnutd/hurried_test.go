package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

// hurried is WALNUTD_TEST of a walnutd that takes checkpoints soon, and keeps little of its log.
const hurried = "hurried"

// hurriedMain is main with options that have no flags. TestARollingUpgrade… puts this file into older programs, too.
func hurriedMain() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	f, err := parseFlags(os.Args[1:], os.Stdout)
	if err == nil {
		f.options.TrailingLogs, f.options.Store.SegmentSize, f.options.Store.CheckpointFloor = 64, 64<<10, 64<<10
		err = newDaemon(f, os.Stderr).run(ctx)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "walnutd:", err)
	}
	os.Exit(exitCode(err))
}
