package main

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/walnutkv/walnut/cluster/examples/copies/copiestest"
)

func TestEachStepIsMadeOnceWhoeverLeads(t *testing.T) {
	c := copiestest.Start(t, "worker", routes)
	asked, made := "a", 0
	steps := func() []string {
		return strings.Split(strings.TrimSpace(c.Ask(asked, http.MethodGet, "/steps", "", http.StatusOK)), "\n")
	}
	worker := func(step string) string { return step[strings.LastIndex(step, " ")+1:] }
	grow := func() string {
		for deadline := time.Now().Add(60 * time.Second); ; time.Sleep(20 * time.Millisecond) {
			if now := steps(); len(now) > made+2 && now[0] != "" {
				made = len(now)
				return worker(now[made-1])
			}
			require.True(t, time.Now().Before(deadline), "nobody works")
		}
	}
	workers := map[string]bool{}
	for range 3 {
		at := grow()
		workers[at] = true
		c.Stop(at)
		asked = copiestest.Other(at)
		workers[grow()] = true
		c.Start(at)
		c.Ask(at, http.MethodGet, "/readyz", "", http.StatusOK)
	}
	require.Greater(t, len(workers), 1)
	for i, step := range steps() {
		require.Contains(t, step, fmt.Sprintf("%d squared is %d, ", i+1, (i+1)*(i+1)))
	}
}
