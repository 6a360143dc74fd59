package cluster

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// least are the options that are required.
func least() Options {
	return Options{Cluster: "test", Node: "a", Listen: "127.0.0.1:0", Insecure: true}
}

func TestTheZeroValueOfWhatIsNotRequiredWorks(t *testing.T) {
	o, err := least().withDefaults()
	require.NoError(t, err)
	require.Equal(t, 1300*time.Millisecond, o.Heartbeat)
	require.Equal(t, 1300*time.Millisecond, o.Election)
	require.Equal(t, time.Second, o.Lease)
	require.NotNil(t, o.Store.Logger)
}

func TestOptionsThatCannotBeAreRefused(t *testing.T) {
	for _, c := range []struct {
		sentence string
		with     func(o *Options)
		want     string
	}{
		{"a cluster has a name", func(o *Options) { o.Cluster = "" }, "Cluster"},
		{"a node has a name", func(o *Options) { o.Node = "" }, "Node"},
		{"a name has no @, which parts it from an address", func(o *Options) { o.Node = "a@b" }, "Node"},
		{"without TLS other machines must not reach the port", func(o *Options) { o.Listen = ":7000" }, "loopback"},
		{"nor may they be sent there", func(o *Options) { o.Advertise = "10.0.0.1:7000" }, "loopback"},
		{"without Insecure there must be certificates", func(o *Options) { o.Insecure = false }, "TLS"},
		{"both is a mistake", func(o *Options) { o.TLS.CAFile = "ca.pem" }, "Insecure"},
		{"a lease outlasts no heartbeat", func(o *Options) { o.Heartbeat, o.Lease = time.Second, 2*time.Second }, "Lease"},
		{"an election lasts at least a heartbeat", func(o *Options) { o.Heartbeat, o.Election = 3*time.Second, time.Second }, "Election"},
		{"times are positive", func(o *Options) { o.SlowSync = -1 }, "SlowSync"},
		{"all that make a cluster are named", func(o *Options) { o.BootstrapExpect, o.Join = 3, []string{"a:1", "b:1", "b:1"} }, "Join"},
		{"a negative number of nodes", func(o *Options) { o.BootstrapExpect = -1 }, "BootstrapExpect"},
		{"what makes a cluster votes", func(o *Options) { o.BootstrapExpect, o.NonVoter = 1, true }, "NonVoter"},
	} {
		t.Run(c.sentence, func(t *testing.T) {
			o := least()
			c.with(&o)
			_, err := o.withDefaults()
			require.ErrorIs(t, err, ErrOption)
			require.ErrorContains(t, err, "cluster: option ")
			require.ErrorContains(t, err, c.want)
		})
	}
}

func TestClustersOfOtherNamesHaveOtherIdentities(t *testing.T) {
	require.Equal(t, clusterID("a"), clusterID("a"))
	require.NotEqual(t, clusterID("a"), clusterID("b"))
	require.NotZero(t, clusterID(""))
}
