package scenario

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/rueidis"
	"github.com/stretchr/testify/require"

	"github.com/walnutkv/walnut/tools/redis-judge/judged"
)

// rueidisConn is one connection of rueidis.
type rueidisConn struct {
	t    *testing.T
	conn rueidis.DedicatedClient
}

func (r rueidisConn) Do(args ...string) any {
	r.t.Helper()
	command := r.conn.B().Arbitrary(args[0]).Args(args[1:]...).Build()
	reply, err := r.conn.Do(r.t.Context(), command).ToAny()
	var refused *rueidis.RedisError
	switch {
	case rueidis.IsRedisNil(err):
		return nil
	case errors.As(err, &refused):
		return refusal(withWord(refused.Error()))
	}
	require.NoError(r.t, err, "%q", args)
	return reply
}

// withWord puts back the word that rueidis takes off an error's text.
func withWord(text string) string {
	if strings.HasPrefix(text, "EXECABORT ") {
		return text
	}
	return "ERR " + text
}

func TestRueidis(t *testing.T) {
	address := judged.Target(t, nil, nil).Address
	for _, version := range []int{2, 3} {
		t.Run(fmt.Sprint("RESP", version), func(t *testing.T) {
			c, err := rueidis.NewClient(rueidis.ClientOption{
				InitAddress: []string{address}, ForceSingleClient: true, DisableCache: true, AlwaysRESP2: version == 2,
			})
			require.NoError(t, err)
			defer c.Close()
			first, _ := c.Dedicate()
			defer first.Close() // To give it back may panic where the scenario has failed between MULTI and EXEC.
			second, _ := c.Dedicate()
			defer second.Close()
			goThrough(t, rueidisConn{t, first}, rueidisConn{t, second})
			t.Run("typed pipelines", func(t *testing.T) { rueidisPipelines(t, c) })
			t.Run("typed transactions", func(t *testing.T) { rueidisTransactions(t, c) })
		})
	}
	t.Run("a client with a cache", func(t *testing.T) { rueidisCache(t, address) })
}

// rueidisPipelines uses one client from many goroutines: it makes pipelines of what they send at the same time.
func rueidisPipelines(t *testing.T, c rueidis.Client) {
	ctx := t.Context()
	require.NoError(t, c.Do(ctx, c.B().Flushall().Build()).Error())
	var busy sync.WaitGroup
	for worker := range 50 {
		busy.Go(func() {
			for i := range 40 {
				key := fmt.Sprintf("%d/%d", worker, i)
				if err := c.Do(ctx, c.B().Set().Key(key).Value(key).Ex(time.Hour).Build()).Error(); err != nil {
					t.Error(err)
				}
				got, err := c.Do(ctx, c.B().Get().Key(key).Build()).ToString()
				if got != key || err != nil {
					t.Errorf("got %q of %q, error %v", got, key, err)
				}
				if err := c.Do(ctx, c.B().Incr().Key("n").Build()).Error(); err != nil {
					t.Error(err)
				}
			}
		})
	}
	busy.Wait()
	var commands rueidis.Commands
	for i := range 1000 {
		commands = append(commands, c.B().Get().Key(fmt.Sprintf("%d/%d", i/20, i%20)).Build())
	}
	for i, reply := range c.DoMulti(ctx, commands...) {
		got, err := reply.ToString()
		require.NoError(t, err)
		require.Equal(t, fmt.Sprintf("%d/%d", i/20, i%20), got)
	}
	n, err := c.Do(ctx, c.B().Get().Key("n").Build()).AsInt64()
	require.NoError(t, err)
	require.EqualValues(t, 2000, n)
	pairs, err := rueidis.MGet(c, ctx, []string{"0/0", "nosuch", "1/1"})
	require.NoError(t, err)
	require.Len(t, pairs, 3)
	missing := pairs["nosuch"]
	require.True(t, missing.IsNil())
}

func rueidisTransactions(t *testing.T, c rueidis.Client) {
	ctx := t.Context()
	require.NoError(t, c.Do(ctx, c.B().Set().Key("t").Value("1").Build()).Error())
	for _, disturbed := range []bool{false, true} {
		err := c.Dedicated(func(d rueidis.DedicatedClient) error {
			require.NoError(t, d.Do(ctx, d.B().Watch().Key("t").Build()).Error())
			if disturbed {
				require.NoError(t, c.Do(ctx, c.B().Append().Key("t").Value("0").Build()).Error())
			}
			replies := d.DoMulti(ctx,
				d.B().Multi().Build(), d.B().Incr().Key("t").Build(), d.B().Get().Key("t").Build(),
				d.B().Exec().Build())
			results, err := replies[3].ToArray()
			if disturbed {
				require.True(t, rueidis.IsRedisNil(err))
				return nil
			}
			require.NoError(t, err)
			require.Len(t, results, 2)
			got, err := results[1].ToString()
			require.Equal(t, "2", got)
			return err
		})
		require.NoError(t, err)
	}
}

// rueidisCache makes a client as rueidis' defaults are. It asks the server for client-side caching, which has to work,
// or to be refused such that rueidis says so.
func rueidisCache(t *testing.T, address string) {
	c, err := rueidis.NewClient(rueidis.ClientOption{InitAddress: []string{address}, ForceSingleClient: true})
	if err != nil {
		require.ErrorIs(t, err, rueidis.ErrNoCache)
		return
	}
	defer c.Close()
	ctx := t.Context()
	for i := range 3 {
		require.NoError(t, c.Do(ctx, c.B().Set().Key("cached").Value(strconv.Itoa(i)).Build()).Error())
		require.Eventually(t, func() bool {
			got, err := c.DoCache(ctx, c.B().Get().Key("cached").Cache(), time.Hour).AsInt64()
			return err == nil && got == int64(i)
		}, 10*time.Second, time.Millisecond)
	}
}
