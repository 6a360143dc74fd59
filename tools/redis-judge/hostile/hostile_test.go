package hostile

import (
	"flag"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/walnutkv/walnut/tools/redis-judge/judged"
	"github.com/walnutkv/walnut/tools/redis-judge/resp"
	"github.com/walnutkv/walnut/tools/redis-judge/servers"
)

var (
	idleFlag = flag.Int("idle", 9_990, "how many connections are idle at the same time; kvctl takes 10,000 by default")
	harmFlag = flag.Duration("harm", time.Second, "how long each kind of harm is done")
)

func TestMain(m *testing.M) { judged.Main(m) }

// redisLimits is for Redis alone, which by default has no limit for what a client doesn't read.
var redisLimits = []string{"--client-output-buffer-limit", "normal 8mb 4mb 5"}

const (
	mostForIdle = 150 << 20 // All of the process, with 10,000 idle connections.
	mostForHarm = 300 << 20 // More than before, while harm is done.
	largeValue  = 1 << 20
)

// TestTenThousandIdleConnectionsTakeLittle opens connections that send nothing, or one command, and then wait.
func TestTenThousandIdleConnectionsTakeLittle(t *testing.T) {
	s := judged.Own(t, redisLimits, nil)
	before := look(t, s)
	var conns []*resp.Conn
	defer func() {
		for _, conn := range conns {
			_ = conn.Close()
		}
	}()
	for i := range *idleFlag {
		conn, err := resp.Dial(s.Address)
		require.NoError(t, err, "connection %d: is ulimit -n too low?", i)
		conns = append(conns, conn)
		if i%2 == 0 {
			_, err := conn.Must("GET", "k")
			require.NoError(t, err)
		}
	}
	b := newBystander(t, s)
	time.Sleep(*harmFlag)
	b.requireUnharmed(t)
	with := look(t, s)
	t.Logf("without connections: %s; with %d: %s", before, *idleFlag, with)
	require.GreaterOrEqual(t, with.descriptors, *idleFlag)
	require.Less(t, with.resident, int64(mostForIdle))
	for _, conn := range conns {
		require.NoError(t, conn.Close())
	}
	requireGone(t, s, before)
}

// visitor is one client that does harm. Its connection is closed when it has done that, or when the harm is over.
type visitor struct {
	net.Conn
	dice *rand.Rand
	over chan struct{}
}

// harms are what visitors do.
var harms = map[string]func(v visitor){
	"asks for 2 GiB and never reads": func(v visitor) {
		request := resp.Append(nil, "GET", "large")
		for range 2 << 30 / largeValue {
			if _, err := v.Write(request); err != nil {
				return
			}
		}
		<-v.over
	},
	"reads a byte a millisecond": func(v visitor) {
		for range 100 {
			_, _ = v.Write(resp.Append(nil, "GET", "large"))
		}
		for one := make([]byte, 1); ; time.Sleep(time.Millisecond) {
			if _, err := v.Read(one); err != nil {
				return
			}
		}
	},
	"sends a byte a tenth of a second": func(v visitor) {
		for _, b := range resp.Append(nil, "SET", "slow", strings.Repeat("s", 10_000)) {
			if _, err := v.Write([]byte{b}); err != nil {
				return
			}
			time.Sleep(100 * time.Millisecond)
		}
	},
	"sends random bytes": func(v visitor) {
		noise := make([]byte, 100_000)
		for i := range noise {
			noise[i] = byte(v.dice.Uint32())
		}
		_, _ = v.Write(noise)
		_, _ = io.Copy(io.Discard, v)
	},
	"sends random bytes that begin as a command": func(v visitor) {
		noise := []byte("*3\r\n$3\r\nSET\r\n")
		for range 1000 {
			noise = append(noise, "$*\r\n0123456789-\x00 SETGET"[v.dice.IntN(22)])
		}
		_, _ = v.Write(noise)
		_, _ = io.Copy(io.Discard, v)
	},
	"announces a string of 2 GiB":   announce("*2\r\n$3\r\nGET\r\n$2147483648\r\n"),
	"announces a string of 512 MiB": announce("*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$536870912\r\n"),
	"announces a million arguments": announce("*1048576\r\n$4\r\nMGET\r\n"),
	"announces arguments of 64 MiB": announce("*20\r\n$4\r\nMGET\r\n$67108864\r\n"),
	"never ends its line":           announce(strings.Repeat("x", 60_000)),
	"never ends its transaction":    announce("MULTI\r\n" + strings.Repeat("SET k v\r\n", 20_000)),
	"watches all day":               announce("WATCH k\r\nMULTI\r\nGET k\r\n"),
	"connects and leaves": func(v visitor) {
		address := v.RemoteAddr().String()
		for range 50 {
			if again, err := net.Dial("tcp", address); err == nil {
				_ = again.Close()
			}
		}
	},
	"leaves amid its command": func(v visitor) {
		_, _ = v.Write([]byte("*3\r\n$3\r\nSET\r\n$4\r\nhalf\r\n$10\r\nabc"))
	},
	"leaves before its replies": func(v visitor) {
		for range 20 {
			_, _ = v.Write(resp.Append(nil, "GET", "large"))
		}
	},
}

// announce sends bytes, and then reads until the connection ends.
func announce(bytes string) func(visitor) {
	return func(v visitor) {
		_, _ = v.Write([]byte(bytes))
		_, _ = io.Copy(io.Discard, v)
	}
}

// harmful is how many clients do the same harm at the same time.
const harmful = 20

// TestHarmfulClientsHarmNobodyElse is of one kind of harm after the other, with a bystander beside each.
func TestHarmfulClientsHarmNobodyElse(t *testing.T) {
	s := judged.Own(t, redisLimits, nil)
	c, err := resp.Dial(s.Address)
	require.NoError(t, err)
	_, err = c.Must("SET", "large", strings.Repeat("x", largeValue))
	require.NoError(t, err)
	_, err = c.Must("SET", "half", "whole")
	require.NoError(t, err)
	for name, harm := range harms {
		t.Run(name, func(t *testing.T) { harass(t, s, harm) })
	}
	reply, err := c.Must("GET", "half")
	require.NoError(t, err)
	require.Equal(t, "whole", reply.Text, "what was not sent whole was done")
	require.NoError(t, c.Close())
	if s.Name == "kvctl serve" {
		requireFewGoroutines(t, s)
	}
}

// requireFewGoroutines ends a server, and shows that it had hardly more goroutines than one that has served nobody.
func requireFewGoroutines(t *testing.T, s *servers.Server) {
	t.Helper()
	want, err := judged.Own(t, nil, nil).Goroutines()
	require.NoError(t, err)
	got, err := s.Goroutines()
	require.NoError(t, err)
	t.Logf("%d goroutines; %d where nothing was done", got, want)
	require.LessOrEqual(t, got, want+5)
}

// harass lets clients do harm for a time, ends their connections, and looks at what is left.
func harass(t *testing.T, s *servers.Server, harm func(visitor)) {
	before := look(t, s)
	b := newBystander(t, s)
	over := make(chan struct{})
	var conns []net.Conn
	var busy sync.WaitGroup
	for number := range harmful {
		conn, err := net.Dial("tcp", s.Address)
		require.NoError(t, err)
		conns = append(conns, conn)
		busy.Go(func() {
			defer func() { _ = conn.Close() }()
			harm(visitor{conn, rand.New(rand.NewPCG(uint64(number), 1)), over})
		})
	}
	highest := int64(0)
	for end := time.Now().Add(*harmFlag); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		highest = max(highest, look(t, s).resident)
	}
	b.requireUnharmed(t)
	close(over)
	for _, conn := range conns {
		_ = conn.Close()
	}
	busy.Wait()
	t.Logf("at most %d MiB resident", highest>>20)
	require.Less(t, highest-before.resident, int64(mostForHarm), "more resident memory than before")
	requireGone(t, s, before)
}
