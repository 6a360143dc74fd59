package cluster

import (
	"fmt"
	"strconv"
	"testing"
	"time"

	"github.com/redis/rueidis"
	"github.com/stretchr/testify/require"
)

func TestRueidis(t *testing.T) {
	c := start(t)
	for _, version := range []int{2, 3} {
		t.Run(fmt.Sprint("RESP", version), func(t *testing.T) {
			client := c.rueidis(func(o *rueidis.ClientOption) { o.AlwaysRESP2 = version == 2 })
			require.NoError(t, client.Do(t.Context(), client.B().Flushall().Build()).Error())
			t.Run("pipelines", func(t *testing.T) { rueidisPipelines(t, client) })
			t.Run("transactions", func(t *testing.T) { rueidisTransactions(t, client) })
		})
	}
	t.Run("reads of replicas", func(t *testing.T) {
		writer, reader := c.rueidis(nil), c.rueidis(func(o *rueidis.ClientOption) { o.ReplicaOnly = true })
		require.NoError(t, writer.Do(t.Context(), writer.B().Set().Key("r").Value("new").Build()).Error())
		require.Eventually(t, func() bool {
			got, err := reader.Do(t.Context(), reader.B().Get().Key("r").Build()).ToString()
			return err == nil && got == "new"
		}, 10*time.Second, 10*time.Millisecond)
	})
}

// rueidisPipelines sends commands for keys in all slots at once.
func rueidisPipelines(t *testing.T, c rueidis.Client) {
	ctx := t.Context()
	var commands rueidis.Commands
	for i := range 1000 {
		key := "k" + strconv.Itoa(i)
		commands = append(commands, c.B().Set().Key(key).Value(key).Build(), c.B().Get().Key(key).Build())
	}
	for i, reply := range c.DoMulti(ctx, commands...) {
		got, err := reply.ToString()
		require.NoError(t, err)
		if i%2 == 1 {
			require.Equal(t, "k"+strconv.Itoa(i/2), got)
		}
	}
	pairs, err := rueidis.MGet(c, ctx, []string{"k0", "nosuch", "k1"})
	require.NoError(t, err)
	require.Len(t, pairs, 3)
	missing := pairs["nosuch"]
	require.True(t, missing.IsNil())
}

func rueidisTransactions(t *testing.T, c rueidis.Client) {
	ctx := t.Context()
	require.NoError(t, c.Do(ctx, c.B().Set().Key("{tag}t").Value("1").Build()).Error())
	for _, disturbed := range []bool{false, true} {
		require.NoError(t, c.Dedicated(func(d rueidis.DedicatedClient) error {
			require.NoError(t, d.Do(ctx, d.B().Watch().Key("{tag}t").Build()).Error())
			if disturbed {
				require.NoError(t, c.Do(ctx, c.B().Append().Key("{tag}t").Value("0").Build()).Error())
			}
			replies := d.DoMulti(ctx, d.B().Multi().Build(), d.B().Incr().Key("{tag}t").Build(), d.B().Exec().Build())
			results, err := replies[2].AsIntSlice()
			if disturbed {
				require.True(t, rueidis.IsRedisNil(err))
				return nil
			}
			require.Equal(t, []int64{2}, results)
			return err
		}))
	}
}
