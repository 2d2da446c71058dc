// The tables of docs/deploy.md and docs/scale.md, and the curve beside it: what `millrace cost` says of the app's
// environments, and of one consumer at every load. `node scripts/estimate-tables.mjs` writes them; a test compares.
import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { billOf, deploymentOf, needsOf, US_EAST_1 } from '../lib/cost/index.ts';

const ROOT = new URL('../', import.meta.url);
const LOAD = { eventsPerSecond: 50, bytes: 500, eventsPerRequest: 10 };
const RATES = [100, 1_000, 10_000, 100_000, 1_000_000, 10_000_000];

/** One consumer of one topic, with no setting in its way: AWS's limits are what is left. */
const UNLIMITED = {
  environment: 'any',
  brokers: { instanceType: 'express.m7g.16xlarge', count: 60, storageGiB: undefined },
  endpoints: 0,
  database: { instances: 1, minCapacity: 0.5, maxCapacity: 256, hasProxy: false },
  keys: 0,
  alarmMetrics: 0,
  compositeAlarms: 0,
  dashboards: 0,
  metricFilters: 0,
  queueMappings: 0,
  readers: [
    {
      stack: 'consumer',
      topic: 'events',
      isLoaded: true,
      memoryMb: 1_024,
      batch: { maxRecords: 5_000, windowMs: 500 },
      provisioned: { minimumPollers: 1, maximumPollers: 2_000, group: undefined },
    },
  ],
  operator: undefined,
  collector: undefined,
  topics: [{ name: 'events', partitions: 1_000, retentionMs: 604_800_000 }],
};
/** Partitions are set as the load wants them. */
const LIMITED = ['broker ingress', 'pollers', 'functions', 'database', 'connections'];

/** @returns the pages by path, each as it should be */
export function renderPages(app, root) {
  return {
    'docs/deploy.md': withTable('docs/deploy.md', 'cost', costTable(app, root)),
    'docs/scale.md': withTable('docs/scale.md', 'scale', scaleTable()),
    'docs/scale.svg': scaleCurve(),
  };
}

function withTable(path, name, table) {
  const page = readFileSync(new URL(path, ROOT), 'utf8');
  const [from, to] = [`<!-- ${name}: written by scripts/estimate-tables.mjs -->\n`, `<!-- /${name} -->`];
  const start = page.indexOf(from) + from.length;
  const end = page.indexOf(to);
  if (start < from.length || end < 0) throw new Error(`${path} has no place for the table ${name}`);
  return `${page.slice(0, start)}\n${table}\n\n${page.slice(end)}`;
}

function costTable(app, root) {
  const names = Object.keys(app.environments);
  const bills = names.map((name) => billOf(deploymentOf(app, root, name), LOAD, US_EAST_1));
  const parts = [...new Set(bills.flatMap(({ lines }) => lines.map(({ part }) => part)))];
  const cell = ({ lines }, part) => {
    const line = lines.find((each) => each.part === part);
    return line ? `${line.quantity}: ${dollars(line.monthly)}` : '–';
  };
  return markdown([
    ['', ...names],
    ...parts.map((part) => [part, ...bills.map((bill) => cell(bill, part))]),
    ['**a month**', ...bills.map(({ total }) => `**${dollars(total)}**`)],
  ]);
}

function scaleTable() {
  const rows = RATES.map((eventsPerSecond) => {
    const needs = needsOf(UNLIMITED, { ...LOAD, eventsPerSecond });
    const of = (part) => needs.find((need) => need.part === part);
    const share = ({ needed, most }) => needed / most;
    const fullest = LIMITED.map(of).toSorted((a, b) => share(b) - share(a))[0];
    return [
      count(eventsPerSecond),
      figure(of('broker ingress').needed),
      count(of('partitions').needed),
      count(of('pollers').needed),
      figure(of('functions').needed),
      figure(of('commits').needed),
      figure(of('write-ahead log').needed),
      figure(of('database').needed),
      `${fullest.part}, ${percent(share(fullest))}`,
    ];
  });
  const titles = [
    'events/s',
    'MB/s in',
    'partitions',
    'pollers',
    'functions at once',
    'commits/s',
    'WAL MB/s',
  ];
  return markdown([[...titles, 'database processors', 'fullest by AWS’s limits'], ...rows]);
}

/** How much of each AWS limit a load takes, on logarithmic axes. */
function scaleCurve() {
  const [width, height, left, right, top, bottom] = [760, 380, 64, 150, 16, 44];
  const decades = { x: [2, 7], y: [-4, 1] };
  const x = (rate) => left + ((Math.log10(rate) - 2) / 5) * (width - left - right);
  const y = (share) => {
    const at = Math.min(decades.y[1], Math.max(decades.y[0], Math.log10(share)));
    return top + ((decades.y[1] - at) / 5) * (height - top - bottom);
  };
  const parts = ['database', 'functions', 'broker ingress', 'pollers'];
  const styles = ['', '7 4', '2 4', '10 3 2 3'];
  const steps = Array.from({ length: 51 }, (_, index) => Math.round(10 ** (2 + index / 10)));
  const needsAt = new Map(
    steps.map((rate) => [rate, needsOf(UNLIMITED, { ...LOAD, eventsPerSecond: rate })]),
  );
  const line = (part, index) => {
    const shares = steps.map((rate) => {
      const { needed, most } = needsAt.get(rate).find((need) => need.part === part);
      return { rate, share: needed / most };
    });
    const points = shares.map(({ rate, share }) => `${x(rate).toFixed(1)},${y(share).toFixed(1)}`).join(' ');
    const end = y(shares.at(-1).share);
    return { points, end, part, dash: styles[index] };
  };
  const lines = parts.map(line).toSorted((a, b) => a.end - b.end);
  // Names that would overlap move apart.
  lines.forEach((each, index) => {
    each.label = index === 0 ? each.end : Math.max(each.end, lines[index - 1].label + 16);
  });
  const grid = [
    ...[2, 3, 4, 5, 6, 7].map((power) => {
      const at = x(10 ** power).toFixed(1);
      return `<path class="grid" d="M${at} ${top}V${height - bottom}"/><text x="${at}" y="${height - bottom + 18}" text-anchor="middle">${count(10 ** power)}</text>`;
    }),
    ...[-4, -3, -2, -1, 0, 1].map((power) => {
      const at = y(10 ** power).toFixed(1);
      const isLimit = power === 0;
      return `<path class="${isLimit ? 'limit' : 'grid'}" d="M${left} ${at}H${width - right}"/><text x="${left - 8}" y="${Number(at) + 4}" text-anchor="end">${percent(10 ** power)}</text>`;
    }),
  ];
  const drawn = lines.map(
    ({ points, part, dash, label }) =>
      `<polyline points="${points}"${dash && ` stroke-dasharray="${dash}"`}/><text class="name" x="${width - right + 8}" y="${(label + 4).toFixed(1)}">${part}</text>`,
  );
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" role="img" aria-label="How much of each limit one consumer takes, by events a second">
<style>
  svg { background: #fff; color: #1b1f24 }
  text { font: 12px system-ui, sans-serif; fill: currentColor }
  .name { font-weight: 600 }
  .grid { stroke: currentColor; stroke-opacity: .15 }
  .limit { stroke: #c0392b; stroke-width: 1.5 }
  polyline { fill: none; stroke: currentColor; stroke-width: 2 }
  @media (prefers-color-scheme: dark) { svg { background: #0d1117; color: #e6edf3 } .limit { stroke: #ff7b72 } }
</style>
${[...grid, ...drawn].join('\n')}
<text x="${(left + width - right) / 2}" y="${height - 8}" text-anchor="middle">events a second</text>
</svg>
`;
}

function markdown([head, ...rows]) {
  const line = (cells) => `| ${cells.join(' | ')} |`;
  return [line(head), `|${'---|'.repeat(head.length)}`, ...rows.map(line)].join('\n');
}

function dollars(usd) {
  return usd < 10 ? usd.toFixed(2) : count(Math.round(usd));
}

function figure(value) {
  return value >= 100 ? count(Math.round(value)) : String(Number(value.toPrecision(2)));
}

function percent(share) {
  return `${Number((share * 100).toPrecision(2)).toLocaleString('en-US')}%`;
}

function count(value) {
  return value.toLocaleString('en-US');
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const folder = new URL('test/fixtures/newsdesk/', ROOT);
  const { default: app } = await import(new URL('millrace.config.ts', folder).href);
  for (const [path, text] of Object.entries(renderPages(app, fileURLToPath(folder))))
    writeFileSync(new URL(path, ROOT), text);
}
