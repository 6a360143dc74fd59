package cluster

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestAClusterWithCertificates(t *testing.T) {
	ca := newAuthority(t)
	c := &trio{t: t, dir: t.TempDir(), names: []string{"a", "b", "c"}, nodes: map[string]*Cluster{}, net: newNetwork(t)}
	ports := map[string]string{"a": freeAddress(t), "b": freeAddress(t), "c": freeAddress(t)}
	c.with = func(o *Options) {
		o.Insecure, o.TLS = false, ca.issue(o.Node)
		o.Listen, o.Advertise, o.Join = ports[o.Node], "", []string{ports["a"], ports["b"], ports["c"]}
	}
	t.Cleanup(c.close)
	for _, name := range c.names {
		c.open(name)
	}
	c.put("key", "value")
	for _, name := range c.names {
		c.requireShows(name, "key", "value")
	}
	c.stop(c.leader())
	c.put("key", "again")
	require.Len(t, c.nodes, 2)
	c.requireAlike()
}
