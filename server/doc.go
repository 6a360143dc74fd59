// Package server serves a store over the Redis protocol, so that programs in every language reach it with the clients that they have.
//
//	client ──▶ socket ──▶ input ──▶ commands ──▶ group ──▶ kv.DB.Update ──▶ fsync ──▶ replies ──▶ socket
//
// A connection's commands that have arrived together are a pipeline. They run in order, and consecutive ones that write are one
// transaction, hence one commit, which shares its fsync with the commits of other connections. Their replies are sent once that commit is
// acknowledged: in the default mode of the store a reply means durable.
//
//	db, err := kv.Open(dir, kv.Options{})
//	if err != nil {
//		return err
//	}
//	defer db.Close()
//	listener, err := net.Listen("tcp", "127.0.0.1:6379")
//	if err != nil {
//		return err
//	}
//	srv, err := server.New(db, server.Options{})
//	if err != nil {
//		return err
//	}
//	return srv.Serve(ctx, listener)
//
// Keys and values are those of the store, so that a program that embeds it, and kvctl, see the same pairs as clients do. The commands are
// those of Redis 7 about strings, keys, expiry, transactions and keyspace events, and the store's under KV.: ranges in order, the feed, past
// states. docs/server.md lists them, with what differs from Redis.
//
// A connection has one goroutine, which reads, runs and writes, so that a client that doesn't read stops only its own commands. Everything a
// Server does may be called by many goroutines at a time.
package server
