package main

// Log is a write-ahead log as the workloads use it. Append and AppendBatch may be called concurrently. Records are valid
// during the call.
type Log interface {
	// Append adds one record, acknowledged as the mode says.
	Append(record []byte) error
	// AppendBatch adds records with as few writes and syncs as the peer can do.
	AppendBatch(records [][]byte) error
	// ReadAll visits every record from the first to the last. It is called on a log that was just opened.
	ReadAll(visit func(record []byte)) error
	Close() error
}
