// Package snapshot keeps and moves the state of a store as of one offset: opaque entries, each a key and data, in
// ascending order of their keys, in compressed blocks. The same bytes are a file, which is written once and never changed,
// and a stream: a backup is a snapshot that goes to an io.Writer.
//
//	header    whose state this is, as of which offset
//	block 1   entries, compressed, with a checksum
//	block 2
//	…
//	trailer   a row for each block (sizes, checksum, first key), counts, checksum of the whole
//	footer    where the trailer is
//
// A file is read from its end: Open checks header, footer and trailer before it hands out anything, and from then on
// each block can be read and checked alone, in parallel or by key. A stream is read from its start, and only its end
// tells whether it was whole.
//
// Its use, with a directory of snapshots:
//
//	header := snapshot.Header{ID: store, Offset: 1000, Time: time.Now()}
//	path, info, err := snapshot.Write(ctx, nil, dir, header, snapshot.Options{}, entries)
//	if err != nil {
//		return err // nothing has changed
//	}
//	file, err := snapshot.Open(nil, path)
//	if err != nil {
//		return err // a *snapshot.CorruptError where the file is damaged
//	}
//	defer file.Close()
//	for entry, err := range file.Entries(0) {
//		… // entry.Key and entry.Data are valid until the next one
//	}
//	data, found, err := file.Get(key)
//
// and with a stream:
//
//	writer, err := snapshot.NewWriter(w, header, snapshot.Options{})
//	err = writer.Add(key, data)
//	err = writer.Close()
//
//	reader, err := snapshot.NewReader(r, snapshot.Options{})
//	for entry, err := range reader.Entries() {
//		… // nothing is certain before the last one
//	}
//
// # Concurrency
//
// The methods of a File may be called concurrently. A Writer and a Reader belong to one goroutine each; they compress and
// decompress in others, but use the io.Writer or io.Reader in no other, and only within a call. One process at a time may
// change a directory of snapshots; nothing here checks that.
//
// # Damage
//
// Bytes are checked before they are believed: whatever a file holds, it is refused with a *CorruptError that says where
// it is wrong, or what it gives is what was written. A length is compared with the bytes that are there before memory is
// set aside for it, so reading takes a few blocks of memory and a row for each block. A block over MaxBlockSize is believed
// to be at most 256 times as large as its stored bytes.
//
// docs/snapshot.md describes the bytes.
package snapshot
