// Package kvpb is the schema of a commit as a kv store writes it into its log, with generated Go code for programs that
// read a log by themselves. It is a format on disk before it is an API: commit.proto says what may change.
package kvpb
