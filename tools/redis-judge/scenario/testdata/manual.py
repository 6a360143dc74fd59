"""Uses redis-py as its manual says, and prints "passed" at the end."""

import sys
import threading
import time

import redis

r = redis.Redis(host=sys.argv[1], port=int(sys.argv[2]))
r.flushdb()

# Strings and counters.
assert r.set("k", "v") is True
assert r.get("k") == b"v" and r.get("nosuch") is None
assert r.set("k", "w", nx=True) is None
assert r.set("k", "w", xx=True, get=True) == b"v"
assert r.mset({"a": 1, "b": 2}) and r.mget("a", "nosuch", "b") == [b"1", None, b"2"]
assert r.incr("n", 41) == 41 and r.decr("n") == 40 and r.incrbyfloat("f", 0.1) == 0.1
assert r.append("k", "x") == 2 and r.strlen("k") == 2 and r.getrange("k", 1, -1) == b"x"
assert r.setrange("k", 5, "y") == 6 and r.get("k") == b"wx\x00\x00\x00y"
assert r.exists("k", "nosuch") == 1 and r.type("k") == b"string" and "k" in r
assert r.rename("k", "l") and r.getdel("l") == b"wx\x00\x00\x00y" and r.delete("l") == 0

# Binary keys, and a value of 1 MiB.
every_byte, large = bytes(range(256)), bytes(range(256)) * 4096
assert r.set(every_byte, large) and r.get(every_byte) == large

# Time to live.
assert r.set("t", "v", ex=100) and 90 < r.ttl("t") <= 100
assert r.set("t", "w", keepttl=True) and r.pttl("t") > 90000
assert r.persist("t") and r.ttl("t") == -1 and r.ttl("nosuch") == -2
assert r.expireat("t", 4000000000) and r.getex("t", persist=True) == b"w" and r.ttl("t") == -1
assert r.set("t", "v", px=20)
deadline = time.time() + 10
while r.exists("t"):
    assert time.time() < deadline
    time.sleep(0.005)

# Errors.
try:
    r.execute_command("NOSUCH")
    raise AssertionError("NOSUCH was done")
except redis.ResponseError as error:
    assert str(error).startswith("unknown command"), error
r.set("word", "abc")
try:
    r.incr("word")
    raise AssertionError("a word was incremented")
except redis.ResponseError as error:
    assert str(error) == "value is not an integer or out of range", error

# Pipelines, with and without a transaction.
for transaction in (True, False):
    with r.pipeline(transaction=transaction) as p:
        for i in range(1000):
            p.set("p:%d" % i, i)
        p.get("p:999").incr("word")
        results = p.execute(raise_on_error=False)
    assert results[:1000] == [True] * 1000 and results[1000] == b"999"
    assert isinstance(results[1001], redis.ResponseError)

# SCAN over 1,000 keys.
assert len(set(r.scan_iter(match="p:*"))) == 1000
assert len(set(r.scan_iter(match="p:1?5", count=7))) == 10
assert len(r.keys("p:*")) == 1000

# WATCH: no increment is lost.
r.set("counter", 0)


def increment():
    own = redis.Redis(host=sys.argv[1], port=int(sys.argv[2]))

    def once(p):
        n = int(p.get("counter"))
        p.multi()
        p.set("counter", n + 1)

    for _ in range(20):
        own.transaction(once, "counter")


threads = [threading.Thread(target=increment) for _ in range(4)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
assert r.get("counter") == b"80", r.get("counter")

# A lock that expires, as redis-py makes one without a script.
assert r.set("lock", "token", nx=True, px=60000) and r.set("lock", "other", nx=True) is None

# What an operator asks.
assert r.ping() and r.echo("a") == b"a" and r.dbsize() > 1000
assert r.client_setname("judge") and r.client_getname() in ("judge", b"judge")
assert "redis_version" in r.info() and len(r.time()) == 2
assert r.flushdb() and r.dbsize() == 0
print("passed")
