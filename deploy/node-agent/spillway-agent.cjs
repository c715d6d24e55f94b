'use strict';
// Lets spillway_exporter read the heap of a Node.js service, and collect it, without a debug port:
//
//   node --require /usr/share/spillway/spillway-agent.cjs server.js      (or in NODE_OPTIONS)
//
// It answers two requests on a unix socket that the service's own user, root and the exporter can reach,
// "heap" and "gc", and nothing else. It keeps no process running, prints nothing, and never throws: a service that
// cannot have the socket runs as it would without.
const { isMainThread } = require('node:worker_threads');

function answer(request) {
  const v8 = require('node:v8');
  if (request === 'gc') {
    v8.setFlagsFromString('--expose-gc');
    try { require('node:vm').runInNewContext('gc')(); } finally { v8.setFlagsFromString('--no-expose-gc'); }
  } else if (request !== 'heap') {
    return { error: 'write heap or gc' };
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
