// Package scenario lets the clients that people have go through the same scenario with the server that is judged:
// redis-cli, go-redis and rueidis in both versions of the protocol, and redis-py. Then each is used as its own manual
// says.
package scenario
