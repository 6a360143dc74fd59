package wal

import (
	"bytes"
	"errors"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/walnutkv/walnut/internal/allocated"
	"github.com/walnutkv/walnut/internal/vfs"
)

// FuzzFrameHead: whatever decodes encodes to the same bytes, and whatever is valid decodes to the same fields.
func FuzzFrameHead(f *testing.F) {
	f.Add(uint64(77), uint32(512), uint8(kindRecord), uint32(5), uint32(9), uint32(2), uint32(0xdeadbeef), []byte(nil))
	f.Add(uint64(1), uint32(9), uint8(kindMark), uint32(boundsSize), uint32(0), uint32(0), uint32(0), make([]byte, frameHeadSize))
	f.Add(uint64(0), uint32(0), uint8(0), uint32(0), uint32(0), uint32(0), uint32(0), []byte("short"))
	f.Add(exampleHead.salt, uint32(headSize/frameAlign), uint8(kindClosed), uint32(frameLengthMax), uint32(1), uint32(3), uint32(1),
		frameHead{kind: kindRecord, length: 5}.appendTo(nil, sumUint64(0, exampleHead.salt), headSize))
	f.Fuzz(func(t *testing.T, salt uint64, place uint32, kind uint8, length, index, back, sum uint32, raw []byte) {
		position := int64(place) * frameAlign
		head := frameHead{kind: frameKind(kind % 16), length: int(length % (frameLengthMax + 1)), index: index, back: back, sum: sum}
		encoded := head.appendTo(nil, sumUint64(0, salt), position)
		got, err := decodeFrameHead(encoded, sumUint64(0, salt), position)
		if err == nil {
			require.Equal(t, head, got)
			require.GreaterOrEqual(t, got.watermark(position), int64(0))
			require.Zero(t, got.size()%frameAlign)
		} else {
			require.ErrorIs(t, err, errNotFrame)
		}
		allocated.Within(t, len(raw), func() { _, _ = decodeFrameHead(raw, sumUint64(0, salt), position) })
		if got, err := decodeFrameHead(raw, sumUint64(0, salt), position); err == nil {
			require.Equal(t, raw[:frameHeadSize], got.appendTo(nil, sumUint64(0, salt), position))
		}
	})
}

// FuzzStoreHead is the same for a store's header; its checksum is made right as well, to get past it.
func FuzzStoreHead(f *testing.F) {
	f.Add(exampleHead.appendTo(nil))
	f.Add(make([]byte, headSize))
	f.Add([]byte(storeMagic))
	newer := exampleHead.appendTo(nil)
	newer[headVersionAt]++
	f.Add(newer)
	f.Fuzz(func(t *testing.T, raw []byte) {
		candidates := [][]byte{raw}
		if len(raw) >= headSize {
			candidates = append(candidates, resum(bytes.Clone(raw)))
		}
		for _, encoded := range candidates {
			allocated.Within(t, len(encoded), func() { _, _ = decodeStoreHead(encoded) })
			head, err := decodeStoreHead(encoded)
			if err != nil {
				continue
			}
			require.Equal(t, resum(encoded)[:headSize], head.appendTo(nil))
		}
	})
}

// FuzzIndex: whatever the bytes of an index, open and read answers stay as they are.
func FuzzIndex(f *testing.F) {
	s := newSpecimen(f, true)
	names := s.mem.Names()
	for i, name := range names {
		if isIndexFile(name) {
			data := must(s.mem.ReadFile(name))
			f.Add(uint8(i), data)
			f.Add(uint8(i), flip(data, 99))
			f.Add(uint8(i), data[:len(data)/2])
		}
	}
	f.Fuzz(func(t *testing.T, which uint8, data []byte) {
		name := names[int(which)%len(names)/2*2] // An index and a store take turns.
		require.True(t, isIndexFile(name))
		mem := s.mem.Clone()
		require.NoError(t, mem.WriteFile(name, data))
		requireThrifty(t, mem)
		got, err := s.judge(mem)
		require.NoError(t, err)
		require.Equal(t, whole, got)
	})
}

// FuzzStore puts arbitrary bytes after a valid header: raw ones, or frames that a script of bytes asks for, which check
// out and say what no log would say.
func FuzzStore(f *testing.F) {
	data := must(newSpecimen(f, true).mem.ReadFile(joinName(testDir, storeName(1))))
	f.Add(data[headSize:], false)
	f.Add(make([]byte, 200), false)
	f.Add([]byte("noise"), false)
	f.Add([]byte{opRecord, 5, opSync, 0, opRecord, 0, opMark, 0x12, opSeal, 0x12}, true)
	f.Add([]byte{opRecord, 200, opRecord, 1, opRoll, 0x12}, true)
	f.Add([]byte{opRecord, 9, opSync, 0, opRecord, 9, opRaw, 40, opRecord, 1, opSync, 0, opMark, 0x14, opZeros, 9}, true)
	f.Add([]byte{opRecord, 1, opRecord, 1, opRecord, 1, opSync, 0, opMark, 0x11, opZeros, 9}, true)
	f.Add([]byte{opMark, 0x10, opRecord, 3, opSkip, 1, opRecord, 3, opZeros, 9}, true)
	f.Add([]byte{opSeal, 0x10, opRecord, 3, opLie, 3, opZeros, 9, opRecord, 3}, true)
	f.Fuzz(func(t *testing.T, body []byte, script bool) {
		m := newImage()
		if script {
			m.play(body)
		} else {
			m.data = append(m.data, body...)
		}
		synctest.Test(t, func(t *testing.T) { requireHarmless(t, m.data) })
	})
}

// What a script can ask for; each is followed by a byte of argument.
const (
	opRecord = iota // A record of so many bytes.
	opSync          // What is there is durable from here on.
	opMark          // A mark whose first offset has four bits.
	opSeal
	opRoll
	opZeros // So many times 8 zeros.
	opRaw   // So many bytes of noise.
	opSkip  // The next offset is so many too high.
	opLie   // What is durable ends at so many times 8.
	opCount
)

// play lays out the frames that a script asks for.
func (m *image) play(script []byte) {
	for ; len(script) >= 2; script = script[2:] {
		argument := int(script[1])
		m.end = int64(len(m.data))
		switch script[0] % opCount {
		case opRecord:
			m.record(string(bytes.Repeat([]byte{'r'}, argument)))
		case opSync:
			m.sync()
		case opMark:
			m.bounds(kindMark, uint64(argument>>4))
		case opSeal:
			m.bounds(kindClosed, uint64(argument>>4))
		case opRoll:
			m.bounds(kindRolled, uint64(argument>>4))
		case opZeros:
			m.pad(argument * frameAlign)
		case opRaw:
			m.data = append(m.data, bytes.Repeat([]byte{0xa5}, argument)...)
		case opSkip:
			m.next += uint64(argument)
		case opLie:
			m.durable.set(int64(argument)*frameAlign, 0)
		}
	}
}

// requireHarmless opens and reads a log of one store in every way. It must not panic, nor allocate what the file can't
// account for; a refusal is one for damage, which Check finds too, and changes nothing; a log that opens is a log.
func requireHarmless(t *testing.T, data []byte) {
	mem := vfs.NewMem()
	require.NoError(t, mem.WriteFile(joinName(testDir, storeName(1)), data))
	before := contents(t, mem)
	requireThrifty(t, mem)
	violations, err := Check(testDir, testOptions(mem))
	require.NoError(t, err)
	seen := readEverything(t, readOnly(testOptions(mem)))
	require.Equal(t, before, contents(t, mem))

	l, err := Open(testDir, testOptions(mem))
	if err != nil {
		require.ErrorIs(t, err, ErrCorrupt)
		require.Equal(t, before, contents(t, mem), "a refusal changes nothing")
		require.True(t, len(violations) > 0 && violations[0].Damage, "Check finds what Open refuses: %v", violations)
		return
	}
	for _, v := range violations {
		require.False(t, v.Damage, "Open accepts what Check calls damage: %s", v)
	}
	offset, err := l.Append([]byte("one more"))
	require.NoError(t, err)
	require.EqualValues(t, len(seen)+1, offset-l.First()+1)
	require.NoError(t, l.Close())
	again := readEverything(t, testOptions(mem))
	require.Equal(t, append(seen, "one more"), again)
}

// requireThrifty checks a log, reads it and opens it for writing, and limits what each of these allocates.
func requireThrifty(t *testing.T, mem *vfs.Mem) {
	t.Helper()
	allocated.WithinFiles(t, mem, 0, func(mem *vfs.Mem) { _, _ = Check(testDir, testOptions(mem)) })
	for _, isReading := range []bool{true, false} {
		allocated.WithinFiles(t, mem, 0, func(mem *vfs.Mem) {
			opts := testOptions(mem)
			opts.ReadOnly = isReading
			l, err := Open(testDir, opts)
			if err != nil {
				return
			}
			for range l.Records(l.First()) {
			}
			require.NoError(t, l.Close())
		})
	}
}

// readEverything opens a log and returns the payloads up to the first that can't be read; nil where it doesn't open.
func readEverything(t *testing.T, opts Options) (payloads []string) {
	l, err := Open(testDir, opts)
	if err != nil {
		require.ErrorIs(t, err, ErrCorrupt)
		return nil
	}
	for record, err := range l.Records(l.First()) {
		if err != nil {
			require.ErrorIs(t, err, ErrCorrupt)
			break
		}
		payloads = append(payloads, string(record.Payload))
		payload, err := l.Read(record.Offset)
		require.NoError(t, err)
		require.Equal(t, string(record.Payload), string(payload))
	}
	_, err = l.Read(l.Last() + 1)
	require.True(t, errors.Is(err, ErrOutOfRange) || errors.Is(err, ErrCorrupt), "%v", err)
	require.NoError(t, l.Close())
	return payloads
}
