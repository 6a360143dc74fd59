package main

import (
	"errors"
	"time"

	"github.com/walnutkv/walnut/tools/redis-judge/servers"
)

// settle is how long a server may tidy up before its memory is looked at.
const settle = 10 * time.Second

// weigh returns how many bytes of memory a pair takes on each server: what is resident with the pairs, less what was
// without.
func weigh(o options, dir string) (bytes [2]float64, err error) {
	p, err := start(o.kvctl, dir, modes[1])
	if err != nil {
		return bytes, err
	}
	defer func() { err = errors.Join(err, p.stop()) }()
	for side, s := range p {
		if bytes[side], err = growth(s, o.pairs); err != nil {
			return bytes, err
		}
	}
	return bytes, nil
}

func growth(s *servers.Server, pairs int) (float64, error) {
	before, err := s.Resident()
	if err != nil {
		return 0, err
	}
	if err := load(s, pairs); err != nil {
		return 0, err
	}
	time.Sleep(settle)
	after, err := s.Resident()
	return float64(after-before) / float64(pairs), err
}
