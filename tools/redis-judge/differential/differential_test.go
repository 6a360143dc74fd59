package differential

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/walnutkv/walnut/tools/redis-judge/judged"
)

var (
	commandsFlag = flag.Int("commands", 20_000, "how many commands are sent to both servers")
	seedFlag     = flag.Uint64("seed", 0, "the seed of the first stream; 0 is a random one")
	mostFlag     = flag.Int("differences", 5, "after how many differences the test gives up")
	withoutFlag  = flag.String("without", "", "commands that are left out, with commas between them")
)

func TestMain(m *testing.M) { judged.Main(m) }

// streamLength is how many commands there are before both servers are emptied.
const streamLength = 1000

// shrinkLimit bounds how long one difference is made smaller.
const shrinkLimit = 20 * time.Second

// TestRandomStreamsGetTheRepliesOfRedis is the differential test: the same commands, the same replies.
func TestRandomStreamsGetTheRepliesOfRedis(t *testing.T) {
	addresses := [2]string{judged.Reference(t).Address, judged.Target(t, nil, nil).Address}
	first := *seedFlag
	if first == 0 {
		first = rand.Uint64()
	}
	counts, differences, sent := map[*rule]int{}, map[string]bool{}, 0
	for seed := first; sent < *commandsFlag && len(differences) < *mostFlag; seed++ {
		length := min(streamLength, *commandsFlag-sent)
		steps := slices.DeleteFunc(generate(seed, length), isLeftOut)
		sent += length
		d, err := run(addresses, steps, counts)
		require.NoError(t, err, replay(seed, length))
		if d != nil {
			account, key := explain(addresses, steps, d)
			if !differences[key] {
				t.Errorf("%s\n%s", account, replay(seed, length))
			}
			differences[key] = true
		}
	}
	t.Logf("%d commands from seed %d on: %d differences", sent, first, len(differences))
	for r, count := range counts {
		t.Logf("%6d replies to %s differ: %s", count, strings.Join(r.commands, ", "), r.why)
	}
}

// isLeftOut reports whether a step is of a command that the server is known not to have.
func isLeftOut(one step) bool {
	return slices.Contains(strings.Split(*withoutFlag, ","), strings.ToUpper(one.args[0]))
}

func replay(seed uint64, commands int) string {
	line := fmt.Sprintf("go test ./differential -run TestRandomStreams -seed=%d -commands=%d", seed, commands)
	if *withoutFlag != "" {
		line += " -without=" + *withoutFlag
	}
	return line
}

// tail is how many steps of a stream are shown before a difference.
const tail = 20

// cause returns a text that differences share which most likely have one cause.
func cause(d *difference) string {
	const unknown = "unknown command"
	if strings.Contains(d.a, unknown) && strings.Contains(d.b, unknown) {
		return unknown
	}
	return strings.ToUpper(d.step.args[0]) + " " + d.b
}

// explain makes an account of a difference, with the few commands that are needed for it, and a key that differences of
// one cause share.
func explain(addresses [2]string, steps []step, d *difference) (account, key string) {
	var out strings.Builder
	fmt.Fprintf(&out, "command %d differs: %s\n  after", d.at, d)
	for _, one := range steps[max(0, d.at-tail):min(d.at, len(steps))] {
		fmt.Fprintf(&out, "\n    %s", one)
	}
	fewer, smaller := shrink(steps, d, shrinkLimit, func(steps []step) *difference {
		d, err := run(addresses, steps, nil)
		if err != nil {
			return nil
		}
		return d
	})
	fmt.Fprintf(&out, "\n  these are enough:")
	for _, one := range fewer {
		fmt.Fprintf(&out, "\n    %s", one)
	}
	fmt.Fprintf(&out, "\n  and then: %s", smaller)
	return out.String(), cause(smaller)
}
