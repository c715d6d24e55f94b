'use strict';
// The service that the tests attach to. It does what the lines on its stdin say and ends by
// itself, as any program without work does, when stdin ends.
const kept = [];
const commands = {
  // JavaScript that never yields
  busy: (ms) => { const end = Date.now() + ms; while (Date.now() < end); },
  // a native call that returns when another program ends
  block: (ms) => { require('child_process').spawnSync('sleep', [String(ms / 1000)]); },
  garbage: (mib) => { const all = []; for (let i = 0; i < mib; i++) all.push(new Array(131072).fill(i)); },
  keep: (mib) => { for (let i = 0; i < mib; i++) kept.push(new Array(131072).fill(i)); },
  // an endpoint that allocates some 100 KiB for each request
  http: () => {
    const handle = (req, res) => res.end(JSON.stringify(Array.from({ length: 500 }, (_, i) => ({ id: i, text: 'item ' + i }))));
    const server = require('http').createServer(handle).listen(0, '127.0.0.1', () => console.log('listening', '127.0.0.1:' + server.address().port)).unref();
  },
  // small objects, which a collection has to visit one by one
  objects: (mib) => { for (let i = 0; i < mib * 14000; i++) kept.push({ id: i, name: 'n' + i, next: kept[i >> 1] }); },
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
process.on('exit', () => console.log('exit', Date.now()));
console.log('ready', process.pid);
