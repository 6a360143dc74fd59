package wal

import (
	"encoding/binary"
	"hash/crc32"
	"math"
	"testing"

	"github.com/stretchr/testify/require"
)

// resum makes an encoded store header check out again after its bytes were changed.
func resum(encoded []byte) []byte {
	binary.LittleEndian.PutUint32(encoded[headSumAt:], crc32.Checksum(encoded[:headSumAt], castagnoli))
	return encoded
}

func TestStoreHeadIsReadBack(t *testing.T) {
	for _, head := range []storeHead{
		exampleHead,
		{salt: 1, base: 1, first: 1},
		{salt: math.MaxUint64, base: math.MaxInt64, first: math.MaxInt64, generation: math.MaxUint64, prevSalt: math.MaxUint64, prevEnd: math.MaxUint32, prevChain: math.MaxUint32},
		{id: [16]byte{15: 1}, salt: 7, base: 1000, first: 3, generation: 2, prevSalt: 6, prevEnd: 88, prevChain: 5},
	} {
		encoded := head.appendTo([]byte("before it"))[len("before it"):]
		require.Len(t, encoded, headSize)
		got, err := decodeStoreHead(encoded)
		require.NoError(t, err)
		require.Equal(t, head, got)
	}
}

func TestStoreHeadThatDoesNotCheckOutIsRefused(t *testing.T) {
	valid := storeHead{salt: 7, base: 1000, first: 3}
	tests := []struct {
		sentence string
		change   func(encoded []byte) []byte
		want     string
	}{
		{"a file too short for a header says how short", func(b []byte) []byte { return b[:headSize-1] }, "79 bytes"},
		{"an empty file is too short", func([]byte) []byte { return nil }, "0 bytes"},
		{"another program's file is recognised by its first bytes, which are not quoted", func(b []byte) []byte { return resum(append([]byte("PK\x03\x04...."), b[8:]...)) }, "not a store file"},
		{"zeros are no store", func([]byte) []byte { return make([]byte, headSize) }, "not a store file"},
		{"a wrong checksum says both", func(b []byte) []byte { b[headBaseAt]++; return b }, "checksum"},
		{"version 0 is what zeros look like", func(b []byte) []byte { b[headVersionAt] = 0; return resum(b) }, "format 0"},
		{"version 1 had its checksum elsewhere", func(b []byte) []byte { b[headVersionAt] = 1; return resum(b) }, "format 1"},
		{"a newer version whose checksum is wrong is damage", func(b []byte) []byte { b[headVersionAt]++; return b }, "checksum"},
		{"salt 0 is what zeros look like", func(b []byte) []byte { clear(b[headSaltAt:headBaseAt]); return resum(b) }, "salt 0"},
		{"offset 0 is no base", func(b []byte) []byte { clear(b[headBaseAt:headFirstAt]); return resum(b) }, "base 0"},
		{"offset 0 is never held", func(b []byte) []byte { clear(b[headFirstAt:headGenerationAt]); return resum(b) }, "first 0"},
		{"a log can't begin after its segment", func(b []byte) []byte { b[headFirstAt+1] = 99; return resum(b) }, "makes no sense"},
	}
	for _, test := range tests {
		t.Run(test.sentence, func(t *testing.T) {
			_, err := decodeStoreHead(test.change(valid.appendTo(nil)))
			require.ErrorContains(t, err, test.want)
			require.NotErrorIs(t, err, ErrVersion)
		})
	}
}

func TestStoreHeadOfANewerVersionSaysSo(t *testing.T) {
	encoded := exampleHead.appendTo(nil)
	encoded[headVersionAt] = storeVersion + 1
	_, err := decodeStoreHead(resum(encoded))
	require.ErrorIs(t, err, ErrVersion)
	require.ErrorContains(t, err, "the store has format 3, this program reads format 2: a newer program wrote it, and is needed to open it")
}

func TestFrameHeadIsReadBackAtItsPlaceAlone(t *testing.T) {
	const salt, position = 77, 4096
	for _, head := range []frameHead{
		{kind: kindRecord},
		{kind: kindRecord, length: frameLengthMax, index: math.MaxUint32, back: position / frameAlign, sum: math.MaxUint32},
		{kind: kindMark, length: boundsSize, index: 3, back: 1, sum: 5},
		{kind: kindClosed, length: boundsSize},
		{kind: kindRolled, length: boundsSize},
	} {
		encoded := head.appendTo([]byte("before"), sumUint64(0, salt), position)[len("before"):]
		require.Len(t, encoded, frameHeadSize)
		got, err := decodeFrameHead(encoded, sumUint64(0, salt), position)
		require.NoError(t, err)
		require.Equal(t, head, got)

		for _, place := range []struct{ salt, position uint64 }{{salt + 1, position}, {salt, position + 8}, {position, salt}, {0, 0}} {
			_, err = decodeFrameHead(encoded, sumUint64(0, place.salt), int64(place.position))
			require.ErrorIs(t, err, errNotFrame, "%s at %v", head.kind, place)
		}
	}
}

func TestFrameHeadThatMakesNoSenseIsNoFrame(t *testing.T) {
	const salt, position = 77, 4096
	tests := []struct {
		sentence string
		head     frameHead
	}{
		{"kind 0 is what was never written", frameHead{}},
		{"a kind that this version doesn't know", frameHead{kind: kindRolled + 1}},
		{"a watermark before the file", frameHead{kind: kindRecord, back: position/frameAlign + 1}},
		{"a mark of another length", frameHead{kind: kindMark, length: boundsSize + 1}},
		{"a seal without a payload", frameHead{kind: kindClosed}},
	}
	for _, test := range tests {
		_, err := decodeFrameHead(test.head.appendTo(nil, sumUint64(0, salt), position), sumUint64(0, salt), position)
		require.ErrorIs(t, err, errNotFrame, test.sentence)
	}
	_, err := decodeFrameHead(frameHead{kind: kindRecord}.appendTo(nil, sumUint64(0, salt), position)[:frameHeadSize-1], sumUint64(0, salt), position)
	require.ErrorIs(t, err, errNotFrame, "a header cut short")
}

// TestFrameSumsCoverEveryByte flips each bit of a frame's header, of a payload, and of its padding.
func TestFrameSumsCoverEveryByte(t *testing.T) {
	const salt, position = 77, 4096
	head := frameHead{kind: kindRecord, length: 5, index: 9, back: 2, sum: payloadSum([]byte("bytes"))}
	encoded := head.appendTo(nil, sumUint64(0, salt), position)
	for bit := range frameHeadSize * 8 {
		_, err := decodeFrameHead(flip(encoded, bit), sumUint64(0, salt), position)
		require.ErrorIs(t, err, errNotFrame, "bit %d", bit)
	}
	padded := append([]byte("bytes"), make([]byte, 7)...)
	require.EqualValues(t, frameHeadSize+len(padded), head.size())
	require.Equal(t, head.sum, payloadSumPadded(padded))
	for bit := range len(padded) * 8 {
		require.NotEqual(t, head.sum, payloadSumPadded(flip(padded, bit)), "bit %d", bit)
	}
}

func TestFramesAreAligned(t *testing.T) {
	for length := range 100 {
		size := frameSize(length)
		require.Zero(t, size%frameAlign)
		require.GreaterOrEqual(t, size, int64(frameHeadSize+length))
		require.Less(t, size, int64(frameHeadSize+length+frameAlign))
	}
	require.EqualValues(t, boundsFrameSize, frameSize(boundsSize))
	require.Zero(t, headSize%frameAlign, "the first frame is aligned too")
	require.Greater(t, frameSize(frameLengthMax), int64(frameLengthMax))
}

func TestBoundsAreReadBack(t *testing.T) {
	for _, b := range []bounds{{first: 1, chain: 3}, {first: 1}, {first: math.MaxUint64, chain: math.MaxUint32}} {
		encoded := b.encode()
		got, err := decodeBounds(encoded[:])
		require.NoError(t, err)
		require.Equal(t, b, got)
	}
}

func TestBoundsThatMakeNoSenseAreRefused(t *testing.T) {
	for _, test := range []struct {
		sentence string
		bounds   bounds
	}{
		{"no record has offset 0", bounds{first: 0, chain: 3}},
		{"a log begins with its next record at the latest", bounds{first: 8, chain: 3}},
		{"the chain is that of the frames before it", bounds{first: 7, chain: 4}},
	} {
		encoded := test.bounds.encode()
		_, err := frame{frameHead: frameHead{kind: kindMark}, offset: 7, payload: encoded[:]}.bounds(3)
		require.Error(t, err, test.sentence)
	}
	_, err := decodeBounds(make([]byte, boundsSize-1))
	require.ErrorContains(t, err, "11 bytes")
}

// TestChainTellsApartWhatFramesSay is why a segment that was rolled back to an older copy is noticed.
func TestChainTellsApartWhatFramesSay(t *testing.T) {
	seen := map[uint32]string{}
	for _, payload := range []string{"", "a", "b", "ab", "a\x00"} {
		head := frameHead{kind: kindRecord, length: len(payload), sum: payloadSum([]byte(payload))}
		chain := extendChain(7, head.appendTo(nil, 1, headSize))
		require.NotContains(t, seen, chain, "%q and %q", payload, seen[chain])
		seen[chain] = payload
	}
}

func TestKindsHaveNames(t *testing.T) {
	require.Equal(t, "record", kindRecord.String())
	require.Equal(t, "mark", kindMark.String())
	require.Equal(t, "seal of a close", kindClosed.String())
	require.Equal(t, "seal of a roll", kindRolled.String())
	require.Equal(t, "kind 9", frameKind(9).String())
}
