package scenario

import (
	"encoding/json"
	"net"
	"os/exec"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/walnutkv/walnut/tools/redis-judge/judged"
)

// pythons are where a Python with redis-py may be: Debian's, and the first one in PATH.
var pythons = []string{"/usr/bin/python3", "python3"}

// python returns a Python that has redis-py. The test is skipped where there is none.
func python(t *testing.T) string {
	t.Helper()
	for _, path := range pythons {
		if exec.Command(path, "-c", "import redis").Run() == nil {
			return path
		}
	}
	t.Skip("no Python has redis-py (Debian: python3-redis)")
	return ""
}

func TestRedisPy(t *testing.T) {
	address := judged.Target(t, nil, nil).Address
	host, port, err := net.SplitHostPort(address)
	require.NoError(t, err)
	program := python(t)
	connect := func(t *testing.T) *process {
		return startProcess(t, process{command: pyCommand, reply: pyReply}, program, "testdata/commands.py", host, port)
	}
	t.Run("commands", func(t *testing.T) { goThrough(t, connect(t), connect(t)) })
	t.Run("as its manual says", func(t *testing.T) {
		out, err := exec.Command(program, "testdata/manual.py", host, port).CombinedOutput()
		require.NoError(t, err, "%s", out)
		require.Equal(t, "passed\n", string(out))
	})
}

// latin1 makes a text of bytes, one code point each, since JSON has no bytes.
func latin1(bytes string) string {
	var points []rune
	for _, b := range []byte(bytes) {
		points = append(points, rune(b))
	}
	return string(points)
}

func bytesOf(latin1 string) string {
	var bytes []byte
	for _, point := range latin1 {
		bytes = append(bytes, byte(point))
	}
	return string(bytes)
}

func pyCommand(args []string) string {
	var texts []string
	for _, arg := range args {
		texts = append(texts, latin1(arg))
	}
	line, _ := json.Marshal(texts)
	return string(line)
}

func pyReply(line string) (any, error) {
	var reply any
	if err := json.Unmarshal([]byte(line), &reply); err != nil {
		return nil, err
	}
	return pyValue(reply), nil
}

func pyValue(value any) any {
	switch value := value.(type) {
	case float64:
		return int64(value)
	case string:
		return bytesOf(value)
	case map[string]any:
		return refusal(bytesOf(value["error"].(string)))
	case []any:
		list := make([]any, 0, len(value))
		for _, element := range value {
			list = append(list, pyValue(element))
		}
		return list
	}
	return value
}
