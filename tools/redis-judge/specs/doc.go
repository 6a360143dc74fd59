// Package specs runs the specs of go-redis itself, those of the version that go.mod names, with the server that is
// judged.
package specs
