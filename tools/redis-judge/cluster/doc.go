// Package cluster lets clients of a Redis cluster use three walnutd, which find the leader, and follow it when it changes: go-redis' cluster
// client, rueidis', and redis-cli -c. Beside them go plain clients of each node, which are forwarded. The scenario for all commands is that
// of package scenario, with -target=follower.
package cluster
