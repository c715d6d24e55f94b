"""The service that the tests read: it does what the lines on its stdin say and ends with it."""
import os
import socket
import sys
import threading
import time

kept, cycles = [], []


class Session:
    def __init__(self, i):
        self.id, self.seen = i, [i] * 100


class Ring:
    def __init__(self):
        self.me, self.body = self, bytes(1 << 20)


def fork(n):
    for _ in range(n):
        pid = os.fork()
        if pid == 0:
            worker = [bytes(64 << 20)]
            time.sleep(60)
            del worker
            os._exit(0)
        print('child', pid, flush=True)


def foreign(_):
    """Closes what it has not opened, as daemons do, and listens at what may be the same number."""
    os.closerange(3, 64)
    global listening
    listening = [socket.create_server(('127.0.0.1', 0)) for _ in range(8)]
    print('listening', *[s.getsockname()[1] for s in listening], flush=True)


def accept(_):
    for s in listening:
        s.settimeout(5)
        s.accept()[0].close()
        s.close()


commands = {
    'keep': lambda mib: kept.extend(bytes(1 << 20) for _ in range(mib)),
    'sessions': lambda n: kept.extend(Session(i) for i in range(n)),
    'garbage': lambda mib: [Ring() for _ in range(mib)] and None,
    'busy': lambda ms: time.sleep(ms / 1000),
    'hold': lambda n: sum(sum(range(10_000_000)) for _ in range(n)),  # in C: the global lock is held for 0.1 s each
    'threads': lambda n: [threading.Thread(target=time.sleep, args=(30,), daemon=True).start() for _ in range(n)],
    'fork': fork, 'foreign': foreign, 'accept': accept,
}
print('ready', os.getpid(), flush=True)
for line in sys.stdin:
    name, n = line.split()
    print('begin', name, flush=True)
    commands[name](int(n))
    print('end', name, flush=True)
