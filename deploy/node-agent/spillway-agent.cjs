'use strict';
// Lets spillway_exporter read the heap of a Node.js service, and collect it, without a debug port:
//
//   node --require /usr/share/spillway/spillway-agent.cjs server.js      (or in NODE_OPTIONS)
//
// It answers four requests on a unix socket that the service's own user, root and the exporter can reach:
// "heap", "gc", "sample" and "profile", and nothing else. It keeps no process running, prints nothing, and never throws: a
// service that cannot have the socket runs as it would without. A profile has names of functions and files, no values.
const { isMainThread } = require('node:worker_threads');

let sampling; // V8's sampling of what is allocated: nothing before it was asked for

function post(session, method, params) {
  let error, result;
  session.post(method, params, (err, res) => { error = err; result = res; });
  if (error) throw new Error(error.message);
  return result;
}

// sample begins to remember one allocation in 512 KiB, by the function that has made it, until it is collected.
function sample() {
  if (!sampling) {
    const session = new (require('node:inspector').Session)();
    session.connect();
    post(session, 'HeapProfiler.startSampling', { samplingInterval: 512 * 1024 });
    sampling = { session, since: Date.now() };
  }
  return { since: sampling.since };
}

// profile adds up what lives by the nearest function of the service itself: what Node.js allocates counts for its caller.
// V8 collects the heap first.
function profile() {
  const { since } = sample();
  const { head } = post(sampling.session, 'HeapProfiler.getSamplingProfile').profile;
  const rows = new Map();
  const todo = [[head, null]];
  let total = 0;
  while (todo.length > 0) {
    const [{ callFrame: frame, selfSize: bytes, children }, above] = todo.pop();
    const own = frame.url && !frame.url.startsWith('node:') ? frame : above;
    if (bytes > 0) {
      const { functionName, url, lineNumber } = own || frame;
      const key = `${functionName} ${url} ${lineNumber}`;
      const row = rows.get(key) || [functionName.slice(0, 300), url.slice(0, 300), lineNumber + 1, 0];
      row[3] += bytes;
      total += bytes;
      rows.set(key, row);
    }
    for (const child of children) todo.push([child, own]);
  }
  const largest = [...rows.values()].sort((a, b) => b[3] - a[3]).slice(0, 200);
  return { since, total, dropped: rows.size - largest.length, rows: largest };
}

function answer(request) {
  const v8 = require('node:v8');
  if (request === 'gc') {
    v8.setFlagsFromString('--expose-gc');
    try { require('node:vm').runInNewContext('gc')(); } finally { v8.setFlagsFromString('--no-expose-gc'); }
  } else if (request === 'sample') {
    return sample();
  } else if (request === 'profile') {
    return profile();
  } else if (request !== 'heap') {
    return { error: 'write heap, gc, sample or profile' };
  }
  const heap = v8.getHeapStatistics();
  return { used: heap.used_heap_size, committed: heap.total_heap_size, limit: heap.heap_size_limit };
}

function serve(connection) {
  let rest = '';
  connection.unref().setEncoding('latin1').on('error', () => {}).on('data', (text) => {
    const lines = (rest + text).split('\n');
    rest = lines.pop();
    if (rest.length > 16 || lines.length > 4) return void connection.destroy();
    for (const line of lines) {
      let out;
      try { out = answer(line); } catch (err) { out = { error: String(err && err.message) }; }
      connection.write(JSON.stringify(out) + '\n');
    }
  });
}

// Removes the sockets that killed processes have left: no process here has their pid, and nobody
// listens, as one in another container with the same /tmp would.
function sweep(fs, net, dir) {
  for (const name of fs.readdirSync(dir).filter((entry) => /^\d+\.sock$/.test(entry)).slice(0, 200)) {
    try { process.kill(parseInt(name, 10), 0); } catch (err) {
      if (err.code !== 'ESRCH') continue;
      const socket = net.connect(`${dir}/${name}`, () => socket.destroy()).unref();
      socket.on('error', (e) => { if (e.code === 'ECONNREFUSED') try { fs.rmSync(`${dir}/${name}`, { force: true }); } catch {} });
    }
  }
}

function listen() {
  const fs = require('node:fs');
  const net = require('node:net');
  const dir = `/tmp/spillway-agent-${process.geteuid()}`;
  const file = `${dir}/${process.pid}.sock`;
  fs.mkdirSync(dir, { mode: 0o700, recursive: true });
  const st = fs.lstatSync(dir);
  if (!st.isDirectory() || st.uid !== process.geteuid() || (st.mode & 0o077) !== 0) return; // somebody else made it
  fs.rmSync(file, { force: true }); // of a process that had this pid before
  sweep(fs, net, dir);
  const server = net.createServer(serve);
  server.maxConnections = 4;
  // The folder is closed to others (0700), so its socket may be open to all: the exporter, which may enter
  // each folder (CAP_DAC_READ_SEARCH) and write to none, connects. Else it takes CAP_DAC_OVERRIDE.
  // exclusive: a worker of a cluster has a socket of its own, not its primary's.
  server.on('error', () => {}).listen({ path: file, exclusive: true }, () => { try { fs.chmodSync(file, 0o666); } catch {} }).unref();
  process.on('exit', () => { try { fs.rmSync(file, { force: true }); } catch {} });
}

if (isMainThread && process.platform !== 'win32') { try { listen(); } catch {} }
