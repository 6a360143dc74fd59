package server_test

import "testing"

func TestKeysAreDeletedMovedAndCopiedAsRedisDoes(t *testing.T) {
	play(t, []scene{
		{"a key that comes twice is deleted once, and counted twice", []step{
			{"MSET a 1 b 2 c 3", "OK"},
			{"EXISTS a a x b", "3"},
			{"TOUCH a a x b", "3"},
			{"DEL a a x", "1"},
			{"UNLINK b c x", "2"},
			{"EXISTS a b c", "0"},
		}},
		{"every value is a string", []step{
			{"SET a 1", "OK"},
			{"TYPE a", "string"},
			{"TYPE x", "none"},
		}},
		{"RENAME takes the deadline along, and replaces", []step{
			{"SET a 1 EX 100", "OK"},
			{"SET b 2", "OK"},
			{"RENAME a b", "OK"},
			{"MGET a b", `[nil "1"]`},
			{"TTL b", "100"},
			{"RENAME b b", "OK"},
			{"TTL b", "100"},
			{"RENAME x b", "-ERR no such key"},
			{"RENAME x x", "-ERR no such key"},
			{"GET b", `"1"`},
		}},
		{"RENAMENX doesn't replace", []step{
			{"MSET a 1 b 2", "OK"},
			{"RENAMENX a b", "0"},
			{"RENAMENX a a", "0"},
			{"RENAMENX a c", "1"},
			{"MGET a b c", `[nil "2" "1"]`},
			{"RENAMENX x b", "-ERR no such key"},
		}},
		{"COPY copies the deadline, and replaces where it is to", []step{
			{"SET a 1 EX 100", "OK"},
			{"COPY a b", "1"},
			{"TTL b", "100"},
			{"SET a 2", "OK"},
			{"COPY a b", "0"},
			{"COPY a b db 0 REPLACE", "1"},
			{"MGET a b", `["2" "2"]`},
			{"TTL b", "-1"},
			{"COPY x b REPLACE", "0"},
		}},
		{"COPY refuses what isn't right", []step{
			{"COPY a a", "-ERR source and destination objects are the same"},
			{"COPY a a foo", "-ERR syntax error"},
			{"COPY a b DB", "-ERR syntax error"},
			{"COPY a b DB x", "-ERR value is not an integer or out of range"},
			{"COPY a b DB 1", "-ERR DB index is out of range"},
			{"COPY a b DB -1", "-ERR DB index is out of range"},
			{"COPY a b DB 2147483648", "-ERR value is out of range, value must between -2147483648 and 2147483647"},
		}},
		{"OBJECT answers what clients ask", []step{
			{"MSET int -12 short hello long xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx", "OK"},
			{"OBJECT ENCODING int", `"int"`},
			{"OBJECT encoding short", `"embstr"`},
			{"OBJECT ENCODING long", `"raw"`},
			{"OBJECT ENCODING x", "nil"},
			{"OBJECT REFCOUNT short", "1"},
			{"OBJECT IDLETIME short", "0"},
			{"OBJECT FREQ x", "nil"},
			{"OBJECT FREQ short", "-ERR An LFU maxmemory policy is not selected, access frequency not tracked. " +
				"Please note that when switching between policies at runtime LRU and LFU data will take some time to adjust."},
			{"OBJECT foo short", "-ERR unknown subcommand 'foo'. Try OBJECT HELP."},
			{"OBJECT Encoding", "-ERR wrong number of arguments for 'object|encoding' command"},
			{"OBJECT HELP x", "-ERR wrong number of arguments for 'object|help' command"},
			{"OBJECT", "-ERR wrong number of arguments for 'object' command"},
		}},
		{"OBJECT is refused before it is queued", []step{
			{"MULTI", "OK"},
			{"OBJECT foo short", "-ERR unknown subcommand 'foo'. Try OBJECT HELP."},
			{"EXEC", "-EXECABORT Transaction discarded because of previous errors."},
		}},
	})
}

func TestFlushDeletesEverything(t *testing.T) {
	for _, command := range []string{"FLUSHALL", "FLUSHDB", "FLUSHALL ASYNC", "flushdb sync"} {
		newClient(t).follow(
			step{"MSET a 1 b 2", "OK"}, step{"DBSIZE", "2"}, step{command, "OK"}, step{"DBSIZE", "0"},
			step{"GET a", "nil"},
			step{command + " foo", "-ERR syntax error"},
		)
	}
}

func TestDBSizeSeesTheWritesOfItsTransaction(t *testing.T) {
	newClient(t).follow(
		step{"MSET a 1 b 2", "OK"}, step{"MULTI", "OK"}, step{"DEL a", "QUEUED"}, step{"MSET c 3 d 4", "QUEUED"},
		step{"DBSIZE", "QUEUED"},
		step{"EXEC", "[1 OK 3]"}, step{"DBSIZE", "3"}, step{"MULTI", "OK"}, step{"DBSIZE", "QUEUED"},
		step{"EXEC", "[3]"},
	)
}

func TestMoveFindsNoOtherDatabase(t *testing.T) {
	c := newClient(t)
	c.follow(
		step{"SET a 1", "OK"},
		step{"MOVE a 0", "-ERR source and destination objects are the same"},
		step{"MOVE x 0", "-ERR source and destination objects are the same"},
		step{"MOVE a 1", "-ERR DB index is out of range"},
		step{"MOVE a -1", "-ERR DB index is out of range"},
		step{"MOVE a x", "-ERR value is not an integer or out of range"},
		step{"MOVE a 99999999999", "-ERR value is out of range, value must between -2147483648 and 2147483647"},
		step{"GET a", `"1"`},
	)
}
