"""Sends commands that come as lines of JSON over one connection of redis-py, and prints each reply as a line of JSON.

Bytes are code points up to 255. An error reply is {"error": TEXT}.
"""

import json
import sys

import redis


def plain(reply):
    if isinstance(reply, bytes):
        return reply.decode("latin-1")
    if isinstance(reply, list):
        return [plain(element) for element in reply]
    if isinstance(reply, Exception):
        return {"error": raw_text(reply)}
    return reply


def raw_text(error):
    """Puts back the word that redis-py takes off an error's text."""
    words = {redis.exceptions.ExecAbortError: "EXECABORT "}
    return words.get(type(error), "ERR ") + str(error)


connection = redis.Connection(host=sys.argv[1], port=int(sys.argv[2]))
connection.connect()
for line in sys.stdin:
    connection.send_command(*[arg.encode("latin-1") for arg in json.loads(line)])
    try:
        reply = connection.read_response()
    except redis.ResponseError as error:
        reply = error
    print(json.dumps(plain(reply)), flush=True)
