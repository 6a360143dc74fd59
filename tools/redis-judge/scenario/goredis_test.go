package scenario

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/walnutkv/walnut/tools/redis-judge/judged"
)

// goRedis is one connection of go-redis.
type goRedis struct {
	t    *testing.T
	conn *redis.Conn
}

func (g goRedis) Do(args ...string) any {
	g.t.Helper()
	var all []any
	for _, arg := range args {
		all = append(all, arg)
	}
	reply, err := g.conn.Do(g.t.Context(), all...).Result()
	var refused redis.Error
	switch {
	case errors.Is(err, redis.Nil):
		return nil
	case errors.As(err, &refused):
		return refusal(refused.Error())
	}
	require.NoError(g.t, err, "%q", args)
	return reply
}

func TestGoRedis(t *testing.T) {
	address := judged.Target(t, nil, nil).Address
	for _, version := range []int{2, 3} {
		t.Run(fmt.Sprint("RESP", version), func(t *testing.T) {
			c := redis.NewClient(&redis.Options{Addr: address, Protocol: version})
			defer func() { require.NoError(t, c.Close()) }()
			goThrough(t, goRedis{t, c.Conn()}, goRedis{t, c.Conn()})
			for name, use := range map[string]func(*testing.T, *redis.Client){
				"strings": goRedisStrings, "transactions": goRedisTransactions,
				"scans": goRedisScans, "pipelines": goRedisPipelines,
			} {
				t.Run("typed "+name, func(t *testing.T) {
					require.NoError(t, c.FlushDB(t.Context()).Err())
					use(t, c)
				})
			}
		})
	}
}

func goRedisStrings(t *testing.T, c *redis.Client) {
	ctx := t.Context()
	require.NoError(t, c.Set(ctx, "k", binary, time.Hour).Err())
	require.NoError(t, c.Set(ctx, "k", "v", redis.KeepTTL).Err())
	left, err := c.TTL(ctx, "k").Result()
	require.NoError(t, err)
	require.InDelta(t, time.Hour, left, float64(time.Minute))
	at := time.Now().Add(24 * time.Hour).Truncate(time.Second)
	old, err := c.SetArgs(ctx, "k", "w", redis.SetArgs{Mode: "XX", Get: true, ExpireAt: at}).Result()
	require.NoError(t, err)
	require.Equal(t, "v", old)
	require.Equal(t, at.Unix(), int64(c.ExpireTime(ctx, "k").Val().Seconds()))
	require.ErrorIs(t, c.Get(ctx, "nosuch").Err(), redis.Nil)
	require.Equal(t, []any{"w", nil}, c.MGet(ctx, "k", "nosuch").Val())
	require.InDelta(t, 10.6, c.IncrByFloat(ctx, "f", 10.6).Val(), 1e-9)
	require.EqualValues(t, 1, c.Copy(ctx, "k", "l", 0, true).Val())
	require.EqualValues(t, 2, c.Exists(ctx, "k", "l").Val())
	require.NoError(t, c.Ping(ctx).Err())
	require.NoError(t, c.Info(ctx).Err())
	require.Positive(t, c.ClientID(ctx).Val())
	matches, err := c.LCS(ctx, &redis.LCSQuery{Key1: "k", Key2: "l", Idx: true, WithMatchLen: true}).Result()
	require.NoError(t, err)
	require.EqualValues(t, 1, matches.Len)
	require.Len(t, matches.Matches, 1)
}

// goRedisTransactions increments a counter by WATCH and EXEC from many goroutines: none gets lost.
func goRedisTransactions(t *testing.T, c *redis.Client) {
	ctx := t.Context()
	var busy sync.WaitGroup
	for range 10 {
		busy.Go(func() {
			for done := 0; done < 10; {
				err := c.Watch(ctx, func(tx *redis.Tx) error {
					n, err := tx.Get(ctx, "n").Int()
					if err != nil && !errors.Is(err, redis.Nil) {
						return err
					}
					_, err = tx.TxPipelined(ctx, func(p redis.Pipeliner) error {
						p.Set(ctx, "n", n+1, 0)
						p.Incr(ctx, "commits")
						return nil
					})
					return err
				}, "n")
				switch {
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
	require.Equal(t, []any{"100", "100"}, c.MGet(ctx, "n", "commits").Val())
}

func goRedisScans(t *testing.T, c *redis.Client) {
	ctx := t.Context()
	for i := range 1000 {
		require.NoError(t, c.Set(ctx, fmt.Sprintf("scan:%04d", i), i, 0).Err())
	}
	found := map[string]bool{}
	for keys := c.Scan(ctx, 0, "scan:05*", 10).Iterator(); keys.Next(ctx); {
		found[keys.Val()] = true
	}
	require.Len(t, found, 100)
	keys, err := c.Keys(ctx, "scan:*7").Result()
	require.NoError(t, err)
	require.Len(t, keys, 100)
}

func goRedisPipelines(t *testing.T, c *redis.Client) {
	ctx := t.Context()
	large := strings.Repeat("x", 1<<20)
	replies, err := c.Pipelined(ctx, func(p redis.Pipeliner) error {
		for i := range 1000 {
			p.Set(ctx, "k"+strconv.Itoa(i), i, 0)
			p.Get(ctx, "k"+strconv.Itoa(i))
		}
		p.Set(ctx, "large", large, 0)
		p.Get(ctx, "large")
		return nil
	})
	require.NoError(t, err)
	require.Len(t, replies, 2002)
	for i := range 1000 {
		require.Equal(t, strconv.Itoa(i), replies[2*i+1].(*redis.StringCmd).Val())
	}
	require.Equal(t, large, replies[2001].(*redis.StringCmd).Val())
	_, err = c.Pipelined(ctx, func(p redis.Pipeliner) error {
		p.Incr(ctx, "large")
		p.Incr(ctx, "n")
		return nil
	})
	require.EqualError(t, err, wrong)
	require.Equal(t, "1", c.Get(ctx, "n").Val(), "a command after one that is refused is done")
}
