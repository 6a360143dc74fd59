package hostile

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/walnutkv/walnut/tools/redis-judge/resp"
	"github.com/walnutkv/walnut/tools/redis-judge/servers"
)

// bystander is a client that sets and gets a pair every few milliseconds, and knows how long that took.
type bystander struct {
	conn  *resp.Conn
	stop  chan struct{}
	ended chan struct{}
	times []time.Duration
	err   error
}

func newBystander(t *testing.T, s *servers.Server) *bystander {
	t.Helper()
	conn, err := resp.Dial(s.Address)
	require.NoError(t, err)
	b := &bystander{conn: conn, stop: make(chan struct{}), ended: make(chan struct{})}
	go b.work()
	return b
}

func (b *bystander) work() {
	defer close(b.ended)
	defer func() { _ = b.conn.Close() }()
	value := strings.Repeat("v", 100)
	for {
		select {
		case <-b.stop:
			return
		case <-time.After(3 * time.Millisecond):
		}
		began := time.Now()
		for _, command := range [][]string{{"SET", "bystander", value}, {"GET", "bystander"}} {
			if _, b.err = b.conn.Must(command...); b.err != nil {
				return
			}
		}
		b.times = append(b.times, time.Since(began))
	}
}

// How long a set and a get may take a bystander. A machine that is busy anyway must not fail this, so harm is what a
// server does that can't serve others for seconds.
const (
	mostAtMedian = 250 * time.Millisecond
	mostAtAll    = 5 * time.Second
)

// requireUnharmed ends the bystander, and shows that it was served all the time.
func (b *bystander) requireUnharmed(t *testing.T) {
	t.Helper()
	close(b.stop)
	<-b.ended
	require.NoError(t, b.err, "a bystander's connection")
	require.NotEmpty(t, b.times, "a bystander was not served at all")
	slices.Sort(b.times)
	median, longest := b.times[len(b.times)/2], b.times[len(b.times)-1]
	t.Logf("a bystander set and got %d times: median %s, longest %s", len(b.times), median, longest)
	require.Less(t, median, mostAtMedian)
	require.Less(t, longest, mostAtAll)
}

// footprint is what a server takes.
type footprint struct {
	resident    int64
	descriptors int
}

func look(t *testing.T, s *servers.Server) (f footprint) {
	t.Helper()
	var err error
	f.resident, err = s.Resident()
	require.NoError(t, err)
	f.descriptors, err = s.Descriptors()
	require.NoError(t, err)
	return f
}

func (f footprint) String() string {
	return fmt.Sprintf("%d MiB resident, %d descriptors", f.resident>>20, f.descriptors)
}

// requireGone waits until the server holds no more descriptors than before.
func requireGone(t *testing.T, s *servers.Server, before footprint) {
	t.Helper()
	require.Eventually(t, func() bool { return look(t, s).descriptors <= before.descriptors }, time.Minute,
		20*time.Millisecond, "descriptors are left")
	t.Logf("before: %s; after: %s", before, look(t, s))
}
