package server_test

import (
	"context"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/walnutkv/walnut/kv"
	"github.com/walnutkv/walnut/server"
)

// pipeline encodes commands, which semicolons part.
func pipeline(commands string) string {
	var b strings.Builder
	for _, command := range strings.Split(commands, ";") {
		b.WriteString(encode(strings.Fields(command)...))
	}
	return b.String()
}

func TestTransactionsOfAPipelineAreOneCommit(t *testing.T) {
	for _, test := range []struct {
		name, commands, want string
		commits              uint64
	}{
		{"two of them", "MULTI;SET a 1;GET a;EXEC;MULTI;SET a 2;EXEC", `OK QUEUED QUEUED [OK "1"] OK QUEUED [OK]`, 1},
		{"commands before and after", "SET a 1;MULTI;GET a;SET a 2;EXEC;GET a", `OK OK QUEUED QUEUED ["1" OK] "2"`, 1},
		{"one that reads", "MULTI;GET a;EXEC;MULTI;EXEC", `OK QUEUED [nil] OK []`, 0},
		{"one that is given up", "MULTI;SET a 1;DISCARD;MULTI;SET a 2;EXEC", "OK QUEUED OK OK QUEUED [OK]", 1},
		{"one with a mistake", "MULTI;SET a 1;GET;EXEC;SET b 1", "OK QUEUED " +
			"-ERR wrong number of arguments for 'get' command -EXECABORT Transaction discarded because of previous errors. OK", 1},
		{"one within another", "MULTI;SET a 1;MULTI;EXEC;EXEC", "OK QUEUED -ERR MULTI calls can not be nested [OK] " +
			"-ERR EXEC without MULTI", 1},
		{"one after WATCH", "WATCH a;SET a 1;MULTI;SET a 2;EXEC;MULTI;SET a 3;EXEC", "OK OK OK QUEUED nil OK QUEUED [OK]", 2},
		{"one with a message", "MULTI;SET a 1;PUBLISH c x;EXEC", "OK QUEUED QUEUED [OK 0]", 1},
		{"one without an end", "SET a 1;MULTI;SET a 2;GET a", "OK OK QUEUED QUEUED", 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			db := openStore(t, kv.Options{})
			_, address := serveStore(t, db, server.Options{})
			c := dial(t, address)
			c.send(pipeline(test.commands))
			require.Equal(t, test.want, strings.Join(c.replies(strings.Count(test.commands, ";")+1), " "))
			require.Equal(t, test.commits, db.Offset())
		})
	}
}

// fullStore is a store that has no room.
type fullStore struct{ *kv.DB }

// UpdateOffset runs the function and refuses what it wrote.
func (f fullStore) UpdateOffset(ctx context.Context, fn func(tx *kv.Tx) error) (uint64, error) {
	return f.DB.UpdateOffset(ctx, func(tx *kv.Tx) error {
		if err := fn(tx); err != nil {
			return err
		}
		return kv.ErrNoSpace
	})
}

func TestATransactionOfAPipelineThatIsRefusedIsAnsweredWhole(t *testing.T) {
	_, address := serveStore(t, fullStore{openStore(t, kv.Options{})}, server.Options{})
	c := dial(t, address)
	c.send(pipeline("MULTI;SET a 1;GET a;EXEC;GET a;MULTI;GET a;EXEC;SET a 1"))
	refusal := "-MISCONF " + kv.ErrNoSpace.Error()
	require.Equal(t, "OK QUEUED QUEUED "+refusal+" nil OK QUEUED [nil] "+refusal, strings.Join(c.replies(9), " "))
}

func TestAGroupThatIsTooLargeIsNotCutInATransaction(t *testing.T) {
	db := openStore(t, kv.Options{MaxCommitSize: 500})
	_, address := serveStore(t, db, server.Options{})
	c := dial(t, address)
	value := strings.Repeat("x", 200)
	c.send(pipeline("SET a " + value + ";GET b;MULTI;SET b " + value + ";EXEC;SET c " + value))
	require.Equal(t, "OK nil OK QUEUED [OK] OK", strings.Join(c.replies(6), " "))
	require.EqualValues(t, 2, db.Offset())
	c.send(pipeline("MULTI;SET a " + value + ";SET b " + value + ";SET c " + value + ";EXEC;GET c"))
	require.Equal(t, []string{"OK", "QUEUED", "QUEUED", "QUEUED"}, c.replies(4))
	require.Regexp(t, "^-ERR .*commit is too large", c.reply())
	require.Equal(t, `"`+value+`"`, c.reply())
	require.EqualValues(t, 2, db.Offset())
}

func TestAPipelineIsAnsweredAsItsCommandsOneByOne(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	commands := strings.Split("MULTI;MULTI;EXEC;EXEC;EXEC;DISCARD;WATCH a;UNWATCH;GET a;GET b;SET a 1;SET b 2;SET a 3;"+
		"GET;NOPE;PING;ECHO x;KV.RANGE a c;KV.DELRANGE a b;KV.CAS a 1 4;KV.AT 0 GET a;PUBLISH c x;EXEC x;MULTI x;SELECT 0;KV.UNWATCH", ";")
	value := strings.Repeat("x", 200)
	commands = append(commands, "SET a "+value, "SET b "+value)
	rounds := 300
	if testing.Short() {
		rounds = 50
	}
	for round := range rounds {
		var opts kv.Options
		var limits server.Options
		if round%2 == 1 { // So that a transaction may be too large, and a group often is.
			opts.MaxCommitSize, limits.MaxReplies = 500, 700
		}
		var chosen []string
		for range 1 + random.IntN(40) {
			chosen = append(chosen, commands[random.IntN(len(commands))])
		}
		_, whole := serveStore(t, openStore(t, opts), limits)
		_, pieces := serveStore(t, openStore(t, opts), limits)
		one, other := dial(t, whole), dial(t, pieces)
		one.send(pipeline(strings.Join(chosen, ";")))
		for i, command := range chosen {
			require.Equal(t, other.words(command), one.reply(), "command %d of %q", i, chosen)
		}
	}
}
