package cluster

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
)

func TestGoRedis(t *testing.T) {
	c := start(t)
	for _, version := range []int{2, 3} {
		t.Run(fmt.Sprint("RESP", version), func(t *testing.T) {
			client := c.goRedis(version)
			for name, use := range map[string]func(*testing.T, *redis.ClusterClient){
				"strings": goRedisStrings, "pipelines": goRedisPipelines, "transactions": goRedisTransactions, "nodes": goRedisNodes,
			} {
				t.Run(name, func(t *testing.T) {
					require.NoError(t, client.FlushAll(t.Context()).Err())
					use(t, client)
				})
			}
		})
	}
	t.Run("reads of all nodes", func(t *testing.T) { goRedisReplicas(t, c) })
	t.Run("a plain client of a follower", func(t *testing.T) { goRedisForwarded(t, c) })
}

func goRedisStrings(t *testing.T, c *redis.ClusterClient) {
	ctx := t.Context()
	require.NoError(t, c.Set(ctx, "k", "v", time.Hour).Err())
	require.Equal(t, "v", c.Get(ctx, "k").Val())
	require.Greater(t, c.TTL(ctx, "k").Val(), time.Minute)
	require.ErrorIs(t, c.Get(ctx, "nosuch").Err(), redis.Nil)
	require.NoError(t, c.MSet(ctx, "{tag}a", 1, "{tag}b", 2).Err())
	require.Equal(t, []any{"1", "2"}, c.MGet(ctx, "{tag}a", "{tag}b").Val())
	require.EqualValues(t, 2, c.Del(ctx, "{tag}a", "{tag}b").Val())
	require.EqualValues(t, 5, c.IncrBy(ctx, "n", 5).Val())
	require.EqualValues(t, 2, c.DBSize(ctx).Val())
	require.NoError(t, c.Ping(ctx).Err())
}

// goRedisPipelines sends pipelines of keys in all slots.
func goRedisPipelines(t *testing.T, c *redis.ClusterClient) {
	ctx := t.Context()
	replies, err := c.Pipelined(ctx, func(p redis.Pipeliner) error {
		for i := range 1000 {
			p.Set(ctx, "k"+strconv.Itoa(i), i, 0)
			p.Get(ctx, "k"+strconv.Itoa(i))
		}
		return nil
	})
	require.NoError(t, err)
	for i := range 1000 {
		require.Equal(t, strconv.Itoa(i), replies[2*i+1].(*redis.StringCmd).Val())
	}
	replies, err = c.TxPipelined(ctx, func(p redis.Pipeliner) error {
		p.Incr(ctx, "{tag}n")
		p.Incr(ctx, "{tag}n")
		return nil
	})
	require.NoError(t, err)
	require.EqualValues(t, 2, replies[1].(*redis.IntCmd).Val())
}

// goRedisTransactions increments a counter by WATCH and EXEC from many goroutines: none gets lost.
func goRedisTransactions(t *testing.T, c *redis.ClusterClient) {
	ctx := t.Context()
	var busy sync.WaitGroup
	for range 8 {
		busy.Go(func() {
			for done := 0; done < 10; {
				switch err := incrementWatched(ctx, c.Watch); {
				case err == nil:
					done++
				case !errors.Is(err, redis.TxFailedErr):
					t.Error(err)
					return
				}
			}
		})
	}
	busy.Wait()
	require.Equal(t, "80", c.Get(ctx, "{tag}n").Val())
	require.Equal(t, "80", c.Get(ctx, "{tag}commits").Val())
}

// incrementWatched increments a counter by a transaction.
func incrementWatched(ctx context.Context, watch func(context.Context, func(*redis.Tx) error, ...string) error) error {
	return watch(ctx, func(tx *redis.Tx) error {
		n, err := tx.Get(ctx, "{tag}n").Int()
		if err != nil && !errors.Is(err, redis.Nil) {
			return err
		}
		_, err = tx.TxPipelined(ctx, func(p redis.Pipeliner) error {
			p.Set(ctx, "{tag}n", n+1, 0)
			p.Incr(ctx, "{tag}commits")
			return nil
		})
		return err
	}, "{tag}n")
}

// goRedisNodes asks each node: there are one master and two replicas.
func goRedisNodes(t *testing.T, c *redis.ClusterClient) {
	ctx := t.Context()
	for i := range 100 {
		require.NoError(t, c.Set(ctx, fmt.Sprint("scan:", i), i, 0).Err())
	}
	var mu sync.Mutex
	found, masters, replicas := map[string]bool{}, 0, 0
	require.NoError(t, c.ForEachMaster(ctx, func(ctx context.Context, master *redis.Client) error {
		mu.Lock()
		defer mu.Unlock()
		masters++
		keys := master.Scan(ctx, 0, "scan:*", 10).Iterator()
		for keys.Next(ctx) {
			found[keys.Val()] = true
		}
		return keys.Err()
	}))
	require.NoError(t, c.ForEachSlave(ctx, func(ctx context.Context, replica *redis.Client) error {
		mu.Lock()
		defer mu.Unlock()
		replicas++
		return replica.Ping(ctx).Err()
	}))
	require.Equal(t, []int{1, 2}, []int{masters, replicas})
	require.Len(t, found, 100)
}

// goRedisReplicas reads on all nodes after READONLY: what is a second old, at least.
func goRedisReplicas(t *testing.T, c *trio) {
	ctx := t.Context()
	client := redis.NewClusterClient(&redis.ClusterOptions{Addrs: c.addresses(), RouteRandomly: true})
	defer func() { require.NoError(t, client.Close()) }()
	require.NoError(t, client.Set(ctx, "{tag}r", "new", 0).Err())
	require.Eventually(t, func() bool { return client.Get(ctx, "{tag}r").Val() == "new" }, 10*time.Second, 10*time.Millisecond)
	time.Sleep(time.Second)
	for range 100 {
		require.Equal(t, "new", client.Get(ctx, "{tag}r").Val())
	}
	stale := c.plain(c.follower(1)).Conn()
	defer func() { require.NoError(t, stale.Close()) }()
	require.NoError(t, stale.ReadOnly(ctx).Err())
	require.Equal(t, "new", stale.Get(ctx, "{tag}r").Val())
	require.NoError(t, stale.Set(ctx, "{tag}r", "newer", 0).Err(), "writes are forwarded")
	require.NoError(t, stale.ReadWrite(ctx).Err())
	require.Equal(t, "newer", stale.Get(ctx, "{tag}r").Val())
}

// goRedisForwarded lets plain clients of a follower do the same: a transaction there and one on the leader see each other.
func goRedisForwarded(t *testing.T, c *trio) {
	ctx := t.Context()
	here, there := c.plain(c.follower(1)), c.plain(c.Nodes[c.leader].Address)
	require.NoError(t, here.FlushAll(ctx).Err())
	var busy sync.WaitGroup
	for _, client := range []*redis.Client{here, there} {
		busy.Go(func() {
			for done := 0; done < 20; {
				switch err := incrementWatched(ctx, client.Watch); {
				case err == nil:
					done++
				case !errors.Is(err, redis.TxFailedErr):
					t.Error(err)
					return
				}
			}
		})
	}
	busy.Wait()
	require.Equal(t, "40", here.Get(ctx, "{tag}n").Val())
	require.Equal(t, "40", there.Get(ctx, "{tag}commits").Val())
}
