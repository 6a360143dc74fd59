package scenario

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/walnutkv/walnut/tools/redis-judge/judged"
	"github.com/walnutkv/walnut/tools/redis-judge/resp"
)

func TestMain(m *testing.M) { judged.Main(m) }

// process is a client in another process, which gets commands as lines and answers with lines.
type process struct {
	t       *testing.T
	name    string
	in      io.Writer
	out     *bufio.Reader
	command func(args []string) string
	reply   func(line string) (any, error)
}

// startProcess starts one. The test is skipped where there is no such program.
func startProcess(t *testing.T, p process, name string, args ...string) *process {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Skip(err)
	}
	cmd := exec.Command(path, args...)
	in, err := cmd.StdinPipe()
	require.NoError(t, err)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		require.NoError(t, in.Close())
		require.NoError(t, cmd.Wait())
	})
	p.t, p.name, p.in, p.out = t, name, in, bufio.NewReader(out)
	return &p
}

func (p *process) Do(args ...string) any {
	p.t.Helper()
	_, err := io.WriteString(p.in, p.command(args)+"\n")
	require.NoError(p.t, err)
	line, err := p.out.ReadString('\n')
	require.NoError(p.t, err, "%s on %q", p.name, args)
	reply, err := p.reply(strings.TrimSuffix(line, "\n"))
	require.NoError(p.t, err, "%s on %q: %q", p.name, args, line)
	return reply
}

// cli starts redis-cli, which prints replies as JSON here.
func cli(t *testing.T, address string, args ...string) *process {
	host, port, err := net.SplitHostPort(address)
	require.NoError(t, err)
	p := process{command: cliCommand, reply: cliReply}
	return startProcess(t, p, "redis-cli", append([]string{"-h", host, "-p", port, "--quoted-json"}, args...)...)
}

// cliCommand quotes arguments as redis-cli reads them.
func cliCommand(args []string) string {
	var line strings.Builder
	for _, arg := range args {
		line.WriteString(`"`)
		for _, b := range []byte(arg) {
			if b >= ' ' && b < 127 && b != '"' && b != '\\' {
				line.WriteByte(b)
			} else {
				fmt.Fprintf(&line, `\x%02x`, b)
			}
		}
		line.WriteString(`" `)
	}
	return line.String()
}

func cliReply(line string) (any, error) {
	text, isError := strings.CutPrefix(line, "error:")
	decoder := json.NewDecoder(strings.NewReader(text))
	decoder.UseNumber()
	var reply any
	if err := decoder.Decode(&reply); err != nil {
		return nil, err
	}
	reply, err := cliValue(reply)
	if isError && err == nil {
		reply = refusal(reply.(string))
	}
	return reply, err
}

// cliValue makes a reply of its JSON. Strings are quoted in it once more.
func cliValue(value any) (any, error) {
	switch value := value.(type) {
	case json.Number:
		return value.Int64()
	case string:
		return strconv.Unquote(`"` + value + `"`)
	case []any:
		list := make([]any, 0, len(value))
		for _, element := range value {
			one, err := cliValue(element)
			if err != nil {
				return nil, err
			}
			list = append(list, one)
		}
		return list, nil
	}
	return value, nil
}

func TestRedisCLI(t *testing.T) {
	address := judged.Target(t, nil, nil).Address
	for _, version := range []string{"-2", "-3"} {
		t.Run("RESP"+version[1:], func(t *testing.T) {
			goThrough(t, cli(t, address, version), cli(t, address, version))
		})
	}
	host, port, _ := net.SplitHostPort(address)
	run := func(in string, args ...string) string {
		cmd := exec.Command("redis-cli", append([]string{"-h", host, "-p", port}, args...)...)
		cmd.Stdin = strings.NewReader(in)
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, "%s", out)
		return string(out)
	}
	t.Run("mass insertion, and a scan of it", func(t *testing.T) {
		run("", "FLUSHALL")
		var commands []byte
		for i := range 10_000 {
			commands = resp.Append(commands, "SET", fmt.Sprint("pipe:", i), strings.Repeat("x", i%100))
		}
		require.Contains(t, run(string(commands), "--pipe"), "errors: 0, replies: 10000")
		require.Len(t, strings.Fields(run("", "--scan", "--pattern", "pipe:12*")), 111)
		require.Equal(t, "10000\n", run("", "DBSIZE"))
	})
	t.Run("a value from standard input", func(t *testing.T) {
		require.Equal(t, "OK\n", run("from\x00stdin", "-x", "SET", "k"))
		require.Equal(t, "from\x00stdin\n", run("", "GET", "k"))
	})
	t.Run("a text for people", func(t *testing.T) {
		out := run("MULTI\nDEL k\nGET k\nEXEC\n", "--no-raw")
		require.Equal(t, "1) (integer) 1\n2) (nil)\n", lastLines(out, 2))
		require.Contains(t, run("", "INFO", "server"), "redis_version:")
	})
}

func lastLines(text string, n int) string {
	lines := strings.SplitAfter(text, "\n")
	return strings.Join(lines[max(0, len(lines)-1-n):], "")
}
