'use strict';
// A service that the tests capture. Its cache breathes, its requests leave garbage, and on demand it leaks.
const cache = new Map();
const sessions = [];
let served = 0;

function cacheTile(id) {
  cache.set(id, new Array(1024).fill(id)); // 8 KiB
}

function rememberSession(id) {
  sessions.push({ id, user: 'user' + id, seen: new Array(100).fill(id) }); // about 1 KiB, for good
}

function handleRequest(id) {
  const body = JSON.parse(JSON.stringify({ id, items: Array.from({ length: 50 }, (_, i) => ({ i, text: 'item ' + i })) }));
  return body.items.length;
}

// V8 inlines a function into one that always calls the same; these it does not, as in a server with routes.
const routes = [rememberSession, (id) => ({ id }), (id) => [id], (id) => 'a' + id, (id) => ({ id, ok: true }), (id) => String(id)];

const commands = {
  // the cache becomes so large
  breathe: (mib) => {
    const want = mib * 128;
    while (cache.size < want) cacheTile(served++);
    for (const key of cache.keys()) {
      if (cache.size <= want) break;
      cache.delete(key);
    }
  },
  serve: (n) => { for (let i = 0; i < n; i++) handleRequest(served++); },
  leak: (mib) => { for (let i = 0; i < mib * 1024 * routes.length; i++) routes[i % routes.length](served++); },
  snapshot: () => { require('node:v8').writeHeapSnapshot('/dev/null'); },
  block: (ms) => { Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms); },
};
let rest = '';
process.stdin.on('data', (chunk) => {
  rest += chunk;
  const lines = rest.split('\n');
  rest = lines.pop();
  for (const line of lines) {
    const [name, n] = line.split(' ');
    console.log('begin', name);
    commands[name](Number(n));
    console.log('end', name);
  }
});
console.log('ready', process.pid);
