package differential

import (
	"bufio"
	"io"
	"net"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/walnutkv/walnut/tools/redis-judge/judged"
	"github.com/walnutkv/walnut/tools/redis-judge/resp"
)

// proxy forwards everything between clients and a server, but for one mistake.
type proxy struct {
	server   string
	listener net.Listener

	// What the server gets for a command, and the client for a reply. Commands are arrays, so they can be read as
	// replies are.
	commands, replies func(resp.Reply) []byte
}

func raw(reply resp.Reply) []byte { return reply.Raw }

// startProxy starts one between clients and a server.
func startProxy(t *testing.T, server string, commands, replies func(resp.Reply) []byte) *proxy {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	p := &proxy{server: server, listener: listener, commands: commands, replies: replies}
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			go p.serve(client)
		}
	}()
	return p
}

func (p *proxy) serve(client net.Conn) {
	server, err := net.Dial("tcp", p.server)
	if err != nil {
		_ = client.Close()
		return
	}
	go forward(server, client, p.commands)
	forward(client, server, p.replies)
}

// forward copies replies, or commands, until the source ends.
func forward(to io.WriteCloser, from io.ReadCloser, change func(resp.Reply) []byte) {
	defer func() { _, _ = to.Close(), from.Close() }()
	reader := bufio.NewReader(from)
	for {
		reply, err := resp.Read(reader)
		if err != nil {
			return
		}
		if _, err := to.Write(change(reply)); err != nil {
			return
		}
	}
}

// plant is one change among the replies of many sessions.
type plant struct {
	change func(resp.Reply) string // Returns nothing where it changes nothing.
	after  int64                   // Replies that are let through first.
	seen   atomic.Int64
	struck atomic.Bool
}

func (p *plant) strike(reply resp.Reply) []byte {
	if p.seen.Add(1) > p.after && !p.struck.Load() {
		if changed := p.change(reply); changed != "" && p.struck.CompareAndSwap(false, true) {
			return []byte(changed)
		}
	}
	return reply.Raw
}

// withoutRules returns the steps to which replies must be the same byte by byte, so that each changed reply is a
// difference. HELLO is kept: no plant changes its reply.
func withoutRules(steps []step) (strict []step) {
	for _, one := range steps {
		if ruleOf(one.args) == nil && !one.whole || slices.Equal(one.args, []string{"HELLO", "3"}) {
			strict = append(strict, one)
		}
	}
	return strict
}

// TestOneChangedReplyIsADifference changes one reply among some hundred.
func TestOneChangedReplyIsADifference(t *testing.T) {
	a, b := judged.Reference(t), judged.Reference(t)
	for name, change := range map[string]func(resp.Reply) string{
		"a number is one more": func(reply resp.Reply) string {
			return map[string]string{":0\r\n": ":1\r\n", ":1\r\n": ":2\r\n"}[string(reply.Raw)]
		},
		"an empty string for null": func(reply resp.Reply) string {
			return map[string]string{"$-1\r\n": "$0\r\n\r\n", "_\r\n": "$0\r\n\r\n"}[string(reply.Raw)]
		},
		"RESP2's null for that of RESP3": func(reply resp.Reply) string {
			return map[string]string{"_\r\n": "$-1\r\n"}[string(reply.Raw)]
		},
		"another letter in an error": func(reply resp.Reply) string {
			if !reply.IsError() {
				return ""
			}
			return strings.Replace(string(reply.Raw), "ERR", "ERr", 1)
		},
		"a string without its last byte": func(reply resp.Reply) string {
			if reply.Kind != '$' || len(reply.Text) != 5 {
				return ""
			}
			return "$4\r\n" + reply.Text[:4] + "\r\n"
		},
		"a value out of EXEC's": func(reply resp.Reply) string {
			if reply.Kind != '*' || len(reply.Elements) != 2 {
				return ""
			}
			return "*1\r\n" + string(reply.Elements[0].Raw)
		},
		"EXEC did nothing": func(reply resp.Reply) string {
			if reply.Kind != '*' || len(reply.Elements) == 0 {
				return ""
			}
			return "*-1\r\n"
		},
		"a status for a string": func(reply resp.Reply) string {
			return map[string]string{"$3\r\nabc\r\n": "+abc\r\n"}[string(reply.Raw)]
		},
	} {
		t.Run(name, func(t *testing.T) {
			planted := &plant{change: change, after: 200}
			p := startProxy(t, b.Address, raw, planted.strike)
			var d *difference
			for seed := uint64(0); seed < 20 && d == nil; seed++ {
				steps, struck := withoutRules(generate(seed, 300)), planted.struck.Load()
				require.False(t, struck, "nothing differed although a reply was changed")
				var err error
				d, err = run([2]string{a.Address, p.listener.Addr().String()}, steps, nil)
				require.NoError(t, err)
			}
			require.NotNil(t, d, "no reply differs")
			require.True(t, planted.struck.Load(), "a difference without a change: %s", d)
			t.Log(d)
		})
	}
}

// TestOneMisunderstoodCommandIsADifference lets a server obey another command than it got: each is one mistake of a
// server.
func TestOneMisunderstoodCommandIsADifference(t *testing.T) {
	a, b := judged.Reference(t), judged.Reference(t)
	for name, change := range map[string]func(args []string) []string{
		"KEEPTTL is ignored":        lone("KEEPTTL", nil),
		"GT is ignored":             lone("GT", nil),
		"XX means NX":               lone("XX", []string{"NX"}),
		"EX is ignored":             withoutDeadline,
		"PERSIST does nothing":      instead("PERSIST", "EXISTS"),
		"WATCH does nothing":        watchNothing,
		"APPEND sets":               instead("APPEND", "SET"),
		"a deadline in the past":    another("PEXPIREAT", "1", "9999999999999"),
		"GETRANGE counts from one":  another("GETRANGE", "0", "1"),
		"case doesn't matter":       another("GET", "K1", "k1"),
		"a binary key is cut short": another("SET", "\x00\xff\r\n", ""),
	} {
		t.Run(name, func(t *testing.T) {
			obey := func(reply resp.Reply) []byte { return resp.Append(nil, change(texts(reply))...) }
			p := startProxy(t, b.Address, obey, raw)
			for seed := range uint64(60) {
				d, err := run([2]string{a.Address, p.listener.Addr().String()}, generate(seed, streamLength), nil)
				require.NoError(t, err)
				if d != nil {
					t.Logf("stream %d: %s", seed, d)
					return
				}
			}
			t.Fatal("no reply differs")
		})
	}
}

func texts(reply resp.Reply) (texts []string) {
	for _, element := range reply.Elements {
		texts = append(texts, element.Text)
	}
	return texts
}

// lone puts others in the place of the only option that a command has.
func lone(option string, others []string) func([]string) []string {
	return func(args []string) []string {
		if len(args) == 4 && strings.EqualFold(args[3], option) {
			return append(args[:3:3], others...)
		}
		return args
	}
}

// withoutDeadline leaves out the deadline of a SET that would be accepted.
func withoutDeadline(args []string) []string {
	if len(args) == 5 && strings.EqualFold(args[0], "SET") && args[3] == "EX" && isBetween(args[4], 1, 1e9) {
		return args[:3]
	}
	return args
}

func watchNothing(args []string) []string {
	if strings.EqualFold(args[0], "WATCH") && len(args) > 1 {
		return []string{"WATCH", "no such key"}
	}
	return args
}

func instead(command, other string) func([]string) []string {
	return func(args []string) []string {
		if strings.EqualFold(args[0], command) && (command != "PERSIST" || len(args) == 2) {
			return append([]string{other}, args[1:]...)
		}
		return args
	}
}

func another(command, arg, other string) func([]string) []string {
	return func(args []string) []string {
		changed := append([]string(nil), args...)
		for i := range changed {
			if i > 0 && strings.EqualFold(args[0], command) && args[i] == arg {
				changed[i] = other
			}
		}
		return changed
	}
}
