// Command etcd measures durable puts of three etcd members on this machine, and with -walnutd in turns those of three nodes of walnutd by
// clients of the Redis protocol. docs/measured/replication.md has what it found. It is in a module of its own, as the clients bring many
// others.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// options are what the command line says.
type options struct {
	etcd    string
	walnutd string
	limit   time.Duration
	rounds  int
	picture string
}

func main() {
	var o options
	flag.StringVar(&o.etcd, "etcd", "etcd", "the server's `program`: Debian has it in etcd-server")
	flag.StringVar(&o.walnutd, "walnutd", "", "measure this `program`, too: walnutd as make build-walnutd makes it")
	flag.DurationVar(&o.limit, "for", 5*time.Second, "how long the clients of each line put")
	flag.IntVar(&o.rounds, "rounds", 1, "how many lines there are for each number of clients")
	flag.StringVar(&o.picture, "picture", "", "draw the medians into this `file`, as an SVG")
	flag.Parse()
	if err := run(o); err != nil {
		fmt.Fprintln(os.Stderr, "etcd:", err)
		os.Exit(1)
	}
}

func run(o options) (err error) {
	dir, err := os.MkdirTemp("", "etcd")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	members, err := startMembers(o.etcd, dir)
	defer members.end()
	if err != nil {
		return err
	}
	systems := []*system{members.system()}
	if o.walnutd != "" {
		nodes, err := startNodes(o.walnutd, filepath.Join(dir, "walnut"))
		defer nodes.end()
		if err != nil {
			return err
		}
		systems = append(systems, nodes.atTheLeader(), nodes.spread())
	}
	var lines []*line
	for range o.rounds {
		for _, clients := range []int{1, 16, 64} {
			for _, s := range systems {
				line, err := s.measure(clients, o.limit)
				if err != nil {
					return fmt.Errorf("%s: %w", s.name, err)
				}
				fmt.Println(line)
				lines = append(lines, line)
			}
		}
	}
	if o.picture == "" {
		return nil
	}
	return draw(o.picture, lines)
}
