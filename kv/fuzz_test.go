package kv

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"testing"
	"time"
	"unsafe"

	"github.com/stretchr/testify/require"

	"github.com/walnutkv/walnut/internal/allocated"
	"github.com/walnutkv/walnut/internal/vfs"
	"github.com/walnutkv/walnut/snapshot"
	"github.com/walnutkv/walnut/wal"
)

// cutPieces cuts bytes into pieces whose lengths are the bytes before them.
func cutPieces(data []byte) (pieces [][]byte) {
	for len(data) > 0 {
		size := min(int(data[0]), len(data)-1)
		pieces, data = append(pieces, data[1:1+size]), data[1+size:]
	}
	return pieces
}

// joinPieces is the inverse of cutPieces.
func joinPieces(pieces ...[]byte) (data []byte) {
	for _, piece := range pieces {
		data = append(append(data, byte(len(piece))), piece...)
	}
	return data
}

// meant returns how many bytes reading some records has to account for: their own, and the mutations that they say they have.
func meant(records ...[]byte) (size int) {
	for _, record := range records {
		size += len(record)
		_, _ = visitRecord(record, func(Mutation) { size += int(unsafe.Sizeof(Mutation{})) })
	}
	return size
}

// encodeSnapshot returns a snapshot, whose entries have every second piece as their key.
func encodeSnapshot(t *testing.T, h snapshot.Header, pieces [][]byte) []byte {
	t.Helper()
	var stream bytes.Buffer
	w, err := snapshot.NewWriter(&stream, h, snapshot.Options{})
	require.NoError(t, err)
	var last []byte
	for i := 1; i < len(pieces); i += 2 {
		if key := pieces[i-1]; last == nil || bytes.Compare(last, key) < 0 {
			require.NoError(t, w.Add(key, pieces[i]))
			last = key
		}
	}
	require.NoError(t, w.Close())
	return stream.Bytes()
}

// fuzzedStore makes a store of a log with some records and a snapshot with some entries, and puts junk over one of its files. It returns
// also how much memory what the records say has to take.
func fuzzedStore(t *testing.T, records, entries []byte, offset, which uint8, at uint32, junk []byte) (mem *vfs.Mem, means int) {
	t.Helper()
	pieces := cutPieces(records)
	mem = vfs.NewMem()
	require.NoError(t, mem.MkdirAll(storeDir))
	log, err := wal.Open(filepath.Join(storeDir, walName), memOptions(mem).log(storeDir))
	require.NoError(t, err)
	for _, record := range pieces {
		_, err := log.Append(record)
		require.NoError(t, err)
	}
	id := log.ID()
	require.NoError(t, log.Close())
	if offset > 0 {
		h := snapshot.Header{Kind: kindPairs, ID: id, Offset: uint64(offset), Time: time.Unix(0, 1).UTC()}
		require.NoError(t, mem.WriteFile(snapshotPath(uint64(offset)), encodeSnapshot(t, h, cutPieces(entries))))
	}
	names := mem.Names()
	litter(t, mem, names[int(which)%len(names)], int(at), junk)
	return mem, meant(pieces...)
}

// litter puts junk somewhere over a file, which may become longer.
func litter(t *testing.T, mem *vfs.Mem, name string, at int, junk []byte) {
	t.Helper()
	data, err := mem.ReadFile(name)
	require.NoError(t, err)
	at %= len(data) + 1
	data = append(data[:at:at], append(junk, data[min(len(data), at+len(junk)):]...)...)
	require.NoError(t, mem.WriteFile(name, data))
}

// isRefusal reports whether an error says that a store can't be opened because of what is in its files.
func isRefusal(err error) bool {
	return slices.ContainsFunc([]error{ErrCorrupt, ErrVersion, ErrReplica, ErrNotStore}, func(refusal error) bool { return errors.Is(err, refusal) })
}

// FuzzOpen opens stores of any bytes, for reading and for writing, and checks them. The records of the log and the entries of the
// snapshot are any bytes under right checksums, and over one of the files there may be junk. Nothing may panic or take memory that
// the bytes don't account for, and all that looks at the store must agree.
func FuzzOpen(f *testing.F) {
	put := appendRecord(nil, 1, []Mutation{{Kind: MutationPut, Key: []byte("k"), Value: []byte("v")}})
	del := appendRecord(nil, 2, []Mutation{{Kind: MutationDeleteRange, Key: []byte("a"), End: []byte("z")}})
	entry := newProposal(3, 1, []byte("no mutation"))
	pair := []byte("\x00v")
	f.Add(joinPieces(put, del, put), []byte(nil), uint8(0), uint8(0), uint32(0), []byte(nil))
	f.Add(joinPieces(put, del, put), joinPieces([]byte("k"), pair), uint8(2), uint8(0), uint32(0), []byte(nil))
	f.Add(joinPieces(put, del, put), joinPieces([]byte("k"), pair), uint8(9), uint8(0), uint32(0), []byte(nil))
	f.Add(joinPieces(put, entry), joinPieces([]byte("k"), nil, nil, pair), uint8(1), uint8(2), uint32(90), []byte("junk"))
	f.Add(joinPieces(put, []byte("\x12\x02\x08\x05")), []byte(nil), uint8(0), uint8(1), uint32(120), make([]byte, 64))
	f.Fuzz(func(t *testing.T, records, entries []byte, offset, which uint8, at uint32, junk []byte) {
		mem, means := fuzzedStore(t, records, entries, offset, which, at, junk)
		opts := manual(mem)
		opts.Clock, opts.sweepByHand = fixedClock(1), true
		reading := opts
		reading.ReadOnly = true
		before := contentOf(t, mem)
		shown, refused := requireThriftyOpen(t, reading, means)
		violations, checkErr := Check(t.Context(), storeDir, opts)
		require.True(t, checkErr == nil || isRefusal(checkErr), "%v", checkErr)
		require.Equal(t, before, contentOf(t, mem), "reading changes nothing")
		isDamaged := slices.ContainsFunc(violations, func(v Violation) bool { return v.Damage })
		if refused != nil {
			require.True(t, isDamaged || checkErr != nil, "%v: check finds nothing", refused)
		}
		requireThriftyOpen(t, opts, means)
		requireGoesOn(t, opts, shown, refused)
	})
}

// requireThriftyOpen opens a store and returns what it shows, or why it is refused.
func requireThriftyOpen(t *testing.T, opts Options, means int) (shown string, refused error) {
	t.Helper()
	allocated.WithinFiles(t, opts.fs.(*vfs.Mem), means, func(mem *vfs.Mem) {
		opts.fs = mem
		db, err := Open(storeDir, opts)
		if refused = err; err == nil {
			shown = fmt.Sprint(db.Offset(), " ", pairsOf(db))
			require.NoError(t, db.Close())
		}
	})
	require.True(t, refused == nil || isRefusal(refused), "%v", refused)
	return shown, refused
}

// requireGoesOn opens a store for writing, which must show what reading shows, and goes on with it.
func requireGoesOn(t *testing.T, opts Options, shown string, refused error) {
	t.Helper()
	db, err := Open(storeDir, opts)
	require.Equal(t, refused == nil, err == nil, "for reading %v, for writing %v", refused, err)
	if err != nil {
		return
	}
	require.Equal(t, shown, fmt.Sprint(db.Offset(), " ", pairsOf(db)))
	put(t, db, "and", "on")
	want := pairsOf(db)
	require.NoError(t, db.Close())
	db, err = Open(storeDir, opts)
	require.NoError(t, err)
	require.Equal(t, want, pairsOf(db))
	require.NoError(t, db.Close())
}

// FuzzRestore restores streams: any bytes, or entries of any bytes in streams that are whole. What can't be restored leaves nothing,
// and what is restored is a sound store as of the offset that was returned.
func FuzzRestore(f *testing.F) {
	backup, increment, _, _ := smallBackup(f)
	f.Add(backup, increment, uint8(0), uint8(0))
	f.Add(backup, []byte(nil), uint8(0), uint8(0))
	f.Add(backup[:len(backup)/2], increment, uint8(0), uint8(0))
	f.Add(increment, backup, uint8(0), uint8(0))
	pair := []byte("\x0ev")
	put := appendRecord(nil, 1, []Mutation{{Kind: MutationPut, Key: []byte("k"), Value: []byte("v")}})
	f.Add(joinPieces([]byte("a"), pair, []byte("b"), pair), joinPieces(binary.BigEndian.AppendUint64(nil, 4), put), uint8(3), uint8(4))
	f.Add(joinPieces([]byte("a"), nil), []byte(nil), uint8(3), uint8(3))
	f.Fuzz(func(t *testing.T, backup, increment []byte, from, to uint8) {
		size := len(backup) + len(increment)
		if from > 0 { // The bytes are entries.
			pieces := cutPieces(increment)
			size += meant(pieces...)
			h := snapshot.Header{Kind: kindPairs, ID: [16]byte{1}, Offset: uint64(from), Time: time.Unix(0, 1).UTC()}
			backup = encodeSnapshot(t, h, cutPieces(backup))
			if len(pieces) > 0 {
				h.Kind, h.From, h.Offset = kindRecords, uint64(from), max(uint64(from), uint64(to))
				increment = encodeSnapshot(t, h, pieces)
			}
			size += len(backup) + len(increment)
		}
		opts := RestoreOptions{}
		var offset uint64
		var err error
		allocated.Within(t, size, func() {
			opts.fs, opts.Increments = vfs.NewMem(), nil
			if len(increment) > 0 {
				opts.Increments = append(opts.Increments, bytes.NewReader(increment))
			}
			offset, err = Restore(t.Context(), bytes.NewReader(backup), storeDir, opts)
		})
		if err != nil {
			require.True(t, isRefusal(err) || errors.Is(err, ErrMismatch), "%v", err)
			require.Empty(t, opts.fs.(*vfs.Mem).Names())
			return
		}
		db, err := Open(storeDir, manual(opts.fs.(*vfs.Mem)))
		require.NoError(t, err)
		require.Equal(t, offset, db.Offset())
		require.NoError(t, db.Close())
		requireSound(t, storeDir, manual(opts.fs.(*vfs.Mem)))
	})
}

// FuzzRepair puts junk over two files of a store, plans a repair, which must take no more memory than the store accounts for, and
// applies it: the store opens and shows what the plan said.
func FuzzRepair(f *testing.F) {
	f.Add(uint8(0), uint32(100), []byte{0, 0, 0, 0, 0, 0, 0, 0}, uint8(0), uint32(0), []byte(nil))
	f.Add(uint8(1), uint32(0), []byte("WALNUTWL"), uint8(2), uint32(300), []byte("noise"))
	f.Add(uint8(2), uint32(84), []byte{0xff, 0xff, 0xff, 0x1f}, uint8(3), uint32(20), make([]byte, 40))
	var whole *repairStore
	f.Fuzz(func(t *testing.T, which uint8, at uint32, junk []byte, which2 uint8, at2 uint32, junk2 []byte) {
		if whole == nil {
			whole = newRepairStore(t, rand.New(rand.NewPCG(1, 1)))
		}
		s := *whole
		s.mem = whole.mem.Clone()
		s.opts.fs = s.mem
		names := s.names(".store", ".snap", ".index")
		litter(t, s.mem, names[int(which)%len(names)], int(at), junk)
		litter(t, s.mem, names[int(which2)%len(names)], int(at2), junk2)
		allocated.WithinFiles(t, s.mem, 0, func(mem *vfs.Mem) {
			opts := s.opts
			opts.fs = mem
			_, _ = PlanRepair(t.Context(), storeDir, opts)
		})
		s.repair(t, "junk")
	})
}
