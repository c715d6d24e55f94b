// Typechecks the dashboards against the types that Grafana publishes for them (@grafana/schema).
//
//   node dashboards.mjs MODULES DASHBOARD.json ...
//
// MODULES is a folder with node_modules that holds @grafana/schema and typescript. Each dashboard
// becomes a literal of a TypeScript program, so that the compiler also finds keys that are not
// there. Exit code 1 and the compiler's messages, with the path in the dashboard, when one is wrong.
//
// The published types are taken as they are but for these places:
//
//  - Enums. In JSON they are their values, which TypeScript does not take for a string enum: Json<T>
//    replaces each enum by its values.
//  - Panel is wide open where it matters: options, fieldConfig.defaults.custom and targets are
//    records of unknown. They are narrowed here to the types that the package has for each kind of
//    panel, and the package has none for a Prometheus query since Grafana 11, so Target is ours.
//  - Panel.links is an array of DashboardLink, which asks for icon, tags, tooltip and more. A panel's
//    link is a data link: title, url, targetBlank; that is what Grafana writes.
//  - FieldConfig.links is an array of unknown: a data link too.
//  - A property of an override is any id with any value; here it is one of the keys of FieldConfig or,
//    behind "custom.", one of the panel's own, with the type of that key.
//  - AnnotationQuery leaves out what a Prometheus annotation is made of (expr, titleFormat,
//    textFormat, tagKeys, step, useValueForTime); added here.
//  - VariableModel leaves out definition, which Grafana writes for every query variable, and asks for
//    text and value in current, which is empty until a variable is resolved.
//  - Options of panels are complete types, though every option has a default: Partial, one level deep.
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';

const [modules, ...files] = process.argv.slice(2);
if (!modules || files.length === 0) {
  console.error('usage: node dashboards.mjs MODULES DASHBOARD.json ...');
  process.exit(2);
}
const root = path.resolve(modules);
const ts = createRequire(path.join(root, 'check.js'))('typescript');
const panelcfg = (kind) => `@grafana/schema/dist/types/raw/composable/${kind}/panelcfg/x/types.gen`;

const prelude = `
import type * as schema from '@grafana/schema';
import type * as dashboards from '@grafana/schema/dist/types/veneer/dashboard.types';
import type * as timeseries from '${panelcfg('timeseries')}';
import type * as stat from '${panelcfg('stat')}';
import type * as bargauge from '${panelcfg('bargauge')}';
import type * as table from '${panelcfg('table')}';
import type * as timeline from '${panelcfg('statetimeline')}';

type Json<T> =
  unknown extends T ? T :
  T extends string ? \`\${T}\` :
  T extends number ? (\`\${T}\` extends \`\${infer N extends number}\` ? N : T) :
  T extends (infer E)[] ? Json<E>[] :
  T extends object ? { [K in keyof T]: Json<T[K]> } :
  T;

type Source = { type: 'prometheus'; uid: '\${datasource}' };
type DataLink = { title: string; url: string; targetBlank?: boolean };
type Target = Json<Omit<schema.DataQuery, 'datasource'>> & {
  datasource: Source; expr: string; legendFormat?: string; format?: 'table' | 'time_series'; instant: boolean; range: boolean;
};

type Defaults<Custom> = Omit<Json<dashboards.FieldConfig>, 'custom' | 'links'> & { custom?: Partial<Json<Custom>>; links?: DataLink[] };
type Property<Fields, Prefix extends string = ''> = { [K in keyof Fields & string]-?: { id: \`\${Prefix}\${K}\`; value: NonNullable<Fields[K]> } }[keyof Fields & string];
type Override<Custom> = {
  matcher: Json<dashboards.MatcherConfig>;
  properties: (Property<Omit<Defaults<never>, 'custom'>> | ([Custom] extends [never] ? never : Property<Json<Custom>, 'custom.'>))[];
};
type PanelOf<Kind extends string, Options, Custom> =
  Omit<Json<dashboards.Panel>, 'type' | 'options' | 'fieldConfig' | 'targets' | 'links' | 'datasource'> & {
    type: Kind;
    datasource: Source;
    links?: DataLink[];
    options: Partial<Json<Options>>;
    fieldConfig: { defaults: Defaults<Custom>; overrides: Override<Custom>[] };
    targets: Target[];
  };
type Panel =
  | PanelOf<'timeseries', timeseries.Options, timeseries.FieldConfig>
  | PanelOf<'stat', stat.Options, never>
  | PanelOf<'bargauge', bargauge.Options, never>
  | PanelOf<'table', table.Options, table.FieldConfig>
  | PanelOf<'state-timeline', timeline.Options, timeline.FieldConfig>;
type Row = Omit<Json<dashboards.RowPanel>, 'panels'> & { panels: Panel[] };

type Annotation = Json<dashboards.AnnotationQuery> & {
  expr?: string; titleFormat?: string; textFormat?: string; tagKeys?: string; step?: string; useValueForTime?: boolean;
};
type Variable = Omit<Json<dashboards.VariableModel>, 'current'> & {
  definition?: string; current?: Json<dashboards.VariableModel['current']> | Record<string, never>;
};
type Dashboard = Omit<Json<dashboards.Dashboard>, 'panels' | 'annotations' | 'templating'> & {
  panels: (Panel | Row)[];
  annotations: { list: Annotation[] };
  templating: { list: Variable[] };
};
`;

// where is the path in the dashboard, with the title of the panel, of a place in the program.
function where(file, position, dashboard) {
  const steps = [];
  const visit = (node) => {
    if (position < node.getStart(file) || position >= node.end) return;
    if (ts.isPropertyAssignment(node)) steps.push(JSON.parse(node.name.getText(file)));
    if (ts.isArrayLiteralExpression(node.parent ?? node)) steps.push(node.parent.elements.indexOf(node));
    ts.forEachChild(node, visit);
  };
  visit(file);
  let at = dashboard, title = '';
  for (const step of steps) {
    at = at?.[step];
    if (at?.gridPos) title = ` (${JSON.stringify(at.title)})`;
  }
  return steps.join('.') + title;
}

const sources = new Map();
for (const file of files) {
  const dashboard = JSON.parse(readFileSync(file, 'utf8'));
  const literal = JSON.stringify(dashboard, null, 1);
  sources.set(path.join(root, path.basename(file, '.json') + '.check.ts'), { file, dashboard, text: `${prelude}\nexport const dashboard: Dashboard = ${literal};\n` });
}

const options = {
  strict: true, noEmit: true, skipLibCheck: true, target: ts.ScriptTarget.ES2022, module: ts.ModuleKind.ESNext,
  // The folders of the package that are not in its exports are reached by their path.
  moduleResolution: ts.ModuleResolutionKind.Bundler, baseUrl: root,
  paths: { '@grafana/schema': ['./node_modules/@grafana/schema/dist/types/index'], '@grafana/schema/dist/*': ['./node_modules/@grafana/schema/dist/*'] },
};
const host = ts.createCompilerHost(options);
const { getSourceFile, fileExists, readFile } = host;
host.getSourceFile = (name, ...rest) => sources.has(name) ? ts.createSourceFile(name, sources.get(name).text, ts.ScriptTarget.ES2022, true) : getSourceFile.call(host, name, ...rest);
host.fileExists = (name) => sources.has(name) || fileExists.call(host, name);
host.readFile = (name) => sources.get(name)?.text ?? readFile.call(host, name);

const problems = ts.getPreEmitDiagnostics(ts.createProgram([...sources.keys()], options, host));
for (const p of problems) {
  const message = ts.flattenDiagnosticMessageText(p.messageText, '\n');
  if (!p.file || !sources.has(p.file.fileName)) {
    console.error(`${p.file?.fileName ?? ''}: ${message}`);
    continue;
  }
  const { file, dashboard } = sources.get(p.file.fileName);
  console.error(`${file}: ${where(p.file, p.start, dashboard)}: ${message}`);
}
process.exit(problems.length > 0 ? 1 : 0);
