package cluster

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/rueidis"
	"github.com/stretchr/testify/require"

	"github.com/walnutkv/walnut/tools/redis-judge/judged"
	"github.com/walnutkv/walnut/tools/redis-judge/servers"
)

func TestMain(m *testing.M) { judged.Main(m) }

// trio is three nodes, and which one leads at first.
type trio struct {
	*servers.Trio
	t      *testing.T
	leader int
}

func start(t *testing.T) *trio {
	three := judged.Trio(t)
	leader, err := three.Leader()
	require.NoError(t, err)
	return &trio{three, t, leader}
}

// follower returns one of the two nodes that don't lead at first, by 1 and 2.
func (c *trio) follower(i int) string { return c.Nodes[(c.leader+i)%len(c.Nodes)].Address }

// addresses returns all addresses, the leader's as the last one.
func (c *trio) addresses() []string {
	return []string{c.follower(1), c.follower(2), c.Nodes[c.leader].Address}
}

// goRedis returns go-redis' cluster client with the options that it has by default, but for the version of the protocol and how often it
// asks which node leads. By default that is each minute, and whenever a node sends it to another one, but not when a node is gone.
func (c *trio) goRedis(version int) *redis.ClusterClient {
	client := redis.NewClusterClient(&redis.ClusterOptions{Addrs: c.addresses(), Protocol: version, ClusterStateReloadInterval: time.Second})
	c.t.Cleanup(func() { require.NoError(c.t, client.Close()) })
	return client
}

// rueidis returns rueidis' cluster client. The server has no client-side caching, so that is off.
func (c *trio) rueidis(change func(o *rueidis.ClientOption)) rueidis.Client {
	o := rueidis.ClientOption{InitAddress: c.addresses(), DisableCache: true}
	if change != nil {
		change(&o)
	}
	client, err := rueidis.NewClient(o)
	require.NoError(c.t, err)
	require.Equal(c.t, rueidis.ClientModeCluster, client.Mode())
	c.t.Cleanup(client.Close)
	return client
}

// plain returns go-redis' client of one node.
func (c *trio) plain(address string) *redis.Client {
	client := redis.NewClient(&redis.Options{Addr: address})
	c.t.Cleanup(func() { require.NoError(c.t, client.Close()) })
	return client
}

// increment increments a counter by one, and returns what it is then.
type increment func(ctx context.Context, key string) (int64, error)

// everyClient returns clients of each kind, by what they are.
func (c *trio) everyClient() map[string]increment {
	clients := map[string]increment{}
	cluster := c.goRedis(3)
	clients["go-redis' cluster client"] = func(ctx context.Context, key string) (int64, error) { return cluster.Incr(ctx, key).Result() }
	other := c.rueidis(nil)
	clients["rueidis' cluster client"] = func(ctx context.Context, key string) (int64, error) {
		return other.Do(ctx, other.B().Incr().Key(key).Build()).AsInt64()
	}
	for i, address := range c.addresses() {
		client := c.plain(address)
		clients[fmt.Sprint("a plain client, node ", i)] = func(ctx context.Context, key string) (int64, error) { return client.Incr(ctx, key).Result() }
	}
	return clients
}
