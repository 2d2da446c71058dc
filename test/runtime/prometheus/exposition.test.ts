import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import {
  ENDS,
  type ExpositionFormat,
  exposeFamilies,
  type MetricFamily,
  negotiate,
} from '../../../runtime/prometheus/exposition.ts';
import { parseExposition } from './parse-exposition.ts';

const expose = (families: readonly MetricFamily[], format: ExpositionFormat) =>
  exposeFamilies(families, format) + ENDS[format];

const text = fc.oneof(
  fc.string({ unit: 'grapheme' }),
  fc.string({ unit: fc.constantFrom('\\', '"', '\n', 'n', '{', '}', ',', ' ') }),
);
/** What `# HELP` takes: a line may not begin or end in what separates it. */
const number = fc.oneof(
  fc.double({ noNaN: true }),
  fc.constantFrom(0, 1e21, 1e-9, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY),
);
const family = fc
  .record({
    type: fc.constantFrom('gauge' as const, 'counter' as const),
    help: text,
    labels: fc.uniqueArray(text, { minLength: 1, maxLength: 5 }),
    number,
  })
  .map(
    ({ type, help, labels, number: value }): MetricFamily => ({
      name: `some_${type}`,
      type,
      help,
      samples: labels.map((label) => ({
        labels: { group: label, topic: 'a' },
        value: type === 'counter' ? Math.abs(value) : value,
      })),
    }),
  );

describe.each(['openmetrics', 'text'] as const)('as %s', (format) => {
  test('whatever is in a label or a help, a strict parser reads it as it was', () => {
    fc.assert(
      fc.property(family, (given) => {
        const [parsed, ...more] = parseExposition(expose([given], format), format);
        expect(more).toEqual([]);
        const suffix = given.type === 'counter' ? '_total' : '';
        expect(parsed).toEqual({
          name: format === 'text' ? given.name + suffix : given.name,
          type: given.type,
          unit: undefined,
          help: given.help,
          samples: given.samples.map(({ labels, value }) => ({
            name: given.name + suffix,
            labels,
            // The formats have no negative zero.
            value: value + 0,
          })),
        });
      }),
    );
  });

  test('a metric without samples is left out, and nothing at all is still a whole answer', () => {
    const empty: MetricFamily = { name: 'none', type: 'gauge', help: 'None.', samples: [] };
    expect(parseExposition(`${expose([empty], format)}`, format)).toEqual([]);
  });
});

test('the two formats differ in units, the names of counters, and the last line', () => {
  const families: readonly MetricFamily[] = [
    {
      name: 'age_seconds',
      type: 'gauge',
      unit: 'seconds',
      help: 'Says "how\nold".',
      samples: [{ labels: {}, value: 1.5 }],
    },
    { name: 'lost', type: 'counter', help: 'Lost.', samples: [{ labels: { topic: 'a"b' }, value: 3 }] },
  ];
  expect(expose(families, 'openmetrics')).toBe(`# HELP age_seconds Says \\"how\\nold\\".
# TYPE age_seconds gauge
# UNIT age_seconds seconds
age_seconds 1.5
# HELP lost Lost.
# TYPE lost counter
lost_total{topic="a\\"b"} 3
# EOF
`);
  expect(expose(families, 'text')).toBe(`# HELP age_seconds Says "how\\nold".
# TYPE age_seconds gauge
age_seconds 1.5
# HELP lost_total Lost.
# TYPE lost_total counter
lost_total{topic="a\\"b"} 3
`);
});

// As Prometheus 3 asks: https://prometheus.io/docs/instrumenting/content_negotiation/ (2026-11-27)
const PROMETHEUS =
  'application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2';

test.each([
  [PROMETHEUS, 'openmetrics'],
  ['application/openmetrics-text', 'openmetrics'],
  ['application/openmetrics-text; version="1.0.0"', 'openmetrics'],
  ['application/openmetrics-text;version=2.0.0', 'text'],
  ['application/openmetrics-text;q=0.2, text/plain;q=0.9', 'text'],
  ['application/openmetrics-text;q=0', 'text'],
  ['text/html,application/xhtml+xml,*/*;q=0.8', 'text'],
  ['*/*', 'text'],
  [undefined, 'text'],
  ['', 'text'],
  [';;,q=,', 'text'],
])('a scraper that accepts %s gets %s', (accept, format) => {
  expect(negotiate(accept)).toBe(format);
});
