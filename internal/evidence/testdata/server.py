"""A service that the tests capture. Its cache breathes, its requests leave garbage, and on demand it leaks."""
import json
import os
import sys
import time

cache, sessions, served = {}, [], 0


class Tile:
    def __init__(self, i):
        self.id, self.body = i, bytearray(8 << 10)


class RememberedSession:
    def __init__(self, i):
        self.id, self.user, self.seen = i, 'user%d' % i, b'%900d' % i  # about 1 KiB, for good


def cache_tile(i):
    cache[i] = Tile(i)


def remember_session(i):
    sessions.append(RememberedSession(i))


def next_id():
    global served
    served += 1
    return served


def breathe(mib):
    want = mib * 128
    while len(cache) < want:
        cache_tile(next_id())
    for key in list(cache)[:len(cache) - want]:
        del cache[key]


def serve(n):
    for _ in range(n):
        json.loads(json.dumps({'id': next_id(), 'items': [{'i': i, 'text': 'item %d' % i} for i in range(50)]}))


def leak(mib):
    for _ in range(mib * 1024):
        remember_session(next_id())


commands = {'breathe': breathe, 'serve': serve, 'leak': leak, 'block': lambda ms: time.sleep(ms / 1000)}
print('ready', os.getpid(), flush=True)
for line in sys.stdin:
    name, n = line.split()
    print('begin', name, flush=True)
    commands[name](int(n))
    print('end', name, flush=True)
