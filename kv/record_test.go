package kv

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/walnutkv/walnut/internal/allocated"
	"github.com/walnutkv/walnut/kv/kvpb"
)

// toSchema says in the schema's generated code what record.go encodes.
func toSchema(timeUnixNano int64, mutations []Mutation) *kvpb.Commit {
	commit := &kvpb.Commit{TimeUnixNano: timeUnixNano}
	for _, m := range mutations {
		commit.Mutations = append(commit.Mutations, &kvpb.Mutation{
			Kind: kvpb.Kind(m.Kind), Key: m.Key, Value: m.Value, End: m.End, DeadlineUnixNano: unixNano(m.Deadline),
		})
	}
	return commit
}

func randomBytes(random *rand.Rand, sizeMin, sizeMax int) []byte {
	b := make([]byte, sizeMin+random.IntN(sizeMax-sizeMin+1))
	for i := range b {
		b[i] = byte(random.Uint32())
	}
	return b
}

// randomMutations returns mutations as a batch would hold them.
func randomMutations(random *rand.Rand) []Mutation {
	var b Batch
	for range random.IntN(8) {
		key, other := randomBytes(random, 1, 40), randomBytes(random, 0, 300)
		switch random.IntN(4) {
		case 0:
			b.Put(key, other)
		case 1:
			b.PutDeadline(key, other, time.Unix(0, int64(random.Uint64())))
		case 2:
			b.Delete(key)
		case 3:
			b.DeleteRange(key[:random.IntN(len(key))], other)
		}
	}
	return mutationsOf(&b)
}

func TestKindsAreThoseOfTheSchema(t *testing.T) {
	require.EqualValues(t, kvpb.Kind_KIND_PUT, MutationPut)
	require.EqualValues(t, kvpb.Kind_KIND_DELETE, MutationDelete)
	require.EqualValues(t, kvpb.Kind_KIND_DELETE_RANGE, MutationDeleteRange)
	require.EqualValues(t, kvpb.Kind_KIND_DECISION, kindDecision)
	require.Len(t, kvpb.Kind_name, 5, "a kind that was added to the schema needs a MutationKind")
}

func TestRecordIsWhatTheSchemaSays(t *testing.T) {
	for seed := range uint64(2000) {
		random := rand.New(rand.NewPCG(seed, 0))
		timeUnixNano, mutations := int64(random.Uint64()), randomMutations(random)
		if seed%10 == 0 {
			timeUnixNano = 0
		}
		replay := fmt.Sprintf("seed %d", seed)

		record := appendRecord([]byte("before"), timeUnixNano, mutations)[len("before"):]
		want, err := proto.MarshalOptions{Deterministic: true}.Marshal(toSchema(timeUnixNano, mutations))
		require.NoError(t, err)
		require.Equal(t, string(want), string(record), replay)

		var schema kvpb.Commit
		require.NoError(t, proto.Unmarshal(record, &schema), replay)
		require.True(t, proto.Equal(toSchema(timeUnixNano, mutations), &schema), replay)

		gotTime, got, err := decodeRecord(record, nil)
		require.NoError(t, err, replay)
		require.Equal(t, timeUnixNano, gotTime, replay)
		require.True(t, proto.Equal(toSchema(gotTime, got), &schema), replay)
	}
}

func TestDecodedMutationsOwnTheirMemory(t *testing.T) {
	var b Batch
	b.Put([]byte("key"), []byte("value"))
	record := appendRecord(nil, 1, mutationsOf(&b))
	_, got, err := decodeRecord(record, nil)
	require.NoError(t, err)
	clear(record)
	require.Equal(t, "key", string(got[0].Key))
	require.Equal(t, "value", string(got[0].Value))
	require.Equal(t, len(got[0].Key), cap(got[0].Key), "an append to the key must not reach the value")
}

func TestDecodeSkipsWhatItDoesNotKnow(t *testing.T) {
	var b Batch
	b.Put([]byte("key"), []byte("value"))
	mutation := appendMutation(nil, &mutationsOf(&b)[0])
	mutation = protowire.AppendFixed64(protowire.AppendTag(mutation, 77, protowire.Fixed64Type), 7)
	record := protowire.AppendVarint(protowire.AppendTag(nil, 99, protowire.VarintType), 7)
	record = protowire.AppendBytes(protowire.AppendTag(record, fieldCommitMutations, protowire.BytesType), mutation)
	record = protowire.AppendBytes(protowire.AppendTag(record, 100, protowire.BytesType), []byte("new"))

	_, got, err := decodeRecord(record, nil)
	require.NoError(t, err)
	require.Equal(t, mutationsOf(&b), got)
}

// encodeMutations builds a record from mutations that are already encoded.
func encodeMutations(encoded ...[]byte) []byte {
	var record []byte
	for _, m := range encoded {
		record = protowire.AppendBytes(protowire.AppendTag(record, fieldCommitMutations, protowire.BytesType), m)
	}
	return record
}

func TestDecodeRefuses(t *testing.T) {
	put := &Mutation{Kind: MutationPut, Key: []byte("k")}
	varintKey := protowire.AppendVarint(protowire.AppendTag([]byte{0x08, 0x01}, fieldMutationKey, protowire.VarintType), 1)
	cases := []struct {
		sentence string
		record   []byte
		want     error
	}{
		{"a mutation without a kind", encodeMutations(appendMutation(nil, &Mutation{Key: []byte("k")})), errNoKind},
		{"a mutation without anything", encodeMutations(nil), errNoKind},
		{"a kind of a newer version", encodeMutations(appendMutation(nil, &Mutation{Kind: 4, Key: []byte("k")})), ErrVersion},
		{"a kind that is a known one in its low bits", encodeMutations([]byte{0x08, 0x81, 0x80, 0x80, 0x80, 0x10}), ErrVersion},
		{"a put without a key", encodeMutations(appendMutation(nil, &Mutation{Kind: MutationPut})), errNoKey},
		{"a delete without a key", encodeMutations(appendMutation(nil, &Mutation{Kind: MutationDelete})), errNoKey},
		{"a key that is a number", encodeMutations(varintKey), errFieldType},
		{"a time that is bytes", protowire.AppendBytes(protowire.AppendTag(nil, fieldCommitTime, protowire.BytesType), nil), errFieldType},
		{"mutations that are a number", []byte{0x10, 0x00}, errFieldType},
		{"a second mutation that is bad", encodeMutations(appendMutation(nil, put), nil), errNoKind},
		{"field number zero", []byte{0x00, 0x00}, nil},
		{"a length that lies by far", []byte{0x12, 0xff, 0xff, 0xff, 0xff, 0x7f}, nil},
		{"a group that never ends", []byte{0x1b, 0x1b, 0x1b}, nil},
		{"a varint that never ends", []byte{0x08, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, nil},
	}
	for _, c := range cases {
		t.Run(c.sentence, func(t *testing.T) {
			_, _, err := decodeRecord(c.record, nil)
			require.Error(t, err)
			if c.want != nil {
				require.ErrorIs(t, err, c.want)
			}
			require.Equal(t, c.want == ErrVersion, errors.Is(err, ErrVersion), "what is taken for newer")
		})
	}
}

func TestDecodeRefusesARecordCutAnywhereInsideAField(t *testing.T) {
	var b Batch
	b.PutDeadline([]byte("key"), []byte("value"), time.Unix(1, 0))
	record := appendRecord(nil, math.MaxInt64, mutationsOf(&b))
	atField := len(appendVarintField(nil, fieldCommitTime, math.MaxInt64))
	for length := range record {
		_, _, err := decodeRecord(record[:length], nil)
		if length == 0 || length == atField {
			require.NoError(t, err, "between two fields nothing is missing that the record could know of")
			continue
		}
		require.Error(t, err, "cut at %d", length)
	}
}

func FuzzDecodeRecord(f *testing.F) {
	for seed := range uint64(20) {
		random := rand.New(rand.NewPCG(seed, 1))
		f.Add(appendRecord(nil, int64(random.Uint64()), randomMutations(random)))
	}
	f.Add([]byte{0x12, 0x02, 0x08, 0x05})
	f.Fuzz(func(t *testing.T, record []byte) {
		allocated.Within(t, meant(record), func() { _, _, _ = decodeRecord(record, nil) })
		timeUnixNano, mutations, err := decodeRecord(record, nil)
		if err != nil {
			return
		}
		// What is taken is taken by the schema's own code too, with the same meaning.
		var schema kvpb.Commit
		require.NoError(t, proto.Unmarshal(record, &schema))
		require.Equal(t, schema.TimeUnixNano, timeUnixNano)
		require.Len(t, mutations, len(schema.Mutations))
		for i, m := range mutations {
			require.EqualValues(t, schema.Mutations[i].Kind, m.Kind)
			require.Equal(t, string(schema.Mutations[i].Key), string(m.Key))
		}
		// And it has one canonical form, which means the same.
		again := appendRecord(nil, timeUnixNano, mutations)
		againTime, againMutations, err := decodeRecord(again, nil)
		require.NoError(t, err)
		require.Equal(t, timeUnixNano, againTime)
		require.Equal(t, mutations, againMutations)
	})
}

func BenchmarkRecordOfOnePut(b *testing.B) {
	var batch Batch
	key, value := make([]byte, 16), make([]byte, 100)
	var record []byte
	b.ReportAllocs()
	for b.Loop() {
		batch.Reset()
		batch.Put(key, value)
		record = batch.recordAt(1700000000000000000)
	}
	b.SetBytes(int64(len(record)))
}

func BenchmarkDecodeRecordOfOnePut(b *testing.B) {
	var batch Batch
	batch.Put(make([]byte, 16), make([]byte, 100))
	record := appendRecord(nil, 1700000000000000000, mutationsOf(&batch))
	var mutations []Mutation
	b.ReportAllocs()
	for b.Loop() {
		_, mutations, _ = decodeRecord(record, mutations[:0])
	}
	b.SetBytes(int64(len(record)))
}
