// Draws rows of a dashboard from what a Prometheus holds, as a page for a browser.
//
//   node draw-dashboards.mjs MODULES PROMETHEUS DASHBOARD.json PAGE.html '{"rows": ["Now"], "seconds": 180, "variables": {"target": "app"}}'
//
// The expressions are the panels' own, asked as Grafana asks for them: the variables replaced, over the range or
// at its end. Placement, units, colors, mappings, overrides and the transformations merge, organize and sortBy are
// read from the dashboard. Lines and bars are drawn by uPlot, which MODULES has; the rest is HTML. It is
// not Grafana: how a panel looks there is close to this, and not the same. Prints the size of the page.
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';

const [modules, prometheus, file, page, asked] = process.argv.slice(2);
if (!asked) {
  console.error('usage: node draw-dashboards.mjs MODULES PROMETHEUS DASHBOARD.json PAGE.html JSON');
  process.exit(2);
}
const want = { width: 1400, variables: {}, height: Infinity, ...JSON.parse(asked) };
const dashboard = JSON.parse(readFileSync(file, 'utf8'));
const end = Math.floor(Date.now() / 1000), start = end - want.seconds, step = want.step ?? 2;
const variables = { cluster: '.*', namespace: '.*', job: '.+', instance: '.+', target: '.+', ...want.variables };

const expand = (expr) => expr.replaceAll('$__rate_interval', `${4 * step}s`).replaceAll('$__range', `${want.seconds}s`)
  .replace(/\$(\w+)/g, (all, name) => variables[name] ?? all);

async function query(q) {
  const args = q.range ? { query: expand(q.expr), start, end, step } : { query: expand(q.expr), time: end };
  const answer = await (await fetch(`${prometheus}/api/v1/${q.range ? 'query_range' : 'query'}`, { method: 'POST', body: new URLSearchParams(args) })).json();
  if (answer.status !== 'success') throw new Error(`${q.expr}: ${answer.error}`);
  return answer.data.result;
}

const escape = (text) => String(text).replace(/[&<>"]/g, (c) => `&#${c.charCodeAt(0)};`);
const palette = ['#7EB26D', '#EAB839', '#6ED0E0', '#EF843C', '#E24D42', '#1F78C1', '#BA43A9', '#705DA0', '#508642', '#CCA300', '#447EBC', '#C15C17', '#890F02', '#0A437C', '#6D1F62', '#584477', '#B7DBAB', '#F4D598', '#70DBED', '#F9BA8F'];
const colors = { green: '#56A64B', yellow: '#E0B400', orange: '#FF780A', red: '#E02F44', blue: '#3274D9', purple: '#A352CC' };
const color = (name) => colors[name] ?? name;
// mix is a color from green over yellow to red.
function mix(part) {
  const stops = [[86, 166, 75], [224, 180, 0], [224, 47, 68]], at = Math.min(Math.max(part, 0), 1) * 2, i = Math.min(Math.floor(at), 1);
  return `rgb(${stops[i].map((v, k) => Math.round(v + (stops[i + 1][k] - v) * (at - i))).join(',')})`;
}

const scaled = (v, base, names, digits = 3) => {
  let i = 0;
  for (; Math.abs(v) >= base && i < names.length - 1; i++) v /= base;
  return `${Number(v.toPrecision(digits))}${names[i]}`;
};
function seconds(v) {
  const units = [[86400, ' days'], [3600, ' hours'], [60, ' mins'], [1, ' s'], [1e-3, ' ms'], [1e-6, ' µs']];
  const [size, name] = units.find(([s]) => Math.abs(v) >= s) ?? [1, ' s'];
  const n = Number((v / size).toPrecision(3));
  return `${n}${n === 1 ? name.replace(/s$/, (s) => (name === ' s' ? s : '')) : name}`;
}
const formats = {
  none: (v) => `${Number(v.toPrecision(4))}`,
  short: (v) => scaled(v, 1000, ['', ' K', ' Mil', ' Bil']),
  percentunit: (v, decimals) => `${decimals === undefined ? Number((v * 100).toPrecision(3)) : (v * 100).toFixed(decimals)}%`,
  bytes: (v) => scaled(v, 1024, [' B', ' KiB', ' MiB', ' GiB', ' TiB']),
  binBps: (v) => scaled(v, 1024, [' B/s', ' KiB/s', ' MiB/s', ' GiB/s']),
  s: seconds,
  ops: (v) => `${Number(v.toPrecision(3))} ops/s`,
  reqps: (v) => `${Number(v.toPrecision(3))} req/s`,
  dateTimeFromNow: (v) => `${seconds(end - v / 1000)} ago`,
};
const format = (v, field) => Number.isFinite(v) ? formats[field.unit](v, field.decimals) : '';
const mapped = (v, field) => field.mappings?.[0]?.options[String(v)];

// fieldOf is the configuration of one field: the defaults, then the overrides whose matcher takes the name.
function fieldOf(panel, name) {
  const field = { ...panel.fieldConfig.defaults, custom: { ...panel.fieldConfig.defaults.custom } };
  for (const o of panel.fieldConfig.overrides) {
    const { id, options } = o.matcher;
    const m = id === 'byRegexp' ? new RegExp(options.slice(1, options.lastIndexOf('/'))).test(name) : options === name;
    if (!m) continue;
    for (const p of o.properties) {
      if (p.id.startsWith('custom.')) field.custom[p.id.slice(7)] = p.value;
      else field[p.id] = p.value;
    }
  }
  return field;
}

const nameOf = (q, labels) => (q.legendFormat ? q.legendFormat.replace(/{{ *(\w+) *}}/g, (_, l) => labels[l] ?? '') : Object.values(labels).join(' ')).replace(/ +/g, ' ').trim();

async function seriesOf(panel) {
  const out = [];
  for (const q of panel.targets) {
    for (const r of await query(q)) {
      const name = nameOf(q, r.metric), field = fieldOf(panel, name);
      out.push({ name: field.displayName ?? name, field, values: r.values ?? [r.value] });
    }
  }
  return out;
}

function stepColor(v, field) {
  let found = 'green';
  for (const s of field.thresholds.steps) if (s.value === null || s.value === undefined || v >= s.value) found = s.color;
  return color(found);
}

const empty = (panel) => `<div class=empty>${escape(panel.fieldConfig.defaults.noValue ?? 'No data')}</div>`;

const draw = {
  async stat(panel) {
    const [s] = await seriesOf(panel);
    const d = panel.fieldConfig.defaults;
    if (!s) return `<div class=stat style="font-size:20px">${escape(d.noValue ?? 'No data')}</div>`;
    const v = Number(s.values.at(-1)[1]), m = mapped(v, d);
    const text = panel.options.textMode === 'name' ? s.name : m ? m.text : format(v, d);
    return `<div class=stat style="color:${m ? color(m.color) : stepColor(v, d)}">${escape(text)}</div>`;
  },

  async bargauge(panel) {
    const all = (await seriesOf(panel)).map((s) => ({ ...s, v: Number(s.values.at(-1)[1]) })).sort((a, b) => b.v - a.v);
    if (all.length === 0) return empty(panel);
    return `<div class=gauges>${all.map((s) => `<div class=gauge><span>${escape(s.name)}</span><i><b style="width:${Math.min(s.v, 1) * 100}%;background:${mix(s.v)}"></b></i><em style="color:${mix(s.v)}">${format(s.v, s.field)}</em></div>`).join('')}</div>`;
  },

  async table(panel) {
    const several = panel.targets.length > 1;
    let rows = [];
    for (const q of panel.targets) {
      for (const r of await query(q)) {
        const { __name__, ...labels } = r.metric, row = { ...labels, [several ? `Value #${q.refId}` : 'Value']: Number(r.value[1]) };
        const same = several && rows.find((o) => Object.keys(row).every((k) => !(k in o) || o[k] === row[k]));
        if (same) Object.assign(same, row);
        else rows.push(row);
      }
    }
    let columns = [...new Set(rows.flatMap(Object.keys))];
    for (const t of panel.transformations ?? []) {
      if (t.id === 'sortBy') rows.sort((a, b) => (b[t.options.sort[0].field] ?? -1) - (a[t.options.sort[0].field] ?? -1));
      if (t.id !== 'organize') continue;
      const { excludeByName, indexByName, renameByName } = t.options;
      columns = columns.filter((c) => !excludeByName[c]).sort((a, b) => (indexByName[a] ?? 99) - (indexByName[b] ?? 99));
      rows = rows.map((r) => Object.fromEntries(Object.entries(r).filter(([c]) => !excludeByName[c]).map(([c, v]) => [renameByName[c] ?? c, v])));
      columns = columns.map((c) => renameByName[c] ?? c);
    }
    if (rows.length === 0) return empty(panel);
    const cell = (c, v) => {
      const field = fieldOf(panel, c), m = mapped(v, field), kind = field.custom.cellOptions?.type;
      if (v === undefined) return '<td>';
      if (kind === 'color-background' && m) return `<td style="background:${color(m.color)};color:#fff">${m.text}`;
      if (kind === 'gauge') return `<td><div class=cell><i><b style="width:${Math.min(v, 1) * 100}%;background:${mix(v)}"></b></i><em>${format(v, field)}</em></div>`;
      return typeof v === 'number' ? `<td class=number>${escape(m?.text ?? format(v, field))}` : `<td>${field.links ? `<u>${escape(v)}</u>` : escape(v)}`;
    };
    return `<table><tr>${columns.map((c) => `<th${rows.some((r) => typeof r[c] === 'number' && !fieldOf(panel, c).custom.cellOptions) ? ' class=number' : ''}>${escape(c)}`).join('')}${rows.map((r) => `<tr>${columns.map((c) => cell(c, r[c])).join('')}`).join('')}</table>`;
  },

  async 'state-timeline'(panel, height) {
    const all = await seriesOf(panel);
    if (all.length === 0) return empty(panel);
    const seen = new Map(), lanes = all.map((s) => {
      const parts = s.values.map(([at, v]) => {
        const m = mapped(Number(v), s.field);
        seen.set(m.text, color(m.color));
        return `<b style="left:${(at - start) / want.seconds * 100}%;width:${step / want.seconds * 100 + 0.1}%;background:${color(m.color)}"></b>`;
      });
      return `<div class=lane style="height:${Math.min(30, (height - 80) / all.length)}px"><span>${escape(s.name)}</span><i>${parts.join('')}</i></div>`;
    });
    return `<div class=lanes>${lanes.join('')}<div class=legendline>${[...seen].map(([t, c]) => `<i style="background:${c}"></i>${t}`).join(' &nbsp; ')}</div></div>`;
  },

  async timeseries(panel, height, id) {
    const all = (await seriesOf(panel)).filter((s) => s.values.length > 0);
    if (all.length === 0) return empty(panel);
    const times = [];
    for (let at = start; at <= end; at += step) times.push(at);
    let next = 0;
    const lines = all.map((s) => {
      const byTime = new Map(s.values.map(([at, v]) => [Math.round(at), Number(v)]));
      const c = s.field.color?.mode === 'fixed' ? color(s.field.color.fixedColor) : palette[next % palette.length];
      next++;
      const numbers = times.map((at) => Number.isFinite(byTime.get(at)) ? byTime.get(at) : null);
      return { name: s.name, color: c, unit: s.field.unit, custom: s.field.custom, numbers, last: numbers.findLast((v) => v !== null), max: Math.max(...numbers.filter((v) => v !== null)), field: s.field };
    });
    const legend = [...lines].sort((a, b) => b.last - a.last), fit = Math.max(1, Math.min(legend.length, Math.floor((height - 60) * 0.38 / 18)));
    const rows = legend.slice(0, fit).map((l) => `<tr><td><i style="background:${l.color}"></i>${escape(l.name)}<td class=number>${format(l.last, l.field)}<td class=number>${format(l.max, l.field)}`);
    const more = legend.length > fit ? ` <small>${fit} of ${legend.length}</small>` : '';
    const plot = { id, unit: panel.fieldConfig.defaults.unit, max: panel.fieldConfig.defaults.max, height: height - 34 - (fit + 1) * 18 - 8, times, lines: lines.map(({ field, ...l }) => l) };
    return `<div id=plot-${id}></div><script>plots.push(${JSON.stringify(plot).replaceAll('<', '\\u003c')})</script><table class=legend><tr><th>Name${more}<th class=number>Last *<th class=number>Max${rows.join('')}</table>`;
  },
};

// rows are those that are wanted, in the order of the dashboard, each with its panels.
function rows() {
  const found = [];
  for (const p of dashboard.panels) {
    if (p.type === 'row') found.push({ title: p.title, closed: p.collapsed, panels: [...p.panels] });
    else found.at(-1).panels.push(p);
  }
  for (const title of want.rows) if (!found.some((r) => r.title === title)) throw new Error(`${file} has no row ${title}`);
  return found.filter((r) => want.rows.includes(r.title));
}

const unit = 38, parts = [];
let top = 46, id = 0;
for (const row of rows()) {
  parts.push(`<div class=row style="top:${top}px">⌄ ${escape(row.title)}</div>`);
  top += unit - 4;
  const first = Math.min(...row.panels.map((p) => p.gridPos.y));
  let bottom = 0;
  for (const p of row.panels) {
    if (want.panels && !want.panels.includes(p.title)) continue;
    const g = p.gridPos, height = g.h * unit - 8;
    const body = await draw[p.type](p, height, ++id);
    parts.push(`<div class=panel style="left:calc(${g.x / 24 * 100}% + 4px);width:calc(${g.w / 24 * 100}% - 8px);top:${top + (g.y - first) * unit}px;height:${height}px"><h4>${escape(p.title)}</h4>${body}</div>`);
    bottom = Math.max(bottom, (g.y - first + g.h) * unit);
  }
  top += bottom;
}
const bar = dashboard.templating.list.filter((v) => v.type === 'query').map((v) => `<span>${v.label}<b>${escape(want.variables[v.name] ?? 'All')}</b></span>`).join('');
const asset = (name) => readFileSync(path.join(modules, 'node_modules/uplot/dist', name), 'utf8');
writeFileSync(page, `<!doctype html><meta charset=utf-8><style>${asset('uPlot.min.css')}
body{margin:0;background:#f4f5f5;font:12px/1.4 "DejaVu Sans",Verdana,sans-serif;color:#24292e;height:${top + 6}px;position:relative;overflow:hidden}
.bar{position:absolute;left:8px;right:8px;top:6px;height:34px;line-height:34px;font-size:14px;font-weight:bold}.bar span{font-size:11px;font-weight:normal;margin-left:16px;color:#555}.bar span b{background:#fff;border:1px solid #d5d7db;padding:4px 8px;margin-left:6px;color:#24292e}
.row{position:absolute;left:8px;font-weight:bold;line-height:32px;font-size:13px}
.panel{position:absolute;box-sizing:border-box;background:#fff;border:1px solid #dcdee1;border-radius:2px;overflow:hidden}
h4{margin:0;padding:5px 8px 3px;font-size:12px;white-space:nowrap;overflow:hidden;text-overflow:ellipsis}
.empty{position:absolute;inset:28px 8px 8px;display:flex;align-items:center;justify-content:center;color:#777;text-align:center}
.stat{position:absolute;inset:24px 6px 4px;display:flex;align-items:center;justify-content:center;font-size:34px;text-align:center;color:#555}
table{border-collapse:collapse;width:100%;font-size:11px}th,td{text-align:left;padding:0 8px;height:17px;white-space:nowrap;overflow:hidden}
.panel>table:not(.legend) td,.panel>table:not(.legend) th{height:20px;border-bottom:1px solid #eceef0}th{color:#3274d9;font-weight:normal}.number{text-align:right}td u{color:#3274d9;text-decoration:none}
.legend td:first-child{max-width:0;width:99%;text-overflow:ellipsis}.legend td i,.legendline i{display:inline-block;width:12px;height:4px;margin-right:6px;vertical-align:middle}.legend td,.legend th{height:18px;border:0}
.gauges{padding:2px 8px;position:absolute;inset:26px 0 4px;display:flex;flex-direction:column;justify-content:space-evenly}.gauge,.lane{display:flex;align-items:center;font-size:11px}.gauge span{width:38%;white-space:nowrap;overflow:hidden;text-overflow:ellipsis}.gauge i,.cell i{flex:1;background:#eceef0;height:14px}.gauge b,.cell b{display:block;height:100%}.gauge em,.cell em{width:60px;text-align:right;font-style:normal}.cell{display:flex;align-items:center;min-width:130px}
.lanes{position:absolute;inset:30px 8px 4px}.lane span{width:30%;white-space:nowrap;overflow:hidden;text-overflow:ellipsis;text-align:right;padding-right:8px}.lane i{flex:1;position:relative;height:80%;background:#f4f5f5;overflow:hidden}.lane b{position:absolute;top:0;bottom:0}.legendline{margin:6px 0 0 30%;font-size:11px}
</style><script>${asset('uPlot.iife.min.js')};const plots=[];const formats={};</script>
<div class=bar>${escape(dashboard.title)}${bar}</div>${parts.join('\n')}
<script>
const end=${end};const scaled=${scaled};${seconds};const units={${Object.entries(formats).map(([k, f]) => `${k}:${f}`)}};
const alpha=(c,a)=>{const n=c.startsWith('#')?[1,3,5].map(i=>parseInt(c.slice(i,i+2),16)):c.match(/\\d+/g);return 'rgba('+n.join(',')+','+a/100+')'};
for(const p of plots){
  const at=document.getElementById('plot-'+p.id);
  const sums=p.times.map(()=>0),series=[{}],data=[p.times];
  const lines=p.lines.map(l=>{
    const c=l.custom,stacked=c.stacking&&c.stacking.mode==='normal'&&c.axisPlacement!=='right';
    const numbers=stacked?l.numbers.map((v,i)=>v===null?null:(sums[i]+=v)):l.numbers;
    return {l,c,stacked,numbers};
  });
  for(const {l,c,numbers} of [...lines.filter(x=>x.stacked).reverse(),...lines.filter(x=>!x.stacked)]){
    const bars=c.drawStyle==='bars',right=c.axisPlacement==='right';
    series.push({scale:right?'r':'y',stroke:l.color,width:c.lineWidth??1,fill:c.fillOpacity?alpha(l.color,bars?100:c.fillOpacity):undefined,dash:c.lineStyle?c.lineStyle.dash:undefined,points:{show:false},paths:bars?uPlot.paths.bars({size:[0.9,40],align:0}):undefined});
    data.push(numbers);
  }
  const right=lines.find(x=>x.c.axisPlacement==='right');
  const whole=lines.some(x=>x.c.drawStyle==='bars')&&p.unit==='none';
  const axis=(scale,unit,side=3)=>({scale,side,size:74,font:'11px DejaVu Sans',stroke:'#555',grid:{stroke:'#eceef0',width:1,show:side!==1},ticks:{show:false},incrs:unit==='bytes'||unit==='binBps'?Array.from({length:60},(_,i)=>2**i):whole&&side!==1?[1,2,5,10,20,50,100,200,500,1000,2000,5000,10000]:undefined,values:(u,vs)=>vs.map(v=>units[unit](v)),space:28});
  new uPlot({width:at.parentNode.clientWidth-14,height:p.height,legend:{show:false},cursor:{show:false},series,
    scales:{x:{range:[p.times[0],p.times.at(-1)]},y:{range:(u,lo,hi)=>[Math.min(0,lo),p.max??(hi>0?hi*1.05:1)]},r:{range:(u,lo,hi)=>[0,hi>0?hi*1.05:1]}},
    axes:[{font:'11px DejaVu Sans',stroke:'#555',grid:{stroke:'#eceef0',width:1},ticks:{show:false},size:22,values:(u,vs)=>vs.map(v=>new Date(v*1000).toISOString().slice(11,${want.seconds > 1200 ? 16 : 19}))},axis('y',p.unit),...(right?[axis('r',right.l.unit,1)]:[])]},data,at);
}
</script>`);
console.log(`${want.width} ${Math.min(top + 6, want.height)}`);
