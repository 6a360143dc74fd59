package main

import (
	"fmt"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/walnutkv/walnut/cluster/examples/copies/copiestest"
)

func TestSessionsOutliveARollingRestart(t *testing.T) {
	c := copiestest.Start(t, "sessions", routes)
	for i, name := range copiestest.Names {
		c.Ask(name, http.MethodPut, "/session/"+name, fmt.Sprint("visit ", i), http.StatusNoContent)
	}
	for _, name := range copiestest.Names {
		c.Stop(name)
		other := copiestest.Other(name)
		require.Contains(t, c.Ask(other, http.MethodGet, "/session/"+name, "", http.StatusOK), "visit")
		c.Ask(other, http.MethodPut, "/session/"+name, "while it was down", http.StatusNoContent)
		c.Start(name)
		c.Ask(name, http.MethodGet, "/readyz", "", http.StatusOK)
		require.Equal(t, "while it was down", c.Ask(name, http.MethodGet, "/session/"+name, "", http.StatusOK))
	}
	c.Ask("a", http.MethodGet, "/session/nobody", "", http.StatusNotFound)
}
