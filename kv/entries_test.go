package kv

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"

	"github.com/walnutkv/walnut/internal/allocated"
	"github.com/walnutkv/walnut/kv/kvpb"
)

// randomEntry returns an entry as a replica's log holds it.
func randomEntry(random *rand.Rand) entry {
	number := func() uint64 { return random.Uint64() >> random.IntN(64) * uint64(random.IntN(3)) }
	e := entry{made: int64(number()), decided: true}
	e.decision = decision{
		term: number(), kind: number() & 3, appended: int64(number()), extensions: randomBytes(random, 0, 300),
		committed: number(), base: number(),
	}
	if e.kind == 0 {
		mutations := randomMutations(random)
		e.mutations = appendRecord(nil, 0, mutations)
	}
	if len(e.mutations) == 0 {
		e.data = randomBytes(random, 0, 300)
	}
	return e
}

func TestEntriesAreWhatTheSchemaSays(t *testing.T) {
	for seed := range uint64(2000) {
		replay := fmt.Sprintf("seed %d", seed)
		e := randomEntry(rand.New(rand.NewPCG(seed, 0)))
		record := e.append(nil)

		var schema kvpb.Commit
		require.NoError(t, proto.Unmarshal(record, &schema), replay)
		again, err := proto.MarshalOptions{Deterministic: true}.Marshal(&schema)
		require.NoError(t, err)
		require.Equal(t, hex.EncodeToString(again), hex.EncodeToString(record), "%s: the record is not canonical", replay)
		d := schema.Mutations[0].Decision
		require.Equal(t, kvpb.Kind_KIND_DECISION, schema.Mutations[0].Kind)
		require.Equal(t, []uint64{e.term, e.kind, uint64(e.appended), e.committed, e.base},
			[]uint64{d.Term, uint64(d.Kind), uint64(d.AppendedUnixNano), d.Committed, d.Base}, replay)
		require.True(t, bytes.Equal(e.extensions, d.Extensions) && bytes.Equal(e.data, d.Data), replay)

		got, err := readEntry(record)
		require.NoError(t, err, replay)
		require.Equal(t, hex.EncodeToString(record), hex.EncodeToString(got.append(nil)), replay)
		require.Equal(t, e.kind == 0 && len(e.mutations) > 0, got.isCommit(), replay)
		made, mutations, err := decodeEntry(record, nil)
		require.NoError(t, err)
		require.Equal(t, e.made, made)
		require.Len(t, mutations, len(schema.Mutations)-1, replay)
	}
}

func TestAProgramWithoutReplicasRefusesAnEntry(t *testing.T) {
	record := newProposal(1, 2, appendRecord(nil, 0, []Mutation{{Kind: MutationPut, Key: []byte("k")}}))
	_, _, err := decodeRecord(record, nil) // What such a program does.
	require.ErrorIs(t, err, ErrVersion)
}

func TestTheEntryOfTheFormatPageIsWhatIsWritten(t *testing.T) {
	e := entry{
		made:     1,
		decision: decision{term: 3, appended: 5, committed: 7, base: 6}, mutations: appendRecord(nil, 0, []Mutation{{
			Kind: MutationPut, Key: []byte("k"), Value: []byte("v"),
		}}),
	}
	page, err := os.ReadFile("../docs/format.md")
	require.NoError(t, err)
	_, example, found := strings.Cut(string(page), "is these 26 bytes:\n\n")
	require.True(t, found, "the page shows an entry")
	example, _, _ = strings.Cut(example, "\n\n")
	var shown string
	for line := range strings.Lines(example) {
		code, _, _ := strings.Cut(strings.TrimSpace(line), "  ")
		shown += strings.ReplaceAll(strings.TrimSpace(code), " ", "")
	}
	require.Equal(t, hex.EncodeToString(e.append(nil)), shown)
}

func TestOnlyWhatKvProposesIsAProposal(t *testing.T) {
	mutations := appendRecord(nil, 0, []Mutation{{Kind: MutationPut, Key: []byte("k")}})
	proposal := newProposal(9, 2, mutations)
	e, err := readProposal(proposal)
	require.NoError(t, err)
	require.EqualValues(t, 2, e.base)
	require.Equal(t, mutations, e.mutations)
	stamped := entry{made: 9, decision: decision{term: 1, base: 2}, mutations: mutations}
	newer := appendRecord(nil, 0, []Mutation{{Kind: 9, Key: []byte("k")}})
	for sentence, record := range map[string][]byte{
		"nothing":                            nil,
		"noise":                              []byte("noise"),
		"a commit of a store that is none":   appendRecord(nil, 9, []Mutation{{Kind: MutationPut, Key: []byte("k")}}),
		"a proposal without mutations":       newProposal(9, 2, nil),
		"an entry with a term":               stamped.append(nil),
		"a proposal with a byte after it":    append(bytes.Clone(proposal), 0),
		"a proposal that is cut":             proposal[:len(proposal)-1],
		"a proposal with a bad mutation":     newProposal(9, 2, []byte{0x12, 0x00}),
		"a proposal with a second decision":  newProposal(9, 2, proposal[2:]),
		"a proposal of a newer program":      newProposal(9, 2, newer),
		"fields that are not in their order": append(bytes.Clone(proposal[2:]), proposal[:2]...),
	} {
		_, err := readProposal(record)
		require.Error(t, err, sentence)
	}
	_, err = readProposal(newProposal(9, 2, newer))
	require.ErrorIs(t, err, ErrVersion)
}

func TestWhatShowsAtOnceIsWhatFieldsSay(t *testing.T) {
	for seed := range uint64(2000) {
		random := rand.New(rand.NewPCG(seed, 2))
		record := appendRecord(nil, int64(random.Uint64()>>random.IntN(65)), randomMutations(random))
		if seed%2 == 0 {
			e := randomEntry(random)
			record = e.append(nil)
		}
		if len(record) > 0 && seed%3 == 0 {
			record[random.IntN(min(len(record), 12))] ^= byte(1 << random.IntN(8))
		}
		made, isPlain := plainTime(record)
		if !isPlain {
			continue
		}
		f, rest, err := nextField(record)
		if err == nil && f.number == fieldCommitTime {
			require.EqualValues(t, f.varint, made, "seed %d", seed)
			f, _, err = nextField(rest)
		}
		if err != nil {
			continue // Decoding it says so.
		}
		_, decided, err := parseDecision(f.bytes)
		require.NoError(t, err)
		require.False(t, decided, "seed %d", seed)
	}
}

func TestTheRuleTakesWhatWasMadeOnTheLastCommit(t *testing.T) {
	at := moment{}
	commit := func(base uint64) *entry {
		return &entry{made: 1, decided: true, decision: decision{base: base}, mutations: []byte{1}}
	}
	for i, c := range []struct {
		sentence string
		e        *entry
		accepted bool
	}{
		{"the first commit is made on none", commit(0), true},
		{"a second first commit comes too late", commit(0), false},
		{"the next one is made on the first", commit(1), true},
		{"a no-op is no commit", &entry{decided: true, decision: decision{kind: 1}}, false},
		{"a command without mutations is none", &entry{decided: true, decision: decision{base: 3}}, false},
		{"a no-op and a refusal don't count", commit(3), true},
		{"nor is a commit made on a refused one", commit(2), false},
		{"nor on one that is yet to come", commit(9), false},
	} {
		var accepted bool
		at, accepted = at.after(uint64(i+1), c.e)
		require.Equal(t, c.accepted, accepted, c.sentence)
		require.EqualValues(t, i+1, at.offset)
	}
	require.EqualValues(t, 6, at.accepted)
	plain, accepted := at.after(9, &entry{made: 4})
	require.True(t, accepted, "a commit of a store that is no replica happens")
	require.Equal(t, moment{9, 4, 9}, plain)
}

func FuzzReadEntry(f *testing.F) {
	for seed := range uint64(20) {
		e := randomEntry(rand.New(rand.NewPCG(seed, 1)))
		f.Add(e.append(nil))
	}
	f.Fuzz(func(t *testing.T, record []byte) {
		allocated.Within(t, meant(record), func() { _, _, _ = decodeEntry(record, nil) })
		if e, err := readProposal(record); err == nil {
			require.Equal(t, record, newProposal(e.made, e.base, e.mutations))
		}
		entry := Entry{Data: record, AppendedAt: time.Unix(1, 0)}
		stored, err := entry.encode(7)
		if err != nil {
			require.ErrorIs(t, err, ErrVersion)
			return
		}
		// Whatever is appended, every reader of the log can read it.
		_, _, err = decodeEntry(stored, nil)
		require.NoError(t, err)
	})
}
