package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/walnutkv/walnut/cluster/examples/copies"
	"github.com/walnutkv/walnut/cluster/examples/copies/copiestest"
	"github.com/walnutkv/walnut/kv"
)

func start(t *testing.T) *copiestest.Trio {
	return copiestest.Start(t, "queue", func(_ context.Context, c *copies.Copy) http.Handler { return routes(c, time.Hour) })
}

func TestJobsOutliveARollingRestart(t *testing.T) {
	c := start(t)
	const jobs = 12
	for i := range jobs {
		c.Ask(copiestest.Names[i%3], http.MethodPut, fmt.Sprint("/job/", i), fmt.Sprint("work ", i), http.StatusNoContent)
	}
	for i := range jobs {
		down := copiestest.Names[i/4%3]
		if i%4 == 0 {
			c.Stop(down)
		}
		asked := copiestest.Other(down)
		var j job
		require.NoError(t, json.Unmarshal([]byte(c.Ask(asked, http.MethodPost, "/claim/worker", "", http.StatusOK)), &j))
		require.Equal(t, job{ID: fmt.Sprint(i), Work: fmt.Sprint("work ", i), Place: uint64(i + 1)}, j, "in their order")
		c.Ask(asked, http.MethodPost, "/done/worker/"+j.ID, "", http.StatusNoContent)
		if i%4 == 3 {
			c.Start(down)
			c.Ask(down, http.MethodGet, "/readyz", "", http.StatusOK)
		}
	}
	c.Ask("a", http.MethodPost, "/claim/worker", "", http.StatusNotFound)
	require.Contains(t, c.Ask("b", http.MethodGet, "/job/0", "", http.StatusOK), `"done":"worker"`)
	c.Ask("c", http.MethodPost, "/done/worker/0", "", http.StatusNoContent)
	c.Ask("c", http.MethodPost, "/done/other/0", "", http.StatusConflict)
	c.Ask("c", http.MethodGet, "/job/none", "", http.StatusNotFound)
}

func TestAJobOfAWorkerThatDiedIsGivenToAnother(t *testing.T) {
	db, err := kv.OpenMemory(kv.Options{})
	require.NoError(t, err)
	defer func() { require.NoError(t, db.Close()) }()
	require.NoError(t, add(db, "1", "work"))
	require.NoError(t, add(db, "1", "work again"), "to repeat it changes nothing")
	require.NoError(t, add(db, "2", "more"))
	first, err := claim(db, "ada", 300*time.Millisecond)
	require.NoError(t, err)
	require.Equal(t, job{ID: "1", Work: "work", Place: 1}, first)
	again, err := claim(db, "ada", 300*time.Millisecond)
	require.NoError(t, err)
	require.Equal(t, first, again)
	second, err := claim(db, "grace", time.Hour)
	require.NoError(t, err)
	require.Equal(t, "2", second.ID)
	_, err = claim(db, "barbara", time.Hour)
	require.ErrorIs(t, err, errNoJob)
	time.Sleep(400 * time.Millisecond)
	taken, err := claim(db, "barbara", time.Hour)
	require.NoError(t, err)
	require.Equal(t, "1", taken.ID)
	require.ErrorIs(t, finish(db, "ada", "1"), errNotOwn)
	require.NoError(t, finish(db, "barbara", "1"))
	require.NoError(t, finish(db, "barbara", "1"), "to repeat it changes nothing")
	require.ErrorIs(t, finish(db, "ada", "1"), errNotOwn)
	_, err = claim(db, "ada", time.Hour)
	require.ErrorIs(t, err, errNoJob, "the other one is grace's")
}
