// Package differential sends random streams of commands to redis-server and to the server that is judged, and compares
// their replies byte by byte. The few replies that may differ are listed in rules.go, each with its reason.
//
// A stream is made of a seed alone, whatever the servers reply. So a stream in which replies differ can be replayed,
// and made shorter by leaving out commands, until each one that is left is needed.
package differential
