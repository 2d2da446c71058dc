/**
 * Metrics as Prometheus and what speaks like it scrape them: OpenMetrics 1.0
 * (https://prometheus.io/docs/specs/om/open_metrics_spec/, 2026-11-27) and the older text format
 * (https://prometheus.io/docs/instrumenting/exposition_formats/, 2026-11-27).
 */

export type Labels = Readonly<Record<string, string>>;

export interface Sample {
  readonly labels: Labels;
  readonly value: number;
}

/** A metric with all its series. One without samples is left out. */
export interface MetricFamily {
  /** Ends with the unit where there is one. A counter's has no `_total`: its samples get that. */
  readonly name: string;
  readonly type: 'gauge' | 'counter';
  readonly unit?: 'seconds';
  readonly help: string;
  readonly samples: readonly Sample[];
}

export type ExpositionFormat = 'openmetrics' | 'text';

export const CONTENT_TYPES: Readonly<Record<ExpositionFormat, string>> = {
  openmetrics: 'application/openmetrics-text; version=1.0.0; charset=utf-8',
  text: 'text/plain; version=0.0.4; charset=utf-8',
};

/** Of each family all lines together, in the order given. What follows it, if anything, are families of other names. */
export function exposeFamilies(families: readonly MetricFamily[], format: ExpositionFormat): string {
  const isOpen = format === 'openmetrics';
  const lines: string[] = [];
  for (const { name, type, unit, help, samples } of families) {
    if (samples.length === 0) continue;
    const sampled = type === 'counter' ? `${name}_total` : name;
    // The older format knows no suffixes: there, the name is that of the samples.
    const described = isOpen ? name : sampled;
    lines.push(`# HELP ${described} ${escaped(help, isOpen)}\n`, `# TYPE ${described} ${type}\n`);
    if (isOpen && unit !== undefined) lines.push(`# UNIT ${described} ${unit}\n`);
    for (const { labels, value } of samples)
      lines.push(`${sampled}${labelText(labels)} ${numberText(value)}\n`);
  }
  return lines.join('');
}

/** What ends an answer. */
export const ENDS: Readonly<Record<ExpositionFormat, string>> = { openmetrics: '# EOF\n', text: '' };

/**
 * The format that a scraper's Accept header prefers; the older one for whoever does not ask for OpenMetrics, such as a browser.
 * Of equally welcome ones OpenMetrics is taken: https://www.rfc-editor.org/rfc/rfc9110#name-accept (2026-11-27).
 */
export function negotiate(accept: string | undefined): ExpositionFormat {
  let open = 0;
  let text = 0;
  for (const range of (accept ?? '').split(',')) {
    const [type = '', ...parameters] = range.split(';').map((part) => part.trim().toLowerCase());
    const quality = qualityOf(parameters);
    if (type === 'application/openmetrics-text' && isVersionOne(parameters)) open = Math.max(open, quality);
    else if (type === 'text/plain' || type === 'text/*' || type === '*/*') text = Math.max(text, quality);
  }
  return open > 0 && open >= text ? 'openmetrics' : 'text';
}

function isVersionOne(parameters: readonly string[]): boolean {
  const version = parameters.find((each) => each.startsWith('version='))?.slice('version='.length);
  return version === undefined || /^"?[01]\.\d+\.\d+"?$/.test(version);
}

function qualityOf(parameters: readonly string[]): number {
  const text = parameters.find((each) => each.startsWith('q='))?.slice('q='.length);
  const quality = text === undefined ? 1 : Number(text);
  return quality >= 0 && quality <= 1 ? quality : 0;
}

function labelText(labels: Labels): string {
  const pairs = Object.entries(labels);
  if (pairs.length === 0) return '';
  return `{${pairs.map(([name, value]) => `${name}="${escaped(value.toWellFormed(), true)}"`).join(',')}}`;
}

function escaped(text: string, withQuotes: boolean): string {
  // Of a hundred thousand labels hardly one needs it.
  if (!/[\\\n"]/.test(text)) return text;
  const lines = text.replaceAll('\\', '\\\\').replaceAll('\n', '\\n');
  return withQuotes ? lines.replaceAll('"', '\\"') : lines;
}

function numberText(value: number): string {
  if (value === Number.POSITIVE_INFINITY) return '+Inf';
  return value === Number.NEGATIVE_INFINITY ? '-Inf' : String(value);
}
