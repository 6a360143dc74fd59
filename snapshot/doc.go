// Package snapshot keeps and moves the state of a store as of one offset: opaque entries, each a key and data, in
// ascending order of their keys, in compressed blocks. The same bytes serve as a file, which is written once and never
// changed, and as a stream: a backup is a snapshot written to an io.Writer.
//
//	header    the store's identity, and the offset that this is the state of
//	block 1   entries, compressed, with a checksum
//	block 2
//	…
//	trailer   a row for each block (sizes, checksum, first key), counts, checksum of the whole
//	footer    where the trailer is
//
// A file is read from its end: Open checks header, footer and trailer before it returns anything, and from then on each
// block can be read and checked alone, in parallel or by key. A stream is read from its start, and only its end shows that
// it was whole.
//
// Use with a directory of snapshots:
//
//	header := snapshot.Header{ID: store, Offset: 1000, Time: time.Now()}
//	path, info, err := snapshot.Write(ctx, nil, dir, header, snapshot.Options{}, entries)
//	if err != nil {
//		return err // no snapshot was written
//	}
//	file, err := snapshot.Open(nil, path)
//	if err != nil {
//		return err // a *snapshot.CorruptError if the file is damaged
//	}
//	defer file.Close()
//	for entry, err := range file.Entries(0) {
//		… // entry.Key and entry.Data are valid until the next one
//	}
//	data, found, err := file.Get(key)
//
// Use with a stream:
//
//	writer, err := snapshot.NewWriter(w, header, snapshot.Options{})
//	err = writer.Add(key, data)
//	err = writer.Close()
//
//	reader, err := snapshot.NewReader(r, snapshot.Options{})
//	for entry, err := range reader.Entries() {
//		… // the stream may prove damaged until the loop ends without an error
//	}
//
// # Concurrency
//
// The methods of a File may be called concurrently. A Writer and a Reader belong to one goroutine each. They compress and
// decompress in other goroutines, but use the io.Writer or io.Reader only in the caller's, and only within a call. One
// process at a time may change a directory of snapshots; this package doesn't check that.
//
// # Damage
//
// Bytes are checked before they are used. A reader returns what was written, or a *CorruptError that says where the bytes
// are wrong. A length is compared with the bytes left before memory is allocated for it, so reading takes the memory of a
// few blocks and of a row for each block. A block over MaxBlockSize is refused if it claims more than 256 times the size of
// its stored bytes.
//
// Open checks all but the blocks. File.VerifySums compares each block with its checksum, and File.Verify decodes everything
// as well. Write reads every byte back before a snapshot gets its name.
//
// docs/snapshot.md describes the bytes.
package snapshot
