package specs

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/walnutkv/walnut/tools/redis-judge/judged"
)

func TestMain(m *testing.M) { judged.Main(m) }

const module = "github.com/redis/go-redis/v9"

// groups are the specs that are about commands of kvctl serve. Each is a pattern of their full names.
var groups = []struct{ name, pattern string }{
	{"keys", "^go-redis Commands keys "},
	{"strings", "^go-redis Commands strings "},
	{"scanning", "^go-redis Commands scanning "},
	{"scan iterator", "^go-redis ScanIterator "},
	{"transactions", "^go-redis Tx "},
	{"pipelines", "^go-redis pipelining "},
}

// spec is one of ginkgo's report.
type spec struct {
	ContainerHierarchyTexts []string
	LeafNodeText            string
	LeafNodeType            string
	State                   string
	Failure                 struct{ Message string }
}

func (s spec) name() string {
	return strings.Join(append(s.ContainerHierarchyTexts, s.LeafNodeText), ": ")
}

// TestTheSpecsOfGoRedis runs each group, and shows how many of its specs pass. Those that may fail are listed in
// known.go: another one that fails is a mistake, and so is one of the list that passes.
func TestTheSpecsOfGoRedis(t *testing.T) {
	if testing.Short() {
		t.Skip("building go-redis' specs takes a minute")
	}
	target := judged.Target(t, []string{"--databases", "16"}, nil) // One spec moves a key to another database.
	program := build(t)
	for _, group := range groups {
		t.Run(group.name, func(t *testing.T) {
			passed, failed := run(t, program, target.Address, group.pattern)
			t.Logf("%s: %d of %d specs pass", group.name, len(passed), len(passed)+len(failed))
			require.NotEmpty(t, passed)
			for _, one := range failed {
				reason, isKnown := reasonFor(target.Name, one.name())
				t.Logf("  failed: %s (%s)\n%s", one.name(), reason, indent(one.Failure.Message))
				if !isKnown {
					t.Errorf("%s fails, and no reason is known", one.name())
				}
			}
			for _, one := range passed {
				_, isKnown := reasonFor(target.Name, one.name())
				require.False(t, isKnown, "%s passes: take it off the list", one.name())
			}
		})
	}
}

func indent(text string) string {
	lines := strings.Split(text, "\n")
	return "    " + strings.Join(lines[:min(len(lines), 8)], "\n    ")
}

// build makes a program of the specs. They bring modules that no other judge needs: where those can't be had the test
// is skipped.
func build(t *testing.T) string {
	t.Helper()
	dir, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", module).Output()
	require.NoError(t, err)
	source := strings.TrimSpace(string(dir))
	for _, args := range [][]string{{"mod", "download"}, {"list", "-deps", "-test", "."}} {
		prepare := exec.Command("go", args...)
		prepare.Dir = source
		if out, err := prepare.CombinedOutput(); err != nil {
			t.Skipf("the modules of go-redis' specs can't be had: %s", out)
		}
	}
	program := filepath.Join(t.TempDir(), "specs.test")
	compile := exec.Command("go", "test", "-c", "-o", program, ".")
	compile.Dir = source
	out, err := compile.CombinedOutput()
	require.NoError(t, err, "%s", out)
	return program
}

// run runs the specs of a pattern. Those that skip themselves, most often since they are about a later Redis, don't
// count.
func run(t *testing.T, program, address, pattern string) (passed, failed []spec) {
	t.Helper()
	dir := t.TempDir()
	// The specs look for their server at a fixed port, except for one of Redis' cloud: that is in a file.
	endpoints, report := filepath.Join(dir, "endpoints.json"), filepath.Join(dir, "report.json")
	content := fmt.Sprintf(`{"judged":{"endpoints":["redis://%s"]}}`, address)
	require.NoError(t, os.WriteFile(endpoints, []byte(content), 0o600))
	cmd := exec.Command(program, "-test.run=TestGinkgoSuite", "-test.timeout=10m", "-ginkgo.no-color",
		"-ginkgo.focus="+pattern, "-ginkgo.json-report="+report)
	cmd.Env = append(os.Environ(), "RE_CLUSTER=true", "REDIS_VERSION=7.0", "REDIS_ENDPOINTS_CONFIG_PATH="+endpoints)
	cmd.Dir, cmd.WaitDelay = dir, time.Minute
	out, _ := cmd.CombinedOutput() // It fails if a spec does.
	text, err := os.ReadFile(report)
	require.NoError(t, err, "%s", out)
	var suites []struct{ SpecReports []spec }
	require.NoError(t, json.Unmarshal(text, &suites), "%s", out)
	require.Len(t, suites, 1)
	for _, one := range suites[0].SpecReports {
		switch {
		case one.State == "skipped" || one.State == "pending" || one.LeafNodeType != "It" && one.State == "passed":
		case one.State == "passed":
			passed = append(passed, one)
		default:
			failed = append(failed, one)
		}
	}
	slices.SortFunc(failed, func(a, b spec) int { return strings.Compare(a.name(), b.name()) })
	return passed, failed
}
