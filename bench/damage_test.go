package main

import (
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// smallMatrix damages one engine's few pairs at few places.
func smallMatrix(t *testing.T, engine string) *matrix {
	t.Helper()
	program, err := os.Executable()
	require.NoError(t, err)
	return &matrix{seed: 1, pairs: 250, places: 2, engines: engine, dir: t.TempDir(), program: program, progress: io.Discard}
}

func TestWalnutHealsTornTailsAndRefusesDamage(t *testing.T) {
	tails := map[string]string{
		"kill": "right", "torn": "healed", "sector": "healed", "acknowledged": "lost, said so", "idle": "refused", "short": "refused",
		"garbage": "healed", "zeros": "right", "swapped": "refused",
		"other-bit": "right|healed", // An index is a hint, and is made again where it turns out wrong.
	}
	t.Run(walnutEngine.name, func(t *testing.T) {
		t.Parallel()
		want := maps.Clone(tails)
		want["log-bit"], want["log-zeros"] = "refused", "refused"
		want["table-bit"], want["table-zeros"] = "healed", "healed" // There is another snapshot,
		want["deleted"] = "refused|right"                           // which also makes up for one that is deleted.
		m := smallMatrix(t, walnutEngine.name)
		m.kvctl = filepath.Join(t.TempDir(), "kvctl")
		build := exec.CommandContext(t.Context(), "go", "build", "-o", m.kvctl, "./cmd/kvctl")
		build.Dir = ".."
		output, err := build.CombinedOutput()
		require.NoError(t, err, "%s", output)
		m.require(t, want)
		for _, d := range damages {
			for _, o := range m.scenes[0].outcomes[d.id] {
				if o.first.Refused != "" {
					require.Contains(t, o.tool, "kvctl --dir", "what kvctl says to do next after %s: %s", d.id, o.what)
				}
			}
		}
	})
	t.Run(walnutLogEngine.name, func(t *testing.T) {
		t.Parallel()
		want := maps.Clone(tails)
		want["log-bit"], want["log-zeros"], want["deleted"] = "refused|error", "refused|error", "refused"
		smallMatrix(t, walnutLogEngine.name).require(t, want)
	})
}

// The matrix would be worthless if it saw no damage.
func TestTheMatrixSeesWhatPeersLose(t *testing.T) {
	for engine, want := range map[string]map[string]string{
		buntdbEngine.name: { // It has no checksums, and cuts its tail without a word.
			"kill": "right", "torn": "right", "acknowledged": `\*\*lost silently\*\*`, "log-bit": `\*\*wrong\*\*|\*\*lost silently\*\*|refused`,
		},
		pebbleEngine.name: { // It ends its log where a checksum is wrong.
			"kill": "right", "torn": "right", "acknowledged": `\*\*lost silently\*\*`, "log-bit": `\*\*lost silently\*\*`,
		},
	} {
		t.Run(engine, func(t *testing.T) {
			t.Parallel()
			m := smallMatrix(t, engine)
			m.only = slices.Collect(maps.Keys(want))
			m.require(t, want)
		})
	}
}

// require runs the matrix, and compares the outcomes of each damage with the kinds that are wanted, as a regular expression.
func (m *matrix) require(t *testing.T, want map[string]string) {
	t.Helper()
	require.NoError(t, m.run(t.Context()))
	page := m.text()
	for _, d := range damages {
		s := m.scenes[0]
		require.Equal(t, want[d.id] == "", len(s.outcomes[d.id]) == 0, "whether %s can be done", d.id)
		for _, o := range s.outcomes[d.id] {
			require.Regexp(t, "^("+want[d.id]+")$", o.kind.name, "%s: %s: %s", d.id, o.what, o.words)
		}
		require.Contains(t, page, "\n| "+d.title+" | ")
	}
}

func TestOutcomesAreJudgedByTheWorstOfThem(t *testing.T) {
	s := &scene{usual: map[string]bool{pattern(`opened 9 tables in 1ms`): true}}
	usual, warning := []string{"opened 7 tables in 13µs"}, []string{"opened 7 tables in 13µs", "log cut"}
	opened := look{Opened: true, Said: usual, Right: 10}
	for _, c := range []struct {
		name  string
		first func(l *look)
		then  *look
		want  kind
	}{
		{"nothing is wrong", func(*look) {}, nil, kindRight},
		{"it said more than usual", func(l *look) { l.Said = warning }, nil, kindHealed},
		{"a pair is missing", func(l *look) { l.Missing = 1 }, nil, kindLost},
		{"a pair is missing, and it said something", func(l *look) { l.Missing, l.Said = 1, warning }, nil, kindSaid},
		{"a pair is wrong, and others are missing", func(l *look) { l.Wrong, l.Missing = 1, 3 }, nil, kindWrong},
		{"there is a pair that nothing wrote", func(l *look) { l.Foreign = 1 }, nil, kindWrong},
		{"it refused", func(l *look) { *l = look{Refused: "damaged"} }, nil, kindRefused},
		{"it died in opening", func(l *look) { *l = look{Died: "exit status 2"} }, nil, kindDied},
		{"it hung", func(l *look) { *l = look{Hung: true} }, nil, kindHung},
		{"reading failed", func(l *look) { l.Failed = 2 }, nil, kindError},
		{"reading failed and panicked", func(l *look) { l.Failed, l.Panicked = 2, 1 }, nil, kindPanic},
		{"a write after it is lost", func(*look) {}, &look{Opened: true, Right: 10, LaterLost: true}, kindBreaks},
		{"it doesn't open again", func(*look) {}, &look{Refused: "damaged"}, kindBreaks},
		{"a pair is gone when it opens again", func(*look) {}, &look{Opened: true, Right: 9}, kindBreaks},
		{"it opens again", func(*look) {}, &look{Opened: true, Right: 10}, kindRight},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := outcome{first: opened}
			c.first(&o.first)
			if c.then != nil {
				o.looked, o.then = true, *c.then
			}
			require.Equal(t, c.want, s.judge(o))
		})
	}
}

func TestALastWriteIsFoundAndTakenBack(t *testing.T) {
	logs := regexp.MustCompile(`\.log$`)
	for _, c := range []struct{ name, before, after, torn string }{
		{"a file that grew gets shorter", "one", "one and two", "one "},
		{"a file that had its space gets its old bytes back", "one" + strings.Repeat("\x00", 9), "one and two\x00", "one \x00\x00\x00\x00\x00\x00\x00\x00"},
		{"a file whose space grew meanwhile has zeros", "one", "one and two\x00\x00", "one \x00\x00\x00\x00\x00\x00\x00\x00\x00"},
		{"a file that is used once more gets its old bytes back", "one-old-old-old", "one and two-old", "one old-old-old"},
	} {
		t.Run(c.name, func(t *testing.T) {
			before, after := t.TempDir(), t.TempDir()
			for name, content := range map[string]string{"1.log": "full", "2.log": c.before, "3.idx": "x"} {
				require.NoError(t, os.WriteFile(filepath.Join(before, name), []byte(content), 0o600))
				require.NoError(t, os.WriteFile(filepath.Join(after, name), []byte(content), 0o600))
			}
			require.NoError(t, os.WriteFile(filepath.Join(after, "2.log"), []byte(c.after), 0o600))
			require.NoError(t, os.WriteFile(filepath.Join(after, "3.idx"), []byte("y"), 0o600))
			written, err := lastWrite(before, after, logs, 0)
			require.NoError(t, err)
			require.Equal(t, span{"2.log", 3, 11}, written)
			require.NoError(t, unwrite(after, before, written, lastBytes(written)))
			content, err := os.ReadFile(filepath.Join(after, "2.log"))
			require.NoError(t, err)
			require.Equal(t, c.torn, string(content))
		})
	}
}

// TestThePageOnDurabilityHasTheMatrix compares the two pages that have it: `make damage-matrix` writes both.
func TestThePageOnDurabilityHasTheMatrix(t *testing.T) {
	measured, err := os.ReadFile("../docs/measured/damage.md")
	require.NoError(t, err)
	page, err := os.ReadFile("../docs/durability.md")
	require.NoError(t, err)
	require.Greater(t, strings.Count(matrixIn(string(measured)), "\n"), 10)
	require.Equal(t, matrixIn(string(measured)), matrixIn(string(page)))
}
