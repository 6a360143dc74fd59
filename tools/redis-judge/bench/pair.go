package main

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/walnutkv/walnut/tools/redis-judge/resp"
	"github.com/walnutkv/walnut/tools/redis-judge/servers"
)

// mode is when a write is durable, as the arguments of each server say it.
type mode struct {
	name          string
	redis, walnut []string
}

var modes = []mode{
	{
		"durable before acknowledged",
		[]string{"--appendonly", "yes", "--appendfsync", "always"},
		[]string{"--sync", "always"},
	},
	{
		"durable within a second",
		[]string{"--appendonly", "yes", "--appendfsync", "everysec"},
		[]string{"--sync", "interval"},
	},
}

// The places of the two servers in a pair, and in all figures.
const (
	redis = iota
	walnut
)

// pair is both servers, running.
type pair [2]*servers.Server

// start starts both in new directories.
func start(kvctl, dir string, m mode) (p pair, err error) {
	var dirs [2]string
	for side := range dirs {
		if dirs[side], err = os.MkdirTemp(dir, "server"); err != nil {
			return p, err
		}
	}
	if p[redis], err = servers.Redis(dirs[redis], m.redis...); err != nil {
		return p, err
	}
	if p[walnut], err = servers.Walnut(kvctl, dirs[walnut], m.walnut...); err != nil {
		return p, errors.Join(err, p[redis].Stop())
	}
	return p, nil
}

func (p pair) stop() error {
	return errors.Join(p[redis].Stop(), p[walnut].Stop(), os.RemoveAll(p[redis].Dir), os.RemoveAll(p[walnut].Dir))
}

// Keys and values are those of redis-benchmark with -d 100.
const valueSize = 100

func key(i int) string { return fmt.Sprintf("key:%012d", i) }

// load sets the first n keys, some hundred in one pipeline.
func load(s *servers.Server, n int) error {
	conn, err := resp.Dial(s.Address)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	const step = 500
	value := strings.Repeat("x", valueSize)
	for from := 0; from < n; from += step {
		for i := from; i < min(n, from+step); i++ {
			conn.Put("SET", key(i), value)
		}
		if err := conn.Flush(); err != nil {
			return err
		}
		for range min(n, from+step) - from {
			if reply, err := conn.Next(); err != nil || reply.IsError() {
				return errors.Join(err, fmt.Errorf("%s replies %s to SET", s.Name, reply))
			}
		}
	}
	return nil
}
