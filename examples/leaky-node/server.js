#!/usr/bin/env node
'use strict';
// A small "video orchestrator" that misbehaves as real ones do. Its file cache is never trimmed, and
// what is in it is held in memory too; temporary speech files pile up, most of them empty, and one
// stays open; each step leaves garbage behind that no one collects; and, if asked to, it leaks.
//
// It needs no packages, writes below --dir only, never removes a file, and ends after --for seconds.
// See README.md for the flags of V8 that keep the garbage uncollected until someone asks.

const fs = require('node:fs');
const http = require('node:http');
const inspector = require('node:inspector');
const os = require('node:os');
const path = require('node:path');
const v8 = require('node:v8');

const MIB = 1 << 20;
const SLOTS_PER_MIB = MIB / 8; // an array slot takes 8 bytes

const defaults = {
  dir: '', // folder to fill with cache/ and tts/; empty: a new one below the system's temporary folder
  port: 0, // of /stats and /health on 127.0.0.1; 0: any free one, see the first line of the output
  for: 60, // seconds until it ends by itself
  every: 200, // milliseconds between two steps of growth
  burst: 1, // steps at a time, without a pause between them
  held: 1, // MiB per step, held in memory until the cache file of the step is gone
  garbage: 1, // MiB per step, dropped after some steps: only a full collection frees it
  leak: 0, // MiB per step, never let go
  'entry-kib': 256, // size of the cache file of a step
  empty: 1, // empty speech files per step
  'max-files': 5000, // files that it creates at most, in all
  'stop-heap': 0.93, // growth pauses at this share of the heap's limit, or of its old space if that is less
  'stop-rss': 0, // growth pauses at this many MiB of resident memory; 0: no such limit
  once: 0, // 1: growth ends for good when it has paused once
};

function options() {
  const out = { ...defaults };
  const set = (name, value, from) => {
    if (!(name in defaults)) fail(`${from}: there is no option ${name}; write one of ${Object.keys(defaults).join(', ')}`);
    if (typeof defaults[name] === 'number') {
      value = Number(value);
      if (!Number.isFinite(value) || value < 0) fail(`${from}: ${name} must be a number of 0 or more`);
    }
    out[name] = value;
  };
  for (const name of Object.keys(defaults)) {
    const env = 'LEAKY_' + name.toUpperCase().replace('-', '_');
    if (process.env[env] !== undefined) set(name, process.env[env], env);
  }
  for (const arg of process.argv.slice(2)) {
    const m = /^--([a-z-]+)=(.*)$/.exec(arg);
    if (!m) fail(`${arg}: write options as --name=value`);
    set(m[1], m[2], arg);
  }
  return out;
}

function fail(message) {
  console.error(message);
  process.exit(2);
}

const opt = options();
const dir = opt.dir || fs.mkdtempSync(path.join(os.tmpdir(), 'leaky-node-'));
const cacheDir = path.join(dir, 'cache');
const tempDir = path.join(dir, 'tts');
fs.mkdirSync(cacheDir, { recursive: true });
fs.mkdirSync(tempDir, { recursive: true });

const openFile = path.join(tempDir, 'speaking.wav');
const openFd = fs.openSync(openFile, 'w'); // stays open until the end
fs.writeSync(openFd, Buffer.alloc(4096, 1));

// Garbage must be older than the young generation before it is dropped: only then does it take a
// full collection to free it.
const GARBAGE_AGE = 12; // steps

const held = new Map(); // cache file -> what is held for it
const waiting = []; // future garbage
const leaked = [];
const stats = { steps: 0, files: 1, hits: 0, misses: 0, growing: true, paused: false };
const started = Date.now();

function chunk(mib, n) {
  return mib > 0 ? new Array(Math.round(mib * SLOTS_PER_MIB)).fill(n) : null;
}

function heap() {
  const s = v8.getHeapStatistics();
  return { used: s.used_heap_size, limit: s.heap_size_limit };
}

// V8's limit counts three semi-spaces of the young generation next to the old space, but the program
// dies when the old space alone is full: the service must stop growing before that.
const oldSpace = (() => {
  const m = [...`${process.env.NODE_OPTIONS ?? ''} ${process.execArgv.join(' ')}`.matchAll(/--max[-_]old[-_]space[-_]size[= ](\d+)/g)].pop();
  return m ? Number(m[1]) * MIB : Infinity;
})();

function full() {
  const h = heap();
  return h.used >= opt['stop-heap'] * Math.min(h.limit, oldSpace) || (opt['stop-rss'] > 0 && process.memoryUsage.rss() >= opt['stop-rss'] * MIB);
}

// All files are written from one buffer: V8 counts dead buffers towards the size at which it
// collects by itself.
const content = Buffer.alloc(Math.max(opt['entry-kib'], 64) * 1024, 1);

function create(file, size) {
  if (stats.files >= opt['max-files']) return false;
  fs.writeFileSync(file, content.subarray(0, size));
  stats.files++;
  return true;
}

// dropEvicted lets go of what is held for cache files that someone removed.
function dropEvicted() {
  const there = new Set(fs.readdirSync(cacheDir));
  for (const name of held.keys()) {
    if (!there.has(name)) held.delete(name);
  }
}

function tick() {
  dropEvicted();
  if (held.size > 0) stats.hits++;
  for (let i = 0; i < opt.burst && stats.growing; i++) {
    step();
    if (stats.paused) break;
  }
}

function step() {
  stats.paused = full();
  if (stats.paused) {
    if (opt.once) {
      stats.growing = false;
      waiting.length = 0;
    }
    return;
  }
  const n = String(++stats.steps).padStart(5, '0');
  stats.misses++;
  const entry = `scene-${n}.mp4`;
  if (create(path.join(cacheDir, entry), opt['entry-kib'] * 1024)) held.set(entry, chunk(opt.held, stats.steps));
  if (stats.steps % 5 === 0) create(path.join(cacheDir, `scene-${n}.json`), 200);
  for (let i = 0; i < opt.empty; i++) create(path.join(tempDir, `line-${n}-${i}.wav`), 0);
  if (stats.steps % 4 === 0) create(path.join(tempDir, `speech-${n}.wav`), 64 * 1024);
  waiting.push(chunk(opt.garbage, stats.steps));
  if (waiting.length > GARBAGE_AGE) waiting.shift();
  leaked.push(chunk(opt.leak, stats.steps));
}

function report() {
  const h = heap();
  return {
    uptime_seconds: (Date.now() - started) / 1000,
    steps: stats.steps,
    growing: stats.growing && !stats.paused,
    memory: { rss_bytes: process.memoryUsage.rss(), heap_used_bytes: h.used, heap_limit_bytes: h.limit },
    held: { entries: held.size, bytes: held.size * opt.held * MIB },
    leaked: { bytes: leaked.length * opt.leak * MIB },
    cache: { entries: held.size, hits: stats.hits, misses: stats.misses },
    files_created: stats.files,
  };
}

const server = http.createServer((req, res) => {
  const url = req.url.split('?')[0];
  if (req.method !== 'GET') return void res.writeHead(405, { allow: 'GET' }).end('write GET\n');
  if (url === '/health') return void res.writeHead(200, { 'content-type': 'text/plain' }).end('ok\n');
  if (url === '/stats') return void res.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(report()) + '\n');
  res.writeHead(404).end('there are /health and /stats\n');
});

server.on('error', (err) => fail(`listen on 127.0.0.1:${opt.port}: ${err.message}; write another --port`));
server.listen(opt.port, '127.0.0.1', () => {
  const url = inspector.url();
  console.log(JSON.stringify({
    pid: process.pid,
    address: `127.0.0.1:${server.address().port}`,
    inspector: url ? new URL(url).host : '',
    dir,
    cache_dir: cacheDir,
    temp_dir: tempDir,
    open_file: openFile,
  }));
  const growth = setInterval(tick, opt.every);
  setTimeout(() => {
    clearInterval(growth);
    server.close();
    server.closeAllConnections();
    fs.closeSync(openFd);
    console.log(JSON.stringify({ end: report() }));
  }, opt.for * 1000);
});
