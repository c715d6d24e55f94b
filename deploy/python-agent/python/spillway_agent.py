"""Lets spillway_exporter read the heap of a Python service, and collect it, without a port:

    PYTHONPATH=/usr/share/spillway/python python3 server.py

It answers five requests on a unix socket that the service's own user, root and the exporter can reach: "heap", "exact",
"gc", "census" and "trace", and nothing else. It has one thread of its own, keeps no process running, prints nothing and never
raises: a service that cannot have the socket runs as it would without. A census has names of types, a trace names of
functions and files; neither has values. Python 3.8 or later on Linux.
"""
import _signal
import _socket
import _thread
import atexit
import gc
import os
import select
import sys
import time

_SAMPLED = 250_000  # objects that a census looks at, at the most
_LONGEST = 0.15     # seconds for which it looks at them; what it has not come to is reckoned from what it has seen
_PASSES = 16        # over the objects, each at even distances
_ROWS = 200
_NAME = 300         # characters of a name
_SLEEP = 0.25       # from a fork to the socket: a child that is about to run another program gets none

_open = {}  # descriptors of this process and what they are: (device, inode)
_libs = {}
_walk = {'bytes': None, 'arenas': 0, 'cost': 0.0, 'at': 0.0}  # the last walk over the arenas of Python's allocator


def _ours(fd):
    """Services close descriptors that they have not opened, and then open others of the same number."""
    try:
        st = os.fstat(fd)
        return _open.get(fd) == (st.st_dev, st.st_ino)
    except OSError:
        return False


def _keep(fd):
    st = os.fstat(fd)
    _open[fd] = (st.st_dev, st.st_ino)


def _drop(fd):
    if _ours(fd):
        os.close(fd)
    _open.pop(fd, None)


def _c():
    """Returns the functions of the C library and of Python's allocator that show what is in use; empty where they would not
    show all: another allocator, an earlier C library, a Python without the global lock."""
    if not _libs:
        _libs['use'] = None
        import ctypes
        names = 'arena ordblks smblks hblks hblkhd usmblks fsmblks uordblks fordblks keepcost'.split()
        info = type('mallinfo2', (ctypes.Structure,), {'_fields_': [(n, ctypes.c_size_t) for n in names]})
        lib = ctypes.CDLL(None)
        _libs['trim'] = getattr(lib, 'malloc_trim', None)
        with open('/proc/self/maps', 'rb') as maps:
            text = maps.read()
        other = any(name in text for name in (b'jemalloc', b'tcmalloc', b'mimalloc')) or 't' in sys.abiflags
        try:
            lib.mallinfo2.restype = info
            walk = ctypes.pythonapi._PyObject_DebugMallocStats
            walk.argtypes, walk.restype = [ctypes.c_void_p], ctypes.c_int
            lib.open_memstream.restype, lib.fclose.argtypes = ctypes.c_void_p, [ctypes.c_void_p]
            lib.free.argtypes, lib.free.restype = [ctypes.c_void_p], None
            _libs['use'] = None if other else (ctypes, lib, walk)
        except AttributeError:
            _libs['use'] = None
    return _libs['use']


def _pymalloc(fresh):
    """Walks over the arenas of Python's allocator, 20 ms for each GiB: at most a thousandth of the time, unless it has to be
    fresh."""
    now = time.monotonic()
    if not fresh and _walk['bytes'] is not None and now - _walk['at'] < 1000 * _walk['cost']:
        return _walk['bytes'], _walk['arenas']
    ctypes, lib, walk = _libs['use']
    text, size = ctypes.c_void_p(), ctypes.c_size_t()
    stream = lib.open_memstream(ctypes.byref(text), ctypes.byref(size))
    if not stream:
        return None, 0
    began = time.perf_counter()
    on = walk(stream)
    cost = time.perf_counter() - began
    lib.fclose(stream)
    stats = ctypes.string_at(text, size.value).decode('ascii', 'replace')
    lib.free(text)
    used, arenas = (None, 0) if on else (0, 0)  # PYTHONMALLOC=malloc: all is the C library's
    for line in stats.splitlines():
        name, _, value = line.rpartition('=')
        if name.startswith('# bytes in allocated blocks'):
            used = int(value.replace(',', ''))
        elif 'bytes/arena' in name:
            arenas = int(value.replace(',', ''))
    _walk.update(bytes=used, arenas=arenas, cost=cost, at=now)
    return used, arenas


def _status():
    with open('/proc/self/status') as file:
        return {line.split(':')[0]: int(line.split()[1]) << 10 for line in file if line.endswith(' kB\n')}


def _cgroup():
    """Returns the smallest memory limit of the control groups, as far as they can be seen from here."""
    least = None
    with open('/proc/self/cgroup') as file:
        groups = [line.rstrip('\n').split(':', 2) for line in file]
    for _, kind, path in groups:
        if kind == '':
            root, names = '/sys/fs/cgroup', ('memory.max', 'memory.high')
        elif 'memory' in kind.split(','):
            root, names = '/sys/fs/cgroup/memory', ('memory.limit_in_bytes',)
        else:
            continue
        parts = [p for p in path.split('/') if p and p != '..']
        for depth in range(len(parts), -1, -1):
            for name in names:
                try:
                    with open('/'.join([root] + parts[:depth] + [name])) as file:
                        text = file.read().strip()
                except OSError:
                    continue
                if text.isdigit() and int(text) < 1 << 60:
                    least = int(text) if least is None else min(least, int(text))
    return least


def _limit(used, status):
    """Returns at which size of the heap an allocation would fail: what is used and the room up to a limit of the process, or
    the limit of its control groups. None where nothing limits it."""
    import resource
    limits = []
    for limit, now in ((resource.RLIMIT_AS, status.get('VmSize')), (resource.RLIMIT_DATA, status.get('VmData'))):
        soft = resource.getrlimit(limit)[0]
        if soft != resource.RLIM_INFINITY and 0 <= soft < 1 << 60 and now is not None:
            limits.append(used + max(0, soft - now))
    try:
        group = _cgroup()
    except (OSError, ValueError):
        group = None
    if group is not None:
        limits.append(group)
    return min(limits) if limits else None


def _heap(fresh=False):
    status = _status()
    use, used = _c(), None
    if use:
        info = use[1].mallinfo2()
        small, arenas = _pymalloc(fresh)
        if small is not None:
            used, committed = small + info.uordblks + info.hblkhd, arenas + info.arena + info.hblkhd
    out = {'by': 'allocator'}
    if used is None:
        used = committed = status['RssAnon'] + status.get('VmSwap', 0)
        out['by'] = 'resident'
    out.update(used=used, committed=max(committed, used), limit=_limit(used, status))
    return out


def _gc():
    gc.collect()
    _c()
    if _libs.get('trim'):
        _libs['trim'](0)
    return _heap(fresh=True)


_type = {name: type.__dict__[name].__get__ for name in ('__module__', '__qualname__', '__mro__', '__dict__')}


def _sizer(kind):
    """Returns what says how large an object of a type is, without running code of the service."""
    for base in _type['__mro__'](kind):
        found = _type['__dict__'](base).get('__sizeof__')
        if found is not None:
            return found if type(found) is type(object.__dict__['__sizeof__']) else object.__sizeof__
    return object.__sizeof__


def _named(kind):
    module, name = _type['__module__'](kind), _type['__qualname__'](kind)
    module = module if type(module) is str else ''
    name = name if type(name) is str else '?'
    common = module == 'builtins' or module.partition('.')[0] in getattr(sys, 'stdlib_module_names', ())
    if module not in ('builtins', ''):
        name = module[:_NAME] + '.' + name
    return name[:_NAME], common


def _census():
    """Adds up what is alive by type. What has no references of its own, as text and numbers, counts for what refers to it: for
    each its share."""
    until = time.monotonic() + _LONGEST
    objects, kinds = gc.get_objects(), {}
    parts = _PASSES * max(1, -(-len(objects) // _SAMPLED))
    seen = done = 0
    for start in range(_PASSES):
        start = int('{:04b}'.format(start)[::-1], 2) * (parts // _PASSES)  # 0, 8, 4, 12 ...: the first passes are far apart
        seen += _look(objects[start::parts], kinds)
        done += 1
        if time.monotonic() > until:
            break
    del objects
    scale = parts / done
    rows = {}
    for kind, _, n, size in kinds.values():
        name, common = _named(kind)
        row = rows.setdefault(name, [name, '', 0, 0, 0, common])
        row[3] += int(size * scale)
        row[4] += int(n * scale)
    every = sum(row[3] for row in rows.values())
    return _largest(rows, every, every // max(seen, 1) if scale > 1 else 0)


def _look(objects, kinds):
    referents, tracked, count = gc.get_referents, gc.is_tracked, sys.getrefcount
    for o in objects:
        kind = type(o)
        row = kinds.get(id(kind))
        if row is None:
            row = kinds[id(kind)] = [kind, _sizer(kind), 0, 0.0]
        size = row[1](o) + 16
        for r in referents(o):
            if not tracked(r):
                shared = count(r) - 3  # the list, the loop and the call
                if shared < 1000:
                    size += _sizers(type(r))(r) / max(shared, 1)
        row[2] += 1
        row[3] += size
    return len(objects)


def _sizers(kind, known={}):
    """Is _sizer for types of the interpreter, which never end."""
    found = known.get(kind) if kind.__class__ is type else None
    if found is None:
        found = _sizer(kind)
        if _type['__module__'](kind) == 'builtins' and kind.__class__ is type and len(known) < 1000:
            known[kind] = found
    return found


def _trace():
    """Adds up what is alive by the line that has allocated it. Only tracemalloc knows, and only while it is on."""
    import _tracemalloc as tracing
    if not tracing.is_tracing():
        return {'error': 'tracemalloc is off: start the service with PYTHONTRACEMALLOC=1 for lines in place of types'}
    lines = {}
    for trace in tracing._get_traces():
        line = trace[2][0]
        row = lines.get(line)
        if row is None:
            row = lines[line] = [0, 0]
        row[0] += trace[1]
        row[1] += 1
    own = os.path.abspath(__file__)
    rows = {line: ['', line[0][:_NAME], line[1], row[0], row[1], False] for line, row in lines.items() if line[0] != own}
    out = _largest(rows, sum(row[3] for row in rows.values()), 0)
    _name_lines(out['rows'])
    return out


def _name_lines(rows):
    """Finds the functions of lines."""
    import types
    wanted, found = {row[1] for row in rows}, {}
    for o in gc.get_objects():
        if type(o) is types.FunctionType and o.__code__.co_filename in wanted:
            found.setdefault(o.__code__.co_filename, {})[o.__code__.co_firstlineno] = o.__code__
    for row in rows:
        best = None
        for first, code in found.get(row[1], {}).items():
            ends = max((line for _, _, line in code.co_lines() if line), default=0) if hasattr(code, 'co_lines') else first
            if first <= row[2] <= ends and (best is None or first > best.co_firstlineno):
                best = code
        row[0] = getattr(best, 'co_qualname', best.co_name)[:_NAME] if best else '<module>'


def _largest(rows, total, step):
    largest = sorted(rows.values(), key=lambda row: -row[3])[:_ROWS]
    return {'total': total, 'dropped': len(rows) - len(largest), 'step': step, 'rows': largest}


_answers = {b'heap': _heap, b'exact': lambda: _heap(fresh=True), b'gc': _gc, b'census': _census, b'trace': _trace}


def _answer(request):
    import json
    try:
        ask = _answers.get(request)
        out = ask() if ask else {'error': 'write heap, exact, gc, census or trace'}
    except Exception as err:
        out = {'error': '%s: %s' % (type(err).__name__, str(err)[:200])}
    return json.dumps(out).encode('ascii') + b'\n'


def _send(fd, data):
    writable = select.poll()
    writable.register(fd, select.POLLOUT)
    until = time.monotonic() + 2
    while data and _ours(fd):
        if not writable.poll(max(0, (until - time.monotonic()) * 1000)):
            return False
        data = data[os.write(fd, data):]
    return not data


def _hear(fd, rest):
    """Answers what came on a connection; None when that is at its end."""
    if not _ours(fd):
        return None
    try:
        data = os.read(fd, 256)
        lines = (rest + data).split(b'\n')
        if not data or len(lines[-1]) > 16 or len(lines) > 5:
            return None
        for line in lines[:-1]:
            if not _send(fd, _answer(line)):
                return None
        return lines[-1]
    except OSError:
        return None


def _accept(server, connections):
    listening = _socket.socket(fileno=server)
    try:
        fd, _ = listening._accept()
    except OSError as err:
        if err.errno not in (4, 11, 103):  # EINTR, EAGAIN, ECONNABORTED
            time.sleep(1)
        return None
    finally:
        listening.detach()
    os.set_blocking(fd, False)
    _keep(fd)
    if len(connections) >= 4:
        _drop(fd)
        return None
    connections[fd] = b''
    return fd


def _serve(server):
    poll, connections = select.poll(), {}
    poll.register(server, select.POLLIN)
    while _ours(server):
        for fd, _ in poll.poll():
            if not _ours(server):
                break
            if fd == server:
                new = _accept(server, connections)
                if new is not None:
                    poll.register(new, select.POLLIN)
                continue
            connections[fd] = _hear(fd, connections.get(fd, b''))
            if connections[fd] is None:
                del connections[fd]
                poll.unregister(fd)
                _drop(fd)
    for fd in list(_open):
        _drop(fd)


def _sweep(folder):
    """Removes the sockets that killed processes have left: no process here has their pid, and no one listens, as a process in
    another container with the same /tmp would."""
    for name in os.listdir(folder)[:200]:
        pid, dot, kind = name.partition('.')
        if kind != 'sock' or not pid.isdigit():
            continue
        try:
            os.kill(int(pid), 0)
        except ProcessLookupError:
            socket = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM | _socket.SOCK_CLOEXEC)
            socket.setblocking(False)
            try:
                socket.connect(folder + '/' + name)
            except ConnectionRefusedError:
                os.unlink(folder + '/' + name)
            except OSError:
                pass
            finally:
                socket.close()
        except (OSError, OverflowError):
            pass


def _listen():
    uid, pid = os.geteuid(), os.getpid()
    folder = '/tmp/spillway-python-%d' % uid
    try:
        os.mkdir(folder, 0o700)
    except FileExistsError:
        pass
    st = os.lstat(folder)
    if st.st_mode & 0o170077 != 0o040000 or st.st_uid != uid:
        return None  # another user made it
    path = '%s/%d.sock' % (folder, pid)
    try:
        os.unlink(path)  # of a process that had this pid before
    except FileNotFoundError:
        pass
    try:
        _sweep(folder)
    except OSError:
        pass
    socket = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM | _socket.SOCK_CLOEXEC)
    try:
        socket.bind(path)
        # The folder is closed to others (0700), so its socket may be open to all: the exporter, which may enter each
        # folder (CAP_DAC_READ_SEARCH) and write to none, connects.
        os.chmod(path, 0o666)
        socket.listen(8)
        socket.setblocking(False)
    except OSError:
        socket.close()
        raise
    atexit.register(_leave, path, pid)
    _keep(socket.fileno())
    return socket.detach()


def _leave(path, pid):
    if os.getpid() == pid:
        try:
            os.unlink(path)
        except OSError:
            pass


def _run(pause):
    try:
        time.sleep(pause)
        server = _listen()
        if server is not None:
            _serve(server)
    except BaseException:
        pass


def _start(pause=0):
    """Starts the thread. It handles no signal: each is for the threads of the service."""
    try:
        faults = {_signal.SIGSEGV, _signal.SIGBUS, _signal.SIGFPE, _signal.SIGILL, _signal.SIGABRT}
        before = _signal.pthread_sigmask(_signal.SIG_BLOCK, _signal.valid_signals() - faults)
        try:
            _thread.start_new_thread(_run, (pause,))
        finally:
            _signal.pthread_sigmask(_signal.SIG_SETMASK, before)
    except Exception:
        pass


def _forked():
    try:
        for fd in list(_open):
            _drop(fd)
    except Exception:
        pass
    _start(_SLEEP)


if sys.platform == 'linux' and sys.version_info >= (3, 8):
    os.register_at_fork(after_in_child=_forked)
    _start()
